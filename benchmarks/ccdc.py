"""Detection rate, dating error and run time of CCDC on a synthetic country with years of dense Sentinel-2.

    python -m benchmarks.ccdc [--folder DIR] [--seed 322] [--size 1024]

Landslides of more than 1 ha count as found where the inventory meets them, and as dated where the first look after the
break, as the inventory has it, is within 30 days of the true day.
"""

import argparse
import time
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import yaml

from benchmarks.synthetic_countries import settings_file
from lsbatch import settings
from lsbatch.bands import STACK
from lsbatch.catalog.survey import Survey, open_survey
from lsbatch.cli import terminal
from lsbatch.commands import run
from lsbatch.inventory import evaluation
from lsbatch.models import base, ccdc
from lsbatch.settings import Config
from lsbatch.storage import cube, receipts, vectors

HISTORY_YEARS, LARGE_M2, NEAR_DAYS = 3, 10_000, 30
TILE_PX = 2048
#: Series that are timed: clear looks as a place of the country has them.
TIMED_PX = 5000


def surveyed(folder: Path, seed: int, size: int) -> Config:
    """The country, made and surveyed with ccdc if it was not."""
    path = settings_file(folder / f"country-{seed}", seed, size, history_years=HISTORY_YEARS)
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    raw |= {"model": {"family": "ccdc", "history_years": HISTORY_YEARS}, "output": "survey-ccdc"}
    config = settings.parse(raw, path.parent)
    if run.survey(config, terminal.Screen(), until="inventory"):
        raise SystemExit(f"{path}: not every tile could be surveyed")
    return config


def dated(config: Config) -> pd.DataFrame:
    """Return one row a true landslide: area, whether it was found, days from the truth to the first image after."""
    assert config.truth is not None
    found = gpd.read_file(config.output / "inventory" / "landslides.gpkg", layer="landslides")
    real = vectors.read_truth(config.truth, config.survey.windows, config.grid.crs, None).to_crs(found.crs)
    rows = []
    for shape, day in zip(real.geometry, pd.to_datetime(real["date"]), strict=True):
        # the record that covers most of it speaks for it
        shares = found.geometry.intersection(shape).area
        if shares.max() > 0:
            one = found.loc[shares.idxmax()]
            latest, earliest = pd.Timestamp(one["date_latest"]), pd.Timestamp(one["date_earliest"])
            rows.append((shape.area, True, (latest - day).days, earliest <= day <= latest, one["date_method"]))
        else:
            rows.append((shape.area, False, np.nan, False, ""))
    return pd.DataFrame(rows, columns=["area_m2", "found", "error_days", "between", "method"])


def rule_keeps(survey: Survey) -> tuple[float, float]:
    """Share of all pixels that are looked at, and of the true landslides' pixels."""
    config = survey.config
    assert config.truth is not None
    rule = base.card(base.resolve(config)).network
    chosen = seen = kept = real = 0
    for position in survey.positions:
        tile = survey.tile(position)
        block = cube.read(survey.workspace.store, survey.grid, STACK, tile, 0, ccdc.BANDS)
        candidates, truth = (
            ccdc.candidates(block, rule),
            vectors.truth_mask(config.truth, config.survey.windows, tile.geobox),
        )
        observed = np.isfinite(np.stack(list(block.values()))).all(axis=0)
        chosen += int(candidates.sum())
        seen += int(observed.sum())
        kept += int((candidates & truth).sum())
        real += int((truth & observed).sum())
    return chosen / seen, kept / real


def speed(looks: int) -> float:
    """Pixels a second of one core, for series of so many clear looks.

    Four years of seasons, a quarter of them with a break.
    """
    dice = np.random.default_rng(0)
    days = (
        np.sort(dice.choice(np.arange(120, 283), looks // 5 + 1)[None, :] + 365 * np.arange(5)[:, None]).ravel()
        + 17_000
    )
    days = np.unique(days)
    seasons = 6500 + 700 * np.cos(2 * np.pi * days / 365.25 - 3.3)
    values = seasons[:, None] + dice.normal(0, 350, (len(days), TIMED_PX))
    values[days > days[-len(days) // 8], : TIMED_PX // 4] -= 4000
    series = np.rint(values).astype(np.int16)[None]
    began = time.perf_counter()
    ccdc.breaks(days, series, (int(days[0]), int(days[-1])), ccdc.PARAMETERS)
    return TIMED_PX / (time.perf_counter() - began)


def main() -> None:
    """Print pixels' scores, what was found and dated, and the price."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("ccdc-work"))
    parser.add_argument("--seed", type=int, default=322)
    parser.add_argument("--size", type=int, default=1024, help="pixels on a side")
    arguments = parser.parse_args()
    config = surveyed(arguments.folder.absolute(), arguments.seed, arguments.size)
    survey = open_survey(config)
    counts = evaluation.summary(survey)
    print(
        "P {precision:.3f}  R {recall:.3f}  F1 {f1:.3f}  MCC {mcc:.3f}  TP {tp:,}  FP {fp:,}  FN {fn:,}".format(
            **counts
        )
    )
    dated_records = dated(config)
    large = dated_records[dated_records.area_m2 > LARGE_M2]
    for name, some in (("more than 1 ha", large), ("all", dated_records)):
        near = some.found & (some.error_days.abs() <= NEAR_DAYS)
        print(
            f"landslides, {name}: {len(some)}, found {some.found.mean():.0%}, found and dated within {NEAR_DAYS} days "
            f"{near.mean():.0%}; median error {some.error_days.abs().median():.0f} days, the looks around the break "
            f"hold the day for {some.between[some.found].mean():.0%}"
        )
    share, kept = rule_keeps(survey)
    print(f"looked at: {share:.1%} of the pixels, {kept:.1%} of those of true landslides")
    done = [r for r in receipts.read_stage(survey.workspace.receipts, "predict").values() if r]
    print(
        f"scenes a tile: {max(len(r.scenes) for r in done)}; {sum(r.seconds for r in done):.0f} s for "
        f"{sum(r.pixels for r in done):,} px"
    )
    for looks in (30, 60, 120):
        rate = speed(looks)
        print(
            f"{looks} clear looks: {rate:,.0f} px/s a core; a tile of {TILE_PX} px at this share: "
            f"{share * TILE_PX**2 / rate / 60:.1f} min"
        )


if __name__ == "__main__":
    main()
