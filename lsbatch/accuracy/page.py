"""The HTML page with images before and after each sample point; it does not show what the map says there."""

from pathlib import Path
from typing import Any

import geopandas as gpd
import jinja2
import numpy as np

from lsbatch.bands import STACK
from lsbatch.catalog.survey import Survey
from lsbatch.report import images
from lsbatch.storage import cube

#: Pixels shown on each side of a point.
AROUND_PX = 32
SIDE_PX = 2 * AROUND_PX + 1

#: SVG path: the outline of the pixel in the middle, and four lines that point to it; the pixels beside it stay visible.
_MARK = (
    f"M{AROUND_PX} {AROUND_PX}h1v1h-1zM{AROUND_PX - 8} {AROUND_PX + 0.5}h5M{AROUND_PX + 4} "
    f"{AROUND_PX + 0.5}h5M{AROUND_PX + 0.5} {AROUND_PX - 8}v5M{AROUND_PX + 0.5} {AROUND_PX + 4}v5"
)

_TITLES = (("pre", "before"), ("post", "after"))
_OPTICAL = tuple(f"{period}{colour}" for period, _ in _TITLES for colour in "RGB")
_RADAR = tuple(f"{period}VV" for period, _ in _TITLES)


def render(survey: Survey, points: gpd.GeoDataFrame) -> str:
    """Return the page as one HTML text without scripts.

    Parameters
    ----------
    survey : Survey
    points : GeoDataFrame
        Sample points in the order of the page. Stratum and map class are not used.
    """
    lonlat = points.geometry.to_crs("EPSG:4326")
    rows = [
        {"id": int(number), "x": x, "y": y, "lat": place.y, "lon": place.x, "pictures": look(survey, x, y)}
        for number, x, y, place in zip(points["id"], points["x"], points["y"], lonlat, strict=True)
    ]
    windows = survey.config.survey.windows
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("sample.html.j2").render(
        survey_id=survey.config.survey.id,
        crs=survey.config.grid.crs,
        points=rows,
        side=SIDE_PX,
        mark=_MARK,
        metres=SIDE_PX * survey.config.grid.resolution_m,
        resolution_m=survey.config.grid.resolution_m,
        pre=windows.pre,
        post=windows.post,
    )


def look(survey: Survey, x: float, y: float) -> list[dict[str, str]]:
    """Return images before and after around a place: optical and radar, if available."""
    config = survey.config
    col, row = (int(np.floor(value)) for value in ~survey.grid.geobox.transform @ (x, y))
    names = (*(_OPTICAL if config.archives.sentinel2 else ()), *(_RADAR if config.archives.sentinel1 else ()))
    rows, cols = (slice(middle - AROUND_PX, middle + AROUND_PX + 1) for middle in (row, col))
    bands = cube.read_window(survey.workspace.store, survey.grid, STACK, rows, cols, names)
    found: list[dict[str, str]] = []
    if any(np.isfinite(bands[name]).any() for name in _OPTICAL if name in bands):
        how = images.stretch(*(bands[name] for name in _OPTICAL), gamma=1.5)
        for period, title in _TITLES:
            colours = [bands[f"{period}{colour}"] for colour in "RGB"]
            found.append(_picture(f"{title}, true colour", images.true_colour(colours, how), colours[0]))
    if any(np.isfinite(bands[name]).any() for name in _RADAR if name in bands):
        how = images.stretch(*(bands[name] for name in _RADAR))
        for period, title in _TITLES:
            values = bands[f"{period}VV"]
            # the three channels are equal; one channel takes a third of the bytes
            found.append(_picture(f"{title}, radar VV", images.grey(values, how), values, channels=0))
    return found


def _picture(title: str, drawn: np.ndarray, values: np.ndarray, channels: Any = slice(None)) -> dict[str, str]:
    return {"title": title, "uri": images.png_uri(images.hatched(drawn, ~np.isfinite(values))[..., channels])}
