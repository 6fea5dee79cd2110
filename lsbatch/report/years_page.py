"""The page that compares annual surveys: years.html and years.csv.

The page is one file. Its content security policy forbids requests and all scripts except its own script.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
import shapely
from markupsafe import Markup

import lsbatch
from lsbatch.catalog import plan
from lsbatch.catalog.survey import Survey
from lsbatch.inventory.years import year_table
from lsbatch.inventory.years.compared_ground import WHOLE
from lsbatch.inventory.years.year_table import CHANGES, Year
from lsbatch.report import overview_map as maps
from lsbatch.report import templates
from lsbatch.settings import digest
from lsbatch.storage import files, objects, receipts, vectors

#: Colours of the changes on the maps, distinct with any colour vision; changes that are not drawn have none.
COLOURS = {
    "not compared": "#e69f00", "new": "#d55e00", "enlarged": "#cc79a7", "reactivated": "#7b3294",
    "persisting": "#0072b2", "gone": "#009e73",
}  # fmt: skip
#: What a reader should know of each change.
MEANINGS = {
    "not compared": "found, in a survey that is linked with no year before",
    "new": "found, and not known from a year before",
    "enlarged": "found, and more than a tenth larger than before",
    "reactivated": "found, and it slid again",
    "persisting": "found again",
    "gone": "known from the year before; its ground was observed, and nothing was found there",
    "gone before": "gone in an earlier year, and not found since",
    "not observed": "known from the year before; its ground was not observed this year",
}
#: Landslides of a year that its map draws, the largest first. A drawn outline takes some 100 bytes.
DRAWN = 3000
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Bar:
    """A bar of a chart: its year, its length as percent of the longest, and its number as text."""

    year: int
    percent: float
    text: str


def write(surveys: Sequence[Survey], folder: Path) -> Path:
    """Write years.html and years.csv of surveys in the order of their years; return the page.

    Files that were made from the same surveys are left as they are.
    """
    page = folder / "years.html"
    state = _state(surveys)
    if files.exists(page) and f'content="{state}"' in files.read_text(page):
        return page
    years = year_table.read(surveys)
    table = year_table.table(years)
    vectors.write_csv(folder / "years.csv", table)
    # last: it tells that both are current
    files.write_text(page, render(years, table, folder, state))
    return page


def _state(surveys: Sequence[Survey]) -> str:
    """Return the digest of what the page is made from: maps, inventories, links and settings."""
    return digest([lsbatch.__version__, [_state_of(survey) for survey in surveys]])


def _state_of(survey: Survey) -> list[Any]:
    places = survey.workspace
    masked = receipts.read_stage(places.receipts, "clean")
    earlier, areas = places.earlier, survey.config.inventory.areas
    return [
        str(places.root),
        survey.config.model_dump(mode="json", exclude={"cluster"}),
        sorted((tile, receipt.digest) for tile, receipt in masked.items() if receipt),
        receipts.checksum(places.inventory / "landslides.parquet"),
        receipts.checksum(earlier) if files.exists(earlier) else None,
        receipts.checksum(areas) if areas is not None else None,
    ]


def render(years: Sequence[Year], table: pd.DataFrame, folder: Path, state: str) -> str:
    """Render the page; every text is escaped."""
    script, style = ((_HERE / name).read_text(encoding="utf-8") for name in ("years.js", "page.css"))
    whole = table[table["area"] == WHOLE]
    shown = [change for change in CHANGES if whole[_column(change)].any()]
    environment = templates.environment()
    environment.filters |= {"number": _number}
    return environment.get_template("years.html.j2").render(
        # only the script and the style of lsbatch are not escaped
        script=Markup(script),
        style=Markup(style),
        seal=templates.seal(script),
        state=state,
        version=lsbatch.__version__,
        first=years[0].year,
        last=years[-1].year,
        years=[_year(year, row, folder) for year, row in zip(years, whole.to_dict("records"), strict=True)],
        changes=shown,
        column=_column,
        meanings=MEANINGS,
        colours=COLOURS,
        charts=_charts(whole, shown),
        remarks=year_table.remarks(years),
        rows=table[table["area"] != WHOLE].to_dict("records"),
        drawn=DRAWN,
    )


def _column(change: str) -> str:
    return change.replace(" ", "_")


def _number(value: float, digits: int = 0) -> str:
    """Format a number; a dash if unknown."""
    return "–" if math.isnan(value) else f"{value:,.{digits}f}"


def _charts(whole: pd.DataFrame, shown: Sequence[str]) -> list[tuple[str, list[Bar]]]:
    """Return title and bars of each chart."""
    charts = [
        ("Observed ground, km²", _bars(whole, "observed_km2", 1)),
        ("Landslides found per 1,000 km² of observed ground", _bars(whole, "landslides_per_1000_km2", 2)),
    ]
    if whole["common_new"].notna().any():
        title = "New per 1,000 km² of ground that the year before observed too"
        charts.append((title, _bars(whole, "common_new_per_1000_km2", 2)))
    titles = {change: f"{change[0].upper()}{change[1:]}, landslides" for change in shown}
    return charts + [(titles[change], _bars(whole, _column(change), 0)) for change in shown]


def _bars(whole: pd.DataFrame, name: str, digits: int) -> list[Bar]:
    values = whole[name].astype(float)
    most = values.max()
    return [
        Bar(int(year), round(100 * value / most, 1) if most > 0 and value == value else 0.0, _number(value, digits))
        for year, value in zip(whole["year"], values, strict=True)
    ]


def _year(year: Year, row: dict[str, Any], folder: Path) -> dict[str, Any]:
    survey = year.survey
    region = plan.load(survey.config.output).region
    frame = maps.frame(survey.grid, region)
    px = frame.metres / 1000
    (edge,) = frame.shown(shapely.simplify([region], frame.metres * maps.TOLERANCE_PX))
    return {
        **row,
        "region_km2": region.area / 1e6,
        "links": _links(survey, folder),
        "width": frame.cols,
        "height": frame.rows,
        "km": px * frame.cols,
        "region": maps.path(edge),
        "tiles": [
            {"x": x, "y": y, "side": frame.cell, "hidden": round(0.6 * (1 - share), 2)}
            for position, share in year.ground.tiles.items()
            for x, y in [frame.corner(position)]
            if share < 0.995
        ],
        "outlines": _outlines(year, frame),
        "left_out": max(0, int(year.landslides["change"].isin(COLOURS).sum()) - DRAWN),
    }


def _outlines(year: Year, frame: maps.Frame) -> list[tuple[str, str]]:
    """Return change and path of the outlines of the map, one path a change."""
    drawn = year.landslides[year.landslides["change"].isin(COLOURS)].nlargest(DRAWN, "area_m2")
    found = []
    for change in COLOURS:
        mine = drawn[drawn["change"] == change]
        if len(mine):
            found.append((change, "".join(maps.outlines(frame, mine))))
    return found


def _links(survey: Survey, folder: Path) -> list[tuple[str, str]]:
    """Return name and address, relative to the page, of the files of a survey that are there."""
    places = survey.workspace
    wanted = (
        ("report", places.report / "report.html"),
        ("inventory", places.inventory / "landslides.gpkg"),
        ("QGIS project", places.project),
    )
    return [(name, _relative(file, folder)) for name, file in wanted if files.exists(file)]


def _relative(file: Path, folder: Path) -> str:
    if objects.is_remote(file) or objects.is_remote(folder):
        return str(file)
    return quote(Path(os.path.relpath(file, folder)).as_posix())
