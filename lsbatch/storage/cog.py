"""Cloud optimized GeoTIFFs (COG) that are put together from compressed blocks, without decoding them.

GDAL writes the metadata: a COG of 128 x 128 pixels with the same corner is made, and its tags are taken over. What
depends on the size is replaced: the shape, the overviews, and where the blocks lie. tifffile was considered; it always
writes tags for the resolution in dots an inch, which GDAL then reports, and it writes the blocks of an image before the
tags of the next one.

The layout is that of GDAL's driver COG: header, all directories of tags, then the blocks of the coarsest overview to
those of the full resolution, each level in row-major order. Before a block stands its size, after it a copy of its last
four bytes; GDAL reads them together with the block. Blocks of nodata are left out.
"""

import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lsbatch.errors import StaleStoreError
from lsbatch.grid import Grid
from lsbatch.storage import rasters
from lsbatch.storage.files import scratch
from lsbatch.storage.rasters import Colour, Legend

#: Compression of blocks. The full resolution of a tile of 2048 px, four maps of benchmarks/national_maps.py: 0.13 s and
#: 2.06 MB with level 2, 0.25 s and 1.99 MB with level 4, 0.44 s and 1.71 MB with level 6, zlib's default.
LEVEL = 2
#: Bytes beside each block: its size before it, its last four bytes again after it.
LEADER = TRAILER = 4
#: From this size a BigTIFF is written; a classic one has addresses of 32 bits.
BIG_BYTES = 2**32 - 2**16
#: Bytes of a value by its TIFF type: byte, text, and integers and floats of 16, 32 and 64 bits.
_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 12: 8, 16: 8}
_SHORT, _LONG, _LONG8 = 3, 4, 16
_SUBFILE, _WIDTH, _HEIGHT, _BLOCK_WIDTH, _BLOCK_HEIGHT, _OFFSETS, _SIZES = 254, 256, 257, 322, 323, 324, 325
#: Tags of the metadata that overviews have too: bits, compression, photometry, samples, planes, colours, format, and
#: nodata.
_OVERVIEW_TAGS = (258, 259, 262, 277, 284, 320, 339, 42113)


@dataclass(frozen=True)
class Content:
    """What the pixels of a map are.

    Attributes
    ----------
    dtype : type of numpy integer
    nodata : int or None
    overviews : str
        Method of the overviews, see `lsbatch.kernels.resampling.overviews`.
    legend : Legend
    colours : mapping of value to colour, or None
        The colour table of classes; it has no transparency in the file.
    samples : int
        1, or 3 for a picture in red, green and blue.
    """

    dtype: type[np.integer]
    nodata: int | None
    overviews: str
    legend: Legend
    colours: Mapping[int, Colour] | None = None
    samples: int = 1

    def shape(self, rows: int, cols: int) -> tuple[int, ...]:
        """Return the shape of an array of pixels."""
        return (rows, cols) if self.samples == 1 else (rows, cols, self.samples)

    def blank(self, rows: int, cols: int) -> np.ndarray:
        """Return pixels of blocks that are not stored."""
        return np.full(self.shape(rows, cols), self.fill, self.dtype)

    @property
    def fill(self) -> int:
        """Return the value of the pixels of blocks that are not stored."""
        return self.nodata or 0


@dataclass(frozen=True)
class Tag:
    """A TIFF tag: its number, the type of its values, and their bytes."""

    code: int
    kind: int
    values: bytes


def block_px(tile_px: int) -> int:
    """Return the side of a block: 256 px, or 128 px where the tile is not a multiple of 256 px."""
    return math.gcd(256, tile_px)


def level_shapes(shape: tuple[int, int], block: int) -> list[tuple[int, int]]:
    """Return rows and columns of the full resolution and of each overview; the last one fits into a block."""
    found = [shape]
    while max(found[-1]) > block:
        rows, cols = found[-1]
        found.append((-(-rows // 2), -(-cols // 2)))
    return found


def tile_levels(tile_px: int) -> int:
    """Return the number of levels, with the full resolution, whose blocks lie within a tile."""
    blocks = tile_px // block_px(tile_px)
    return (blocks & -blocks).bit_length()


def no_blocks(shape: tuple[int, int], block: int) -> list[np.ndarray]:
    """Return a table of the sizes of blocks for each level, uint32 (rows, cols of blocks); 0 for blocks left out."""
    return [np.zeros((-(-rows // block), -(-cols // block)), np.uint32) for rows, cols in level_shapes(shape, block)]


def compress(block: np.ndarray) -> bytes:
    """Return the bytes of a block as they are stored in the file."""
    return zlib.compress(block.astype(block.dtype.newbyteorder("<"), copy=False).tobytes(), LEVEL)


def decompress(data: bytes, dtype: type[np.integer], shape: tuple[int, ...]) -> np.ndarray:
    """Return the pixels of `compress`.

    Raises
    ------
    StaleStoreError
        If the bytes are not those of a block of this type and shape.
    """
    wanted = math.prod(shape) * np.dtype(dtype).itemsize
    decoder = zlib.decompressobj()
    try:
        values = decoder.decompress(data, wanted + 1)
    except zlib.error as error:
        raise StaleStoreError(f"a block cannot be decompressed: {error}") from None
    if len(values) != wanted or not decoder.eof:
        raise StaleStoreError(f"a block does not have the {wanted} bytes of {shape[0]} x {shape[1]} pixels")
    return np.frombuffer(values, np.dtype(dtype).newbyteorder("<")).reshape(shape).astype(dtype, copy=False)


def header(path: Path, grid: Grid, content: Content, sizes: Sequence[np.ndarray]) -> tuple[bytes, list[np.ndarray]]:
    """Return the bytes of a file before its blocks, and the offset of each block by level, 0 where it is left out.

    Parameters
    ----------
    path : path
        The file that will be written; a temporary file is made beside it.
    grid : Grid
    content : Content
    sizes : sequence of uint32 arrays (rows, cols of blocks)
        Bytes of each block, from the full resolution to the coarsest overview.
    """
    ghost, tags = _metadata(path, grid, content)
    nowhere = [np.zeros(each.shape, np.uint64) for each in sizes]
    for big in (False, True):
        length = len(_header(ghost, tags, grid, sizes, nowhere, big))
        offsets, end = _offsets(sizes, length)
        if end < BIG_BYTES:
            break
    return _header(ghost, tags, grid, sizes, offsets, big), offsets


def put(file: BinaryIO, offset: int, block: bytes) -> None:
    """Write a block at its offset of `header`."""
    file.seek(offset - LEADER)
    file.write(len(block).to_bytes(LEADER, "little") + block + block[-TRAILER:])


def _offsets(sizes: Sequence[np.ndarray], start: int) -> tuple[list[np.ndarray], int]:
    """Return the offset of each block by level, and the end of the file."""
    found = []
    for level in reversed(sizes):
        taken = np.where(level > 0, level.astype(np.uint64) + np.uint64(LEADER + TRAILER), np.uint64(0))
        ends = start + np.cumsum(taken.ravel()).reshape(level.shape)
        found.append(np.where(level > 0, ends - taken + np.uint64(LEADER), np.uint64(0)))
        start = int(ends[-1, -1])
    return found[::-1], start


def _metadata(path: Path, grid: Grid, content: Content) -> tuple[bytes, list[Tag]]:
    """Return GDAL's description of the layout of a COG, and the tags of its first directory."""
    left, top = grid.bounds[0], grid.bounds[3]
    side = 128 * grid.resolution_m
    corner = Grid(grid.crs, grid.resolution_m, 128, (left, top - side, left + side, top))
    with scratch(beside=path) as folder:
        rasters.write(
            folder / "corner.tif",
            corner,
            (),
            lambda tile: np.empty((0, 0)),
            content.dtype,
            content.nodata,
            content.colours,
            legend=content.legend,
            overviews=content.overviews,
            samples=content.samples,
        )
        data = (folder / "corner.tif").read_bytes()
    start = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, start)[0]
    return data[8:start], [_tag(data, start + 2 + 12 * i) for i in range(count)]


def _tag(data: bytes, at: int) -> Tag:
    code, kind, count = struct.unpack_from("<HHI", data, at)
    length = count * _BYTES[kind]
    place = at + 8 if length <= 4 else struct.unpack_from("<I", data, at + 8)[0]
    return Tag(code, kind, data[place : place + length])


def _header(
    ghost: bytes,
    tags: Sequence[Tag],
    grid: Grid,
    sizes: Sequence[np.ndarray],
    offsets: Sequence[np.ndarray],
    big: bool,
) -> bytes:
    block = block_px(grid.tile_px)
    start = (16 if big else 8) + len(ghost)
    out = struct.pack("<2sHHHQ", b"II", 43, 8, 0, start) if big else struct.pack("<2sHI", b"II", 42, start)
    out += ghost
    for level, shape in enumerate(level_shapes(grid.shape, block)):
        known = [tag for tag in tags if tag.code in _OVERVIEW_TAGS] if level else tags
        replaced = {tag.code: tag for tag in (*known, *_sized(shape, block, level, sizes[level], offsets[level], big))}
        out += _directory([replaced[code] for code in sorted(replaced)], len(out), level == len(sizes) - 1, big)
    return out


def _sized(
    shape: tuple[int, int], block: int, level: int, sizes: np.ndarray, offsets: np.ndarray, big: bool
) -> list[Tag]:
    """Return the tags of a level that depend on its size."""
    place, width = (_LONG8, "<u8") if big else (_LONG, "<u4")
    numbers = {
        _WIDTH: (_LONG, shape[1]), _HEIGHT: (_LONG, shape[0]),
        _BLOCK_WIDTH: (_SHORT, block), _BLOCK_HEIGHT: (_SHORT, block),
        **({_SUBFILE: (_LONG, 1)} if level else {}),
    }  # fmt: skip
    return [
        *(Tag(code, kind, number.to_bytes(_BYTES[kind], "little")) for code, (kind, number) in numbers.items()),
        Tag(_OFFSETS, place, offsets.astype(width).tobytes()),
        Tag(_SIZES, _LONG, sizes.astype("<u4").tobytes()),
    ]


def _directory(tags: Sequence[Tag], start: int, last: bool, big: bool) -> bytes:
    """Return a directory that begins at `start`: an entry for each tag, then the values that do not fit into them."""
    counting, entry, inline = ("<Q", "<HHQ", 8) if big else ("<H", "<HHI", 4)
    values_at = start + struct.calcsize(counting) + len(tags) * (struct.calcsize(entry) + inline) + inline
    entries, values = [struct.pack(counting, len(tags))], bytearray()
    for tag in tags:
        entries.append(struct.pack(entry, tag.code, tag.kind, len(tag.values) // _BYTES[tag.kind]))
        if len(tag.values) <= inline:
            entries.append(tag.values.ljust(inline, b"\0"))
        else:
            entries.append((values_at + len(values)).to_bytes(inline, "little"))
            values += tag.values + bytes(-len(tag.values) % 8)
    following = 0 if last else values_at + len(values)
    return b"".join(entries) + following.to_bytes(inline, "little") + bytes(values)
