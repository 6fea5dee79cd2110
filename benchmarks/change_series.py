"""Dates of changes in the 50 real Sentinel-1 series of ../shared/data/s1_change_series, by leave-one-site-out.

    python -m benchmarks.change_series [--folder ../shared/data/s1_change_series]
    python -m benchmarks.change_series --calibrate      the weight for lsbatch.kernels.landslide_date

Fires, crops and clearings; none is a landslide. A series is the mean of 3 x 3 pixels of 30 m without surroundings.
The label is the day of the first optical image that shows the change. A site is dated if it would be in the inventory:
a step has the evidence, and its interval of 90 % is at most half of the days that are searched.

The weight of the log likelihood is the only number that is fitted. For each site it is fitted to the other sites.
"""

import argparse
import ast
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import special, stats
from sklearn.metrics import roc_auc_score

from benchmarks import rejected_dates
from lsbatch.inventory.dating import NARROWER
from lsbatch.kernels import landslide_date, sar
from lsbatch.kernels.landslide_date import Dated, Series

NO_CHANGE = "noChange"
#: Days of a shorter search that contains the change, and how often it is placed differently around it.
SPAN_DAYS, PLACES = 180, 20
#: Pixels of the window, and looks of a pixel of 30 m.
WINDOW_PX, WINDOW_LOOKS = 9, 4.4
#: Weights that are tried, and the confidence of the calibration.
WEIGHTS, CONFIDENCE = np.arange(1, 101) / 100, 0.9
DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data" / "s1_change_series"

Method = Callable[[Sequence[Series], np.ndarray], np.ndarray]
METHODS: dict[str, Method] = {
    "noise, drift and cycle (used)": landslide_date.log_likelihood_ratio,
    "independent Student errors": rejected_dates.independent_errors,
    "least-squares step on seasons": rejected_dates.step_on_seasons,
}


def series(folder: Path) -> dict[int, list[Series]]:
    """Return the series of each labelled site, one for each orbit; days since 1970."""
    speckle = landslide_date.DB * float(np.sqrt(special.polygamma(1, WINDOW_PX * WINDOW_LOOKS)))
    found: dict[int, list[Series]] = {}
    for file in sorted(folder.glob("rtc_summary_site_*.csv")):
        table = pd.read_csv(file).sort_values("datetime", kind="stable")
        days = (pd.to_datetime(table["datetime"]) - pd.Timestamp(0)).dt.total_seconds().to_numpy() / 86400
        power = [[np.nanmean(_numbers(text)) for text in table[name]] for name in ("vv", "vh")]
        decibels = sar.to_db(np.array(power).T)
        one = Series(days, decibels, np.full(decibels.shape, speckle))
        found.setdefault(int(table["site_id"].iloc[0]), []).append(one)
    return {site: found[site] for site in labels(folder).index if site in found}


def _numbers(text: str) -> np.ndarray:
    """Return nine numbers from text, of which some may be nan."""
    return np.array(ast.literal_eval(text.replace("nan", "None")), float)


def labels(folder: Path) -> pd.DataFrame:
    """Return label, first day with the change, and last day without, of each site; NaN if unknown."""
    table = pd.read_csv(folder / "labels.csv").set_index("site_id")
    days = {
        name: (pd.to_datetime(table[column]) - pd.Timestamp(0)).dt.total_seconds() / 86400
        for name, column in (("true", "change_time"), ("before", "last_observation_time"))
    }
    return pd.DataFrame({"label": table["change_label"], **days})


def searched(folder: Path, method: Method = landslide_date.log_likelihood_ratio) -> dict[int, Dated]:
    """Return each site's date, searched from the first to the last day of all series."""
    orbits = series(folder)
    days = np.concatenate([one.days for sets in orbits.values() for one in sets])
    first, last = float(days.min()), float(days.max()) + 1
    found = {}
    for site, sets in orbits.items():
        inner = np.concatenate([one.days for one in sets])
        edges = np.unique(np.concatenate([[first, last], inner[inner > first]]))
        found[site] = Dated(edges, method(sets, edges[:-1]))
    return found


def weighted(found: Dated, weight: float) -> Dated:
    """Return the same date with another weight of the log likelihood."""
    return Dated(found.edges, found.ratio, weight)


def largest_weight(found: Dated, true: float) -> float:
    """Return the largest weight up to which all intervals contain the day; 0 if none does."""
    held = 0.0
    for weight in WEIGHTS:
        first, last = weighted(found, weight).interval()
        if not first <= true <= last:
            break
        held = float(weight)
    return held


def calibrated(largest: Sequence[float]) -> float:
    """Return the largest weight with which intervals hold the day at `SHARE` of all sites, with `CONFIDENCE`.

    A tolerance limit without a distribution: the k-th smallest of the sites' largest weights, where k or more of n
    sites miss with at least that probability (Wilks 1941, Determination of sample sizes for setting tolerance limits,
    Annals of Mathematical Statistics 12).

    Raises
    ------
    ValueError
        If there are too few sites.
    """
    count = len(largest)
    ranks = [k for k in range(1, count + 1) if stats.binom.sf(k - 1, count, 1 - landslide_date.SHARE) >= CONFIDENCE]
    if not ranks:
        raise ValueError(f"{count} sites with a day: at least 22 are needed")
    return max(float(np.sort(largest)[ranks[-1] - 1]), float(WEIGHTS[0]))


def weights(found: dict[int, Dated], true: pd.Series) -> tuple[float, dict[int, float]]:
    """Return the weight that all sites give, and for each site the weight that the others give."""
    largest = {site: largest_weight(one, true[site]) for site, one in found.items() if true[site] == true[site]}
    others = {site: calibrated([value for other, value in largest.items() if other != site]) for site in found}
    return calibrated(list(largest.values())), others


def judged(folder: Path, found: dict[int, Dated], by: dict[int, float], span_days: float | None = None) -> pd.DataFrame:
    """Return a row for each site and search: label, days, what was found, and whether the interval holds the day.

    Parameters
    ----------
    found : dict
        From `searched`.
    by : dict
        Weight of each site.
    span_days : float or None
        Search only in so many days, at `PLACES` places around the change; anywhere if there was none.
    """
    rows = []
    for site, label, true, before in labels(folder).loc[list(found)].itertuples():
        one = weighted(found[site], by[site])
        for first, last in _searches(one, true, span_days):
            part = one.within(first, last)
            early, late = part.interval()
            dated = part.evidence >= landslide_date.EVIDENCE and late - early <= NARROWER * (last - first)
            day = part.quantile(0.5)
            rows.append((site, label, true, part.evidence, dated, day, early, late, early <= true <= late,
                         early <= true and late >= (before if before == before else true)))  # fmt: skip
    names = "site label true evidence dated day earliest latest held touched"
    return pd.DataFrame(rows, columns=names.split())


def _searches(found: Dated, true: float, span_days: float | None) -> list[tuple[float, float]]:
    first, last = float(found.edges[0]), float(found.edges[-1])
    if span_days is None:
        return [(first, last)]
    shares = (np.arange(PLACES) + 0.5) / PLACES
    starts = true - span_days * shares if true == true else first + shares * (last - first - span_days)
    # a part of the search may lie beyond the series
    return [(max(first, float(start)), min(last, float(start) + span_days)) for start in starts]


def area(changed: np.ndarray, statistic: np.ndarray) -> str:
    """Return the area under the ROC curve of a statistic, with a bootstrap interval of 95 % over sites."""
    dice = np.random.default_rng(0)
    draws = [dice.integers(0, len(changed), len(changed)) for _ in range(2000)]
    areas = [roc_auc_score(changed[draw], statistic[draw]) for draw in draws if 0 < changed[draw].sum() < len(draw)]
    low, high = np.quantile(areas, [0.025, 0.975])
    return f"{roc_auc_score(changed, statistic):.2f} ({low:.2f} to {high:.2f})"


def cells(table: pd.DataFrame) -> str:
    """Return the figures of one search as cells of the table."""
    changed, still = table[table["label"] != NO_CHANGE], table[table["label"] == NO_CHANGE]
    dated = changed[changed["dated"]]
    error, width = (changed["day"] - changed["true"]).abs().median(), (changed["latest"] - changed["earliest"]).median()
    return " | ".join((
        f"{changed['held'].mean():.0%}", f"{changed['touched'].mean():.0%}", f"{width:.0f}", f"{error:.0f}",
        f"{len(dated) / len(changed):.1%}", f"{dated['held'].mean():.0%}" if len(dated) else "-",
        f"{still['dated'].mean():.1%}",
    ))  # fmt: skip


def tell(folder: Path) -> list[str]:
    """Return the figures as lines of Markdown: change against none, then the dates."""
    told = labels(folder).loc[list(series(folder))]
    changed = (told["label"] != NO_CHANGE).to_numpy()
    telling, dating = [], []
    for name, method in METHODS.items():
        found = searched(folder, method)
        evidence = np.array([one.evidence for one in found.values()])
        a_pass = np.array([one.ratio.max() / len(one.ratio) for one in found.values()])
        power = evidence[~changed].max() / np.log(10)
        telling.append(f"| {name} | {area(changed, evidence)} | {area(changed, a_pass)} | 10^{power:.1f} |")
        dating += _dates(folder, name, found, told["true"])
    return [
        f"{len(told)} sites, {changed.sum()} with a change; none is a landslide\n",
        "| method | ROC AUC of the Bayes factor | of the largest ratio a pass | largest factor of an unchanged site |",
        "|---|---|---|---|",
        *telling,
        "\n| method | weight | searched | interval holds the day | or touches the days between the images | median "
        "interval, days | median error, days | changed sites dated | of these, held | unchanged sites dated |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *dating,
    ]


def _dates(folder: Path, name: str, found: dict[int, Dated], true: pd.Series) -> list[str]:
    """Return the rows of a method: with Bayes' rule, and with the weight that the other sites give."""
    weight, others = weights(found, true)
    return [
        f"| {name} | {way} | {what} | {cells(judged(folder, found, by, span))} |"
        for way, by in (("1", dict.fromkeys(found, 1.0)), (f"{weight:.2f}, of the others", others))
        for what, span in (("all days", None), (f"{SPAN_DAYS} days", SPAN_DAYS))
    ]


def fixed(folder: Path) -> list[str]:
    """Return the rows of the used method with the weight in the code, for sites that it was not calibrated with."""
    found = searched(folder)
    by = dict.fromkeys(found, landslide_date.WEIGHT)
    return [
        f"| used | {landslide_date.WEIGHT:.2f}, in the code | {what} | {cells(judged(folder, found, by, span))} |"
        for what, span in (("all days", None), (f"{SPAN_DAYS} days", SPAN_DAYS))
    ]


def main() -> None:
    """Print the figures, or the weight."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=DEFAULT)
    parser.add_argument("--calibrate", action="store_true", help="print only the weight that all sites give")
    asked = parser.parse_args()
    if not (asked.folder / "labels.csv").is_file():
        parser.error(f"--folder {asked.folder}: has no labels.csv")
    if asked.calibrate:
        print(f"WEIGHT = {weights(searched(asked.folder), labels(asked.folder)['true'])[0]:.2f}")
    else:
        print("\n".join([*tell(asked.folder), *fixed(asked.folder)]))


if __name__ == "__main__":
    main()
