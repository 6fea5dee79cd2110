"""Figures of distances on real scenes without an event and on copies with planted landslides."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks import reality_measures as measures
from benchmarks.reality_measures import Called, Method, Outcome
from benchmarks.reality_scenes import Case
from lsbatch.synthetic import planting
from lsbatch.synthetic.planting import Planted

#: Shares of the quiet land that may be called.
SHARES = (0.001, 0.005)
#: Halvings of the interval in which a threshold is looked for.
HALVINGS = 30
#: Least area and change of VV of the planted landslides that count: the class in the aims of the project.
AIM_HA, AIM_DB = measures.SIZES["2 ha and more"][0], measures.STRENGTHS["3 dB and more"][0]

#: Distances of all land patches, (rows, cols), by name of the patch.
Distances = Mapping[str, np.ndarray]
#: Figures of a method by name.
Row = dict[str, Any]


def outcome(case: Case, name: str, quiet: Distances, drawn: list[tuple[Mapping[str, Planted], Distances]]) -> Outcome:
    """Return distances in the form that `reality_measures` reads; only patches of land are kept."""
    land = replace(case, patches=tuple(patch for patch in case.patches if not patch.sea))
    planted = tuple((landslides, _called(distances)) for landslides, distances in drawn)
    return Outcome(land, Method(name, "s1vv", None), _called(quiet), planted)


def _called(distances: Distances) -> dict[str, Called]:
    # the figures here need the distance only: no survey made a mask, a composite or records
    none = np.empty(0)
    return {name: Called(one, np.zeros(one.shape, bool), none, none) for name, one in distances.items()}


def auc(of: Outcome) -> float:
    """Return the ROC AUC of pixels in planted landslides of the aim against all pixels of the scenes as they are."""
    inside = [
        called[name].probability[is_aim(planted, of.case.look_azimuth_deg)[planted.labels]]
        for landslides, called in of.planted for name, planted in landslides.items()
    ]  # fmt: skip
    outside = [called.probability.ravel() for called in of.quiet.values()]
    return separation(np.concatenate(inside), np.concatenate(outside))


def is_aim(planted: Planted, look_azimuth_deg: float | None) -> np.ndarray:
    """Return whether a number of `labels` is a landslide of the aim; the first is the ground outside."""
    strong = abs(planting.seen_db(planted, look_azimuth_deg)) >= AIM_DB
    return np.append(False, strong & (planted.areas_m2 / 1e4 >= AIM_HA))


def separation(changed: np.ndarray, unchanged: np.ndarray) -> float:
    """Return the ROC AUC of finite values; 1 if all changed values are greater, NaN if a group is empty."""
    changed, unchanged = (values[np.isfinite(values)] for values in (changed, unchanged))
    if not len(changed) or not len(unchanged):
        return float("nan")
    truth = np.repeat([1, 0], [len(changed), len(unchanged)])
    return float(roc_auc_score(truth, np.concatenate([changed, unchanged])))


def interval(changed: np.ndarray, unchanged: np.ndarray, draws: int = 2000) -> tuple[float, float]:
    """Return the 2.5th and 97.5th percentile of `separation` when both groups are drawn again with replacement."""
    dice = np.random.default_rng(0)
    areas = [
        separation(dice.choice(changed, len(changed)), dice.choice(unchanged, len(unchanged))) for _ in range(draws)
    ]
    low, high = np.quantile(areas, [0.025, 0.975])
    return float(low), float(high)


def land_called(of: Outcome, threshold: float) -> float:
    """Return the share of the observed quiet land in the cleaned mask of a threshold."""
    called = sum(measures.landslide_at(one.probability, threshold).sum() for one in of.quiet.values())
    return float(called / sum(one.observed.sum() for one in of.quiet.values()))


def threshold_for(of: Outcome, share: float) -> float:
    """Return the lowest threshold found at which no more than a share of the quiet land is called."""
    values = np.concatenate([one.probability.ravel() for one in of.quiet.values()])
    low, high = float(np.nanmin(values)), float(np.nextafter(np.nanmax(values), np.inf))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if land_called(of, middle) <= share else (middle, high)
    return high


def large_false(of: Outcome, threshold: float) -> float:
    """Return the false records of 1 ha and more per 100 km2."""
    count = sum(
        measures.large_records(
            measures.landslide_at(of.quiet[p.name].probability, threshold), abs(p.geobox.resolution.x)
        )
        for p in of.patches(sea=False)
    )
    return 100 * count / measures.land_km2(of)


def recall(of: Outcome, threshold: float) -> float:
    """Return the share of the planted landslides of the aim that are found; NaN if none was planted."""
    found = measures.recalls(measures.planted_table(of, threshold))[measures.AIM]["recall"]
    return float("nan") if found is None else float(found)


def row(name: str, winters: list[Outcome]) -> Row:
    """Return the figures of one method over winters; thresholds are those of each winter, then that of the first."""
    found: Row = {"method": name, "auc": [auc(of) for of in winters]}
    for share in SHARES:
        own = [threshold_for(of, share) for of in winters]
        fixed = [own[0]] * (len(winters) - 1)
        found[f"own {share}"] = _at(winters, own, (recall, large_false))
        found[f"fixed {share}"] = _at(winters[1:], fixed, (land_called, recall, large_false))
    return found


def _at(
    winters: list[Outcome], thresholds: list[float], figures: tuple[Callable[[Outcome, float], float], ...]
) -> dict[str, list[float]]:
    return {
        figure.__name__: [figure(of, threshold) for of, threshold in zip(winters, thresholds, strict=True)]
        for figure in figures
    }
