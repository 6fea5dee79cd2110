"""A synthetic country for the demo and tests: scenes in real formats and known landslides, from one seed.

All its images are computed, and every result on it is a result on synthetic data.
"""

import dataclasses
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lsbatch.synthetic import country, repetition, scenes, truth, write, yearly_landslides
from lsbatch.synthetic.conditions import PLAIN, Conditions

#: CPU cores used. Threads help because numpy's random generators and GDAL's compression release the GIL.
THREADS = 2

_CONFIG = """\
# A synthetic country (seed {seed}, {rows} x {cols} pixels of {pixel_m:g} m), made by lsbatch simulate. \
All data are computed.
{conditions}survey:
  id: synthetic-{seed}
  kind: annual
  year: {year}
  season: ["{first}", "{last}"]
region:
  bounds: [{left}, {bottom}, {right}, {top}]
grid:
  crs: {crs}
  resolution_m: {pixel_m:g}
  tile_px: {tile_px}
archives:
  sentinel2: {{preset: local, url: catalog/catalog.json, collections: [{optical}]}}
  sentinel1: {{preset: local, url: catalog/catalog.json, collections: [sentinel-1-rtc]}}
  dem: {{preset: local, url: catalog/catalog.json, collections: [cop-dem-glo-30]}}
bands: s1vv_s2
model:
  family: unet
  weights: package:unet-s1vv_s2
truth:
  file: truth.gpkg
  date_field: date
  points: points.gpkg
  plots: plots.gpkg
output: survey
"""
_COMPOSED = """composite:
  bands: [{bands}]
"""
_COUNTIES = """inventory:
  areas: plots.gpkg
"""
_DATED = """inventory:
  radar_dates: true
"""


def simulate(
    folder: Path,
    *,
    seed: int,
    rows: int,
    cols: int,
    history_years: int = 0,
    level_1c: bool = False,
    radar_days: int = 0,
    further: tuple[str, ...] = (),
    conditions: Conditions = PLAIN,
    repeat: tuple[int, int] | None = None,
    years: int = 1,
) -> Path:
    """Write a country: a STAC catalogue of COGs, its known landslides, and settings for its survey.

    Parameters
    ----------
    folder : Path
        Output folder; files of the same names are replaced.
    seed : int
        The same seed and size give the same bytes. Seeds 900-999 are reserved for final evaluation.
    rows, cols : int
        Pixels of 10 m, or of the size that the conditions say.
    history_years : int
        Years of dense Sentinel-2 images before the survey's first year, for models that follow each pixel. The survey's
        own years are then dense, too.
    level_1c : bool
        Also write the same images as Level 1C, in the collection ``sentinel-2-l1c``; not with a history.
    radar_days : int
        Days between the passes of each Sentinel-1 orbit, from the first season to the last, so that landslides can be
        dated. 0: a few passes in each of the two seasons. Sentinel-1's repeat is 12.
    further : tuple of str
        Further Sentinel-2 bands, of 20 m (see `lsbatch.bands.FURTHER`); the settings then ask for them. They leave all
        other pixels unchanged.
    conditions : Conditions
        What differs between countries; see `lsbatch.synthetic.conditions.drawn`.
    repeat : (int, int) or None
        Rows and columns of places that all have this country's pixels and landslides (see
        `lsbatch.synthetic.repetition`). All scenes are then on the grid of the country, and Sentinel-2 is in the
        collection of Earth Search only. ``rows`` and ``cols`` must be multiples of 256.
    years : int
        Annual surveys that the images allow, from the first: landslides are new, enlarged, active again or green again
        (see `lsbatch.synthetic.yearly_landslides`). More than one only for the plain country of seasons.

    Returns
    -------
    Path
        The settings file, written last.
    """
    # links of the catalogue are made relative to its folder, which requires absolute paths
    folder = folder.resolve()
    made = dataclasses.replace(country.make(seed, rows, cols, conditions), one_grid=repeat is not None)
    archive = folder / "catalog"
    if years > 1:
        of_first_year = yearly_landslides.ground_of(made, country.YEAR, years)
        truth.save(of_first_year, folder, yearly_landslides.events(made, years))
    else:
        truth.save(made, folder)
    items = {"sentinel2": [], "sentinel1": [], "dem": [scenes.elevation(made, archive)]}
    jobs = scenes.jobs(made, archive, history_years, level_1c, radar_days, further, years)
    with ThreadPoolExecutor(THREADS) as pool:
        for sensor, new in pool.map(lambda job: job(), jobs):
            items[sensor] += new
    whole = made.geobox
    if repeat:
        items = {sensor: repetition.repeat_items(found, made, repeat) for sensor, found in items.items()}
        repetition.repeat_truth(made, folder, repeat)
        whole = repetition.geobox(made, repeat)
    at_sensor = [i for i in items["sentinel2"] if "MSIL1C" in i.id]
    planetary = [i for i in items["sentinel2"] if "MSIL2A" in i.id]
    earth_search = [i for i in items["sentinel2"] if "red" in i.assets]
    collections = {
        "sentinel-2-l2a": ("Sentinel-2 L2A as in Earth Search (synthetic)", earth_search),
        "sentinel-2-l2a-pc": ("Sentinel-2 L2A as in Planetary Computer (synthetic)", planetary),
        "sentinel-2-l1c": ("Sentinel-2 Level 1C (synthetic)", at_sensor),
        "sentinel-1-rtc": ("Sentinel-1 gamma0, terrain corrected (synthetic)", items["sentinel1"]),
        "cop-dem-glo-30": (f"Elevation{'' if repeat else ' at one arc second'} (synthetic)", items["dem"]),
    }
    write.catalogue(archive, {name: one for name, one in collections.items() if one[1]})
    path = folder / "config.yaml"
    box = whole.boundingbox
    first, last = country.SEASON
    path.write_text(
        _CONFIG.format(
            seed=seed, rows=whole.shape[0], cols=whole.shape[1], year=country.YEAR, first=first, last=last,
            crs=country.CRS, left=box.left, bottom=box.bottom, right=box.right, top=box.top, tile_px=512,
            optical="sentinel-2-l2a" if repeat else "sentinel-2-l2a, sentinel-2-l2a-pc", pixel_m=made.pixel_m,
            conditions=_comments(conditions),
        )
        + (_DATED if radar_days else _COUNTIES if years > 1 else "")
        + (_COMPOSED.format(bands=", ".join(further)) if further else ""),
        encoding="utf-8",
    )  # fmt: skip
    return path


def _comments(conditions: Conditions) -> str:
    """Return the conditions of a varied country as comments for its settings."""
    if not conditions.varied:
        return ""
    lines = ["# A varied country; what was drawn is in conditions.json, and truth.gpkg is what a mapper delivers:"]
    for topic in ("land", "slides", "radar", "optical", "mapping"):
        lines.append(f"#   {topic}: {_short(dataclasses.asdict(getattr(conditions, topic)))}")
    return "\n".join(textwrap.fill(line, 118, subsequent_indent="#     ") for line in lines) + "\n"


def _short(values: dict[str, object]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in values.items() if isinstance(value, (int, float)))
