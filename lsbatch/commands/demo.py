"""The command `lsbatch demo`: make a synthetic country, survey it and score the result against its truth."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lsbatch import settings, synthetic
from lsbatch.catalog.survey import open_survey
from lsbatch.commands import run
from lsbatch.errors import StaleStoreError
from lsbatch.inventory.evaluation import summary
from lsbatch.storage.files import make_folder

#: Seeds of the countries for `--train`; 900-999 are reserved for evaluation and never used here.
TRAINING_SEEDS = (1, 2)


def run_demo(
    folder: Path, *, seed: int, rows: int, cols: int, screen: Any, trainer: Callable[..., None] | None = None
) -> int:
    """Simulate, survey and score; return the number of failed tiles. Safe to repeat after an interruption.

    With a `trainer` (`lsbatch.commands.train.train`) it first trains weights on other countries.
    """
    began = time.monotonic()
    path = _country(folder, seed, rows, cols, screen)
    config = settings.load(path)
    if trainer:
        config = _trained(folder, config, seed, screen, trainer)
    faults = run.survey(config, screen)
    if not faults:
        _say(summary(open_survey(config)), screen, config, time.monotonic() - began)
    return faults


def _country(folder: Path, seed: int, rows: int, cols: int, screen: Any) -> Path:
    """Make the country once, and return its settings file, which is written last."""
    path = folder / "config.yaml"
    wanted = f"seed {seed}, {rows} x {cols} pixels"
    mark = folder / "country.txt"
    if path.exists() and mark.exists():
        if mark.read_text(encoding="utf-8") != wanted:
            raise StaleStoreError(
                f"{folder}: contains another country ({mark.read_text(encoding='utf-8')}); choose another folder, or "
                "delete this one"
            )
        screen.text(f"Country:   {folder} (made before)")
        return path
    began = time.monotonic()
    path = synthetic.simulate(make_folder(folder), seed=seed, rows=rows, cols=cols)
    mark.write_text(wanted, encoding="utf-8")
    screen.text(f"Country:   {folder}: {wanted}, made in {time.monotonic() - began:.0f} s. All of it is synthetic.")
    return path


def _trained(
    folder: Path, config: settings.Config, seed: int, screen: Any, trainer: Callable[..., None]
) -> settings.Config:
    seeds = [s for s in TRAINING_SEEDS if s != seed]
    learned = []
    for other in seeds:
        path = _country(folder / f"training-{other}", other, 1024, 1024, screen)
        learned.append(settings.load(path))
    weights = folder / "weights.safetensors"
    if not weights.exists():
        trainer(learned, screen, out=weights, fresh=False)
    return config.model_copy(update={"model": config.model.model_copy(update={"weights": str(weights)})})


def _say(found: dict[str, Any], screen: Any, config: settings.Config, seconds: float) -> None:
    def percent(value: float | None) -> str:
        return "undefined" if value is None else f"{value:.2f}"

    screen.text("")
    screen.text(f"Found {found['landslides']} landslides on {found['surveyed_km2']:.1f} km2, in {seconds:.0f} s.")
    screen.text(
        f"Against the known truth (synthetic): {found['landslides_found']} of {found['landslides_mapped']} landslides "
        f"of at least {config.inventory.min_area_m2:g} m2 found; {found['landslides_true']} of {found['landslides']} "
        "records are landslides."
    )
    screen.text(
        f"Pixels: precision {percent(found['precision'])}, recall {percent(found['recall'])}, F1 "
        f"{percent(found['f1'])}, MCC {percent(found['mcc'])} (TP {found['tp']:,}, FP {found['fp']:,}, FN "
        f"{found['fn']:,}, TN {found['tn']:,}; prevalence {found['prevalence'] or 0:.2%})."
    )
