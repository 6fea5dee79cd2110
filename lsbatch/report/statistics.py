"""Statistics of the report: assessed accuracy, frequency and size, completeness by size."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from lsbatch.catalog.survey import Survey
from lsbatch.errors import NoDataError, StaleStoreError
from lsbatch.inventory import evaluation, identity, inventory_files, map_checksum
from lsbatch.kernels.statistics import area_estimation, size_distribution
from lsbatch.storage import files

#: Figures: key, displayed name.
FIGURES = (
    ("users", "user's accuracy, landslide"), ("producers", "producer's accuracy, landslide"),
    ("users_not", "user's accuracy, no landslide"), ("producers_not", "producer's accuracy, no landslide"),
    ("overall", "overall accuracy"), ("area", "landslide, share of the surveyed area"),
)  # fmt: skip
#: Points of a fitted curve.
CURVE_POINTS = 60


def assessed(survey: Survey) -> dict[str, Any] | None:
    """Read the result of `assess`, with `fits_the_map`: whether the map is unchanged. None without an assessment.

    Raises
    ------
    StaleStoreError
        If the file is damaged.
    """
    path = survey.workspace.accuracy / "accuracy.json"
    if not files.exists(path):
        return None
    try:
        found = json.loads(files.read_text(path))
        of = found["design"]["map_digest"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise StaleStoreError(
            f"{path}: damaged, or not written by lsbatch: {error}; run lsbatch assess again"
        ) from None
    try:
        fits = of == map_checksum.digest(survey)
    except NoDataError:
        fits = False
    return {**found, "fits_the_map": fits}


def frequencies(survey: Survey) -> dict[str, Any] | None:
    """Return `frequency` of the landslides of the inventory; None without an inventory."""
    file = survey.workspace.inventory / "landslides.parquet"
    if not files.exists(file):
        return None
    return frequency(
        identity.found(inventory_files.read(survey.workspace))["area_m2"].to_numpy(np.float64),
        survey.config.inventory.min_area_m2,
    )


def frequency(areas_m2: np.ndarray, least_m2: float) -> dict[str, Any]:
    """Return frequency and size of landslides as lists, for two logarithmic axes.

    Parameters
    ----------
    areas_m2 : array (n,)
    least_m2 : float
        Smallest area of the inventory, in m²; smaller landslides were removed.

    Returns
    -------
    dict
        count; bins (list of from_m2, to_m2, count, density_per_m2, density_low, density_high: Wilson's 95 % interval of
        the bin's share over its width); tail and inverse_gamma (the fitted laws, None if there is no fit), each with
        `curve` (list of area_m2, density_per_m2); notes (sentences).
    """
    rows = size_distribution.densities(areas_m2)
    bins = []
    for low, high, count, density in rows.tolist():
        bounds = (share / (high - low) for share in area_estimation.wilson(count, len(areas_m2)))
        bins.append(
            {
                "from_m2": low,
                "to_m2": high,
                "count": int(count),
                "density_per_m2": density,
                **dict(zip(("density_low", "density_high"), bounds, strict=True)),
            }
        )
    tail, law = size_distribution.fit_tail(areas_m2), size_distribution.fit_inverse_gamma(areas_m2, least_m2)
    return {
        "count": len(areas_m2),
        "bins": bins,
        "tail": None if tail is None else {**asdict(tail), "curve": _tail_curve(tail, areas_m2)},
        "inverse_gamma": None
        if law is None
        else {
            **{k: _plain(v) for k, v in asdict(law).items()},
            "rollover_is_seen": law.rollover_is_seen,
            "curve": _curve(law, areas_m2),
        },
        "notes": _notes(areas_m2, least_m2, tail, law),
    }


def _tail_curve(tail: size_distribution.Tail, areas_m2: np.ndarray) -> list[list[float]]:
    """Return the power law as a density of all landslides, not only those of the tail."""
    at = np.array([tail.from_m2, areas_m2.max()])
    share = tail.count / len(areas_m2)
    density = share * (tail.alpha - 1) / tail.from_m2 * (at / tail.from_m2) ** -tail.alpha
    return np.column_stack([at, density]).tolist()


def _curve(law: size_distribution.InverseGamma, areas_m2: np.ndarray) -> list[list[float]]:
    fitted = areas_m2[areas_m2 >= law.least_m2]
    at = np.geomspace(max(law.least_m2, float(fitted.min())), fitted.max(), CURVE_POINTS)
    # rounding must not put the first point below the fitted range
    at[0] = max(at[0], law.least_m2)
    return np.column_stack([at, law.density(at) * len(fitted) / len(areas_m2)]).tolist()


def _notes(
    areas_m2: np.ndarray,
    least_m2: float,
    tail: size_distribution.Tail | None,
    law: size_distribution.InverseGamma | None,
) -> list[str]:
    out = []
    if tail is None and law is None:
        out.append(
            f"{len(areas_m2)} landslides are too few or too similar in area for a fit; "
            f"{size_distribution.FEWEST} are needed."
        )
    if law is not None and not law.rollover_is_seen:
        out.append(
            "The rollover is not visible: it is below or too close to the smallest area of the inventory, "
            f"{least_m2:,.0f} m2. The fitted law does not describe smaller landslides."
        )
    return out


def completeness(survey: Survey) -> list[dict[str, Any]]:
    """Return mapped and found landslides by size, with Wilson's 95 % interval; empty without truth or inventory."""
    if survey.config.truth is None:
        return []
    return by_size(evaluation.objects(survey))


def by_size(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the same from the counts of `evaluation.objects`."""
    out = []
    for low, high in zip((0.0, *evaluation.SIZES_M2), evaluation.SIZES_M2, strict=False):
        name = f"{low:.0f}_m2_or_more" if high == float("inf") else f"{low:.0f}_to_{high:.0f}_m2"
        if f"mapped_{name}" in found:
            of, hits = found[f"mapped_{name}"], found[f"found_{name}"]
            bounds = map(_plain, area_estimation.wilson(hits, of))
            out.append(
                {
                    "from_m2": low,
                    "to_m2": None if high == float("inf") else high,
                    "mapped": of,
                    "found": hits,
                    "share": hits / of if of else None,
                    **dict(zip(("low", "high"), bounds, strict=True)),
                }
            )
    return out


def _plain(value: float) -> float | None:
    return None if isinstance(value, float) and not np.isfinite(value) else value
