"""Comparison of the kernels with named peers in one run, and with the memory bandwidth of the machine.

    python -m benchmarks.kernels [--size 4096] [--only lee median]

Two tiles at once, on two threads, each `size` x `size` pixels: that is how a worker with two cores works. Each program
is called once to warm up, then all programs of a case take turns; the best time of each counts. numpy.nanmedian, which
takes minutes, is not warmed up. Input: gamma speckle of 4.4 looks, a made-up mountain range, 24 dates of which 40 % are
cloud. The limit is `numpy.copyto` of float32, by two threads as well: bytes that a kernel must read and write, by its
time, as a share of the bytes that copyto reads and writes in the same time.
"""

import argparse
import os
import platform
import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numba
import numbagg
import numpy as np
import rasterio
import scipy
import skimage
import xarray as xr
from rasterio.transform import from_origin
from scipy import ndimage
from skimage.filters import rank

from lsbatch.kernels import focal, greenest_pixel, optical, slope_correction, speckle, terrain, time_median

THREADS = 2
DATES = 24
LOOKS = 4.4
#: A program is timed again until its runs took this long together, at most `ROUNDS` times.
ENOUGH_S = 20.0
ROUNDS = 5

Program = Callable[[], object]


@dataclass(frozen=True)
class Case:
    """A kernel of ours, programs that do the same, and the least bytes it has to move for a pixel."""

    name: str
    ours: Program
    peers: dict[str, Program]
    bytes_px: float
    #: what the issue asks of each peer's ratio, by peer; and of our Mpx/s
    targets: dict[str, float] = field(default_factory=dict)
    target_mpx_s: float = 0.0


def cases(size: int, folder: Path) -> Iterator[Case]:
    """All cases, each with its input, one after another so that memory holds one at a time."""
    yield from _speckle(size)
    yield from _focal(size)
    yield from _terrain(size, folder)
    yield _greenest(size)
    yield _median(size)
    yield from _rest(size)


def _speckled(size: int, holes: float = 0.0) -> np.ndarray:
    dice = np.random.default_rng(0)
    power = dice.standard_gamma(LOOKS, (size, size), np.float32) / np.float32(LOOKS)
    power[dice.random(power.shape, np.float32) < holes] = np.nan
    return power


def _uniform_moments(power: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """What one writes with scipy; a single NaN would spread over the whole row and column behind it."""
    mean = ndimage.uniform_filter(power, size)
    square = ndimage.uniform_filter(power * power, size)
    n = size**2
    return mean, (square - mean * mean) * np.float32(n / (n - 1))


def _scipy_shrink(power: np.ndarray, size: int, shrink: float) -> np.ndarray:
    mean, variance = _uniform_moments(power, size)
    b = np.clip(1 - mean * mean / (LOOKS * variance), 0, 1) * shrink
    return mean + b * (power - mean)


def _scipy_gamma(power: np.ndarray, size: int) -> np.ndarray:
    mean, variance = _uniform_moments(power, size)
    ci, cu = np.sqrt(np.maximum(variance, 0)) / mean, 1 / np.sqrt(LOOKS)
    alpha = (1 + cu**2) / (ci**2 - cu**2)
    b = alpha - LOOKS - 1
    between = (mean * b + np.sqrt(mean**2 * b**2 + 4 * alpha * LOOKS * power * mean)) / (2 * alpha)
    return np.where(ci <= cu, mean, np.where(ci >= np.sqrt(2) * cu, power, between))


def _speckle(size: int) -> Iterator[Case]:
    power, holed = _speckled(size), _speckled(size, 0.01)
    kuan = 1 / (1 + 1 / LOOKS)
    forms: dict[str, tuple[Program, Program]] = {
        "lee 7 x 7": (lambda: speckle.lee(power, 7, LOOKS), lambda: _scipy_shrink(power, 7, 1.0)),
        "kuan 7 x 7": (lambda: speckle.kuan(power, 7, LOOKS), lambda: _scipy_shrink(power, 7, kuan)),
        "gamma_map 7 x 7": (lambda: speckle.gamma_map(power, 7, LOOKS), lambda: _scipy_gamma(power, 7)),
    }
    for name, (ours, theirs) in forms.items():
        yield Case(name, ours, {"scipy uniform_filter": theirs}, 8, {"scipy uniform_filter": 8}, 200)
    yield Case("lee 7 x 7, 1 % holes", lambda: speckle.lee(holed, 7, LOOKS), {}, 8)


def _focal(size: int) -> Iterator[Case]:
    labels = (np.random.default_rng(1).random((size, size), np.float32) < 0.3).astype(np.uint8)
    square = np.ones((3, 3), np.uint8)
    yield Case(
        "focal.mode 1.5 px",
        lambda: focal.mode(labels),
        {"skimage rank.majority": lambda: rank.majority(labels, square)},
        2,
        {"skimage rank.majority": 15},
    )


def _terrain(size: int, folder: Path) -> Iterator[Case]:
    dem = ndimage.gaussian_filter(np.random.default_rng(2).standard_normal((size, size), np.float32), 20) * 20_000
    peers: dict[str, Program] = {}
    if shutil.which("gdaldem"):
        source = folder / "dem.tif"
        profile = {"driver": "GTiff", "height": size, "width": size, "count": 1, "dtype": "float32"}
        with rasterio.open(source, "w", **profile, crs="EPSG:25833", transform=from_origin(0, 0, 10, 10)) as file:
            file.write(dem, 1)
        peers = {"gdaldem slope": lambda: _gdaldem(source)}
    yield Case(
        "slope + aspect + hillshade",
        lambda: terrain.slope_aspect_hillshade(dem, 10, 10),
        peers,
        16,
        {"gdaldem slope": 4},
    )
    yield Case("shadow, sun 160 / 30 degrees", lambda: terrain.shadow(dem, 10, 10, 160, 30), {}, 5, target_mpx_s=150)


def _gdaldem(source: Path) -> np.ndarray:
    """The whole process, as a user calls it; source and target are in memory where /dev/shm is."""
    with tempfile.TemporaryDirectory(dir=source.parent) as name:
        target = Path(name) / "slope.tif"
        subprocess.run(["gdaldem", "slope", "-q", "-compute_edges", str(source), str(target)], check=True)
        with rasterio.open(target) as file:
            # one row: reading it all would be timed too
            return file.read(1, window=((1, 2), (0, file.width)))


def _looks(size: int) -> tuple[np.ndarray, np.ndarray]:
    dice = np.random.default_rng(3)
    bands = dice.random((DATES, 4, size, size), np.float32)
    bands *= np.float32(0.4)
    clear = np.empty((DATES, size, size), bool)
    for date in clear:
        np.less(dice.random((size, size), np.float32), 0.6, out=date)
    return bands, clear


def _greenest(size: int) -> Case:
    bands, clear = _looks(size)
    cube = xr.DataArray(bands, dims=("time", "band", "y", "x"), coords={"band": ["R", "G", "B", "NIR"]})
    mask = xr.DataArray(clear, dims=("time", "y", "x"))

    def ours() -> np.ndarray:
        return greenest_pixel.greenest(bands, clear, np.arange(DATES), nir=3, red=0)[0]

    def one_by_one() -> np.ndarray:
        best = np.full((4, size, size), np.nan, np.float32)
        ndvi, day = np.full((size, size), np.nan, np.float32), np.full((size, size), greenest_pixel.NO_DAY, np.int16)
        looks = np.zeros((size, size), np.uint8)
        for i, look in enumerate(bands):
            greenest_pixel.greener_into(best, ndvi, day, looks, look, optical.ndvi(look[3], look[0]), clear[i], i)
        return best

    def theirs() -> np.ndarray:
        nir, red = cube.sel(band="NIR"), cube.sel(band="R")
        ndvi = ((nir - red) / (nir + red)).where(mask, -np.inf)
        # the latest date wins a tie in ours, the first in argmax: no two of these random values are the same
        return cube.isel(time=ndvi.argmax("time")).where(mask.any("time")).transpose("band", "y", "x").to_numpy()

    moved = DATES * (4 * 4 + 1) + 4 * 4
    peers = {"xarray argmax + isel": theirs, "ours, look by look": one_by_one}
    return Case("greenest of 24 dates", ours, peers, moved, {"xarray argmax + isel": 10})


def _median(size: int) -> Case:
    dice = np.random.default_rng(4)
    stack = np.empty((DATES, size, size), np.float32)
    for date in stack:
        dice.random(out=date, dtype=np.float32)
        date[dice.random(date.shape, np.float32) < 0.3] = np.nan
    peers = {
        "numpy nanmedian": lambda: np.nanmedian(stack, axis=0),
        "numbagg nanmedian": lambda: numbagg.nanmedian(stack, axis=0),
    }
    return Case(
        "masked_median of 24 dates",
        lambda: time_median.masked_median(stack),
        peers,
        DATES * 4 + 4,
        dict.fromkeys(peers, 3),
    )


def _rest(size: int) -> Iterator[Case]:
    """Kernels that no peer was named for."""
    power = _speckled(size)
    yield Case("boxcar 7 x 7", lambda: speckle.boxcar(power, 7), {}, 8)
    yield Case("frost 7 x 7", lambda: speckle.frost(power, 7, 2.0), {}, 8, target_mpx_s=120)
    yield Case("refined_lee", lambda: speckle.refined_lee(power, LOOKS), {}, 8, target_mpx_s=120)
    yield Case("lee_sigma 9 x 9", lambda: speckle.lee_sigma(power, LOOKS, bright=3.0), {}, 8, target_mpx_s=120)
    slope, aspect = (power * np.float32(f) for f in (20, 90))
    yield Case(
        "slope_correction",
        lambda: slope_correction.slope_correction(power, 38.0, 78.0, slope, aspect),
        {},
        17,
        target_mpx_s=250,
    )
    digital = np.random.default_rng(5).integers(0, 10_000, (size, size), np.uint16)
    yield Case("reflectance", lambda: optical.reflectance(digital, -1000, 1e-4), {}, 6)


def seconds(programs: dict[str, Program], threads: int = THREADS) -> dict[str, float]:
    """Best time of each program, on as many threads at once; they take turns, so that a slow spell hits them all."""
    best = dict.fromkeys(programs, np.inf)
    spent = dict.fromkeys(programs, 0.0)
    with ThreadPoolExecutor(threads) as pool:
        for name, program in programs.items():
            # nothing to compile, and minutes a call
            if "numpy nanmedian" not in name:
                _once(pool, program, threads)
        for _ in range(ROUNDS):
            for name, program in programs.items():
                if spent[name] < ENOUGH_S:
                    took = _once(pool, program, threads)
                    spent[name] += took
                    best[name] = min(best[name], took)
    return best


def _once(pool: ThreadPoolExecutor, program: Program, threads: int) -> float:
    began = time.perf_counter()
    for done in [pool.submit(program) for _ in range(threads)]:
        done.result()
    return time.perf_counter() - began


def copy_limit(size: int) -> float:
    """Bytes a second that two threads read and write with numpy.copyto."""
    source = np.ones((size, size), np.float32)
    targets = iter([np.ones_like(source) for _ in range(THREADS)] * (ROUNDS + 1))
    took = seconds({"copyto": lambda: np.copyto(next(targets), source)})["copyto"]
    return THREADS * 2 * source.nbytes / took


def report(case: Case, size: int, limit: float) -> Iterator[str]:
    """A line of the table for each peer, or one where there is none."""
    took = seconds({"ours": case.ours, **case.peers})
    pixels = THREADS * size**2
    speed = pixels / took["ours"] / 1e6
    share = case.bytes_px * pixels / took["ours"] / limit
    aim = f" (aim {case.target_mpx_s:g})" if case.target_mpx_s else ""
    ours = f"{case.name} | {speed:,.0f}{aim} | {share:.0%}"
    if not case.peers:
        yield f"| {ours} | | | |"
    for name in case.peers:
        aim = f"{case.targets[name]:g}" if name in case.targets else ""
        yield (
            f"| {ours} | {name} | {pixels / took[name] / 1e6:,.1f} | {took[name] / took['ours']:.1f} | {aim} |"
        ).replace("| | |", "| |")


def machine() -> str:
    """What it ran on, and which peers."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    versions = (
        f"numpy {np.__version__}, numba {numba.__version__}, scipy {scipy.__version__}, scikit-image "
        f"{skimage.__version__}, numbagg {numbagg.__version__}, xarray {xr.__version__}"
    )
    gdal = (
        subprocess.run(["gdalinfo", "--version"], capture_output=True, text=True).stdout.strip()
        if shutil.which("gdaldem")
        else "no gdaldem"
    )
    return f"{model}, {os.cpu_count()} cores; {versions}; {gdal}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--only", nargs="*", default=[], help="cases whose name holds one of these words")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", "All-NaN slice|invalid value|divide by zero", RuntimeWarning)
    shm = Path("/dev/shm")
    print(machine())
    with tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None) as name:
        limit = copy_limit(arguments.size)
        print(f"limit: numpy.copyto moves {limit / 1e9:.1f} GB/s on {THREADS} threads (read and written)\n")
        print(
            "| kernel | ours, Mpx/s | share of the limit | peer | peer, Mpx/s | times faster | aim "
            "|\n|---|---|---|---|---|---|---|"
        )
        for case in cases(arguments.size, Path(name)):
            if not arguments.only or any(word in case.name for word in arguments.only):
                for line in report(case, arguments.size, limit):
                    print(line, flush=True)


if __name__ == "__main__":
    main()
