"""The document that lists the layers of the cube, and the error for what zarr cannot read."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zarr
from pydantic import TypeAdapter

from lsbatch.errors import StaleStoreError
from lsbatch.storage import documents, objects


@dataclass(frozen=True)
class _Listing:
    metadata: dict[str, Any]


@dataclass(frozen=True)
class _Root:
    """What is read of the document of a store."""

    consolidated_metadata: _Listing | None = None


_ROOT = TypeAdapter(_Root)


def names(path: Path) -> tuple[str, ...]:
    """Return the groups and arrays that the document of a store lists; none if there is no document.

    Raises
    ------
    StaleStoreError
        If it is damaged.
    """
    try:
        root = documents.read(path, _ROOT, "delete it and run again: it only lists the layers")
    except FileNotFoundError:
        return ()
    return tuple(root.consolidated_metadata.metadata) if root.consolidated_metadata else ()


def consolidate(store: Path, target: Any) -> None:
    """Write one metadata file for all layers: xarray then opens 22 bands with one read and without a warning.

    Parameters
    ----------
    store : Path
    target : path or store of zarr
    """
    with warnings.catch_warnings():
        # zarr-python warns that consolidated metadata is not yet in the v3 specification; other readers ignore it
        warnings.filterwarnings("ignore", message="Consolidated metadata", category=UserWarning)
        # a temporary file of a killed process
        warnings.filterwarnings("ignore", message="Object at .* is not recognized", category=UserWarning)
        try:
            zarr.consolidate_metadata(target)
        except Exception as error:
            raise unreadable(store, error) from error


def unreadable(path: Path, error: Exception) -> Exception:
    """Return the error for what zarr cannot read: any error of its parser or of a decoder, but not those of a disk."""
    if isinstance(error, OSError | StaleStoreError) or objects.as_os_error(error) is not None:
        return error
    return StaleStoreError(
        f"{path}: cannot be read back ({type(error).__name__}); run lsbatch verify to find the tile, then lsbatch "
        "retry TILE; if its zarr.json is damaged, copy it from a backup or from another survey of this grid"
    )
