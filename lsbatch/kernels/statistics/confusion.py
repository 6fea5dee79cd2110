"""Confusion counts of a binary map and the scores that follow from them."""

import math
from dataclasses import asdict, dataclass


def _ratio(numerator: float, denominator: float) -> float | None:
    return numerator / denominator if denominator else None


@dataclass(frozen=True)
class Confusion:
    """Exact counts of surveyed pixels; scores are None if undefined (never 0)."""

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0

    def __add__(self, other: "Confusion") -> "Confusion":
        return Confusion(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn)

    @property
    def total(self) -> int:
        """Return the number of surveyed pixels."""
        return self.tp + self.fp + self.fn + self.tn

    @property
    def precision(self) -> float | None:
        """Return tp / (tp + fp)."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float | None:
        """Return tp / (tp + fn)."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float | None:
        """Return 2 tp / (2 tp + fp + fn)."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def iou(self) -> float | None:
        """Return tp / (tp + fp + fn)."""
        return _ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def prevalence(self) -> float | None:
        """Return the share of landslide in the surveyed truth."""
        return _ratio(self.tp + self.fn, self.total)

    @property
    def mcc(self) -> float | None:
        """Return the Matthews correlation, -1..1, with the square root that the paper's Table 2 lacks."""
        # the four sums are exact Python integers; two roots keep the product inside float range
        root = math.sqrt((self.tp + self.fp) * (self.tp + self.fn)) * math.sqrt(
            (self.tn + self.fp) * (self.tn + self.fn)
        )
        return _ratio(self.tp * self.tn - self.fp * self.fn, root)

    def scores(self) -> dict[str, float | int | None]:
        """Return counts and scores by name."""
        names = ("precision", "recall", "f1", "iou", "mcc", "prevalence")
        return asdict(self) | {name: getattr(self, name) for name in names}
