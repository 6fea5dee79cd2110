"""Storage: files and objects by the same calls, the cube, receipts, lease, journal, rasters, vectors."""
