"""Train and score several models on several inputs in the same way, for any region.

If a model is scored on a survey that it was trained on, only the test blocks count, without a margin as wide as the
halo of the model. Surveys that are only used for scores count completely.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from lsbatch import settings
from lsbatch.bands import BAND_SETTINGS, OWN_BANDS, mask
from lsbatch.catalog import survey_variants
from lsbatch.catalog.survey import Survey, open_survey
from lsbatch.commands import run, train
from lsbatch.commands.run import Screen
from lsbatch.errors import ConfigError, NoDataError
from lsbatch.grid import Tile
from lsbatch.inventory import evaluation
from lsbatch.kernels.statistics import score_intervals
from lsbatch.models import base, families
from lsbatch.models.families import FAMILIES
from lsbatch.models.training import spatial_split
from lsbatch.pipeline.clean import UNOBSERVED
from lsbatch.pipeline.score import CELL_PX
from lsbatch.settings import Config
from lsbatch.storage import cube, rasters, receipts, vectors
from lsbatch.storage.files import write_json, write_text

#: Classes of the map: predicted and true.
TN, TP, FP, FN = 0, 1, 2, 3
COLOURS = {TN: (240, 240, 240, 255), TP: (27, 120, 55, 255), FP: (217, 95, 2, 255), FN: (117, 112, 179, 255)}
COLUMNS = ("model", "bands", "region", "P", "R", "F1", "IoU", "MCC", "95 %", "TP", "FP", "FN", "TN", "prevalence")
#: Columns of a row of scores besides the names.
SCORES = (
    "precision", "recall", "f1", "iou", "mcc", "prevalence", "tp", "fp", "fn", "tn",
    *(f"{name}_{end}" for name in score_intervals.MEASURES for end in ("low", "high")),
)  # fmt: skip


@dataclass(frozen=True)
class Contest:
    """A comparison: models, inputs and surveys.

    Attributes
    ----------
    learn : tuple of Config
        Surveys to train on; the settings and the folder of the first one are used.
    score : tuple of Config
        Surveys to score on; empty: the test blocks of the training surveys.
    families, bands : tuple of str
        Models and band settings; every pair is trained. A list of bands is written with plus signs: ``postNIR+dNBR``.
    """

    learn: tuple[Config, ...]
    score: tuple[Config, ...]
    families: tuple[str, ...]
    bands: tuple[str, ...]


def compare(contest: Contest, screen: Screen, *, fresh: bool = False) -> list[dict[str, Any]]:
    """Train, run and score every pair; write ``compare/compare.json`` and ``.csv`` into the first survey's folder.

    Returns
    -------
    list of dict
        A row for each model, band setting and region; scores None where undefined. With more than one region a row
        over all follows.

    Raises
    ------
    ConfigError
        If a survey has no mapped landslides, or a band setting lacks its archives.
    NoDataError
        If STACK or the prediction of a tile failed.
    """
    home = contest.learn[0].output / "compare"
    surveys = (*contest.learn, *contest.score)
    for config in surveys:
        if config.truth is None:
            raise ConfigError(f"{config.survey.id}: has no mapped landslides to compare with; set truth.file")
        if run.survey(config, screen, until="stack"):
            raise NoDataError(f"{config.survey.id}: STACK of some tiles failed; see 'lsbatch status'")
    rows: list[dict[str, Any]] = []
    for name in contest.families:
        for bands in ("own",) if OWN_BANDS.get(name) else contest.bands:
            screen.text(f"{name} on {bands}")
            rows += _pair(contest, name, bands, home, screen, fresh)
            # written after every pair, so that a stopped comparison leaves its results
            write_json(home / "compare.json", rows)
            write_text(home / "compare.csv", _csv(rows))
    return rows


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    text = StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)), restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def bands_of(text: str) -> str | list[str]:
    """Return the setting `bands` of an entry of `Contest.bands`."""
    return text if text in BAND_SETTINGS else text.split("+")


def _variant(config: Config, family: str, bands: str, home: Path, weights: Path | None) -> Config:
    """Return the same survey with another model and its own folder."""
    raw = config.model_dump(mode="json")
    if not OWN_BANDS.get(family):
        raw["bands"] = bands_of(bands)
    # an unknown family has no weights yet; `settings.parse` refuses it
    is_trained = weights is not None and FAMILIES[family].training is not None
    # a family that is not trained reads the weights that the survey names for it
    own = config.model.weights if FAMILIES.get(family) is families.of(config) and not is_trained else None
    raw["model"] |= {"family": family, "weights": str(weights) if is_trained else own}
    raw["output"] = str(home / f"{family}-{bands}" / config.survey.id)
    return settings.parse(raw, home)


def _pair(contest: Contest, family: str, bands: str, home: Path, screen: Screen, fresh: bool) -> list[dict[str, Any]]:
    own = not contest.score
    weights = home / f"{family}-{bands}" / "model" / f"{family}-{bands}.safetensors"
    learn = [_variant(config, family, bands, home, None) for config in contest.learn]
    for config, variant in zip(contest.learn, learn, strict=True):
        survey_variants.share(config.output, variant.output)
    if FAMILIES[family].training is not None and (fresh or not _is_current(weights, learn, own)):
        train.train(learn, screen, out=weights, fresh=fresh, hold_out=own)
    counts: dict[str, np.ndarray] = {}
    rows = []
    for config in contest.score or contest.learn:
        variant = _variant(config, family, bands, home, weights)
        survey_variants.share(config.output, variant.output)
        if run.survey(variant, screen, until="inventory"):
            raise NoDataError(
                f"{config.survey.id}: the prediction of some tiles by {family} failed; see "
                f"{variant.output / 'receipts'}"
            )
        survey = open_survey(variant)
        scored = receipts.read_stage(survey.workspace.receipts, "score").values()
        found, plots = evaluation.cells(scored), evaluation.cells_of_plots(scored)
        if own:
            halo = base.card(base.resolve(variant)).halo_px
            found, *inside = (
                _of_test_blocks(each, learn, list(contest.learn).index(config), halo)
                for each in (found, *plots.values())
            )
            plots = dict(zip(plots, inside, strict=True))
            if not len(found):
                raise NoDataError(_no_test_cells(learn, halo))
        counts[config.survey.id] = found
        objects = {} if own else evaluation.objects(survey)
        rows.append(_row(family, bands, config.survey.id, found, config, objects))
        rows += [
            _row(family, bands, f"{config.survey.id}/{name}", each, config, {})
            for name, each in plots.items()
            if len(each)
        ]
        _map(survey)
    if len(counts) > 1:
        first = contest.learn[0]
        # regions are placed far apart, so that no block contains cells of two
        apart = [each + np.array([i * 1_000_000, 0, 0, 0, 0, 0]) for i, each in enumerate(counts.values())]
        rows.append(_row(family, bands, "all", np.concatenate(apart), first, {}))
    return rows


def _row(
    family: str, bands: str, region: str, counts: np.ndarray, config: Config, objects: Mapping[str, Any]
) -> dict[str, Any]:
    found = evaluation.scored(counts, config.train.block_px)
    return {"model": family, "bands": bands, "region": region, **{key: found[key] for key in SCORES}, **objects}


def _is_current(weights: Path, learn: Sequence[Config], own: bool) -> bool:
    """Return whether the weights were made from these surveys with these settings."""
    if not weights.exists():
        return False
    return bool(base.card(weights).made_by.get("learned") == train.learned(learn, own))


def _of_test_blocks(counts: np.ndarray, learn: Sequence[Config], index: int, halo_px: int) -> np.ndarray:
    """Return the cells (n, 6) whose surroundings within the halo lie in test blocks, which are not trained on."""
    split = spatial_split.split_blocks([train.source(config) for config in learn], learn[0].train)

    def is_test(row: int, col: int) -> bool:
        spans = (slice(at * CELL_PX - halo_px, (at + 1) * CELL_PX + halo_px) for at in (row, col))
        return split.of(index, *spans) == spatial_split.TEST

    return counts[[is_test(int(row[0]), int(row[1])) for row in counts]] if len(counts) else counts


def _no_test_cells(learn: Sequence[Config], halo_px: int) -> str:
    return (
        f"no test block of train.block_px = {learn[0].train.block_px} has a cell of {CELL_PX} px that is "
        f"more than {halo_px} px (the halo of the network) from training blocks; set a larger train.block_px or score "
        "on other surveys"
    )


def _map(survey: Survey) -> None:
    """Write a map of correct and wrong pixels as COG."""
    config, layer = survey.config, mask(survey.config.model.family)
    assert config.truth is not None
    truth = config.truth

    def read(tile: Tile) -> np.ndarray:
        found = cube.read(survey.workspace.store, survey.grid, layer, tile, 0, layer.names)["landslide"]
        real = vectors.truth_mask(truth, config.survey.windows, tile.geobox)
        seen = (found != UNOBSERVED) & vectors.mapped_mask(truth, tile.geobox)
        classes = np.select([~seen, (found == 1) & real, found == 1, real], [UNOBSERVED, TP, FP, FN], TN)
        return classes.astype(np.uint8)

    tiles = [survey.tile(position) for position in survey.positions]
    rasters.write_classes(survey.workspace.root / "confusion.tif", survey.grid, tiles, read, COLOURS, UNOBSERVED)


def table(rows: Iterable[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Return rows of text under `COLUMNS`."""
    return [
        (
            str(row["model"]), str(row["bands"]), str(row["region"]),
            *(_ratio(row[name]) for name in score_intervals.MEASURES),
            "one block" if row["mcc_low"] is None else f"{_ratio(row['mcc_low'])} to {_ratio(row['mcc_high'])}",
            *(f"{row[name]:,}" for name in ("tp", "fp", "fn", "tn")),
            "undefined" if row["prevalence"] is None else f"{row['prevalence']:.2%}",
        )
        for row in rows
    ]  # fmt: skip


def _ratio(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
