"""Arrays in, arrays out: numpy, numba, scipy. No labels, no files, no threads; NaN is nodata; rows before columns."""
