"""Tiles of the map as PMTiles: landslides as vectors, images as pictures."""

import gzip
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import geopandas as gpd
from pmtiles.tile import Compression, TileType, zxy_to_tileid
from pmtiles.writer import Writer

from lsbatch.catalog.survey import Survey
from lsbatch.imagery.prefetch import in_order
from lsbatch.review import image_tiles, listing, mercator, outline_tiles
from lsbatch.review.image_tiles import ImageTiles
from lsbatch.review.mercator import Tile
from lsbatch.review.outline_tiles import Outlines

#: The tile of the whole world, for an archive that would have none.
WORLD = Tile(0, 0, 0)
#: Threads that make pictures: reading, warping and coding run outside of Python's lock.
THREADS = os.cpu_count() or 1


def write_landslides(path: Path, survey: Survey, frame: gpd.GeoDataFrame) -> None:
    """Write points and outlines of landslides; the id of each is its row."""
    outlines = Outlines.of(frame)
    drawn = ((tile, outlines.tile(tile)) for tile in _ordered(outlines.tiles()))
    tiles = ((tile, _compressed(data)) for tile, data in drawn if data)
    fields = dict.fromkeys(outlines.texts, "String")
    layers = [
        {"id": outline_tiles.POINTS, "fields": fields, "minzoom": 0, "maxzoom": outline_tiles.OUTLINE_ZOOM},
        {
            "id": outline_tiles.OUTLINES,
            "fields": fields,
            "minzoom": outline_tiles.OUTLINE_ZOOM,
            "maxzoom": outline_tiles.MOST_ZOOM,
        },
    ]
    metadata = {"name": "landslides", "vector_layers": layers}
    _write(
        path,
        survey,
        tiles,
        _compressed(b""),
        {"tile_type": TileType.MVT, "tile_compression": Compression.GZIP},
        metadata,
    )


def _compressed(data: bytes) -> bytes:
    """Return gzip without the time, so that the same landslides give the same bytes."""
    return gzip.compress(data, 6, mtime=0)


def write_image(path: Path, survey: Survey, images: ImageTiles, name: str) -> None:
    """Write an image from the zoom at which it can be read to that of its own pixels."""
    image = images.images[name]
    zooms = next(one for one in images.described() if one["name"] == name)
    tiles = _ordered(_around(survey, range(zooms["minzoom"], zooms["maxzoom"] + 1)))
    # not the pictures that the server keeps in memory for the next pan
    calls = [partial(images.made, name, tile) for tile in tiles]
    made = zip(tiles, in_order(calls, THREADS), strict=True)
    kept = ((tile, data) for tile, (data, _) in made if data != image_tiles.NOTHING)
    kind = {"tile_type": TileType.WEBP if image.is_smooth else TileType.PNG, "tile_compression": Compression.NONE}
    _write(path, survey, kept, image_tiles.NOTHING, kind, {"name": image.title})


def _around(survey: Survey, zooms: Iterable[int]) -> Iterator[Tile]:
    """Yield the tiles of some zooms in the box of the survey."""
    to_mercator = mercator.transformer(survey.grid.crs, mercator.CRS)
    left, bottom, right, top = to_mercator.transform_bounds(*survey.grid.bounds, densify_pts=21)
    # a survey across 180 degrees lies at both sides of the map
    spans = [(left, right)] if left <= right else [(left, mercator.WORLD_M), (-mercator.WORLD_M, right)]
    for zoom in zooms:
        for span in spans:
            xs, ys = (_numbers(zoom, *ends) for ends in (span, (-top, -bottom)))
            yield from (Tile(zoom, x, y) for x in xs for y in ys)


def _numbers(zoom: int, first_m: float, last_m: float) -> range:
    """Return the columns of the tiles from one x to another, or the rows from one -y to another."""
    side = 2 * mercator.WORLD_M / 2**zoom
    first, last = (math.floor((value + mercator.WORLD_M) / side) for value in (first_m, last_m))
    return range(max(0, first), min(2**zoom - 1, last) + 1)


def _ordered(tiles: Iterable[Tile]) -> list[Tile]:
    """Return tiles in the order of the format, in which neighbours lie near each other in the file."""
    return sorted(tiles, key=lambda tile: zxy_to_tileid(tile.z, tile.x, tile.y))


def _write(
    path: Path,
    survey: Survey,
    tiles: Iterable[tuple[Tile, bytes]],
    nothing: bytes,
    kind: Mapping[str, Any],
    metadata: Mapping[str, Any],
) -> None:
    """Write tiles in the order of the format; `nothing` is the content of an archive without tiles."""
    west, south, east, north = listing.bounds(survey)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        writer = Writer(file)
        for tile, data in tiles:
            writer.write_tile(zxy_to_tileid(tile.z, tile.x, tile.y), data)
        if not writer.tile_entries:
            writer.write_tile(zxy_to_tileid(WORLD.z, WORLD.x, WORLD.y), nothing)
        ends = {"min": (west, south), "max": (east, north), "center": ((west + east) / 2, (south + north) / 2)}
        places = {
            f"{end}_{axis}_e7": round(value * 1e7)
            for end, pair in ends.items()
            for axis, value in zip(("lon", "lat"), pair, strict=True)
        }
        writer.finalize({"version": 3, "center_zoom": 0, **kind, **places}, dict(metadata))
