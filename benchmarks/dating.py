"""Dating accuracy of Sentinel-1 on synthetic countries.

    python -m benchmarks.dating [--seeds 905 906 ...] [--size 512]

Each orbit passes every 12 days from the season before to the season after. Every true landslide of 500 m2 or more is
asked for its day, and so is its outline moved to where nothing changed. Nothing is fitted to these days. Real series:
`benchmarks.change_series`.
"""

import argparse
import time

import numpy as np
import pandas as pd

from lsbatch.inventory.dating import NARROWER
from lsbatch.kernels import landslide_date, surrounding_rings
from lsbatch.pipeline.radar_series import GAP_PX, REACH_PX
from lsbatch.synthetic import country, cover, radar, scenes

REPEAT_DAYS, FEWEST_PX = 12, 5
#: A landslide that Sentinel-1 can see: its mean change of VV or VH in some orbit, before speckle and moisture.
SEEN_DB = 1.0
WITHIN_DAYS = 12
FIRST, LAST = (scenes.season(year)[i] for i, year in enumerate((country.YEAR - 1, country.YEAR)))
#: How far an outline is moved, at most, to find unchanged ground.
MOVES_PX = 40


def synthetic(seed: int, size: int) -> pd.DataFrame:
    """A row a place: whether it slid, when, whether it can be seen, and what the series say."""
    made = country.make(seed, size, size)
    labels, days, steps = _places(made)
    owners = surrounding_rings.around(labels > 0, labels, np.zeros(labels.shape, bool), GAP_PX, REACH_PX)
    found: dict[int, list[landslide_date.Series]] = {n: [] for n in range(1, len(days) + 1)}
    for orbit in radar.ORBITS:
        passes = scenes.repeats(made, orbit, REPEAT_DAYS)
        sums = np.stack([_sums(radar.gamma0(made, orbit, day), labels, owners, len(days)) for day in passes])
        clock = 17.04 / 24 if orbit.state == "ascending" else 5.70 / 24
        at = np.array([day.toordinal() + clock for day in passes])
        for n in found:
            ratio, speckle = landslide_date.log_ratio(*np.moveaxis(sums[:, :, n - 1], -1, 0), radar.LOOKS)
            found[n].append(landslide_date.Series(at, ratio, speckle))
    answers = [landslide_date.date(found[n], FIRST.toordinal(), LAST.toordinal() + 1) for n in found]
    rows = [
        (seed, n, int((labels == n).sum()), day, step, answer.evidence, answer.quantile(0.5), *answer.interval())
        for (n, answer), day, step in zip(zip(found, answers, strict=True), days, steps, strict=True)
    ]
    return pd.DataFrame(
        rows, columns=["seed", "place", "pixels", "true", "step_db", "evidence", "day", "earliest", "latest"]
    )


def _places(made: country.Ground) -> tuple[np.ndarray, list[float], list[float]]:
    """Numbers of landslides and of unchanged places of the same shapes, days (NaN.

    None), and the change that an orbit sees best.
    """
    slides = made.slides
    labels = np.zeros(slides.labels.shape, np.int32)
    days, steps, twins = [], [], []
    changed = (slides.labels > 0) | (made.confounders.kind > 0) | (made.cover == cover.WATER)
    seen = [np.abs(np.stack(radar._change(made, radar.facing(made, orbit)[1]))) for orbit in radar.ORBITS]
    dice = np.random.default_rng(made.seed)
    taken = changed.copy()
    for number, day in enumerate(slides.day, 1):
        rows, cols = np.nonzero(slides.labels == number)
        if len(rows) < FEWEST_PX:
            continue
        days.append(float(day.toordinal()))
        labels[rows, cols] = len(days)
        steps.append(max(float(one[:, rows, cols].mean(axis=1).max()) for one in seen))
        for _ in range(50):
            r, c = rows + dice.integers(-MOVES_PX, MOVES_PX), cols + dice.integers(-MOVES_PX, MOVES_PX)
            if min(r.min(), c.min()) >= 0 and max(r.max(), c.max()) < len(labels) and not taken[r, c].any():
                twins.append((r, c))
                taken[r, c] = True
                break
    for r, c in twins:
        days.append(np.nan)
        steps.append(0.0)
        labels[r, c] = len(days)
    return labels, days, steps


def _sums(power: dict[str, np.ndarray], labels: np.ndarray, owners: np.ndarray, count: int) -> np.ndarray:
    """Sums and pixels inside and around, (channels, places, 4)."""
    out = []
    for values in power.values():
        good = values > 0
        columns = []
        for of in (labels, owners):
            columns.append(np.bincount(of[good], values[good].astype(np.float64), count + 1)[1:])
            columns.append(np.bincount(of[good], minlength=count + 1)[1:])
        out.append(np.stack(columns, axis=-1))
    return np.stack(out)


def tell_synthetic(table: pd.DataFrame) -> list[str]:
    """The figures in words."""
    slid, still = table[table["true"].notna()], table[table["true"].isna()]
    seen = slid[slid["step_db"] >= SEEN_DB]
    lines = [
        f"{len(slid)} landslides of {FEWEST_PX} px or more, {len(seen)} with a change of {SEEN_DB:g} dB or more in "
        f"some orbit; {len(still)} unchanged places"
    ]
    for name, rows in (("seen", seen), ("all", slid)):
        dated = rows[is_dated(rows)]
        near = (dated["day"] - dated["true"]).abs() <= WITHIN_DAYS
        lines.append(
            f"{name}: dated {len(dated) / len(rows):.0%}; within {WITHIN_DAYS} days {near.sum() / len(rows):.0%} of "
            f"all, {near.mean():.0%} of dated; 90 % interval holds the day: {held(dated):.0%} of dated, "
            f"{held(rows):.0%} of all; median width {(dated['latest'] - dated['earliest']).median():.1f} days"
        )
    lines.append(f"unchanged places dated: {is_dated(still).sum()} of {len(still)}")
    return lines


def is_dated(rows: pd.DataFrame) -> pd.Series:
    """Return whether a row would be dated in the inventory: it has the evidence and a short interval."""
    short = rows["latest"] - rows["earliest"] <= NARROWER * (LAST - FIRST).days
    return (rows["evidence"] >= landslide_date.EVIDENCE) & short


def held(rows: pd.DataFrame) -> float:
    """Share of rows whose interval shares a moment with the day on which it slid."""
    # a landslide of a day is in the passes of that day: it slid at its first moment, or in the day before
    return float(((rows["earliest"] <= rows["true"]) & (rows["true"] <= rows["latest"])).mean())


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(905, 915)))
    parser.add_argument("--size", type=int, default=512)
    asked = parser.parse_args()
    began = time.perf_counter()
    table = pd.concat([synthetic(seed, asked.size) for seed in asked.seeds], ignore_index=True)
    print(
        f"synthetic countries {asked.seeds} of {asked.size} px, a pass of each orbit every {REPEAT_DAYS} days "
        f"({time.perf_counter() - began:.0f} s)"
    )
    print("\n".join(tell_synthetic(table)))


if __name__ == "__main__":
    main()
