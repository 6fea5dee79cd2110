"""Open HDF5 files of public sets: damaged files and links to other files become one-sentence errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lsbatch.errors import ModelError, NoDataError

#: What h5py and xarray raise for files that are truncated, of another format or damaged inside.
DAMAGED = (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError, IndexError, OverflowError)

#: Attributes of HDF5 and NetCDF themselves.
_OF_NETCDF = frozenset(
    ("CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST", "_Netcdf4Dimid", "_Netcdf4Coordinates", "_NCProperties")
)


def check_libraries() -> None:
    """Check that the library for HDF5 is installed.

    Raises
    ------
    ModelError
        The message says what to install.
    """
    try:
        import h5py  # noqa: F401
    except ImportError as error:
        raise ModelError(
            f"--chips needs the extra chips ({error.name} is missing): pip install 'lsbatch[chips]'"
        ) from None


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what a damaged file raises into one sentence.

    Raises
    ------
    NoDataError
    """
    try:
        yield
    except DAMAGED as error:
        reason = str(error).split("\n", 1)[0][:200]
        raise NoDataError(
            f"{path}: cannot be read: {reason}; download it again, or delete it to leave the patch out"
        ) from None


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a file with h5py for reading."""
    import h5py

    with reading(path):
        file = h5py.File(path, "r")
    with file:
        yield file


def dimensions(stored: Any) -> tuple[str, ...]:
    """Return the names of the dimensions of a NetCDF variable in an open file."""
    if stored.is_scale and stored.ndim == 1:
        return (stored.name.rpartition("/")[2],)
    return tuple(stored.file[references[0]].name.rpartition("/")[2] for references in stored.attrs["DIMENSION_LIST"])


def attributes(of: Any) -> dict[str, Any]:
    """Return the attributes of a file or a variable, without those by which NetCDF describes dimensions."""
    return {name: _plain(value) for name, value in of.attrs.items() if name not in _OF_NETCDF}


def _plain(value: Any) -> Any:
    """Return text as str, and a list of one value as the value."""
    if isinstance(value, bytes):
        return value.decode()
    if getattr(value, "shape", None) == (1,):
        return _plain(value[0])
    return value


def dataset(file: Any, name: str, path: Path) -> Any:
    """Return a data set of an open file.

    Raises
    ------
    NoDataError
        If it is missing, is no array of numbers, or its values lie in another file.
    """
    import h5py

    with reading(path):
        link = file.get(name, getlink=True)
        found = file[name] if isinstance(link, h5py.HardLink) else None
    if link is None:
        raise NoDataError(f"{path}: has no variable {name}; it has {', '.join(sorted(file)) or 'none'}")
    if not isinstance(found, h5py.Dataset) or found.is_virtual or found.external:
        raise NoDataError(f"{path}: {name} is no array inside the file")
    if found.dtype.kind not in "iuf":
        raise NoDataError(f"{path}: {name} has the type {found.dtype}; numbers are expected")
    return found
