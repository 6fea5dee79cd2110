"""Encode physical values of a band as stored integers, and decode them."""

import hashlib

import numpy as np

from lsbatch.bands import Band


def encode(values: np.ndarray, band: Band) -> np.ndarray:
    """Encode physical values as stored integers, rounded to the nearest step and clipped to the range."""
    if band.scale is None:
        return np.asarray(values).astype(band.dtype)
    info = np.iinfo(band.dtype)
    low = info.min + (band.fill == info.min)
    high = info.max - (band.fill == info.max)
    steps = np.rint((np.asarray(values, np.float64) - band.offset) / band.scale)
    hole = np.isnan(steps)
    return np.where(hole, band.fill, np.clip(np.where(hole, 0, steps), low, high)).astype(band.dtype)


def decode(stored: np.ndarray, band: Band) -> np.ndarray:
    """Decode stored values; inverse of `encode`, float32 with NaN."""
    if band.scale is None:
        return stored
    values = (stored * np.float64(band.scale) + band.offset).astype(np.float32)
    values[stored == band.fill] = np.nan
    return values


def stored_checksum(stored: np.ndarray) -> str:
    """Return the checksum of the numbers, not of the compressed bytes, so that it does not depend on the codec."""
    return hashlib.blake2b(np.ascontiguousarray(stored).data, digest_size=8).hexdigest()
