"""Commands: the work of each command of the command line, one module each."""
