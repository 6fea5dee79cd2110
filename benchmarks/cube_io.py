"""Cube storage: bytes per pixel, write time and read time for chunks, shards, codecs and data types.

    python -m benchmarks.cube_io [--tile 2048]

One tile of STACK, the 13 bands of the setting s1_s2_dem, of a synthetic country of the tile's size, surveyed by the
real path: pure noise would not compress like real data. The eight neighbours are the tile's mirror images, so that a
halo is real and known; no chunk holds pixels of two tiles, so no codec sees that they are copies. One thing at a time
is changed from ours. All variants take turns in one process, in each of three rounds, and the best round counts.
Reading is with a halo of 96 px. On disk bands follow each other, over 20 ms a request four go at once, as in
`lsbatch.storage.cube`; the arrays are open, and integers are made and undone outside the clock: the time for that is
the same for all and printed separately.

The disk is the local one, its pages in memory. The object store is that disk, where every request waits 20 ms before
it is served: so requests and who waits for whom are seen, a network's speed is not; `MB read` is what it would have
to carry. zarr asks for 10 things at once, as it comes. Not an S3 server (`tests/servers.py` has one), whose own time
would be measured, too; and not zarr.testing's LatencyStore, which does not count.
"""

import argparse
import asyncio
import math
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec, BloscShuffle, ZstdCodec
from zarr.core.sync import sync
from zarr.storage import LocalStore, WrapperStore

from lsbatch import settings, synthetic
from lsbatch.bands import BAND_SETTINGS, STACK
from lsbatch.catalog import plan, planning
from lsbatch.catalog.survey import open_survey
from lsbatch.engine import tile_task
from lsbatch.pipeline import stack
from lsbatch.storage import cube
from lsbatch.storage.band_encoding import decode, encode

NAMES = BAND_SETTINGS["s1_s2_dem"]
HALO_PX = 96
FAR_S = 0.02
#: Bytes a pixel of land that the 13 bands may take.
TARGET = 20.0
SEED = 7
#: Of the packaged network, for how fast it is fed.
INPUTS = BAND_SETTINGS["s1vv_s2"]

#: What the sensors themselves do not know, one standard deviation, in the band's unit.
# 4.34 / sqrt(ENL) dB, ENL 4.4 of IW GRD (S1 product specification), times 1.25 / sqrt(20) for a median of 20 looks:
# 0.58
_SPECKLE_DB = 0.5
_REFLECTANCE = 0.002  # SNR 142 to 172 at reflectances of 0.2 to 0.3 (Sentinel-2 mission requirements): 0.0013 to 0.0018
NOISE = {
    **dict.fromkeys(("preVV", "postVV", "preVH", "postVH", "diffVV", "diffVH"), _SPECKLE_DB),
    **dict.fromkeys(("postR", "postG", "postB", "postNIR"), _REFLECTANCE),
    "dNDVI": 0.01,  # what 0.002 in red makes of NDVI over meadow: red 0.05, near infrared 0.3
    "elevation": 2.0,  # GLO-30: LE90 below 4 m absolute, 2 m relative on gentle slopes (product handbook)
    "slope": 1.0,  # of 2 m of LE90, 1.2 m, at posts of 30 m by Horn's method: 1.2 sqrt(12) / (8 * 30)
}

Bands = dict[str, np.ndarray]
Row = dict[str, float]


@dataclass(frozen=True)
class Variant:
    """A way to store a band; as it comes, ours.

    Attributes
    ----------
    chunk_px : int
        Side of a chunk; a smaller tile has the greatest that fits, as in the cube.
    sharded : bool
        One object a tile; otherwise one a chunk.
    codecs : tuple
        After the bytes codec; none: as they are.
    dtype : str
        int16 in steps, or float32 as computed.
    far : bool
        Whether it is worth timing over 20 ms a request.
    together : int
        Bands at once where requests take 20 ms; on disk they come one after another.
    """

    name: str
    chunk_px: int = cube.CHUNK_PX
    sharded: bool = True
    codecs: tuple[BloscCodec | ZstdCodec, ...] = (BloscCodec(cname="zstd", clevel=3, shuffle=BloscShuffle.bitshuffle),)
    dtype: str = "int16"
    far: bool = False
    together: int = cube.TOGETHER


def variants(side: int) -> tuple[Variant, ...]:
    """Ours first."""

    def packed(name: Any, level: int, shuffle: BloscShuffle, block: int = 0) -> tuple[BloscCodec]:
        return (BloscCodec(cname=name, clevel=level, shuffle=shuffle, blocksize=block),)

    bits, whole_bytes = BloscShuffle.bitshuffle, BloscShuffle.shuffle
    return (
        Variant("ours", far=True),
        Variant("ours, one band at a time", far=True, together=1),
        Variant("chunks of 128", chunk_px=128, far=True),
        Variant("chunks of 512", chunk_px=512, far=True),
        Variant("one chunk a tile", chunk_px=side, far=True),
        Variant("no shards", sharded=False, far=True),
        Variant("zstd 1, bits", codecs=packed("zstd", 1, bits)),
        Variant("zstd 9, bits", codecs=packed("zstd", 9, bits)),
        Variant("zstd 3, bytes", codecs=packed("zstd", 3, whole_bytes)),
        Variant("zstd 3, unshuffled", codecs=(ZstdCodec(level=3),)),
        # by itself blosc takes 128 KiB, where small numbers of both signs take more: diffVV 1.87 bytes a pixel instead
        # of 1.30
        Variant("zstd 3, bits, blocks of 32 KiB", codecs=packed("zstd", 3, bits, 32 * 1024)),
        Variant("lz4 3, bits", codecs=packed("lz4", 3, bits)),
        Variant("uncompressed", codecs=()),
        Variant("float32", dtype="float32"),
    )


class Counted(WrapperStore[LocalStore]):
    """A store that counts its requests and the bytes it gives, and lets each request wait for `delay_s` first."""

    def __init__(self, store: LocalStore) -> None:
        super().__init__(store)
        self.delay_s = 0.0
        self.requests = self.given = 0

    async def _asked(self) -> None:
        self.requests += 1
        if self.delay_s:
            await asyncio.sleep(self.delay_s)

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        await self._asked()
        found = await super().get(key, prototype, byte_range)
        self.given += 0 if found is None else len(found)
        return found

    async def set(self, key: str, value: Any) -> None:
        await self._asked()
        await super().set(key, value)

    async def delete(self, key: str) -> None:
        await self._asked()
        await super().delete(key)


@dataclass(frozen=True)
class Stored:
    """A variant on disk: three by three tiles a band."""

    variant: Variant
    side: int
    root: Path
    store: Counted
    arrays: dict[str, Any]


def content(folder: Path, side: int) -> Bands:
    """The 13 bands of a synthetic country of `side` pixels as STACK computes them, float32, before they are stored."""
    folder.mkdir()
    config = settings.load(synthetic.simulate(folder, seed=SEED, rows=side, cols=side))
    # the country's corner lies on multiples of 512 px
    grid = config.grid.model_copy(update={"tile_px": math.gcd(side, 512)})
    config = config.model_copy(update={"output": folder / "survey", "grid": grid})
    config.output.mkdir()
    plan.save(planning.make(config), config.output)
    survey = open_survey(config)
    out = {name: np.full(survey.grid.shape, np.nan, np.float32) for name in NAMES}
    for position in survey.positions:
        block = tile_task.compute(config, survey.grid, stack.STAGE, position)
        for name in NAMES:
            out[name][block.tile.region] = block.bands[name]
    return out


def numbers(bands: Bands, dtype: str) -> Bands:
    """What is stored of the bands."""
    return bands if dtype == "float32" else {name: encode(values, STACK[name]) for name, values in bands.items()}


def padded(values: np.ndarray) -> np.ndarray:
    """A tile as it must be read with its halo."""
    return np.pad(values, HALO_PX, mode="symmetric")


def build(root: Path, bands: Bands, variant: Variant) -> Stored:
    """Store the tile, of such numbers as the variant wants, and its mirror images around it."""
    side = next(iter(bands.values())).shape[0]
    store = Counted(LocalStore(root))
    group = zarr.create_group(store)
    chunk = math.gcd(variant.chunk_px, side)
    arrays = {
        name: group.create_array(
            name, shape=(3 * side, 3 * side), dtype=variant.dtype, chunks=(chunk, chunk),
            shards=(side, side) if variant.sharded else None, compressors=variant.codecs or None,
            fill_value=np.nan if variant.dtype == "float32" else STACK[name].fill, config={"write_empty_chunks": False},
        )
        for name in bands
    }  # fmt: skip
    made = Stored(variant, side, root, store, arrays)
    for row in range(3):
        for col in range(3):
            turn = slice(None, None, 1 if row == 1 else -1), slice(None, None, 1 if col == 1 else -1)
            write(made, {name: values[turn] for name, values in bands.items()}, row, col)
    return made


def write(made: Stored, bands: Bands, row: int = 1, col: int = 1) -> None:
    """Write a tile's numbers."""
    rows, cols = (slice(i * made.side, (i + 1) * made.side) for i in (row, col))

    def put(name: str) -> None:
        if made.variant.sharded:
            # as `cube.write` does
            sync(made.store.delete(f"{name}/c/{row}/{col}"))
        made.arrays[name][rows, cols] = bands[name]

    _each(made, put, bands)


def read(made: Stored) -> Bands:
    """The numbers of the tile in the middle with its halo."""
    span = slice(made.side - HALO_PX, 2 * made.side + HALO_PX)
    return dict(zip(made.arrays, _each(made, lambda name: made.arrays[name][span, span], made.arrays), strict=True))


def _each(made: Stored, do: Callable[[str], Any], names: Iterable[str]) -> list[Any]:
    """As `cube._each` does it."""
    if not made.store.delay_s or made.variant.together == 1:
        return [do(name) for name in names]
    with ThreadPoolExecutor(made.variant.together) as pool:
        return list(pool.map(do, names))


def sizes(made: Stored) -> dict[str, list[int]]:
    """Bytes of each object of the tile in the middle, by band."""
    out = {}
    for name, array in made.arrays.items():
        count = made.side // (array.shards or array.chunks)[0]
        span = range(count, 2 * count)
        files = [made.root / name / "c" / str(row) / str(col) for row in span for col in span]
        out[name] = [path.stat().st_size for path in files if path.exists()]
    return out


def clocked(made: Stored, bands: Bands, delay_s: float) -> Row:
    """Seconds, requests and MB given to write the tile and to read it with its halo."""
    place, found = "far " if delay_s else "", {}
    made.store.delay_s = delay_s
    for what, action in (("write", lambda: write(made, bands)), ("read", lambda: read(made))):
        made.store.requests = made.store.given = 0
        began = time.perf_counter()
        action()
        found[place + what] = time.perf_counter() - began
        found[f"{what} requests"] = made.store.requests
        found[f"{what} mb"] = made.store.given / 1e6
    made.store.delay_s = 0.0
    return found


def measure(folder: Path, bands: Bands, rounds: int = 3) -> dict[str, Row]:
    """Best seconds, requests, objects and bytes a pixel of each variant; the bytes of a band by its name."""
    side = next(iter(bands.values())).shape[0]
    stored = {dtype: numbers(bands, dtype) for dtype in ("int16", "float32")}
    every = [build(folder / f"{i}", stored[v.dtype], v) for i, v in enumerate(variants(side))]
    found: dict[str, Row] = {made.variant.name: defaultdict(lambda: math.inf) for made in every}
    for _ in range(rounds):
        for made in every:
            row = found[made.variant.name]
            for delay_s in (0.0, FAR_S) if made.variant.far else (0.0,):
                for key, value in clocked(made, stored[made.variant.dtype], delay_s).items():
                    row[key] = min(row[key], value)
    land = np.count_nonzero(np.logical_or.reduce([np.isfinite(values) for values in bands.values()]))
    for made in every:
        taken, row = sizes(made), found[made.variant.name]
        row |= {name: sum(parts) / land for name, parts in taken.items()}
        row |= {"bytes": sum(row[name] for name in taken), "objects": sum(map(len, taken.values()))}
    return found


def largest_errors(bands: Bands) -> Row:
    """Most that storing changes a band, in its unit."""
    found = {}
    for name, values in bands.items():
        back = decode(encode(values, STACK[name]), STACK[name])
        np.testing.assert_array_equal(np.isnan(back), np.isnan(values), err_msg=name)
        found[name] = float(np.nanmax(np.abs(back.astype(np.float64) - values)))
    return found


def variants_table(found: dict[str, Row]) -> str:
    """Of `measure`, as markdown."""
    lines = [
        "| | bytes a pixel | write, s | read, s | objects | requests to write | to read | MB read | write at 20 ms, s "
        "| read at 20 ms, s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in found.items():
        counts = (f"{row[key]:,.0f}" for key in ("objects", "write requests", "read requests"))
        far = (f"{row[key]:.2f}" if key in row else "" for key in ("far write", "far read"))
        cells = (
            name,
            f"{row['bytes']:.2f}",
            f"{row['write']:.2f}",
            f"{row['read']:.2f}",
            *counts,
            f"{row['read mb']:.1f}",
            *far,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def bands_table(errors: Row, ours: Row) -> str:
    """Of `largest_errors` and the bytes of ours, as markdown."""
    lines = [
        "| band | unit | step | largest error | sensor's noise | of the noise | bytes a pixel |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, error in errors.items():
        band, noise = STACK[name], NOISE[name]
        lines.append(
            f"| {name} | {band.units} | {band.scale:g} | {error:.1e} | {noise:g} | {error / noise:.1%} | "
            f"{ours[name]:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tile", type=int, default=2048)
    side = parser.parse_args().tile
    with tempfile.TemporaryDirectory(prefix="lsbatch-cube-") as name:
        bands = content(Path(name) / "country", side)
        found = measure(Path(name), bands)
    began = time.perf_counter()
    stored = numbers(bands, "int16")
    middle = time.perf_counter()
    for band, values in stored.items():
        decode(values, STACK[band])
    ended = time.perf_counter()
    cores = len(os.sched_getaffinity(0))
    print(
        f"{cores} cores, load {os.getloadavg()[0]:.1f}, zarr {zarr.__version__}, {len(NAMES)} bands of a tile of "
        f"{side} px\n"
    )
    print(variants_table(found))
    print(f"\nFloats to integers {middle - began:.2f} s, back {ended - middle:.2f} s, in addition to all but float32.")
    feed = side**2 / ((found["ours"]["read"] + ended - middle) * len(INPUTS) / len(NAMES)) / 1e6
    print(f"One process that reads them with the halo feeds a network of {len(INPUTS)} bands {feed:.0f} Mpx/s.")
    print(f"Ours takes {found['ours']['bytes']:.2f} bytes a pixel of land, of at most {TARGET:g}.\n")
    print(bands_table(largest_errors(bands), found["ours"]))


if __name__ == "__main__":
    main()
