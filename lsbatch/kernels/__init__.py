"""Kernels: functions from arrays to arrays (numpy, numba, scipy). NaN is nodata; rows before columns."""

from importlib import import_module
from types import ModuleType


def __getattr__(name: str) -> ModuleType:
    """Import a module of this package when it is first used, so that `lsbatch.kernels.speckle.lee` needs no import."""
    try:
        return import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":
            raise
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
