"""The report page: collect the content, render the HTML, write ``report/report.html``.

The page is one file. Its content security policy forbids requests and all scripts except its own script.
A text from a catalogue therefore does no harm even if it is not escaped, and every text is escaped.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from markupsafe import Markup

import lsbatch
from lsbatch.catalog import plan
from lsbatch.catalog.survey import Survey
from lsbatch.models import base
from lsbatch.pipeline.types import Reduction
from lsbatch.report import (
    accuracy_section,
    figures,
    images,
    landslide_table,
    quicklooks,
    size_chart,
    statistics,
    templates,
    training_blocks,
)
from lsbatch.report import overview_map as maps
from lsbatch.settings import Config
from lsbatch.storage import files, receipts
from lsbatch.storage.workspace import Workspace

#: Landslides with images, the largest ones. `lsbatch view` has images of all; to make 4,000 here took 60 s of a process
#: that the whole survey waits for.
PICTURED = 500
#: Largest number of tiles for which the map shows tile names.
NAMED_TILES = 150
#: Rows of a table that are shown first; page.js uses the same number.
FIRST_ROWS = 200
#: Reasons that are shown first; the reader can unfold the rest.
SHOWN_REASONS = 5

_HERE = Path(__file__).parent


def apply(survey: Survey, config: Config) -> dict[str, Any]:
    """Write ``report/report.html``."""
    return of_sample(survey, config, 1.0)


def of_sample(survey: Survey, config: Config, share: float) -> dict[str, Any]:
    """Write the report of some tiles, with this share of the images of a whole survey."""
    records = figures.read(survey, config)
    found = figures.landslides(survey, records)
    tiles = figures.tiles(survey, records)
    frame = maps.frame(survey.grid, plan.load(config.output).region)
    largest = [] if found is None else list(found.geometry.iloc[: math.ceil(share * PICTURED)])
    scores, no_scores = figures.scores(survey)
    page = render(
        {
            "survey_id": config.survey.id,
            "kind": config.survey.kind,
            "crs": config.grid.crs,
            "resolution_m": config.grid.resolution_m,
            "min_area_m2": config.inventory.min_area_m2,
            "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "version": lsbatch.__version__,
            "head": figures.headline(survey, config, records, found),
            "unlike": figures.unlike(survey, config, records),
            "faults": figures.faults(survey, config, records, tiles),
            "scores": scores,
            "sample": accuracy_section.sample(survey),
            "sizes": [row for row in statistics.by_size(scores or {}) if row["mapped"]],
            "frequency": None if found is None else size_chart.frequency(statistics.frequencies(survey)),
            "counties": accuracy_section.counties(survey),
            "reliability": figures.reliability(survey) if scores else [],
            "no_scores": no_scores,
            "tiles": tiles,
            "stages": figures.stages(records),
            "origin": figures.provenance(config, records),
            "curve": _curve(config),
            "map": _map(survey, records, frame, tiles),
            "split": training_blocks.facts(base.card(base.resolve(config)), survey, frame),
            **_listed(config, found, frame),
            "looks": quicklooks.quicklooks(survey, config, largest),
            "titles": quicklooks.TITLES,
            "ramps": {"change": images.css_ramp(images.CHANGE), "probability": images.css_ramp(images.PROBABILITY)},
            "change_db": images.CHANGE_DB,
            "colours": {"found": images.FOUND, "false": images.FALSE, "missed": images.MISSED},
            "shown_reasons": SHOWN_REASONS,
            "first_rows": FIRST_ROWS,
        }
    )
    files.write_text(survey.workspace.report / "report.html", page)
    return {"landslides": 0 if found is None else len(found), "megabytes": round(len(page.encode()) / 1e6, 2)}


def _listed(config: Config, found: gpd.GeoDataFrame | None, frame: maps.Frame) -> dict[str, Any]:
    """Return the landslides of the list and the map, as data that the browser unpacks."""
    if found is None or found.empty:
        return {"listed": 0, "choices": [], "packed": ""}
    records = landslide_table.records(found, config.inventory.confounders)
    return {
        "listed": len(found),
        "choices": landslide_table.choices(found),
        "packed": landslide_table.packed({**records, "outlines": maps.outlines(frame, found)}),
    }


def _map(survey: Survey, records: figures.Records, frame: maps.Frame, tiles: list[dict[str, Any]]) -> dict[str, Any]:
    region = plan.load(survey.config.output).region
    masked = figures.worked(survey, records, "stack", "clean", "thumbnails")
    scored = masked & figures.worked(survey, records, "score")
    seen = maps.overview(survey, frame, region, masked, scored)
    unobserved, inside = np.count_nonzero(seen.unobserved), np.count_nonzero(seen.inside)
    (edge,) = frame.shown(np.array([shapely.simplify(region, frame.metres * maps.TOLERANCE_PX)]))
    return {
        "width": frame.cols,
        "height": frame.rows,
        "metres": frame.metres,
        "bases": maps.bases(seen, frame),
        "hits": None if seen.hits is None else maps.hits_picture(seen, frame),
        "region": maps.path(edge),
        "scale": maps.scale_bar(frame),
        "cell": frame.cell,
        "tiles": [{**row, "corner": frame.corner(row["position"])} for row in tiles],
        "named": len(tiles) <= NAMED_TILES,
        "unobserved": unobserved / inside if inside else None,
    }


def _curve(config: Config) -> dict[str, str] | None:
    """Return the learning curve beside the weights as data URI, or the reason why it is missing."""
    weights = base.resolve(config)
    picture = weights.with_name(f"{weights.stem}-training") / "log.png"
    if not files.exists(picture):
        return None
    try:
        return {"uri": images.file_uri(files.read_bytes(picture)), "fault": ""}
    except OSError as error:
        return {"uri": "", "fault": f"{picture.name} cannot be read: {error}"}


def render(content: Mapping[str, Any]) -> str:
    """Render the page; every text of `content` is escaped."""
    script, style = ((_HERE / f"page.{kind}").read_text(encoding="utf-8") for kind in ("js", "css"))
    environment = templates.environment()
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    environment.filters |= {"number": number, "percent": percent, "area": area, "score": score, "duration": duration}
    # only the script and the style of lsbatch are not escaped; `tojson` writes <, >, & and ' as \\u....
    return environment.get_template("page.html.j2").render(
        {**content, "script": Markup(script), "style": Markup(style), "seal": templates.seal(script)}
    )


MISSING = "–"


def number(value: float | None, digits: int = 0) -> str:
    """Format a number with thousands separators; a dash if unknown."""
    return MISSING if value is None else f"{value:,.{digits}f}"


def percent(value: float | None, digits: int = 1) -> str:
    """Format a share as percent."""
    return MISSING if value is None else f"{100 * value:.{digits}f} %"


def area(value_m2: float | None) -> str:
    """Format square metres in a readable unit."""
    if value_m2 is None:
        return MISSING
    if value_m2 >= 1e6:
        return f"{value_m2 / 1e6:,.2f} km²"
    return f"{value_m2 / 1e4:,.1f} ha" if value_m2 >= 1e4 else f"{value_m2:,.0f} m²"


def score(value: float | None) -> str:
    """Format a score with three decimals, or as undefined."""
    return "undefined" if value is None else f"{value:.3f}"


def duration(seconds: float | None) -> str:
    """Format a duration in seconds, minutes or hours."""
    if seconds is None:
        return MISSING
    if seconds < 120:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _settings(config: Config) -> dict[str, Any]:
    """Return the settings that the page depends on; place and workers do not change it."""
    assessment = Workspace(config.output).accuracy / "accuracy.json"
    return {
        "settings": config.of_results(),
        "software": lsbatch.__version__,
        "assessment": receipts.checksum(assessment) if files.exists(assessment) else "",
    }


REDUCTION = Reduction(
    name="report",
    version=4,
    apply=apply,
    settings=_settings,
    after=(*figures.STAGES, "inventory", "figures"),
    of_sample=of_sample,
)
