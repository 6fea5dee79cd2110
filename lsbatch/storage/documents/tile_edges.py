"""The labels along the edges of a tile, as a file of numpy."""

import io
import tokenize
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from lsbatch.storage import vectors
from lsbatch.storage.files import aside, read_bytes


def write(path: Path, edges: np.ndarray) -> None:
    """Write the labels along the top, bottom, left and right edge of a tile, (4, tile_px) int32, atomically."""
    with aside(path) as temporary:
        np.save(temporary, edges, allow_pickle=False)


def read(path: Path) -> np.ndarray:
    """Read the labels of `write`.

    Raises
    ------
    StaleStoreError
        If the file is damaged or was not made by lsbatch. Pickled objects are not loaded, because they can run code.
    """
    data = read_bytes(path)
    try:
        found = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, MemoryError, SyntaxError, tokenize.TokenError, TypeError, BadZipFile) as error:
        raise vectors.damaged(path, error) from None
    if not isinstance(found, np.ndarray) or found.ndim != 2 or found.dtype.kind != "i":
        raise vectors.damaged(path, "holds no labels of the edges of a tile")
    return found
