"""lsbatch: a country's landslides, surveyed every year from Sentinel-1, Sentinel-2 and a DEM."""

__version__ = "0.1.0"
