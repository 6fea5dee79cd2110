"""Engine: pending work, the task of one tile, distribution over Dask, metrics and verification."""
