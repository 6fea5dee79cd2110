"""Read and check the sample of points that a reviewer has answered."""

from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from lsbatch.accuracy.strata import LANDSLIDE, NONE, STRATA, UNSURE
from lsbatch.catalog.survey import Survey
from lsbatch.errors import ConfigError
from lsbatch.inventory import map_checksum
from lsbatch.storage import files, sample_points

_AGAIN = "use the file that lsbatch sample wrote and change only the answers"


@dataclass(frozen=True)
class Answers:
    """An answered sample of points.

    Attributes
    ----------
    stratum : int array (n,)
        0, 1, 2 in the order of `STRATA`.
    answer : int array (n,)
        1 landslide, 0 no landslide, -1 unsure.
    pixels, points : int array (3,)
        Number of pixels on the ground, and of points in the sample, for each stratum.
    design : dict
        Values of the whole sample.
    """

    stratum: np.ndarray
    answer: np.ndarray
    pixels: np.ndarray
    points: np.ndarray
    design: dict[str, object]


@dataclass(frozen=True)
class Labels:
    """The answered points of a sample as training data, without those answered 'unsure'.

    Attributes
    ----------
    x, y : float array (n,)
        In the grid's CRS.
    landslide : bool array (n,)
    weight : float array (n,)
        Inverse inclusion probability, divided by its mean over these points.
    """

    x: np.ndarray
    y: np.ndarray
    landslide: np.ndarray
    weight: np.ndarray


def labels(survey: Survey, path: Path) -> Labels:
    """Return the points of a sample that have an answer, as training data.

    Other than for an assessment, the sample may be of an earlier map of the survey, because an answer is about the
    ground, and points may still be without an answer.

    Raises
    ------
    ConfigError
        If the file is not a probability sample of this survey, or if an answer is not allowed.
    """
    points, design = sample_points.read(path, survey.config.grid.crs)
    _check_design(survey, path, design)
    _check_points(survey, path, points, design)
    reference = _reference(path, points)
    known = reference.isin((LANDSLIDE, NONE)).to_numpy()
    chosen, weight = points[known], 1 / points["inclusion"][known].to_numpy(float)
    return Labels(
        chosen["x"].to_numpy(float),
        chosen["y"].to_numpy(float),
        (reference[known] == LANDSLIDE).to_numpy(bool),
        weight / weight.mean() if len(weight) else weight,
    )


def read(survey: Survey, path: Path) -> Answers:
    """Read an answered sample; refuse a file that is not one.

    Raises
    ------
    ConfigError
        If the file is not a probability sample of this survey's map, or if a point has no answer.
    """
    if not files.exists(path):
        raise ConfigError(f"{path}: file not found; draw a sample with lsbatch sample first")
    points, design = sample_points.read(path, survey.config.grid.crs)
    _check_design(survey, path, design)
    _check_map(survey, path, design)
    _check_points(survey, path, points, design)
    answer = _answers(path, points)
    order = {name: k for k, name in enumerate(STRATA)}
    rows = design.set_index("stratum").loc[list(STRATA)]
    return Answers(
        points["stratum"].map(order).to_numpy(np.int64),
        answer,
        rows["pixels"].to_numpy(np.int64),
        rows["points"].to_numpy(np.int64),
        {
            name: design[name].iloc[0]
            for name in (
                "size",
                "allocation",
                "seed",
                "min_distance_m",
                "inclusion_exact",
                "map_digest",
                "tiles",
                "tiles_missing",
                "drawn",
            )
        },
    )


#: Codes of the allowed answers.
_CODES = {LANDSLIDE: 1, NONE: 0, UNSURE: -1}
#: Columns of the design that are read.
_WHOLE = ("pixels", "points", "size", "seed", "tiles", "tiles_missing", "inclusion_exact")
_TEXT = ("stratum", "allocation", "survey_id", "map_digest", "checksum", "drawn")


def _check_design(survey: Survey, path: Path, design: pd.DataFrame) -> None:
    missing = [name for name in (*_WHOLE, *_TEXT, "min_distance_m") if name not in design]
    if missing:
        raise ConfigError(
            f"{path}: layer {sample_points.DESIGN!r}: column {missing[0]!r} is missing, so the sampling "
            f"design is unknown; {_AGAIN}"
        )
    if sorted(design["stratum"].astype(str)) != sorted(STRATA):
        raise ConfigError(
            f"{path}: layer {sample_points.DESIGN!r} must have one row for each of the strata {', '.join(STRATA)}; "
            f"{_AGAIN}"
        )
    numbers = design[[*_WHOLE, "min_distance_m"]].apply(pd.to_numeric, errors="coerce")
    whole = numbers[list(_WHOLE)]
    if (
        numbers.isna().any(axis=None)
        or (numbers < 0).any(axis=None)
        or (whole % 1 != 0).any(axis=None)
        or (whole["points"] > whole["pixels"]).any()
    ):
        raise ConfigError(f"{path}: layer {sample_points.DESIGN!r} contains invalid numbers; {_AGAIN}")
    if (name := str(design["survey_id"].iloc[0])) != survey.config.survey.id:
        raise ConfigError(
            f"{path}: drawn from the survey {name!r}, but the settings are for the survey {survey.config.survey.id!r}"
        )


def _check_map(survey: Survey, path: Path, design: pd.DataFrame) -> None:
    if str(design["map_digest"].iloc[0]) != map_checksum.digest(survey):
        raise ConfigError(
            f"{path}: drawn from another map than the present map of the survey; draw a new sample, or assess with the "
            "settings and the survey of this sample"
        )


def _check_points(survey: Survey, path: Path, points: gpd.GeoDataFrame, design: pd.DataFrame) -> None:
    """Check the points of a sample; the error names the first wrong point."""
    ids = pd.to_numeric(points["id"], errors="coerce")
    if ids.isna().any():
        raise ConfigError(f"{path}: {ids.isna().sum()} points have no id; {_AGAIN}")
    if ids.duplicated().any():
        raise ConfigError(f"{path}: the id {ids[ids.duplicated()].iloc[0]:g} occurs twice; {_AGAIN}")
    unknown = points[~points["stratum"].isin(list(STRATA))]
    if len(unknown):
        raise ConfigError(
            f"{path}: point {unknown['id'].iloc[0]} has the unknown stratum {unknown['stratum'].iloc[0]!r}; "
            f"the strata are {', '.join(STRATA)}; {_AGAIN}"
        )
    for name, drawn in zip(design["stratum"], design["points"], strict=True):
        if (present := int((points["stratum"] == name).sum())) != drawn:
            raise ConfigError(
                f"{path}: {present} points in the stratum {name!r}, but {drawn:.0f} were drawn: points were "
                f"{'added' if present > drawn else 'removed'}, so this is not a probability sample any more; {_AGAIN}"
            )
    _check_places(survey, path, points, str(design["map_digest"].iloc[0]))
    for name, drawn, pixels in zip(design["stratum"], design["points"], design["pixels"], strict=True):
        if (inclusion := points["inclusion"][points["stratum"] == name]).size and not np.allclose(
            inclusion, drawn / pixels, rtol=1e-9
        ):
            raise ConfigError(
                f"{path}: its design gives {pixels:.0f} pixels for the stratum {name!r}, which does not fit the "
                f"inclusion probability of its points; {_AGAIN}"
            )
    if sample_points.seal(points.assign(id=ids).sort_values("id")["seal"]) != str(design["checksum"].iloc[0]):
        raise ConfigError(f"{path}: the points are not the points of the design: points were exchanged; {_AGAIN}")


def _check_places(survey: Survey, path: Path, points: gpd.GeoDataFrame, map_digest: str) -> None:
    shapes = points.geometry.values
    at = shapely.centroid(shapes)
    away = np.hypot(shapely.get_x(at) - points["x"].to_numpy(float), shapely.get_y(at) - points["y"].to_numpy(float))
    # a program may have converted the points to another CRS and back
    moved = ~(away < survey.grid.resolution_m / 4)
    if moved.any():
        raise ConfigError(
            f"{path}: point {points['id'].to_numpy()[moved][0]} was moved from its drawn position; {_AGAIN}"
        )
    seals = np.array(
        [sample_points.seal((map_digest, *row)) for row in points[list(sample_points.FIXED)].itertuples(index=False)]
    )
    broken = seals != points["seal"].to_numpy(str)
    if broken.any():
        raise ConfigError(
            f"{path}: point {points['id'].to_numpy()[broken][0]} was changed after drawing: one of "
            f"{', '.join(sample_points.FIXED)} is different; {_AGAIN}"
        )


def _reference(path: Path, points: gpd.GeoDataFrame) -> pd.Series:
    """Return the answer of each point, checked; empty if it has none."""
    reference = points["reference"].fillna("").astype(str).str.strip().str.lower()
    unknown = points[~reference.isin(["", *_CODES])]
    if len(unknown):
        raise ConfigError(
            f"{path}: point {unknown['id'].iloc[0]} has the answer {str(unknown['reference'].iloc[0])[:80]!r}; "
            f"allowed answers are {', '.join(map(repr, _CODES))}"
        )
    return reference


def _answers(path: Path, points: gpd.GeoDataFrame) -> np.ndarray:
    reference = _reference(path, points)
    if (open_ := int((reference == "").sum())) > 0:
        first = ", ".join(str(point_id) for point_id in points["id"][reference == ""].head(3))
        raise ConfigError(
            f"{path}: {open_} of {len(points)} points are not answered yet (the first: {first}); answer all points, "
            "with 'unsure' if necessary"
        )
    return reference.map(_CODES).to_numpy(np.int64)
