"""Sentinel-1: decibels."""

import numpy as np


def to_db(power: np.ndarray) -> np.ndarray:
    """10 log10(power), float32; NaN where power is not positive."""
    power = np.asarray(power, np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(power > 0, np.float32(10) * np.log10(power), np.float32(np.nan)).astype(np.float32)


def from_db(db: np.ndarray) -> np.ndarray:
    """Linear power of decibels, float32."""
    return np.power(np.float32(10), np.asarray(db, np.float32) / np.float32(10), dtype=np.float32)


def enl(power: np.ndarray) -> float:
    """Equivalent number of looks of a homogeneous area: mean^2 / variance of what is not NaN."""
    values = np.asarray(power, np.float64)
    values = values[np.isfinite(values)]
    return float(values.mean() ** 2 / values.var(ddof=1))
