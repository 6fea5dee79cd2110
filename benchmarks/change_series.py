"""Detection and dating of changes in the 50 real Sentinel-1 series of ../shared/data/s1_change_series.

    python -m benchmarks.change_series [--folder ../shared/data/s1_change_series]

Fires, crops and clearings; none is a landslide. Nothing is fitted to the labels. Printed are the area under the ROC
curve of the likelihood ratio, with a bootstrap interval over sites, and the error of the date where a date is known.
"""

import argparse
import ast
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from lsbatch.kernels import change_date, sar

NO_CHANGE = "noChange"
SPAN_DAYS = 180


def series(folder: Path) -> dict[int, list[tuple[np.ndarray, np.ndarray]]]:
    """Days since 1970 and decibels (looks, 2) of each site's orbits; the mean of the 3 x 3 window in linear power."""
    found: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    for file in sorted(folder.glob("rtc_summary_site_*.csv")):
        table = pd.read_csv(file)
        days = (pd.to_datetime(table["datetime"]) - pd.Timestamp(0)).dt.total_seconds().to_numpy() / 86400
        power = [[np.nanmean(_numbers(text)) for text in table[name]] for name in ("vv", "vh")]
        found.setdefault(int(table["site_id"].iloc[0]), []).append((days, sar.to_db(np.array(power).T)))
    return found


def _numbers(text: str) -> np.ndarray:
    """Nine numbers as text, of which some may be nan."""
    return np.array(ast.literal_eval(text.replace("nan", "None")), float)


def judged(folder: Path) -> pd.DataFrame:
    """A row a site: label, true day where known, found day, its interval and the likelihood ratio a look."""
    labels = pd.read_csv(folder / "labels.csv").set_index("site_id")
    rows, dice = [], np.random.default_rng(0)
    for site, orbits in series(folder).items():
        if site not in labels.index:
            continue
        day, _, _, ratio = change_date.date(orbits)
        label = labels.loc[site]
        true = (
            (pd.Timestamp(label["change_time"]) - pd.Timestamp(0)).total_seconds() / 86400
            if label["change_time"] == label["change_time"]
            else np.nan
        )
        looks = sum(len(days) for days, _ in orbits)
        # as a survey dates: between two composites, half a year that holds the day somewhere
        first = true - SPAN_DAYS * dice.random()
        near, *interval, _ = change_date.date(orbits, first, first + SPAN_DAYS)
        guess = first + SPAN_DAYS / 2
        rows.append((site, label["change_label"], len(orbits), looks, true, day, near, *interval, guess, ratio / looks))
    return pd.DataFrame(
        rows,
        columns=["site", "label", "orbits", "looks", "true", "day", "near", "earliest", "latest", "guess", "ratio"],
    )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).resolve().parents[2] / "shared" / "data" / "s1_change_series"
    parser.add_argument("--folder", type=Path, default=default)
    table = judged(parser.parse_args().folder)
    changed = (table["label"] != NO_CHANGE).to_numpy()
    ratio = table["ratio"].to_numpy()
    dice = np.random.default_rng(0)
    draws = [dice.integers(0, len(table), len(table)) for _ in range(2000)]
    areas = [roc_auc_score(changed[d], ratio[d]) for d in draws if 0 < changed[d].sum() < len(d)]
    print(f"{len(table)} sites, {changed.sum()} with a change, {table['orbits'].sum()} series")
    print(
        f"ROC AUC {roc_auc_score(changed, ratio):.2f} (95 % {np.quantile(areas, 0.025):.2f} to "
        f"{np.quantile(areas, 0.975):.2f})"
    )
    dated = table[changed & table["true"].notna().to_numpy()]
    print(f"date, {len(dated)} sites, error in days:")
    searched = {
        "looked for in all two years": "day",
        f"looked for in {SPAN_DAYS} days that hold it": "near",
        "the middle of these, without looking": "guess",
    }
    for name, column in searched.items():
        error = (dated[column] - dated["true"]).abs()
        print(
            f"  {name}: median {error.median():.0f}, within 12 {(error <= 12).mean():.0%}, within 30 "
            f"{(error <= 30).mean():.0%}"
        )
    held = ((dated["earliest"] <= dated["true"]) & (dated["true"] <= dated["latest"])).mean()
    print(
        f"  the interval of 95 % (median {(dated['latest'] - dated['earliest']).median():.0f} days) holds it in "
        f"{held:.0%}"
    )
    for label, rows in table.groupby("label"):
        print(f"  {label}: {len(rows)} sites, median ratio a look {rows['ratio'].median():.3f}")


if __name__ == "__main__":
    main()
