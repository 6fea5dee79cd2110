"""The national cube: one sharded Zarr array a band, one shard a tile, written region by region.

Exactly one task writes a shard. Processes that share a shard lose pixels without an error (37 to 40 of 64 chunks in 3
of 3 trials, see docs/architecture.md). A shard that holds only fill values is not written.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import BloscCodec, BloscShuffle
from zarr.storage import MemoryStore

from lsbatch.bands import Band, Layer
from lsbatch.errors import StaleStoreError
from lsbatch.grid import Grid, Tile
from lsbatch.storage import files, objects
from lsbatch.storage.band_encoding import decode, encode, stored_checksum
from lsbatch.storage.documents import cube_listing
from lsbatch.storage.file_system import again_if_stale

#: Side in pixels of a chunk, the unit of compression. A halo of 96 px then reads one ring of chunks and not a whole
#: shard.
CHUNK_PX = 256
#: Bands read or written at the same time in object storage. Their arrays are in memory together.
TOGETHER = 4

Result = TypeVar("Result")


def create(store: Path, grid: Grid, layer: Layer) -> None:
    """Write the metadata of a layer before any tile. Bands that an existing layer lacks are added, without pixels.

    Raises
    ------
    StaleStoreError
        If the store was made for another grid, or cannot be written.
    """
    try:
        again_if_stale(lambda: _complete(store, grid, layer))
    except OSError as error:
        raise StaleStoreError(f"{store}: cannot be written: {error.strerror or error}") from None


def _complete(store: Path, grid: Grid, layer: Layer) -> None:
    target = store / layer.name
    names = {layer.name, *(f"{layer.name}/{name}" for name in layer.names)}
    if new := not files.exists(target / "zarr.json") or _lacks_bands(target, grid, layer):
        _create(target, grid, layer)
    if new or not names <= set(cube_listing.names(store / "zarr.json")):
        # always: a kill between the two writes, a concurrent job with an older listing, a layer shared by a link
        _make_groups(store, target)
        objects.calling(store, lambda: cube_listing.consolidate(store, _zarr(store)))


def _create(target: Path, grid: Grid, layer: Layer) -> None:
    """Make the layer in memory, then write its documents that are not there. The group's document is the last.

    Jobs that share a survey may do this at the same time: they write the same bytes.
    """
    documents: dict[str, Any] = {}
    group = zarr.create_group(MemoryStore(documents), zarr_format=3, attributes=_group_attributes(grid, layer))
    _coordinates(group, grid)
    for band in layer.bands:
        _array(group, grid, band)
    last = documents.pop("zarr.json")
    for name, data in (documents | {"zarr.json": last}).items():
        if not files.exists(target / name):
            files.write_bytes(target / name, data.to_bytes())


def _make_groups(store: Path, target: Path) -> None:
    """Make the missing groups above a layer."""
    above: dict[str, Any] = {}
    zarr.create_group(MemoryStore(above), zarr_format=3)
    parent = target
    while parent != store:
        parent = parent.parent
        if not files.exists(parent / "zarr.json"):
            files.write_bytes(parent / "zarr.json", above["zarr.json"].to_bytes())


def _open(path: Path, mode: Literal["r", "r+"] = "r") -> Any:
    """Open a group of the store, on disk or in object storage."""
    try:
        return zarr.open_group(_zarr(path), mode=mode)
    except Exception as error:
        raise cube_listing.unreadable(path, error) from error


def _zarr(path: Path) -> Any:
    return objects.zarr_store(path) if objects.is_remote(path) else path


def read(
    store: Path, grid: Grid, layer: Layer, tile: Tile, halo_px: int, names: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """Read bands of a tile with a halo.

    Returns
    -------
    dict of str to array (rows + 2 halo, cols + 2 halo)
        float32 with NaN as nodata for scaled bands, integers as stored for the others. Pixels outside the grid are
        nodata.
    """
    rows, cols = (slice(span.start - halo_px, span.stop + halo_px) for span in tile.region)
    return read_window(store, grid, layer, rows, cols, names)


def read_window(
    store: Path, grid: Grid, layer: Layer, rows: slice, cols: slice, names: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """Read bands of any rows and columns of the national grid, across tile edges; otherwise as `read`."""
    group = _open(store / layer.name)
    inside, place, shape = _clipped((rows, cols), grid.shape)

    def band_of(name: str) -> np.ndarray:
        band = layer[name]
        stored = np.full(shape, band.fill, band.dtype)
        stored[place] = _stored(group, name, inside, store / layer.name)
        return decode(stored, band)

    return dict(zip(names, _each(store, band_of, names), strict=True))


def _each(store: Path, do: Callable[[Any], Result], items: Sequence[Any]) -> list[Result]:
    """Apply to each band: one after another on disk, at the same time in object storage.

    In object storage each call waits for its own requests: zarr reads the chunks of a shard one by one, and a write
    needs three round trips (docs/throughput.md).
    """
    if not objects.is_remote(store):
        return [do(item) for item in items]
    with ThreadPoolExecutor(TOGETHER) as pool:
        return list(pool.map(do, items))


def _stored(group: Any, name: str, inside: tuple[slice, slice], where: Path) -> np.ndarray:
    try:
        # an array that its metadata call smaller than the country gives fewer pixels, which reshape refuses
        return np.asarray(group[name][inside]).reshape([max(0, span.stop - span.start) for span in inside])
    except Exception as error:
        raise cube_listing.unreadable(where / name, error) from error


def write(store: Path, layer: Layer, tile: Tile, bands: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Write a tile's shard in every band of the layer; arrays are (tile rows, tile cols), without halo.

    Returns
    -------
    dict of str to str
        Checksum of each band's stored numbers, as `sums` reads them back.
    """
    group = _open(store / layer.name, "r+")

    def put(band: Band) -> str:
        stored = encode(bands[band.name], band)
        try:
            group[band.name][tile.region] = stored
        except ValueError:
            # Zarr reads the existing shard, and refuses a wrong checksum. An intact one stays until the new one is
            # there: it may be that of another attempt with a receipt, and a kill or a full disk would lose it
            files.remove(store / layer.name / band.name / "c" / str(tile.row) / str(tile.col))
            group[band.name][tile.region] = stored
        return stored_checksum(stored)

    return dict(zip(layer.names, _each(store, put, layer.bands), strict=True))


def sums(store: Path, layer: Layer, tile: Tile) -> dict[str, str]:
    """Return checksums of a tile's stored numbers, read back from the store."""
    group = _open(store / layer.name)
    where = store / layer.name
    found = _each(store, lambda band: stored_checksum(_stored(group, band.name, tile.region, where)), layer.bands)
    return dict(zip(layer.names, found, strict=True))


def open_layer(store: Path, name: str) -> xr.Dataset:
    """Open a layer as a labelled, lazy dataset; the same as ``xarray.open_zarr(store, group=name)``."""
    try:
        found = xr.open_zarr(_zarr(store), group=name)
        _check_decoding(found)
        return found
    except Exception as error:
        raise cube_listing.unreadable(store / name, error) from error


def _check_decoding(layer: xr.Dataset) -> None:
    """Check what xarray uses only when pixels are read, outside of this module. Raises TypeError."""
    for name, band in layer.variables.items():
        factors = [band.encoding[key] for key in ("scale_factor", "add_offset") if key in band.encoding]
        if band.dtype.kind not in "iufbMm" or not all(isinstance(factor, int | float) for factor in factors):
            raise TypeError(f"{name} is not stored as numbers with a number as its scale")


def _clipped(
    window: tuple[slice, slice], shape: tuple[int, int]
) -> tuple[tuple[slice, slice], tuple[slice, slice], tuple[int, int]]:
    """Clip a window to the national array; return the part inside, its position in the window, the window's shape."""
    inside, place, sides = [], [], []
    for span, size in zip(window, shape, strict=True):
        start, stop = min(max(0, span.start), size), max(min(size, span.stop), 0)
        inside.append(slice(start, max(start, stop)))
        place.append(slice(start - span.start, max(start, stop) - span.start))
        sides.append(span.stop - span.start)
    # a window outside the array has an empty part; its position may lie outside the window, which slices allow
    return tuple(inside), tuple(place), tuple(sides)  # type: ignore[return-value]


def _group_attributes(grid: Grid, layer: Layer) -> dict[str, Any]:
    return {
        "Conventions": "CF-1.11",
        "title": f"lsbatch {layer.name}",
        # makes spatial_ref a coordinate for xarray, and so the CRS visible to rioxarray
        "coordinates": "spatial_ref",
        "lsbatch_grid": _grid_key(grid),
    }


def _grid_key(grid: Grid) -> dict[str, Any]:
    return {
        "crs": grid.crs,
        "resolution_m": float(grid.resolution_m),
        "tile_px": grid.tile_px,
        "bounds": [float(b) for b in grid.bounds],
    }


def _lacks_bands(target: Path, grid: Grid, layer: Layer) -> bool:
    """Return whether a layer, made by another version or for other `composite.bands`, lacks a band."""
    group = objects.calling(target, lambda: _open(target))
    found = group.attrs.get("lsbatch_grid", {})
    if found != _grid_key(grid):
        raise StaleStoreError(
            f"{target}: was made for the grid {str(found)[:300]}, but the settings give {_grid_key(grid)}; "
            "choose another output folder, or delete this one"
        )
    return not all(_has(group, band.name, target) for band in layer.bands)


def _has(group: Any, name: str, where: Path) -> bool:
    try:
        return name in group
    except Exception as error:
        raise cube_listing.unreadable(where / name, error) from error


def _coordinates(group: Any, grid: Grid) -> None:
    box = grid.geobox
    for axis, name in (("y", "projection_y_coordinate"), ("x", "projection_x_coordinate")):
        values = box.coordinates[axis].values.astype("float64")
        group.create_array(
            axis,
            data=values,
            dimension_names=(axis,),
            attributes={"standard_name": name, "units": "metre", "axis": axis.upper()},
        )
    crs = box.crs
    assert crs is not None
    group.create_array(
        "spatial_ref",
        data=np.int32(crs.epsg or 0) * np.ones((), "int32"),
        dimension_names=(),
        attributes={
            "crs_wkt": crs.to_wkt(),
            "spatial_ref": crs.to_wkt(),
            "GeoTransform": " ".join(repr(float(v)) for v in box.transform.to_gdal()),
        },
    )


def _array(group: Any, grid: Grid, band: Band) -> None:
    attributes: dict[str, Any] = {"long_name": band.description, "units": band.units, "grid_mapping": "spatial_ref"}
    if band.fill or band.scale is not None:
        # without it xarray keeps counts and bits as integers; their 0 is a valid value
        attributes["_FillValue"] = band.fill
    if band.scale is not None:
        attributes["scale_factor"] = band.scale
    if band.offset:
        # only where needed: add_offset makes xarray decode to float64
        attributes["add_offset"] = band.offset
    chunk = math.gcd(CHUNK_PX, grid.tile_px)
    group.create_array(
        band.name,
        shape=grid.shape,
        dtype=band.dtype,
        chunks=(chunk, chunk),
        shards=(grid.tile_px, grid.tile_px),
        compressors=BloscCodec(cname="zstd", clevel=3, shuffle=BloscShuffle.bitshuffle),
        fill_value=band.fill,
        dimension_names=("y", "x"),
        attributes=attributes,
        config={"write_empty_chunks": False},
    )
