"""The page of a plan: maps of tiles by number of scenes, outlines of scenes, gaps."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from markupsafe import Markup
from pyproj import Transformer

import lsbatch
from lsbatch.catalog.date_windows import KEYS
from lsbatch.catalog.items.scenes import Scene
from lsbatch.catalog.plan import Plan
from lsbatch.grid import tile_id
from lsbatch.report import templates
from lsbatch.settings import Config
from lsbatch.storage import files
from lsbatch.storage.workspace import Workspace

#: Titles of the maps. The DEM has none: it is one scene or a few that lie everywhere.
TITLES = {
    "pre_s2": "Sentinel-2, before",
    "post_s2": "Sentinel-2, after",
    "pre_s1": "Sentinel-1, before",
    "post_s1": "Sentinel-1, after",
}
#: Colours from few to many scenes, each darker than the one before; readable with any colour vision.
COLOURS = ("#d4e6f1", "#9dc6e0", "#5fa2cc", "#2e7ab0", "#0f4c81")
#: Colour of a tile without scenes.
GAP = "#d55e00"
#: Longer side of a map in its own units.
MAP_UNITS = 1000.0
#: Degrees between points along the outline of a scene, whose sides are curves in the grid's CRS.
STEP_DEG = 0.25
#: Gaps that are listed by name; the maps show all.
NAMED_GAPS = 20


@dataclass(frozen=True)
class Cell:
    """A tile on a map: its corner and side in map units, its colour, and the text of its tooltip."""

    x: float
    y: float
    side: float
    colour: str
    title: str


@dataclass(frozen=True)
class Map:
    """A map of one kind of scenes.

    Attributes
    ----------
    title : str
    cells : tuple of Cell
    outlines : str
        SVG path of the outlines of all scenes.
    legend : tuple of (colour, text)
    gaps : tuple of str
        Names of the tiles without scenes.
    """

    title: str
    cells: tuple[Cell, ...]
    outlines: str
    legend: tuple[tuple[str, str], ...]
    gaps: tuple[str, ...]


@dataclass(frozen=True)
class Frame:
    """From metres to map units: the left and top edge in the grid's CRS, map units a metre, and the extent."""

    left: float
    top: float
    scale: float
    width: float
    height: float

    def path(self, shapes: Sequence[shapely.Geometry]) -> str:
        """Return the outlines of polygons as an SVG path."""
        rings = shapely.get_rings(shapely.get_parts(np.array(shapes, dtype=object)))
        return "".join(self._ring(shapely.get_coordinates(ring)) for ring in rings)

    def _ring(self, points: np.ndarray) -> str:
        x, y = (points[:, 0] - self.left) * self.scale, (self.top - points[:, 1]) * self.scale
        return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True)) + "Z"


def write(made: Plan, config: Config) -> Path:
    """Write ``plan/plan.html`` in the survey's folder and return its path."""
    path = Workspace(config.output).plan / "plan.html"
    files.write_text(path, render(made, config))
    return path


def render(made: Plan, config: Config) -> str:
    """Return the HTML of a plan that was just made (with the scenes of its tiles)."""
    frame = _frame(made)
    maps = [_map(made, frame, key) for key in KEYS if key in TITLES and key in made.summary["scenes"]]
    template = templates.environment().get_template("plan.html.j2")
    return template.render(
        survey_id=config.survey.id,
        version=lsbatch.__version__,
        # only the style of lsbatch is not escaped
        style=Markup(Path(__file__).with_name("page.css").read_text(encoding="utf-8")),
        lines=made.lines(),
        maps=maps,
        frame=frame,
        region=frame.path([made.region]),
        tile_km=made.grid.tile_px * made.grid.resolution_m / 1000,
        named=NAMED_GAPS,
        gap=GAP,
    )


def _frame(made: Plan) -> Frame:
    left, bottom, right, top = made.grid.bounds
    scale = MAP_UNITS / max(right - left, top - bottom)
    return Frame(left, top, scale, (right - left) * scale, (top - bottom) * scale)


def _map(made: Plan, frame: Frame, key: str) -> Map:
    counts = {position: len(made.by_tile[tile_id(*position)].scenes[key]) for position in made.tiles}
    edges = class_edges(list(counts.values()))
    side = made.grid.tile_px * made.grid.resolution_m * frame.scale
    cells = tuple(
        Cell(col * side, row * side, side, _colour(count, edges), f"{tile_id(row, col)}: {_scenes(count)}")
        for (row, col), count in counts.items()
    )
    used = {scene.id: scene for tile in made.by_tile.values() for scene in tile.scenes[key]}
    return Map(
        TITLES[key],
        cells,
        frame.path(_footprints(list(used.values()), made.grid.crs)),
        _legend(edges, 0 in counts.values()),
        tuple(tile_id(*position) for position, count in counts.items() if not count),
    )


def _scenes(count: int) -> str:
    return "no scenes" if not count else f"{count} scene{'s' if count > 1 else ''}"


def class_edges(counts: Sequence[int]) -> list[int]:
    """Return the smallest count of each class of colour, ascending: at most five classes of equal numbers of tiles."""
    some = [count for count in counts if count]
    if not some:
        return []
    return sorted({int(edge) for edge in np.quantile(some, np.arange(len(COLOURS)) / len(COLOURS), method="lower")})


def _colour(count: int, edges: Sequence[int]) -> str:
    return GAP if not count else _shades(edges)[int(np.searchsorted(edges, count, side="right")) - 1]


def _shades(edges: Sequence[int]) -> list[str]:
    """Return a colour a class, from the lightest to the darkest."""
    steps = np.linspace(0, len(COLOURS) - 1, len(edges)) if len(edges) > 1 else [len(COLOURS) // 2]
    return [COLOURS[round(float(step))] for step in steps]


def _legend(edges: Sequence[int], gaps: bool) -> tuple[tuple[str, str], ...]:
    uppers = [*(edge - 1 for edge in edges[1:]), None]
    names = [
        f"{low} or more" if high is None else f"{low}" if low == high else f"{low} to {high}"
        for low, high in zip(edges, uppers, strict=False)
    ]
    return (*(((GAP, "no scenes"),) if gaps else ()), *zip(_shades(edges), names, strict=True))


def _footprints(scenes: Sequence[Scene], crs: str) -> list[shapely.Geometry]:
    """Return the outlines of scenes in the grid's CRS."""
    to_grid = Transformer.from_crs("EPSG:4326", crs, always_xy=True)

    def move(points: np.ndarray) -> np.ndarray:
        return np.column_stack(to_grid.transform(points[:, 0], points[:, 1]))

    shapes = (shapely.transform(shapely.segmentize(scene.footprint, STEP_DEG), move) for scene in scenes)
    return [shape for shape in shapes if np.isfinite(shapely.bounds(shape)).all()]
