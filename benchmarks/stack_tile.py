"""Time and memory for the STACK of one tile, compared with the usual odc.stac.load + xarray + dask.

    python -m benchmarks.stack_tile [--tile 2048] [--scenes 40] [--geometry nation|same]

The peer is what an experienced user would write in a notebook: `odc.stac.load` with dask chunks, masks and the greenest
pixel by xarray's argmax and isel, medians by xarray. Both make the same bands from the same files with the same
resampling: bilinear, and nearest for SCL. Ours also separates pass directions and computes terrain shadow. With
`nation`, the default, Sentinel-2 lies in the next UTM zone, Sentinel-1 half a pixel off, the DEM in degrees, swath
edges cut scenes, and relief casts shadow. With `same`, all scenes lie on the tile's own lattice, and the pixels are
compared: within half a step of 1e-5. Each runs in its own process, twice: the first time with imports and compilation,
the second without. Peak memory is the process's. Both may use every core.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import dask
import numpy as np
import odc.stac
import pystac
import xarray as xr
from dask.array import reductions
from scipy import ndimage

from benchmarks import tile_memory
from lsbatch import settings
from lsbatch.catalog import plan, planning
from lsbatch.catalog.survey import open_survey
from lsbatch.engine import tile_task
from lsbatch.imagery import prefetch, scene_reading
from lsbatch.pipeline import optical, radar, stack

#: Our bands that the peer makes too.
COMPARED = ("postR", "postG", "postB", "postNIR", "preR", "dNDVI", "preVV", "postVV", "preVH", "postVH", "elevation")


def ours(folder: Path) -> dict[str, np.ndarray]:
    """The tile's STACK as a worker makes it."""
    config = settings.load(folder / "config.yaml")
    survey = open_survey(config)
    return dict(tile_task.compute(config, survey.grid, stack.STAGE, survey.positions[0]).bands)


# dask takes numbagg's median where that is installed, as it is for our tests: no faster than numpy's here, and 10 s of
# compilation
@mock.patch.object(reductions, "HAS_NUMBAGG", False)
def peer(folder: Path) -> dict[str, np.ndarray]:
    """The notebook."""
    config = settings.load(folder / "config.yaml")
    survey = open_survey(config)
    box = survey.tile(survey.positions[0]).geobox
    catalog = pystac.Catalog.from_file(str(folder / "catalog.json"))
    items: dict[str, list[pystac.Item]] = {c.id: list(c.get_items()) for c in catalog.get_children()}
    for item in (i for group in items.values() for i in group):
        item.make_asset_hrefs_absolute()
    chunks = {"x": 2048, "y": 2048}
    lazy: dict[str, Any] = {}
    for period, year in (("pre", 2019), ("post", 2020)):
        s2, s1 = ([i for i in items[name] if i.datetime.year == year] for name in ("sentinel-2-l2a", "sentinel-1-rtc"))
        lazy |= _peer_optical(period, s2, box, chunks, config.composite.cloud_dilate_px)
        power = odc.stac.load(
            s1, bands=["vv", "vh"], geobox=box, chunks=chunks, groupby="id", resampling="bilinear", nodata=-32768
        )
        medians = power.where(power > 0).chunk(time=-1).median("time")
        lazy |= {f"{period}{name.upper()}": 10 * np.log10(medians[name]) for name in ("vv", "vh")}
    dem = odc.stac.load(items["dem"], bands=["data"], geobox=box, chunks=chunks, resampling="bilinear")
    lazy["elevation"] = dem.data.isel(time=0)
    done = dict(zip(lazy, dask.compute(*lazy.values()), strict=True))
    done["dNDVI"] = done["post_ndvi"] - done["pre_ndvi"]
    return {name: np.asarray(done[name]) for name in COMPARED}


def _peer_optical(
    period: str, items: list[pystac.Item], box: Any, chunks: dict[str, int], grown: int
) -> dict[str, Any]:
    names = {"R": "red", "G": "green", "B": "blue", "NIR": "nir"}
    how = {"scl": "nearest", "*": "bilinear"}
    data = odc.stac.load(
        items, bands=[*names.values(), "scl"], geobox=box, chunks=chunks, groupby="solar_day", resampling=how, nodata=0
    )
    span = np.arange(-grown, grown + 1)
    disk = span[:, None] ** 2 + span**2 <= grown**2
    cloud = xr.apply_ufunc(
        lambda days: np.stack([ndimage.binary_dilation(day, disk) for day in days]),
        data.scl.isin(optical.optical.CLOUDS), dask="parallelized", output_dtypes=[bool],
    )  # fmt: skip
    clear = ~(data.scl.isin(optical.optical.DROPPED) | cloud)
    dn = data[list(names.values())]
    bands = ((dn.astype("float32") - 1000) * np.float32(1e-4)).where((dn > 0) & clear)
    ndvi = ((bands.nir - bands.red) / (bands.nir + bands.red)).clip(-1, 1).where(bands.nir + bands.red > 0)
    best = ndvi.fillna(-np.inf).argmax("time").compute()
    picture = bands.isel(time=best).where(ndvi.notnull().any("time"))
    return {f"{period}{key}": picture[name] for key, name in names.items()} | {f"{period}_ndvi": ndvi.max("time")}


def one_scene(folder: Path, side: int) -> dict[str, float]:
    """Return the milliseconds to read four bands of a scene by ours and by `odc.stac.load`; best of five."""
    config = settings.load(folder / "config.yaml")
    survey = open_survey(config)
    tile = survey.tile(survey.positions[0])
    scene = plan.tile_scenes(config.output, tile.id)["post_s2"][0]
    box = tile.geobox[:side, :side].pad(config.composite.cloud_dilate_px)
    keys = [scene.assets[name] for name in optical.COLOURS]
    item = pystac.Item.from_dict(scene.item, preserve_dict=False, migrate=False)
    calls: dict[str, Callable[[], Any]] = {
        "ours": lambda: scene_reading.read(scene, optical.COLOURS, box),
        "odc.stac.load": lambda: odc.stac.load(
            [item], bands=keys, geobox=box, resampling="bilinear", dtype="uint16", nodata=0
        ),
    }
    found = dict.fromkeys(calls, np.inf)
    for _ in range(5):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            found[name] = min(found[name], 1000 * (time.perf_counter() - began))
    ours, theirs = calls["ours"](), calls["odc.stac.load"]()
    if config.grid.crs == item.properties["proj:code"]:
        for name, key in zip(optical.COLOURS, keys, strict=True):
            np.testing.assert_array_equal(ours[name], theirs[key].values[0])
    return found


@contextmanager
def _clocked(spent: dict[str, float]) -> Iterator[None]:
    """Add up the seconds of threads in our own parts; they overlap, so the sum is more than the time that passed."""
    targets: list[tuple[Any, str, str]] = [
        (scene_reading, "_read", "decoding"),
        (scene_reading.resampling, "bilinear", "resampling"),
        (scene_reading.rasterio, "open", "open"),
        (optical.greenest_pixel, "greener_into", "greenest pixel"),
        (optical.optical, "clear", "masks"),
        (optical.optical, "reflectance", "reflectance"),
        (radar.time_median, "masked_median_and_count", "median"),
        (stack.Ground, "shade", "terrain shadow"),
        (scene_reading, "read", "all reading"),
    ]
    before = [getattr(home, name) for home, name, _ in targets]

    def timed(function: Callable[..., Any], label: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                spent[label] += time.perf_counter() - began

        return call

    for (home, name, label), function in zip(targets, before, strict=True):
        setattr(home, name, timed(function, label))
    try:
        yield
    finally:
        for (home, name, _), function in zip(targets, before, strict=True):
            setattr(home, name, function)


def child(who: str, folder: Path) -> None:
    """Run one of the two in this process, twice, and print what it took."""
    make = {"ours": ours, "peer": peer}[who]
    result: dict[str, Any] = {}
    bands: dict[str, np.ndarray] = {}
    for run in ("first", "second"):
        # a worker does not hold the bands of the tile before
        bands.clear()
        began = time.perf_counter()
        bands = make(folder)
        result[run] = time.perf_counter() - began
    result["peak_mb"] = tile_task.peak_mb()
    np.savez(folder / f"{who}.npz", **{name: bands[name] for name in COMPARED})
    if who == "ours":
        spent: dict[str, float] = defaultdict(float)
        with _clocked(spent):
            make(folder)
        result["spent"] = spent
    print(json.dumps(result))


def measure(folder: Path, who: str, module: str = "benchmarks.stack_tile") -> dict[str, Any]:
    """What a process of its own prints."""
    command = [sys.executable, "-m", module, "--child", who, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def agree(folder: Path) -> dict[str, float]:
    """Largest difference of each band; raises where one has a value and the other none."""
    with np.load(folder / "ours.npz") as one, np.load(folder / "peer.npz") as other:
        out = {}
        for name in COMPARED:
            np.testing.assert_array_equal(np.isnan(one[name]), np.isnan(other[name]), err_msg=name)
            out[name] = float(np.nanmax(abs(one[name].astype(np.float64) - other[name])))
    return out


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tile", type=int, default=2048)
    parser.add_argument("--scenes", type=int, default=40, help="of each sensor")
    parser.add_argument("--geometry", choices=("nation", "same"), default="nation", help="of the scenes' lattices")
    parser.add_argument("--child", nargs=2, metavar=("WHO", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child[0], Path(arguments.child[1]))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = settings.load(tile_memory.build(folder, arguments.tile, arguments.scenes, arguments.geometry))
        plan.save(planning.make(config), config.output)
        found = {who: measure(folder, who) for who in ("ours", "peer")}
        differences = agree(folder) if arguments.geometry == "same" else {}
        scenes = {side: one_scene(folder, side) for side in (256, arguments.tile)}
    print(
        f"{arguments.geometry}: {arguments.scenes} + {arguments.scenes} scenes, "
        f"tile of {arguments.tile} px, {prefetch.AHEAD} scenes read "
        "ahead"
    )
    print("| | first tile, s | next tiles, s | peak, MB |\n|---|---|---|---|")
    for who, row in found.items():
        print(f"| {who} | {row['first']:.1f} | {row['second']:.1f} | {row['peak_mb']:,.0f} |")
    one, other = found["ours"], found["peer"]
    print(
        f"| ratio | {other['first'] / one['first']:.1f} | {other['second'] / one['second']:.1f} | "
        f"{one['peak_mb'] / other['peak_mb']:.2f} |"
    )
    if differences:
        name = max(differences, key=lambda key: differences[key])
        print(f"\nLargest difference: {differences[name]:.1e} ({name})")
    else:
        # GDAL's transformer is off by up to an eighth of a pixel, and the peer has no terrain shadow
        print("\nPixels are compared with --geometry same only.")
    for side, row in scenes.items():
        print(
            f"Four bands of one scene, {side} px and a halo: ours {row['ours']:.0f} ms, odc.stac.load "
            f"{row['odc.stac.load']:.0f} ms"
        )
    print("\nWhere ours goes, seconds of all threads (they overlap; reading holds open, decoding and resampling):")
    for label, seconds in sorted(one["spent"].items(), key=lambda pair: -pair[1]):
        print(f"  {label:16} {seconds:6.1f}")


if __name__ == "__main__":
    main()
