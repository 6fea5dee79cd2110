"""Pipeline: the types of stages and reductions, and the stages from archive to polygon parts."""
