"""The chart of landslide frequency and size as numbers for an SVG."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

#: Size of the plot area, in SVG units.
WIDTH, HEIGHT = 520, 300
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Axis:
    """A logarithmic axis; `low` and `high` are powers of ten, `far` is the position of `high`."""

    low: int
    high: int
    near: float
    far: float

    def __call__(self, value: float) -> float:
        """Return the position of a value, also outside the range; 0 is at the lower end."""
        share = (math.log10(value) - self.low) / (self.high - self.low) if value > 0 else 0.0
        return round(self.near + share * (self.far - self.near), 1)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Return position and text of each power of ten; at most eight."""
        step = -(-(self.high - self.low) // 8)
        return [
            (self(10.0**power), f"10{str(power).translate(_SUPERSCRIPT)}")
            for power in range(self.low, self.high + 1, step)
        ]


def axis(values: Iterable[float], near: float, far: float) -> Axis:
    """Return an axis that contains all values above 0."""
    known = [math.log10(value) for value in values if value > 0]
    low, high = math.floor(min(known)), math.ceil(max(known))
    return Axis(low, max(high, low + 1), near, far)


def frequency(found: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the drawing of `statistics.frequency`; None without landslides."""
    if found is None or not found["count"]:
        return None
    bins = [row for row in found["bins"] if row["count"]]
    x = axis((edge for row in bins for edge in (row["from_m2"], row["to_m2"])), 0, WIDTH)
    y = axis((density for row in bins for density in (row["density_low"], row["density_high"])), HEIGHT, 0)
    law = found["inverse_gamma"]
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "x": x.ticks,
        "y": y.ticks,
        "count": found["count"],
        "notes": found["notes"],
        "bins": bins,
        "points": [
            {
                "x": x(math.sqrt(row["from_m2"] * row["to_m2"])),
                "y": y(row["density_per_m2"]),
                "low": y(row["density_low"]),
                "high": y(row["density_high"]),
            }
            for row in bins
        ],
        "tail": found["tail"],
        "tail_line": None if found["tail"] is None else _line(found["tail"]["curve"], x, y),
        "law": law,
        "law_line": None if law is None else _line(law["curve"], x, y),
        "rollover": x(law["rollover_m2"]) if law is not None and law["rollover_is_seen"] else None,
    }


def _line(curve: list[list[float]], x: Axis, y: Axis) -> str:
    """Return the points of a polyline, which the page clips at the plot's edge; densities of 0 are left out."""
    return " ".join(f"{x(area)},{y(density)}" for area, density in curve if density > 0)
