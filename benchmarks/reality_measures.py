"""Figures of real scenes without an event: false alarms, and recall of planted landslides."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.reality_scenes import Case, Patch
from lsbatch.kernels import connected_regions, focal
from lsbatch.settings import CleanSettings
from lsbatch.synthetic import planting
from lsbatch.synthetic.planting import Planted

#: A planted landslide is found if this share of its pixels is called. Two outlines that share less than a quarter are
#: also different landslides when years are matched.
FOUND_SHARE = 0.25
#: Records that count as false alarms in the aims of the project, m2.
LARGE_M2 = 10_000.0
#: Classes of planted landslides: hectares, and dB of VV as the look shows it.
SIZES = {"all sizes": (0.0, np.inf), "below 1 ha": (0.0, 1.0), "1 to 2 ha": (1.0, 2.0), "2 ha and more": (2.0, np.inf)}
STRENGTHS = {
    "all strengths": (0.0, np.inf), "below 2 dB": (0.0, 2.0), "2 to 3 dB": (2.0, 3.0), "3 dB and more": (3.0, np.inf),
}  # fmt: skip
#: The class in the aims of the project.
AIM = "2 ha and more, 3 dB and more"
THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)


@dataclass(frozen=True)
class Method:
    """A setting of the model.

    Attributes
    ----------
    name : str
    bands : str
    weights : str or None
    family : str
    sensors : tuple of str
        Archives that it needs.
    learned : tuple of str
        Patches that are left out of its figures, because weights were trained on them with planted landslides.
    """

    name: str
    bands: str
    weights: str | None
    family: str = "unet"
    sensors: tuple[str, ...] = ("sentinel1",)
    learned: tuple[str, ...] = ()


@dataclass(frozen=True)
class Called:
    """The answer of a survey on one patch; arrays are (rows, cols).

    Attributes
    ----------
    probability : float32
        NaN where nothing was observed.
    landslide : bool
        The cleaned mask.
    change_db : float32
        VV after minus VV before.
    records_m2 : float64 (n,)
        Areas of the records of the inventory.
    """

    probability: np.ndarray
    landslide: np.ndarray
    change_db: np.ndarray
    records_m2: np.ndarray

    @property
    def observed(self) -> np.ndarray:
        """Return where there is an answer."""
        return np.isfinite(self.probability)


@dataclass(frozen=True)
class Outcome:
    """All answers of one method on one case, by name of the patch.

    Attributes
    ----------
    case : Case
    method : Method
    quiet : mapping of str to Called
        On the real scenes as they are.
    planted : tuple of (mapping of str to Planted, mapping of str to Called)
        A draw each: the landslides, and the answers on the copies that have them.
    """

    case: Case
    method: Method
    quiet: Mapping[str, Called]
    planted: tuple[tuple[Mapping[str, Planted], Mapping[str, Called]], ...]

    def patches(self, sea: bool) -> list[Patch]:
        """Return the patches of land or of sea that count."""
        return [patch for patch in self.case.patches if patch.sea == sea and patch.name not in self.method.learned]


def landslide_at(chance: np.ndarray, threshold: float) -> np.ndarray:
    """Return the mask of a threshold, cleaned as the survey cleans it."""
    labels = np.where(np.isnan(chance), 255, chance >= threshold).astype(np.uint8)
    return focal.mode(labels, CleanSettings().mode_radius_px) == 1


def found_of(landslide: np.ndarray, planted: Planted) -> np.ndarray:
    """Return which planted landslides are found in a mask, bool (n,)."""
    numbers = planted.labels[planted.labels > 0] - 1
    called = np.bincount(numbers, landslide[planted.labels > 0], planted.count)
    return called >= FOUND_SHARE * np.bincount(numbers, minlength=planted.count)


def false_alarms(outcome: Outcome) -> dict[str, float | None]:
    """Return what the scenes without planting say: shares called, and records per 100 km2 of observed land."""
    land, sea = ([outcome.quiet[patch.name] for patch in outcome.patches(of_sea)] for of_sea in (False, True))
    km2 = land_km2(outcome)
    areas = np.concatenate([one.records_m2 for one in land])
    return {
        "land_called": _share(land),
        "sea_called": _share(sea),
        "land_km2": km2,
        "records_per_100_km2": 100 * len(areas) / km2,
        "large_records_per_100_km2": 100 * float((areas >= LARGE_M2).sum()) / km2,
    }


def land_km2(outcome: Outcome) -> float:
    """Return the observed land of the scenes."""
    patches = outcome.patches(sea=False)
    return float(sum(outcome.quiet[p.name].observed.sum() * p.geobox.resolution.x**2 for p in patches)) / 1e6


def _share(answers: list[Called]) -> float | None:
    observed = sum(one.observed.sum() for one in answers)
    return float(sum(one.landslide.sum() for one in answers) / observed) if observed else None


def planted_table(outcome: Outcome, threshold: float | None = None) -> np.ndarray:
    """Return a row for each planted landslide: hectares, dB as seen, found, found without planting; (n, 4).

    The last column is chance: the same shape on the scenes as they are. `threshold` replaces the survey's.
    """
    rows = []
    for drawn, answers in outcome.planted:
        for name, planted in drawn.items():
            if name in outcome.method.learned:
                continue
            found = [
                found_of(one.landslide if threshold is None else landslide_at(one.probability, threshold), planted)
                for one in (answers[name], outcome.quiet[name])
            ]
            strength = abs(planting.seen_db(planted, outcome.case.look_azimuth_deg))
            rows.append(np.column_stack([planted.areas_m2 / 1e4, strength, *found]))
    return np.concatenate(rows)


def recalls(table: np.ndarray) -> dict[str, dict[str, Any]]:
    """Return number, recall and recall by chance of each class of size and strength; None where nothing was planted.

    Parameters
    ----------
    table : array (n, 4)
        From `planted_table`.

    Returns
    -------
    dict of str to dict
        By "size, strength".
    """
    return {
        f"{size}, {strength}": _recall(table[_within(table[:, 0], hectares) & _within(table[:, 1], decibels)])
        for size, hectares in SIZES.items() for strength, decibels in STRENGTHS.items()
    }  # fmt: skip


def _within(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    return (values >= limits[0]) & (values < limits[1])


def _recall(table: np.ndarray) -> dict[str, Any]:
    found, chance = (float(mean) for mean in table[:, 2:].mean(axis=0)) if len(table) else (None, None)
    return {"planted": len(table), "recall": found, "by_chance": chance}


def curve(outcome: Outcome) -> Iterator[dict[str, float | None]]:
    """Yield the false records of at least `LARGE_M2` per 100 km2 of land, and the recall of `AIM`, by threshold.

    False records are counted on the scenes without planting.
    """
    km2 = land_km2(outcome)
    for threshold in THRESHOLDS:
        false = sum(
            large_records(landslide_at(outcome.quiet[p.name].probability, threshold), abs(p.geobox.resolution.x))
            for p in outcome.patches(sea=False)
        )
        yield {
            "threshold": threshold,
            "large_records_per_100_km2": 100 * false / km2,
            "recall": recalls(planted_table(outcome, threshold))[AIM]["recall"],
        }


def large_records(landslide: np.ndarray, side_m: float) -> int:
    """Return the number of connected landslides of at least `LARGE_M2` in a mask."""
    labels, count = connected_regions.label(landslide)
    pixels = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    return int((pixels * side_m**2 >= LARGE_M2).sum())
