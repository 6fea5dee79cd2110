"""Open HDF5 files of public sets: damaged files and links to other files become one-sentence errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lsbatch.errors import ModelError, NoDataError

#: What h5py and xarray raise for files that are truncated, of another format or damaged inside.
DAMAGED = (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError, IndexError, OverflowError)


def check_libraries() -> None:
    """Check that the libraries for HDF5 and NetCDF are installed.

    Raises
    ------
    ModelError
        The message says what to install.
    """
    try:
        import h5netcdf  # noqa: F401
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
