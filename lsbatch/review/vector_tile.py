"""Polygons as a Mapbox Vector Tile, version 2.1: outlines and ids, no attributes.

`mapbox-vector-tile` needs protobuf 6, and lsbatch's exporters have protobuf 7. GDAL's driver writes whole pyramids of
tiles, not one tile on request. GDAL reads these tiles in the tests.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import shapely

#: Units along a side of a tile.
EXTENT = 4096
#: Units beyond the edges up to which outlines are kept, so that lines along an edge are not seen.
MARGIN = 64
#: Numbers of fields of the format.
_LAYERS, _NAME, _FEATURES, _EXTENT, _VERSION = 3, 1, 2, 5, 15
_ID, _TYPE, _GEOMETRY = 1, 3, 4
_POLYGON = 3
_MOVE, _LINE, _CLOSE = 1, 2, 15


def encode(name: str, ids: Sequence[int], shapes: np.ndarray, bounds: tuple[float, float, float, float]) -> bytes:
    """Return a tile with one layer; empty if no outline is visible in it.

    Parameters
    ----------
    name : str
        Of the layer.
    ids : sequence of int
    shapes : array (n,) of Polygon or MultiPolygon
        In the CRS of the bounds.
    bounds : tuple of float
        left, bottom, right, top of the tile.
    """
    features = [
        _bytes_field(_FEATURES, _feature(number, rings))
        for number, shape in zip(ids, _placed(shapes, bounds), strict=True)
        if (rings := list(_rings(shape)))
    ]
    if not features:
        return b""
    head = _number_field(_VERSION, 2) + _bytes_field(_NAME, name.encode())
    return _bytes_field(_LAYERS, head + b"".join(features) + _number_field(_EXTENT, EXTENT))


def _placed(shapes: np.ndarray, bounds: tuple[float, float, float, float]) -> np.ndarray:
    """Return the outlines in units of the tile, clipped, without corners that nobody can see."""
    left, bottom, right, top = bounds
    scale = np.array([EXTENT / (right - left), EXTENT / (bottom - top)])
    local = shapely.transform(shapes, lambda xy: (xy - (left, top)) * scale)
    # a pixel of a screen is eight units
    near = shapely.clip_by_rect(shapely.simplify(local, 4), -MARGIN, -MARGIN, EXTENT + MARGIN, EXTENT + MARGIN)
    # outer rings run clockwise as seen: their area is positive with y downwards
    return shapely.orient_polygons(near)


def _rings(shape: shapely.Geometry) -> Iterator[np.ndarray]:
    """Yield the corners of each ring, integers (corners, 2) without the last one; an outer ring before its holes."""
    for part in shapely.get_parts(shape):
        if not isinstance(part, shapely.Polygon):
            continue
        for number, ring in enumerate((part.exterior, *part.interiors)):
            corners = np.rint(shapely.get_coordinates(ring)).astype(np.int64)
            corners = corners[np.append((np.diff(corners, axis=0) != 0).any(axis=1), False)]
            if len(corners) >= 3:
                yield corners
            elif number == 0:
                # its holes would be outlines of their own
                break


def _feature(number: int, rings: Iterable[np.ndarray]) -> bytes:
    commands: list[int] = []
    at = np.zeros((1, 2), np.int64)
    for corners in rings:
        steps = np.diff(corners, axis=0, prepend=at)
        # negative numbers become odd ones
        zigzag = ((steps << 1) ^ (steps >> 63)).ravel().tolist()
        commands += [_MOVE | 1 << 3, *zigzag[:2], _LINE | (len(corners) - 1) << 3, *zigzag[2:], _CLOSE]
        at = corners[-1:]
    geometry = b"".join(map(_varint, commands))
    return _number_field(_ID, number) + _number_field(_TYPE, _POLYGON) + _bytes_field(_GEOMETRY, geometry)


def _varint(number: int) -> bytes:
    """Return a whole number in groups of seven bits, the lowest first."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _number_field(field: int, number: int) -> bytes:
    return _varint(field << 3) + _varint(number)


def _bytes_field(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data
