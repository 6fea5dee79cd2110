"""Estimate map accuracy and landslide area, with intervals and warnings, from a reviewer's answers."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import lsbatch
from lsbatch.accuracy import answers
from lsbatch.accuracy.answers import Answers
from lsbatch.accuracy.strata import LANDSLIDE, NONE, STRATA, UNSURE
from lsbatch.catalog.survey import Survey
from lsbatch.kernels.statistics import area_estimation, rare_errors
from lsbatch.report import statistics
from lsbatch.storage import files, receipts

#: True if the map class of a stratum is landslide.
MAPPED = np.array([True, False, False])
#: With fewer points in a stratum, or fewer omissions found, a figure needs a warning.
FEW_POINTS, FEW_OMISSIONS = 30, 5


def assess(survey: Survey, sample: Path | None = None) -> dict[str, Any]:
    """Estimate accuracy from an answered sample, write ``accuracy/accuracy.json`` and return its content.

    Raises
    ------
    ConfigError
        If the file is not a probability sample of this map, or if a point has no answer.
    """
    file = sample or survey.workspace.accuracy / "sample.gpkg"
    found = answers.read(survey, file)
    result = {
        "survey_id": survey.config.survey.id,
        "sample": file.name,
        "sample_checksum": receipts.checksum(file),
        "design": {
            key: value.item() if isinstance(value, np.generic) else value for key, value in found.design.items()
        },
        **figures(found, survey.grid.resolution_m**2),
        "assessed": datetime.now(UTC).isoformat(timespec="seconds"),
        "software": f"lsbatch {lsbatch.__version__}",
    }
    files.write_json(survey.workspace.accuracy / "accuracy.json", result)
    return result


def figures(found: Answers, pixel_m2: float) -> dict[str, Any]:
    """Return counts, error matrix, figures with intervals, areas and warnings; None if a value is undefined.

    A point with the answer 'unsure' counts as an error of the map in all accuracies. The interval of the area
    starts at the lower bound with all such points as no landslide and ends at the upper bound with all as landslide.
    """
    mapped = MAPPED[found.stratum]
    against = np.where(found.answer < 0, ~mapped, found.answer).astype(np.int64)
    values, errors, matrix = _estimates(found, against)
    bounds = _bounds(found, against)
    agreed = _estimates(found, np.where(found.answer < 0, mapped, found.answer).astype(np.int64))[0]
    ends = [_bounds(found, np.where(found.answer < 0, end, found.answer))["area"] for end in (0, 1)]
    bounds["area"] = (ends[0][0], ends[1][1])
    rows = {}
    for key, _ in statistics.FIGURES:
        normal = (float(bound) for bound in area_estimation.interval(np.asarray(values[key]), np.asarray(errors[key])))
        rows[key] = {
            "value": values[key], "standard_error": errors[key], "low": bounds[key][0], "high": bounds[key][1],
            **dict(zip(("low_normal", "high_normal"), normal, strict=True)), "value_if_unsure_agree": agreed[key],
        }  # fmt: skip
    total_m2 = float(found.pixels.sum() * pixel_m2)
    counts = _counts(found)
    return {
        "counts": counts,
        "matrix_share": {
            map_class: dict(zip((LANDSLIDE, NONE), map(_plain, row), strict=True))
            for map_class, row in zip((LANDSLIDE, NONE), matrix, strict=True)
        },
        "figures": {key: {name: _plain(one) for name, one in row.items()} for key, row in rows.items()},
        "surveyed_m2": total_m2,
        "mapped_m2": float(found.pixels[0] * pixel_m2),
        "landslide_m2": {
            name: _plain(rows["area"][name] * total_m2)
            for name in ("value", "standard_error", "low", "high", "value_if_unsure_agree")
        },
        "warnings": warnings(found, counts, against, rows),
    }


def _estimates(found: Answers, reference: np.ndarray) -> tuple[dict[str, float], dict[str, float], np.ndarray]:
    """Return values and standard errors by figure, and the error matrix with landslide first."""
    estimate = area_estimation.by_stratum(
        found.stratum, MAPPED[found.stratum].astype(np.int64), reference, found.pixels, 2
    )
    values = {
        "users": estimate.users[1],
        "producers": estimate.producers[1],
        "users_not": estimate.users[0],
        "producers_not": estimate.producers[0],
        "overall": estimate.overall,
        "area": estimate.area[1],
    }
    errors = {
        "users": estimate.users_se[1],
        "producers": estimate.producers_se[1],
        "users_not": estimate.users_se[0],
        "producers_not": estimate.producers_se[0],
        "overall": estimate.overall_se,
        "area": estimate.area_se[1],
    }
    return values, errors, estimate.matrix[::-1, ::-1]


def _bounds(found: Answers, reference: np.ndarray) -> dict[str, tuple[float, float]]:
    hits = np.bincount(found.stratum, reference, len(STRATA)).astype(np.int64)
    return dict(rare_errors.intervals(hits, found.points, found.pixels, MAPPED))


def _counts(found: Answers) -> list[dict[str, Any]]:
    """Return one row a stratum: pixels, points and answers."""
    return [
        {
            "stratum": name,
            "map_class": LANDSLIDE if MAPPED[k] else NONE,
            "pixels": int(found.pixels[k]),
            "points": int(found.points[k]),
            **{
                label: int(((found.stratum == k) & (found.answer == code)).sum())
                for label, code in ((LANDSLIDE, 1), (NONE, 0), (UNSURE, -1))
            },
        }
        for k, name in enumerate(STRATA)
    ]


def warnings(
    found: Answers, counts: list[dict[str, Any]], against: np.ndarray, rows: Mapping[str, Mapping[str, float]]
) -> list[str]:
    """Return the warnings that a reader needs before using the figures."""
    out = []
    for row in counts:
        if row["pixels"] and row["points"] < min(FEW_POINTS, row["pixels"]):
            out.append(
                f"Only {row['points']} points are in the stratum {row['stratum']!r}; the intervals need "
                f"{FEW_POINTS} or more to be reliable."
            )
    if not found.pixels[0]:
        out.append("The map has no landslide, so user's accuracy of landslides is undefined.")
    elif not against[found.stratum == 0].size or against[found.stratum == 0].all():
        out.append(
            "No false landslide was found. This does not prove that there is none: user's accuracy may be as low as "
            f"{rows['users']['low']:.3f}."
        )
    omissions = int(against[~MAPPED[found.stratum]].sum())
    if omissions == 0 and not found.pixels[0]:
        out.append(
            f"No landslide was found at all; up to {rows['area']['high']:.2%} of the surveyed area may still be "
            "landslide."
        )
    elif omissions == 0:
        out.append(
            "No missed landslide was found. This does not prove that there is none: producer's accuracy may be as low "
            f"as {rows['producers']['low']:.3f}."
        )
    elif omissions < FEW_OMISSIONS:
        out.append(
            f"Only {omissions} missed {'landslide was' if omissions == 1 else 'landslides were'} found; area and "
            f"producer's accuracy depend on {'it' if omissions == 1 else 'them'}. A larger sample gives shorter "
            "intervals."
        )
    if unsure := int((found.answer < 0).sum()):
        out.append(
            f"{unsure} of {len(found.answer)} points were answered 'unsure'; they count as errors of the map and widen "
            "the interval of the area."
        )
    if not found.design["inclusion_exact"]:
        out.append(
            f"The points are at least {found.design['min_distance_m']:g} m apart, so the inclusion probabilities and "
            "the figures are approximate."
        )
    if missing := int(found.design["tiles_missing"]):  # type: ignore[call-overload]
        out.append(
            f"{missing} {'tile' if missing == 1 else 'tiles'} of the region had no map; the figures do not include "
            f"{'it' if missing == 1 else 'them'}."
        )
    return out


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
