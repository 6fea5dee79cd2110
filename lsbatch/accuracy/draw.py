"""Draw a stratified random sample of the surveyed ground for a reviewer."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import geopandas as gpd
import numpy as np
import pandas as pd

import lsbatch
from lsbatch.accuracy import page
from lsbatch.accuracy.strata import EXPECTED, LANDSLIDE, NONE, STRATA, Census, census
from lsbatch.catalog.survey import Survey
from lsbatch.errors import ConfigError
from lsbatch.kernels.statistics import stratified_sampling
from lsbatch.storage import files, sample_points

#: Points that each stratum gets at least, as Olofsson et al. (2014), section 5.1.3, advise for rare classes; fewer in a
#: small sample.
LEAST = 50
#: With a minimum distance, how many times the sample's size is ranked in each stratum to choose from.
CROWD = 50


@dataclass(frozen=True)
class Asked:
    """The requested sample.

    Attributes
    ----------
    size : int
        Points.
    allocation : "neyman" or "equal"
    seed : int
    min_distance_m : float
        Between any two points; 0 for none.
    """

    size: int = 600
    allocation: Literal["neyman", "equal"] = "neyman"
    seed: int = 0
    min_distance_m: float = 0.0


def draw(survey: Survey, asked: Asked) -> Mapping[str, Any]:
    """Write ``accuracy/sample.gpkg`` and ``accuracy/sample.html``.

    Returns
    -------
    mapping
        file, page; and by stratum, as lists: strata, pixels, points.

    Raises
    ------
    NoDataError
        If there is no map yet.
    ConfigError
        If the points do not fit, or if there is a sample that somebody has begun to answer.
    StaleStoreError
        If the map is being written.
    """
    target = survey.workspace.accuracy / "sample.gpkg"
    _spare(target, survey.config.grid.crs)
    found = census(survey, asked.seed, asked.size * (CROWD if asked.min_distance_m > 0 else 1))
    points = _allocate(asked, found.pixels)
    places = _choose(found, points, asked, survey.grid.resolution_m)
    frame = _frame(survey, found, places, asked.seed)
    design = _design(survey, found, frame, asked)
    text = page.render(survey, frame)
    sample_points.write(target, frame, design)
    files.write_text(target.with_name("sample.html"), text)
    return {
        "file": str(target), "page": str(target.with_name("sample.html")),
        "strata": list(STRATA), "pixels": found.pixels.tolist(), "points": points.tolist(),
    }  # fmt: skip


def _spare(target: Path, crs: str) -> None:
    """Refuse to overwrite a sample that already has answers."""
    if not files.exists(target):
        return
    try:
        answers = sample_points.read(target, crs)[0]["reference"].fillna("").astype(str).str.strip()
    except ConfigError as error:
        raise ConfigError(
            f"{target}: is there already and is not a sample that can be read; move it away first ({error})"
        ) from None
    if (answers != "").any():
        raise ConfigError(
            f"{target}: holds {(answers != '').sum()} answers already; move it away first if you want another sample"
        )


def _allocate(asked: Asked, pixels: np.ndarray) -> np.ndarray:
    deviations = None if asked.allocation == "equal" else np.sqrt(EXPECTED * (1 - EXPECTED))
    return stratified_sampling.allocate(asked.size, pixels, deviations, min(LEAST, asked.size // (2 * len(STRATA))))


def _choose(found: Census, points: np.ndarray, asked: Asked, resolution_m: float) -> list[np.ndarray]:
    """Return national rows and columns of each stratum's points; with a distance, the rarest stratum is drawn first."""
    places = [np.empty((0, 2), np.int64)] * len(STRATA)
    for k in np.argsort(found.pixels, kind="stable"):
        taken = np.concatenate(places)
        chosen = stratified_sampling.spaced(
            found.candidates[k], int(points[k]), asked.min_distance_m / resolution_m, taken
        )
        if len(chosen) < points[k]:
            raise ConfigError(
                f"--min-distance {asked.min_distance_m:g}: only {len(chosen)} of the {points[k]} points of the stratum "
                f"{list(STRATA)[k]!r} "
                "find a place that far from the others; choose a shorter distance or a smaller sample"
            )
        places[k] = found.candidates[k][chosen]
    return places


def _frame(survey: Survey, found: Census, places: list[np.ndarray], seed: int) -> gpd.GeoDataFrame:
    """Return the points, numbered in an order that does not reveal their strata."""
    rows, cols = np.concatenate(places).T
    stratum = np.repeat(np.arange(len(STRATA)), [len(one) for one in places])
    # other random numbers than those that chose them, whose low ones come from the large strata
    order = np.lexsort((cols, rows, stratified_sampling.ranks(rows, cols, seed + 2**32)))
    rows, cols, stratum = rows[order], cols[order], stratum[order]
    inclusion = np.array([len(one) / max(n, 1) for one, n in zip(places, found.pixels, strict=True)])[stratum]
    x, y = survey.grid.geobox.transform @ (cols + 0.5, rows + 0.5)
    side = survey.grid.tile_px
    frame = gpd.GeoDataFrame(
        {
            "id": np.arange(1, len(rows) + 1),
            "stratum": [list(STRATA)[k] for k in stratum],
            "map_class": [NONE if k else LANDSLIDE for k in stratum],
            "x": x, "y": y,
            "tile": [survey.tile((row, col)).id for row, col in zip(rows // side, cols // side, strict=True)],
            "inclusion": inclusion, "weight": 1 / inclusion,
            "reference": "", "reviewer": "", "comment": "",
        },
        geometry=gpd.points_from_xy(x, y), crs=survey.config.grid.crs,
    )  # fmt: skip
    frame["seal"] = [
        sample_points.seal((found.digest, *row)) for row in frame[list(sample_points.FIXED)].itertuples(index=False)
    ]
    return frame


def _design(survey: Survey, found: Census, frame: gpd.GeoDataFrame, asked: Asked) -> pd.DataFrame:
    """Return one row a stratum; values of the whole sample are repeated in each row."""
    points = np.array([(frame["stratum"] == name).sum() for name in STRATA])
    return pd.DataFrame(
        {
            "stratum": list(STRATA),
            "meaning": list(STRATA.values()),
            "map_class": [NONE if k else LANDSLIDE for k in range(len(STRATA))],
            "pixels": found.pixels,
            "area_m2": found.pixels * survey.grid.resolution_m**2,
            "points": points,
            "size": len(frame),
            "allocation": asked.allocation,
            "seed": asked.seed,
            "min_distance_m": float(asked.min_distance_m),
            "inclusion_exact": int(asked.min_distance_m == 0),
            "survey_id": survey.config.survey.id,
            "map_digest": found.digest,
            "tiles": found.tiles,
            "tiles_missing": len(survey.positions) - found.tiles,
            "checksum": sample_points.seal(frame["seal"]),
            "drawn": datetime.now(UTC).isoformat(timespec="seconds"),
            "software": f"lsbatch {lsbatch.__version__}",
        }
    )
