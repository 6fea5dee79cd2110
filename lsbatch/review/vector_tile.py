"""Points and polygons as a Mapbox Vector Tile, version 2.1, with an id and short texts each.

`mapbox-vector-tile` needs protobuf 6, and lsbatch's exporters have protobuf 7. GDAL's driver writes whole pyramids of
tiles, not one tile on request. GDAL reads these tiles in the tests.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

import numpy as np
import shapely

#: Units along a side of a tile.
EXTENT = 4096
#: Units beyond the edges up to which outlines are kept, so that lines along an edge are not seen.
MARGIN = 64
#: Numbers of fields of the format.
_LAYERS, _NAME, _FEATURES, _KEYS, _VALUES, _EXTENT, _VERSION = 3, 1, 2, 3, 4, 5, 15
_ID, _TAGS, _TYPE, _GEOMETRY, _TEXT = 1, 2, 3, 4, 1
_POINT, _POLYGON = 1, 3
_MOVE, _LINE, _CLOSE = 1, 2, 15

Bounds = tuple[float, float, float, float]
#: The text of each feature, by the name of the attribute.
Texts = Mapping[str, Sequence[str]]


def polygons(name: str, ids: Sequence[int], shapes: np.ndarray, texts: Texts, bounds: Bounds) -> bytes:
    """Return one layer of a tile; layers are joined by `+`. Empty if no outline is visible in it.

    Parameters
    ----------
    name : str
        Of the layer.
    ids : sequence of int
    shapes : array (n,) of Polygon or MultiPolygon
        In the CRS of the bounds.
    texts : mapping of name to sequence of str
        Attributes of each outline.
    bounds : tuple of float
        left, bottom, right, top of the tile.
    """
    placed = (list(_rings(shape)) for shape in _placed(shapes, bounds))
    features = ((_POLYGON, _commands(rings)) if rings else None for rings in placed)
    return _layer(name, ids, features, texts)


def points(name: str, ids: Sequence[int], places: np.ndarray, texts: Texts, bounds: Bounds) -> bytes:
    """Return one layer of points, as `polygons`.

    Parameters
    ----------
    places : array (n, 2)
        x and y inside the bounds.
    """
    local = np.rint((places - (bounds[0], bounds[3])) * _scale(bounds)).astype(np.int64)
    moved = _zigzag(local).tolist()
    return _layer(name, ids, ((_POINT, _varints([_MOVE | 1 << 3, x, y])) for x, y in moved), texts)


def _layer(name: str, ids: Sequence[int], features: Iterable[tuple[int, bytes] | None], texts: Texts) -> bytes:
    """Return a layer of features (type, commands); those that are None are left out."""
    values = list(dict.fromkeys(text for column in texts.values() for text in column))
    codes = {text: code for code, text in enumerate(values)}
    columns = [[_varint(key) + _varint(codes[text]) for text in column] for key, column in enumerate(texts.values())]
    tags = map(b"".join, zip(*columns, strict=True)) if columns else [b""] * len(ids)
    body = b"".join(
        _bytes_field(
            _FEATURES,
            _number_field(_ID, number)
            + _bytes_field(_TAGS, tag)
            + _number_field(_TYPE, feature[0])
            + _bytes_field(_GEOMETRY, feature[1]),
        )
        for number, feature, tag in zip(ids, features, tags, strict=True)
        if feature is not None
    )
    if not body:
        return b""
    names = b"".join(_bytes_field(_KEYS, key.encode()) for key in texts)
    table = b"".join(_bytes_field(_VALUES, _bytes_field(_TEXT, text.encode())) for text in values)
    head = _number_field(_VERSION, 2) + _bytes_field(_NAME, name.encode())
    return _bytes_field(_LAYERS, head + body + names + table + _number_field(_EXTENT, EXTENT))


def _scale(bounds: Bounds) -> np.ndarray:
    """Return the units of x and y per unit of the CRS; y points down in a tile."""
    left, bottom, right, top = bounds
    return np.array([EXTENT / (right - left), EXTENT / (bottom - top)])


def _placed(shapes: np.ndarray, bounds: Bounds) -> np.ndarray:
    """Return the outlines in units of the tile, clipped, without corners that nobody can see."""
    local = shapely.transform(shapes, lambda xy: (xy - (bounds[0], bounds[3])) * _scale(bounds))
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


def _commands(rings: Iterable[np.ndarray]) -> bytes:
    commands: list[int] = []
    at = np.zeros((1, 2), np.int64)
    for corners in rings:
        steps = _zigzag(np.diff(corners, axis=0, prepend=at)).ravel().tolist()
        commands += [_MOVE | 1 << 3, *steps[:2], _LINE | (len(corners) - 1) << 3, *steps[2:], _CLOSE]
        at = corners[-1:]
    return _varints(commands)


def _zigzag(numbers: np.ndarray) -> np.ndarray:
    """Return whole numbers without sign: negative ones become odd."""
    return (numbers << 1) ^ (numbers >> 63)


def _varints(numbers: Iterable[int]) -> bytes:
    return b"".join(map(_varint, numbers))


# the same small numbers come again and again
@lru_cache(maxsize=1 << 14)
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
