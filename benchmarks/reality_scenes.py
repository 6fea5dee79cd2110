"""Real scenes in which nothing is known to have slid, and copies of them with planted landslides."""

import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox

from lsbatch.catalog import filename_parsing
from lsbatch.kernels import sar
from lsbatch.settings import SurveySettings
from lsbatch.synthetic import planting
from tests.real.convert import convert_belgium

CALIFORNIA, BELGIUM = "s1_opera_california", "s1_s2_dem_belgium/worldcereal_preprocessed_inputs.nc"
#: Bursts of open sea.
SEA = ("T137-292318-IW1",)
#: Bursts of land on which packaged weights were trained, with planted landslides (`benchmarks/planted_surveys.py`).
LEARNED = ("T137-292319-IW2", "T137-292321-IW2", "T137-292325-IW1")
#: Days in the middle of a winter's passes; no storm or earthquake is known on them.
WINTERS = tuple(date(year, 12, 10) for year in (2021, 2022, 2023))
#: Four passes before and two after in each of the winters.
WINDOW_DAYS = 45
#: Annual surveys of the same scenes: the year after, and the season of five or six passes.
YEARS, SEASON = (2022, 2023), ("11-01", "12-31")
#: Relative orbit 137 passes California in the evening, so it ascends and looks east.
LOOK_AZIMUTH_DEG = 78.0
#: VH before the event above which ground is taken for dense vegetation, in dB. Nobody mapped the cover of these scenes.
DENSE_VH_DB = -16.0
#: Share of the land on which landslides are planted, and their size classes in hectares; each class has equal numbers.
PLANTED_SHARE, SIZES_HA = 0.06, ((0.5, 1.0), (1.0, 2.0), (2.0, 6.0))
#: Names in lsbatch of the optical bands of the files.
OPTICAL = {"B02": "B", "B03": "G", "B04": "R", "B08": "NIR"}


@dataclass(frozen=True)
class Patch:
    """Files of one piece of ground on one pixel lattice.

    Attributes
    ----------
    name : str
    files : tuple of Path
        GeoTIFFs with names that `lsbatch catalog` recognises.
    geobox : GeoBox
    sea : bool
        Nothing can slide there.
    """

    name: str
    files: tuple[Path, ...]
    geobox: GeoBox
    sea: bool = False


@dataclass(frozen=True)
class Case:
    """Real scenes before and after a day on which nothing is known to have slid.

    Attributes
    ----------
    name : str
    survey : SurveySettings
        The windows before and after the day.
    patches : tuple of Patch
    sensors : tuple of str
        Names of archives in the settings.
    look_azimuth_deg : float or None
        Of the radar; None if it is not known.
    draws : int
        Number of copies with planted landslides. A small scene needs several.
    """

    name: str
    survey: SurveySettings
    patches: tuple[Patch, ...]
    sensors: tuple[str, ...] = ("sentinel1",)
    look_azimuth_deg: float | None = None
    draws: int = 1


def cases(data: Path, work: Path, names: Iterable[str], sea: tuple[str, ...] = SEA) -> list[Case]:
    """Return the real cases of the wanted names; Belgium is converted to GeoTIFFs in `work`."""
    found: list[Case] = []
    if "california" in names:
        found += california(sorted((data / CALIFORNIA).glob("*/*.tif")), sea)
    if "belgium" in names:
        folder = convert_belgium(data / BELGIUM, work / "belgium-scenes")
        found.append(belgium(sorted(folder.glob("*.tif"))))
    return found


def california(files: list[Path], sea: tuple[str, ...] = SEA) -> list[Case]:
    """Return the winters, and the years one after the other, that have passes before and after."""
    surveys = {
        f"California {day.year}": SurveySettings(
            id=f"california-{day.year}", kind="event", event_date=day, window_days=WINDOW_DAYS
        )
        for day in WINTERS
    } | {
        f"California {year - 1} to {year}": SurveySettings(
            id=f"california-{year - 1}-{year}", kind="annual", year=year, season=SEASON
        )
        for year in YEARS
    }
    return [case for name, survey in surveys.items() if (case := _case(name, survey, files, sea)) is not None]


def _case(name: str, survey: SurveySettings, files: list[Path], sea: tuple[str, ...]) -> Case | None:
    windows = survey.windows
    inside = {period: [f for f in files if first <= day_of(f) <= last] for period, (first, last) in _ends(windows)}
    if not all(inside.values()):
        return None
    bursts: dict[str, list[Path]] = {}
    for file in sorted([*inside["pre"], *inside["post"]]):
        bursts.setdefault(re.search(r"T\d{3}-\d{6}-IW\d", file.name)[0], []).append(file)  # type: ignore[index]
    patches = tuple(Patch(burst, tuple(of), geobox_of(of[0]), burst in sea) for burst, of in sorted(bursts.items()))
    return Case(name, survey, patches, look_azimuth_deg=LOOK_AZIMUTH_DEG, draws=3)


def belgium(files: list[Path]) -> Case:
    """Return the place with all three sources."""
    survey = SurveySettings(id="belgium-2021", kind="event", event_date=date(2021, 5, 15), window_days=60)
    patch = Patch("fields", tuple(files), geobox_of(files[0]))
    return Case("Belgium 2021", survey, (patch,), ("sentinel1", "sentinel2", "dem"), draws=6)


def _ends(windows) -> tuple[tuple[str, tuple[date, date]], ...]:  # type: ignore[no-untyped-def]
    return (("pre", windows.pre), ("post", windows.post))


def geobox_of(file: Path) -> GeoBox:
    """Return the lattice of a raster."""
    with rasterio.open(file) as opened:
        return GeoBox(opened.shape, opened.transform, opened.crs)


def day_of(file: Path) -> date:
    """Return the day of a scene's file; the first of all days for a DEM."""
    named = filename_parsing.parse(file.stem)
    return named.time.date() if named and named.time else date.min


def band_of(file: Path) -> str:
    """Return the band of a scene's file, as the file names it."""
    named = filename_parsing.parse(file.stem)
    return named.band if named else ""


def stacked(case: Case, patch: Patch, band: str, period: str) -> np.ndarray:
    """Return the passes of a band in the window before or after, (passes, rows, cols), linear power or DN."""
    first, last = dict(_ends(case.survey.windows))[period]
    files = [file for file in patch.files if band_of(file) == band and first <= day_of(file) <= last]
    return np.stack([_read(file) for file in files])


def _read(file: Path) -> np.ndarray:
    with rasterio.open(file) as opened:
        return opened.read(1)


def dense(case: Case, patch: Patch) -> np.ndarray:
    """Return where the ground is taken for dense vegetation, bool (rows, cols)."""
    power = stacked(case, patch, "VH", "pre")
    return sar.to_db(np.median(np.where(power > 0, power, 0), axis=0)) > DENSE_VH_DB


def plant(case: Case, patch: Patch, draw: int, seed: int, share: float = PLANTED_SHARE) -> planting.Planted:
    """Draw the landslides of a patch, on a share of its land; each draw has others."""
    side_m = abs(patch.geobox.resolution.x)
    rng = np.random.default_rng([seed, draw, *patch.name.encode()])
    free = np.all([(stacked(case, patch, "VV", period) > 0).any(axis=0) for period in ("pre", "post")], axis=0)
    # the filter that cleans a mask needs neighbours
    free[:2] = free[-2:] = free[:, :2] = free[:, -2:] = False
    wanted = areas_m2(free.sum() * side_m**2, rng, share)
    relief = planting.hillside(patch.geobox.shape, side_m, rng)
    return planting.draw(relief, free, wanted, rng, side_m, dense(case, patch))


def areas_m2(land_m2: float, rng: np.random.Generator, share: float) -> np.ndarray:
    """Return the areas of landslides that cover a share of a piece of land, the largest first.

    Magnitudes are evenly spread inside each class, on a logarithmic scale.
    """
    middle_ha = sum(np.sqrt(low * high) for low, high in SIZES_HA)
    count = max(1, round(share * land_m2 / 1e4 / middle_ha))
    drawn = [np.exp(rng.uniform(np.log(low), np.log(high), count)) for low, high in SIZES_HA]
    return np.sort(np.concatenate(drawn))[::-1] * 1e4


def copy(case: Case, folder: Path, planted: Mapping[str, planting.Planted] | None = None) -> None:
    """Copy the scenes of a case to a folder; with `planted`, those after the day show the landslides of each patch."""
    folder.mkdir(parents=True)
    for patch in case.patches:
        change = _changes(case, patch, planted[patch.name]) if planted and patch.name in planted else {}
        for file in patch.files:
            if band_of(file) in change and day_of(file) >= case.survey.windows.post[0]:
                _write(file, folder / file.name, change[band_of(file)])
            else:
                shutil.copyfile(file, folder / file.name)


def _changes(case: Case, patch: Patch, planted: planting.Planted) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Return the function that plants the landslides into a raster of each band, as it is stored."""
    shift = planting.shift_db(planted, case.look_azimuth_deg, dense(case, patch))
    radar = {pol: lambda power, db=db: planting.shifted(power, db) for pol, db in shift.items()}
    return radar | {band: lambda dn, name=name: _bared(dn, name, planted) for band, name in OPTICAL.items()}  # type: ignore[return-value]


def _bared(dn: np.ndarray, name: str, planted: planting.Planted) -> np.ndarray:
    """Return digital numbers (reflectance times 10,000, 0 is nodata) with the landslides."""
    bare = planting.bared({name: dn.astype(np.float32) / 1e4}, planted)[name]
    return np.where((planted.labels > 0) & (dn > 0), np.maximum(np.rint(bare * 1e4), 1), dn).astype(dn.dtype)


def _write(source: Path, target: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    with rasterio.open(source) as file:
        profile, values, tags, scales, offsets = file.profile, file.read(1), file.tags(), file.scales, file.offsets
    with rasterio.open(target, "w", **profile) as out:
        out.write(change(values), 1)
        out.update_tags(**tags)
        out.scales, out.offsets = scales, offsets
