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

#: Smallest number of points in a stratum, after Olofsson et al. (2014), section 5.1.3, for rare classes. A small sample
#: has fewer.
LEAST = 50
#: Number of candidates in each stratum, in sample sizes, if a minimum distance is set.
CROWD = 50


@dataclass(frozen=True)
class SampleRequest:
    """The requested sample.

    Attributes
    ----------
    size : int
        Number of points.
    allocation : "neyman" or "equal"
    seed : int
    min_distance_m : float
        Smallest distance between two points, in metres; 0 for no limit.
    """

    size: int = 600
    allocation: Literal["neyman", "equal"] = "neyman"
    seed: int = 0
    min_distance_m: float = 0.0


def draw(survey: Survey, request: SampleRequest) -> Mapping[str, Any]:
    """Write ``accuracy/sample.gpkg`` and ``accuracy/sample.html``.

    Returns
    -------
    mapping
        file, page; lists with one value a stratum: strata, pixels, points.

    Raises
    ------
    NoDataError
        If there is no map yet.
    ConfigError
        If the points do not fit, or if the existing sample already has answers.
    StaleStoreError
        If the map is being written.
    """
    target = survey.workspace.accuracy / "sample.gpkg"
    _refuse_overwriting(target, survey.config.grid.crs)
    found = census(survey, request.seed, request.size * (CROWD if request.min_distance_m > 0 else 1))
    points = _allocate(request, found.pixels)
    places = _choose(found, points, request, survey.grid.resolution_m)
    frame = _frame(survey, found, places, request.seed)
    design = _design(survey, found, frame, request)
    text = page.render(survey, frame)
    sample_points.write(target, frame, design)
    files.write_text(target.with_name("sample.html"), text)
    return {
        "file": str(target), "page": str(target.with_name("sample.html")),
        "strata": list(STRATA), "pixels": found.pixels.tolist(), "points": points.tolist(),
    }  # fmt: skip


def _refuse_overwriting(target: Path, crs: str) -> None:
    """Refuse to overwrite a sample that already has answers."""
    if not files.exists(target):
        return
    try:
        answers = sample_points.read(target, crs)[0]["reference"].fillna("").astype(str).str.strip()
    except ConfigError as error:
        raise ConfigError(
            f"{target}: the file exists and cannot be read as a sample; move it away first ({error})"
        ) from None
    if (answers != "").any():
        raise ConfigError(
            f"{target}: the sample already has {(answers != '').sum()} answers; move it away before you draw "
            "another sample"
        )


def _allocate(request: SampleRequest, pixels: np.ndarray) -> np.ndarray:
    deviations = None if request.allocation == "equal" else np.sqrt(EXPECTED * (1 - EXPECTED))
    return stratified_sampling.allocate(request.size, pixels, deviations, min(LEAST, request.size // (2 * len(STRATA))))


def _choose(found: Census, points: np.ndarray, request: SampleRequest, resolution_m: float) -> list[np.ndarray]:
    """Return national rows and columns of each stratum's points; with a distance, the rarest stratum is drawn first."""
    places = [np.empty((0, 2), np.int64)] * len(STRATA)
    for k in np.argsort(found.pixels, kind="stable"):
        taken = np.concatenate(places)
        chosen = stratified_sampling.spaced(
            found.candidates[k], int(points[k]), request.min_distance_m / resolution_m, taken
        )
        if len(chosen) < points[k]:
            raise ConfigError(
                f"--min-distance {request.min_distance_m:g}: only {len(chosen)} of {points[k]} points of the stratum "
                f"{list(STRATA)[k]!r} are that far apart; use a shorter distance or a smaller sample"
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


def _design(survey: Survey, found: Census, frame: gpd.GeoDataFrame, request: SampleRequest) -> pd.DataFrame:
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
            "allocation": request.allocation,
            "seed": request.seed,
            "min_distance_m": float(request.min_distance_m),
            "inclusion_exact": int(request.min_distance_m == 0),
            "survey_id": survey.config.survey.id,
            "map_digest": found.digest,
            "tiles": found.tiles,
            "tiles_missing": len(survey.positions) - found.tiles,
            "checksum": sample_points.seal(frame["seal"]),
            "drawn": datetime.now(UTC).isoformat(timespec="seconds"),
            "software": f"lsbatch {lsbatch.__version__}",
        }
    )
