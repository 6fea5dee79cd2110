"""Passes before and after a day for `benchmarks.disturbance_peer`, and our distance for them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import change_series
from benchmarks import reality_scenes as scenes
from benchmarks.reality_scenes import Case, Patch
from lsbatch.kernels.local_change import pass_moments, surroundings
from lsbatch.kernels.local_change.pass_moments import Moments
from lsbatch.models import disturbance
from lsbatch.synthetic import planting
from lsbatch.synthetic.planting import Planted

POLARISATIONS = ("VV", "VH")
#: Side of the windows of the labelled series in pixels.
PLACE_PX = 3


@dataclass(frozen=True)
class Image:
    """Passes of one relative orbit, float32 (passes, polarisations, rows, cols), linear gamma0.

    Attributes
    ----------
    before, after : array
        NaN is nodata.
    """

    before: np.ndarray
    after: np.ndarray

    def write(self, file: Path) -> None:
        """Write the passes for the peer."""
        np.savez(file, before=self.before, after=self.after)


@dataclass(frozen=True)
class Place:
    """A labelled place and what each relative orbit shows of it around its day.

    Attributes
    ----------
    site : int
    changed : bool
    images : tuple of Image
        3 x 3 px; an image each orbit. Empty where no orbit has a whole pass before and after.
    """

    site: int
    changed: bool
    images: tuple[Image, ...]


def scene(case: Case, patch: Patch, planted: Planted | None = None) -> Image:
    """Return the passes of a patch, as they are or with planted landslides in the passes after."""
    before, after = (
        np.stack([scenes.stacked(case, patch, pol, period) for pol in POLARISATIONS], axis=1)
        for period in ("pre", "post")
    )
    if planted is not None:
        change = planting.shift_db(planted, case.look_azimuth_deg, scenes.dense(case, patch))
        after = np.stack([planting.shifted(after[:, p], change[pol]) for p, pol in enumerate(POLARISATIONS)], axis=1)
    return Image(before, after)


def distance(image: Image, patch: Patch) -> np.ndarray:
    """Return our distance, (rows, cols), by the steps and on the cells of the pipeline."""
    box, rule = patch.geobox, disturbance.PARAMETERS
    side_m = abs(box.resolution.x)
    cell_px, _ = surroundings.sizes(side_m)
    halo = disturbance.halo_px(rule, side_m)
    # the corner of every survey is a whole number of cells from the origin of the CRS
    corner = (round(-box.transform.f / side_m) % cell_px, round(box.transform.c / side_m) % cell_px)
    margins = [(halo + first, halo + -(first + size) % cell_px) for first, size in zip(corner, box.shape, strict=True)]
    z = [_standardised(image, p, margins, cell_px, side_m) for p in range(len(POLARISATIONS))]
    rows, cols = (slice(low, low + size) for (low, _), size in zip(margins, box.shape, strict=True))
    return disturbance.distance(z[0], z[1], rule, side_m)[rows, cols]


def _standardised(
    image: Image, channel: int, margins: list[tuple[int, int]], cell_px: int, side_m: float
) -> np.ndarray:
    before, after = (
        _moments(np.pad(passes[:, channel], [(0, 0), *margins], constant_values=np.nan), cell_px)
        for passes in (image.before, image.after)
    )
    return pass_moments.combined([pass_moments.change(before, after, side_m)])[1]


def _moments(passes: np.ndarray, cell_px: int) -> Moments:
    found = pass_moments.empty(passes.shape[1:], cell_px)
    power = np.where(passes > 0, passes, np.float32(np.nan))
    pass_moments.fill(found, slice(0, passes.shape[1]), list(power), cell_px)
    return found


def place_distance(place: Place) -> float:
    """Return our distance of a place alone, without surroundings: NaN if no orbit has two passes on one side.

    The standardised change of each pixel by the variance of the window, both polarisations added, summed over the
    window and divided by the root of its pixels.
    """
    z = []
    for channel in range(len(POLARISATIONS)):
        changes = [_place_change(image, channel) for image in place.images]
        z.append(pass_moments.combined(changes)[1] if changes else np.full((PLACE_PX, PLACE_PX), np.nan))
    both = (z[0] + z[1]) / np.sqrt(2)
    return float(abs(both.sum()) / PLACE_PX)


def _place_change(image: Image, channel: int) -> tuple[np.ndarray, np.ndarray]:
    before, after = (_moments(passes[:, channel], PLACE_PX) for passes in (image.before, image.after))
    spare = (before.spare + after.spare).item()
    variance = (before.squares + after.squares).item() / spare if spare else np.nan
    looks = np.float32(1) / before.count + np.float32(1) / after.count
    change = after.mean_db - before.mean_db
    return np.where(variance > 0, change, np.float32(np.nan)).astype(np.float32), (variance * looks).astype(np.float32)


def places(folder: Path, window_days: int) -> Iterator[Place]:
    """Yield the labelled places; the day of an unchanged one is the middle of its passes.

    Parameters
    ----------
    folder : Path
        `s1_change_series` of the shared data.
    window_days : int
        Passes within so many days before and after the day count. The day itself is after.
    """
    labels = pd.read_csv(folder / "labels.csv").set_index("site_id")
    orbits: dict[int, list[pd.DataFrame]] = {}
    for file in sorted(folder.glob("rtc_summary_site_*.csv")):
        table = pd.read_csv(file, parse_dates=["datetime"])
        orbits.setdefault(int(table["site_id"].iloc[0]), []).append(table)
    for site, tables in sorted(orbits.items()):
        label = labels.loc[site]
        times = pd.concat([table["datetime"] for table in tables])
        middle = times.min() + (times.max() - times.min()) / 2
        day = pd.Timestamp(label["change_time"]) if pd.notna(label["change_time"]) else middle
        found = [_image(table, day, pd.Timedelta(days=window_days)) for table in tables]
        images = tuple(image for image in found if len(image.before) and len(image.after))
        yield Place(site, label["change_label"] != change_series.NO_CHANGE, images)


def _image(table: pd.DataFrame, day: pd.Timestamp, window: pd.Timedelta) -> Image:
    """Return the whole passes of one orbit in the windows."""
    power = np.array([[change_series._numbers(text) for text in table[pol.lower()]] for pol in POLARISATIONS])
    power = power.astype(np.float32).swapaxes(0, 1).reshape(-1, len(POLARISATIONS), PLACE_PX, PLACE_PX)
    times, whole = table["datetime"], (power > 0).all(axis=(1, 2, 3))
    before = ((times >= day - window) & (times < day)).to_numpy()
    after = ((times >= day) & (times <= day + window)).to_numpy()
    return Image(power[before & whole], power[after & whole])
