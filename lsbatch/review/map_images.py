"""Images of a survey for the map of the page: national maps, and bands of the cube in colour."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import Any

import numpy as np

from lsbatch.bands import FULL_STACK
from lsbatch.catalog.survey import Survey
from lsbatch.kernels import terrain
from lsbatch.pipeline.clean import UNOBSERVED
from lsbatch.pipeline.map_contents import NO_DAY, NO_PERCENT
from lsbatch.pipeline.stack import OPTICAL, RADAR, SHADED
from lsbatch.report import images
from lsbatch.storage import cube, files, rasters

Bands = Mapping[str, np.ndarray]
#: From bands, NaN where unknown, to (rows, cols, 4) uint8.
Paint = Callable[[Bands], np.ndarray]
#: A colour and its meaning.
Legend = tuple[tuple[str, str], ...]

#: Pixels along a side of each sample from which the stretch of the true colours is taken, and the number of samples.
SAMPLE_PX, SAMPLES = 256, 9
_SEEN = (
    (OPTICAL | RADAR, "#0072b2", "Sentinel-2 and Sentinel-1"),
    (OPTICAL, "#56b4e9", "Sentinel-2 only"),
    (RADAR, "#009e73", "Sentinel-1 only"),
    (0, "#999999", "neither"),
)
_SHADE_COLOUR = "#e69f00"
_LANDSLIDE, _UNOBSERVED = "#d55e00", "#b0b0b0"


@dataclass(frozen=True)
class Image:
    """One image that the map can show.

    Attributes
    ----------
    name, title : str
    bands : tuple of str
        Bands of STACK; empty for a national map, whose file has the name of the image.
    paint : callable
    ramp : str
        Gradient of CSS for the legend; empty for classes and true colours.
    ends : (str, str)
        Meaning of the ends of the ramp.
    legend : tuple of (colour, meaning)
    is_smooth : bool
        Whether colours may be stored with small losses; not those of classes.
    prepare : callable
        Applied to the bands before they are reduced.
    """

    name: str
    title: str
    bands: tuple[str, ...]
    paint: Paint
    ramp: str = ""
    ends: tuple[str, str] = ("", "")
    legend: Legend = ()
    is_smooth: bool = True
    prepare: Callable[[Bands], Bands] = field(default=lambda bands: bands)

    def described(self) -> dict[str, Any]:
        """Return what the page needs to know of it."""
        return {
            "name": self.name,
            "title": self.title,
            "ramp": self.ramp,
            "ends": self.ends,
            "legend": self.legend,
        }


def of_survey(survey: Survey) -> dict[str, Image]:
    """Return the images of a survey by name, those that are there; the image that is shown first is the first."""
    found = [*_of_cube(survey), *(one for one in _of_maps(survey) if files.exists(survey.workspace.maps / _file(one)))]
    return {one.name: one for one in found}


def read(survey: Survey, image: Image, rows: slice, cols: slice, reduce: int) -> Bands:
    """Read the bands of an image, reduced by whole numbers; unknown pixels are NaN.

    Parameters
    ----------
    survey : Survey
    image : Image
    rows, cols : slice
        Inside the grid, not empty.
    reduce : int
        Pixels along a side of a pixel of the result.
    """
    shape = (-(-(rows.stop - rows.start) // reduce), -(-(cols.stop - cols.start) // reduce))
    if image.bands:
        stored = cube.read_window(survey.workspace.store, survey.grid, FULL_STACK, rows, cols, image.bands)
        found = image.prepare(stored)
        return found if reduce == 1 else {key: images.reduced(values, shape) for key, values in found.items()}
    values = rasters.read_part(survey.workspace.maps / _file(image), rows, cols, shape)
    return {str(i): each.astype(np.float32) for i, each in enumerate(values)}


def _file(image: Image) -> str:
    return f"{image.name}.tif"


def _of_cube(survey: Survey) -> list[Image]:
    if not files.exists(survey.workspace.store / FULL_STACK.name / "zarr.json"):
        return []
    archives, found = survey.config.archives, []
    if archives.sentinel2:
        how = _stretch(survey, ("preR", "preG", "preB", "postR", "postG", "postB"), gamma=1.5)
        found += [
            Image(name, f"{name}, true colour", bands, partial(_true_colour, bands, how))
            for name, period in (("after", "post"), ("before", "pre"))
            if (bands := tuple(f"{period}{colour}" for colour in "RGB"))
        ]
    if archives.sentinel1:
        limit = images.CHANGE_DB
        change = partial(_ramped, "diffVV", images.CHANGE, -limit, limit, np.nan)
        ends = (f"-{limit:g} dB", f"+{limit:g} dB")
        found.append(
            Image("radar-change", "radar change VV", ("diffVV",), change, images.css_ramp(images.CHANGE), ends)
        )
        how = _stretch(survey, ("preVV", "postVV"))
        found += [
            Image(f"radar-{name}", f"radar VV {name}", (band,), partial(_grey, band, how))
            for name, band in (("after", "postVV"), ("before", "preVV"))
        ]
    if archives.dem:
        side = survey.grid.resolution_m
        found.append(Image("relief", "relief", ("elevation",), _relief, prepare=partial(_shaded, side)))
    return found


def _of_maps(survey: Survey) -> list[Image]:
    windows = survey.config.survey.windows
    start, end = windows.pre[1], windows.post[1]
    first, last = ((day - date(1970, 1, 1)).days for day in (start, end))
    ramp, colours = images.css_ramp(images.PROBABILITY), images.PROBABILITY
    seen: Legend = tuple((colour, meaning) for _, colour, meaning in _SEEN)
    return [
        Image(
            "probability", "probability", (), partial(_ramped, "0", colours, 0, 100, NO_PERCENT), ramp, ("0", "1"),
            is_smooth=False,
        ),
        Image(
            "mask", "landslide mask", (), _mask, is_smooth=False,
            legend=((_LANDSLIDE, "landslide"), (_UNOBSERVED, "not observed")),
        ),
        Image(
            "date", "day of the clear image after", (), partial(_ramped, "0", colours, first, last, NO_DAY), ramp,
            (start.isoformat(), end.isoformat()), is_smooth=False,
        ),
        Image(
            "observed", "observed ground", (), _observed, is_smooth=False,
            legend=(*seen, (_SHADE_COLOUR, "terrain shadow")),
        ),
    ]  # fmt: skip


def _stretch(survey: Survey, names: tuple[str, ...], gamma: float = 1.0) -> images.Stretch:
    """Return one stretch for all tiles, from samples in the middles of evenly spread tiles."""
    chosen = np.linspace(0, len(survey.positions) - 1, min(SAMPLES, len(survey.positions))).round().astype(int)
    found = []
    for i in np.unique(chosen).tolist():
        rows, cols = (
            slice(max(span.start, middle - SAMPLE_PX // 2), min(span.stop, middle + SAMPLE_PX // 2))
            for span in survey.tile(survey.positions[i]).region
            if (middle := (span.start + span.stop) // 2)
        )
        bands = cube.read_window(survey.workspace.store, survey.grid, FULL_STACK, rows, cols, names)
        found += [values.ravel() for values in bands.values()]
    return images.stretch(*found, gamma=gamma)


def _opaque(picture: np.ndarray, known: np.ndarray | np.bool[bool]) -> np.ndarray:
    """Return the picture with an alpha channel: transparent where nothing is known."""
    return np.dstack([picture, np.where(known, 255, 0).astype(np.uint8)])


def _true_colour(names: tuple[str, ...], how: images.Stretch, bands: Bands) -> np.ndarray:
    colours = [bands[name] for name in names]
    return _opaque(images.true_colour(colours, how), np.isfinite(np.stack(colours)).all(axis=0))


def _grey(name: str, how: images.Stretch, bands: Bands) -> np.ndarray:
    return _opaque(images.grey(bands[name], how), np.isfinite(bands[name]))


def _ramped(name: str, ramp: images.Ramp, low: float, high: float, nodata: float, bands: Bands) -> np.ndarray:
    values = bands[name]
    return _opaque(images.ramped(values, ramp, low, high), np.isfinite(values) & (values != nodata))


def _shaded(metres: float, bands: Bands) -> Bands:
    return {"shade": terrain.hillshade(bands["elevation"], metres, metres)}


def _relief(bands: Bands) -> np.ndarray:
    light = bands["shade"]
    return _opaque(images.grey(0.35 + 0.65 * light / 255, images.Stretch(0.0, 1.0)), np.isfinite(light))


def _mask(bands: Bands) -> np.ndarray:
    values = bands["0"]
    return _classes(values, {1: _LANDSLIDE, UNOBSERVED: _UNOBSERVED})


def _observed(bands: Bands) -> np.ndarray:
    values = np.nan_to_num(bands["0"]).astype(np.uint8)
    out = _classes(
        np.where(values > 0, values & (OPTICAL | RADAR), np.nan), {bits: colour for bits, colour, _ in _SEEN}
    )
    out[(values & SHADED) > 0] = (*images.rgb(_SHADE_COLOUR), 255)
    return out


def _classes(values: np.ndarray, colours: Mapping[int, str]) -> np.ndarray:
    out = np.zeros((*values.shape, 4), np.uint8)
    for value, colour in colours.items():
        out[values == value] = (*images.rgb(colour), 255)
    return out
