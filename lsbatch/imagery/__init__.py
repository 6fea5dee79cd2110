"""Imagery: pixels of a scene on the national grid, with prefetch, retry and geocoding."""
