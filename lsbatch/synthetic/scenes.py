"""The acquisition calendar of the synthetic country, and each acquisition as STAC items."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import pystac
from odc.geo.geobox import GeoBox

from lsbatch.synthetic import optical, radar, spectra, weather, write, yearly_landslides
from lsbatch.synthetic.country import CRS, SEASON, YEAR, Ground, rng

#: Days between the images of a history from spring to autumn, as of two satellites on two overlapping orbits at 60
#: degrees of latitude.
HISTORY_SEASON, HISTORY_STEP_DAYS = ("05-01", "10-10"), 3
#: Parts of the country's width covered by the granules of the two UTM zones; they overlap, as real granules do.
ZONES = {"EPSG:32632": (0.0, 0.58), "EPSG:32633": (0.3, 1.0)}
#: The granules of a country on one grid.
ONE_ZONE = {CRS: (0.0, 1.0)}

#: Sentinel-2 products by the archive whose form they have: collection, item id, asset names.
LEVEL_1C = "level-1c"
PRODUCTS = {
    "earth-search": ("sentinel-2-l2a", "S2{letter}_{zone}VPJ_{day:%Y%m%d}_0_L2A", write.EARTH_SEARCH),
    "planetary-computer": (
        "sentinel-2-l2a-pc",
        "S2{letter}_MSIL2A_{day:%Y%m%d}T105031_R051_T{zone}VNP",
        write.PLANETARY,
    ),
    # top of atmosphere, without a scene classification
    LEVEL_1C: ("sentinel-2-l1c", "S2{letter}_MSIL1C_{day:%Y%m%d}T105031_R051_T{zone}VNP", write.PLANETARY),
}

Made = tuple[str, list[pystac.Item]]


@dataclass(frozen=True)
class Processing:
    """Processing of a Sentinel-2 product, and what its digital numbers contain."""

    baseline: str
    flag: bool | None
    added: int


def season(year: int, days: tuple[str, str] = SEASON) -> tuple[date, date]:
    """Return the first and last day."""
    first, last = (date.fromisoformat(f"{year}-{day}") for day in days)
    return first, last


def jobs(
    ground: Ground,
    folder: Path,
    history_years: int = 0,
    level_1c: bool = False,
    radar_days: int = 0,
    further: tuple[str, ...] = (),
    years: int = 1,
) -> list[Callable[[], Made]]:
    """Return all acquisitions as independent calls that write files and return their items.

    With a history, Sentinel-2 images have intervals of some days, from this number of years before the survey's first
    year. With `radar_days`, each Sentinel-1 orbit has passes at this interval from the first season to the last, also
    in winter and during the storm. Sentinel-2 images also have the `further` bands. With more than one of `years`, each
    later year has its own landslides, see `lsbatch.synthetic.yearly_landslides`.
    """
    out: list[Callable[[], Made]] = []
    of = ground.conditions
    orbits = radar.orbits(ground)
    country = ground
    for year in range(YEAR - 1 - history_years, YEAR - 1):
        out += _history(ground, folder, year, further)
    for year in range(YEAR - 1, YEAR + years):
        ground = country if years == 1 else yearly_landslides.ground_of(country, year, years)
        if history_years:
            out += _history(ground, folder, year, further)
        else:
            days = acquisition_days(ground, year, of.optical.days, 0)
            out += [_optical_job(ground, folder, day, i, further, level_1c=level_1c) for i, day in enumerate(days)]
        for orbit in (*orbits, radar.ONLY_AFTER) if year == YEAR else orbits:
            if radar_days and orbit is not radar.ONLY_AFTER:
                continue
            days = acquisition_days(ground, year, of.radar.passes, orbit.number)
            out += [_radar_job(ground, folder, orbit, day) for day in days[: 1 if orbit is radar.ONLY_AFTER else None]]
    if radar_days:
        out += [
            _radar_job(ground, folder, orbit, day) for orbit in orbits for day in repeats(ground, orbit, radar_days)
        ]
    return out


def repeats(ground: Ground, orbit: radar.Orbit, radar_days: int) -> list[date]:
    """Return the days of an orbit's passes, evenly over both seasons and the time between."""
    first, last = season(YEAR - 1)[0], season(YEAR)[1]
    start = first + timedelta(days=int(rng(ground.seed, 33, orbit.number).integers(radar_days)))
    return [start + timedelta(days=n) for n in range(0, (last - start).days + 1, radar_days)]


def _history(ground: Ground, folder: Path, year: int, further: tuple[str, ...]) -> list[Callable[[], Made]]:
    """Yield images at the satellites' dates, most of them cloudy, with landslides from their day on."""
    first, last = season(year, HISTORY_SEASON)
    dice = rng(ground.seed, 32, year)
    count = (last - first).days // HISTORY_STEP_DAYS
    days = [first + timedelta(days=HISTORY_STEP_DAYS * i + int(dice.integers(2))) for i in range(count)]
    return [
        _optical_job(ground, folder, day, i, further, float(c))
        for i, (day, c) in enumerate(zip(days, dice.uniform(0.1, 0.9, count), strict=True))
    ]


def acquisition_days(ground: Ground, year: int, count: int, salt: int) -> list[date]:
    """Return days that divide a season roughly evenly; `salt` is 0 for Sentinel-2, else the number of the orbit."""
    first, last = season(year)
    step = (last - first).days / count
    dice = rng(ground.seed, 30, year, salt)
    return [first + timedelta(days=int(step * (i + dice.uniform(0.05, 0.95)))) for i in range(count)]


def processing(day: date, number: int, fashion: str) -> Processing:
    """Return one of both baselines in both years, with all forms in which archives describe the offset.

    Earth Search: subtracted by the provider and flagged so; or not subtracted and flagged so. Planetary Computer: only
    the baseline.
    """
    if number % 3 == 0:
        return Processing("02.14", False if fashion == "earth-search" else None, 0)
    if fashion == "earth-search":
        return Processing("05.00", True, 0) if number % 3 == 1 else Processing("05.00", False, 1000)
    return Processing("05.00", None, 1000)


def cloudiness(ground: Ground, day: date, number: int) -> float:
    """Return the share of cloud in the image of a day in a season."""
    usual = (0.08, 0.35, 0.15, 0.55, 0.2, 0.3)[number % 6] * rng(ground.seed, 31, day.toordinal()).uniform(0.7, 1.3)
    return min(0.9, usual * ground.conditions.optical.cloud_factor)


def _optical_job(
    ground: Ground,
    folder: Path,
    day: date,
    number: int,
    further: tuple[str, ...],
    cloudy: float | None = None,
    level_1c: bool = False,
) -> Callable[[], Made]:
    """Write the granules of a day; in a history each granule has its own cloud cover."""

    def make() -> Made:
        share, dated = (cloudiness(ground, day, number), False) if cloudy is None else (cloudy, True)
        seen = optical.look(ground, day, number, share, dated, further)
        items = []
        for crs, cols in (ONE_ZONE if ground.one_grid else ZONES).items():
            fashion = "planetary-computer" if crs.endswith("32") else "earth-search"
            # now and then a granule is missing from the archive
            if number == 4 and fashion == ("earth-search" if day.year == YEAR else "planetary-computer"):
                continue
            items.append(_granule(ground, folder, seen, number, crs, cols, fashion))
            if level_1c:
                items.append(_granule(ground, folder, seen, number, crs, cols, LEVEL_1C))
        return "sentinel2", items

    return make


def _granule(
    ground: Ground, folder: Path, seen: optical.Look, number: int, crs: str, cols: tuple[float, float], fashion: str
) -> pystac.Item:
    box = write.granule(ground, crs, cols)
    made = processing(seen.day, number, fashion)
    zone, letter = crs[-2:], "AB"[number % 2]
    collection, template, keys = PRODUCTS[fashion]
    name = template.format(letter=letter, zone=zone, day=seen.day)
    where = folder / collection / name
    reflectance = seen.at_sensor if fashion == LEVEL_1C else seen.reflectance
    dn = np.rint(reflectance * 10_000 + made.added).astype(np.uint16)
    item = write.item(
        name, datetime.combine(seen.day, time(10, 50, 31), UTC), box, _optical_properties(seen, made, letter, fashion)
    )
    coarse = GeoBox.from_bbox(box.boundingbox, box.crs, resolution=max(20.0, ground.pixel_m))
    shift = weather.shift_px(ground, 2, seen.day)
    # only for bands on another lattice than the item's
    lattice: dict[str, object] = {
        "proj:shape": list(coarse.shape),
        "proj:transform": [float(v) for v in coarse.transform[:6]],
    }
    scaled: dict[str, object] = {"raster:bands": [_raster_band(made)]} if fashion == "earth-search" else {}

    def add(key: str, title: str, pixels: np.ndarray, file: Path, lies: GeoBox, extra: dict[str, object]) -> None:
        values = write.warped(pixels, ground.geobox, lies, 0, shift)
        values[_beyond_swath(lies, seen.day, number)] = 0
        write.cog(file, values, lies, 0)
        item.add_asset(key, write.asset(file, title, **extra))

    for band, pixels in zip(seen.bands, dn, strict=True):
        fine = band in spectra.BANDS
        extra = scaled if fine else scaled | lattice
        add(keys[band], band, pixels, where / f"{keys[band]}.tif", box if fine else coarse, extra)
    if fashion != LEVEL_1C:
        add(keys["SCL"], "scene classification", seen.scl, where / "SCL.tif", coarse, lattice)
    return item


def _raster_band(made: Processing) -> dict[str, object]:
    # as in Earth Search: the field has -0.1 from baseline 04 on, also if the offset was already subtracted
    return {"nodata": 0, "data_type": "uint16", "scale": 0.0001, "offset": -0.1 if made.baseline >= "04" else 0}


def _optical_properties(seen: optical.Look, made: Processing, letter: str, fashion: str) -> dict[str, object]:
    common = {
        "eo:cloud_cover": round(seen.cloud_percent, 3),
        "s2:processing_baseline": made.baseline,
        "instruments": ["msi"],
    }
    if fashion == "earth-search":
        return common | {
            "platform": f"sentinel-2{letter.lower()}",
            "earthsearch:boa_offset_applied": made.flag,
            "view:sun_azimuth": seen.sun_azimuth_deg,
            "view:sun_elevation": round(seen.sun_elevation_deg, 4),
        }
    return common | {
        "platform": f"Sentinel-2{letter}",
        "s2:mean_solar_azimuth": seen.sun_azimuth_deg,
        "s2:mean_solar_zenith": round(90 - seen.sun_elevation_deg, 4),
        "sat:relative_orbit": 51,
        "sat:orbit_state": "descending",
    }


def _beyond_swath(box: GeoBox, day: date, number: int) -> np.ndarray:
    """Return the pixels beyond the swath, which ends inside the granule on every third day."""
    rows, cols = box.shape
    if number % 3 != 2:
        return np.zeros(box.shape, bool)
    position = np.arange(cols)[None, :] / cols + 0.2 * np.arange(rows)[:, None] / rows
    return position > 0.8 if day.toordinal() % 2 else position < 0.35


def _radar_job(ground: Ground, folder: Path, orbit: radar.Orbit, day: date) -> Callable[[], Made]:
    def make() -> Made:
        clock = time(17, 2, 11) if orbit.state == "ascending" else time(5, 41, 50)
        letter = orbit.platform[-1].upper()
        name = f"S1{letter}_IW_GRDH_1SDV_{day:%Y%m%d}T{clock:%H%M%S}_{orbit.number:03d}_rtc"
        # terrain-corrected products have the UTM grid; zone 33 is the nation's grid
        box = write.granule(ground, CRS if ground.one_grid else "EPSG:32633", (0.0, 1.0))
        properties = {
            "platform": orbit.platform,
            "constellation": "sentinel-1",
            "instruments": ["c-sar"],
            "sat:relative_orbit": orbit.number,
            "sat:orbit_state": orbit.state,
            "sar:instrument_mode": "IW",
            "sar:frequency_band": "C",
            "sar:polarizations": ["VV", "VH"],
            "sar:product_type": "GRD",
        }
        item = write.item(name, datetime.combine(day, clock, UTC), box, properties)
        for key, power in radar.gamma0(ground, orbit, day).items():
            path = folder / "sentinel-1-rtc" / name / f"{key.lower()}.tif"
            shift = weather.shift_px(ground, orbit.number, day)
            write.cog(path, write.warped(power, ground.geobox, box, radar.NODATA, shift), box, radar.NODATA)
            band = {"nodata": radar.NODATA, "data_type": "float32"}
            item.add_asset(key.lower(), write.asset(path, f"gamma0 {key}", **{"raster:bands": [band]}))
        return "sentinel1", [item]

    return make


def elevation(ground: Ground, folder: Path) -> pystac.Item:
    """Write the DEM: one arc second in WGS 84, slightly larger than the country; or on the grid of the country."""
    box = ground.geobox if ground.one_grid else _arc_seconds(ground)
    values = write.smoothed(ground.relief.elevation_m, ground.geobox, box)
    path = folder / "cop-dem-glo-30" / "dem" / "dem.tif"
    write.cog(path, values, box, None)
    item = write.item("synthetic_DSM_COG_10_DEM", datetime(2021, 4, 22, tzinfo=UTC), box, {"platform": "tandem-x"})
    item.add_asset("data", write.asset(path, "elevation"))
    return item


def _arc_seconds(ground: Ground) -> GeoBox:
    b = ground.geobox.extent.to_crs("EPSG:4326").boundingbox
    step = 1 / 3600
    edges = (
        np.floor(b.left / step) - 2,
        np.floor(b.bottom / step) - 2,
        np.ceil(b.right / step) + 2,
        np.ceil(b.top / step) + 2,
    )
    return GeoBox.from_bbox(tuple(float(e) * step for e in edges), "EPSG:4326", resolution=step)  # type: ignore[arg-type]
