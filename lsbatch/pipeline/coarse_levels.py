"""The overviews of a national map whose blocks span tiles, made from strips of pixels from north to south."""

from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np

from lsbatch.kernels.resampling.overviews import METHODS
from lsbatch.storage import cog
from lsbatch.storage.cog import Content


class CoarseLevels:
    """Blocks of the coarse overviews; memory holds less than two rows of blocks and a strip of each level.

    Parameters
    ----------
    content : Content
    shapes : sequence of (rows, cols)
        Of all levels, from the full resolution.
    first : int
        The finest of the coarse levels; the strips have its pixels.
    sizes : sequence of uint32 arrays (rows, cols of blocks)
        Of all levels; filled in for the coarse ones.
    block : int
        Side of a block, even.
    file : binary file
        Takes the compressed blocks until they are read back by `blocks`.
    """

    def __init__(
        self,
        content: Content,
        shapes: Sequence[tuple[int, int]],
        first: int,
        sizes: Sequence[np.ndarray],
        block: int,
        file: BinaryIO,
    ) -> None:
        self._content, self._shapes, self._first, self._sizes = content, shapes, first, sizes
        self._block, self._file = block, file
        self._pending = [content.blank(0, cols) for _, cols in shapes]
        self._written = [0] * len(shapes)
        self._order: list[tuple[int, int, int]] = []

    def add(self, strip: np.ndarray) -> None:
        """Add the next rows of the first coarse level, over its whole width."""
        if self._first < len(self._shapes):
            self._add(self._first, strip)

    def blocks(self) -> Iterator[tuple[int, int, int, bytes]]:
        """Return level, row, column and bytes of each block, after all strips were added."""
        self._file.seek(0)
        for level, row, col in self._order:
            yield level, row, col, self._file.read(int(self._sizes[level][row, col]))

    def _add(self, level: int, strip: np.ndarray) -> None:
        pending = np.concatenate([self._pending[level], strip])
        last = self._written[level] * self._block + len(pending) == self._shapes[level][0]
        while len(pending) >= self._block or (last and len(pending)):
            rows, pending = pending[: self._block], pending[self._block :]
            self._write(level, rows)
            if level + 1 < len(self._shapes):
                self._add(level + 1, METHODS[self._content.overviews](rows, self._content.nodata))
        self._pending[level] = pending

    def _write(self, level: int, rows: np.ndarray) -> None:
        """Write a row of blocks; pixels beyond the edge of the map are nodata."""
        side, sizes = self._block, self._sizes[level]
        row, self._written[level] = self._written[level], self._written[level] + 1
        whole = self._content.blank(side, sizes.shape[1] * side)
        whole[: len(rows), : rows.shape[1]] = rows
        for col in range(sizes.shape[1]):
            block = whole[:, col * side : (col + 1) * side]
            if (block != self._content.fill).any():
                data = cog.compress(block)
                self._file.write(data)
                sizes[row, col] = len(data)
                self._order.append((level, row, col))
