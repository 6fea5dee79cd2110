"""Fine-tuning: a training that starts from weights instead of random numbers."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from lsbatch.errors import ConfigError, ModelError
from lsbatch.models import cards, ensembles, families, unet
from lsbatch.models.cards import Card
from lsbatch.models.family import BandStatistics, NetworkRecipe
from lsbatch.models.training.chips import Chips
from lsbatch.models.training.public_sets.chip_folder import STANDARDISED
from lsbatch.settings import Config, parse


def adopted(config: Config, start: Path | None, progress: Callable[[str], None] = lambda line: None) -> Config:
    """Return the settings of a training with the structure of the weights from which it starts.

    Parameters
    ----------
    config : Config
    start : Path or None
        File of weights; None: the training starts from random weights, and the settings stay as they are.
    progress : callable str -> None
        Gets a line if the weights have another structure than the settings.

    Raises
    ------
    ModelError
        If the weights are of another family, for other bands, or damaged.
    ConfigError
        If the family is no network, the structure does not fit the other settings, or more levels are to be frozen
        than there are.
    """
    if start is None:
        if config.train.freeze_levels:
            raise ConfigError(
                f"train.freeze_levels = {config.train.freeze_levels}: only levels of existing weights can be frozen; "
                "name the weights with --from, or set it to 0"
            )
        return config
    recipe, of = families.of(config).training, cards.card(start)
    if not isinstance(recipe, NetworkRecipe):
        raise ConfigError(
            f"model.family = {config.model.family!r}: is trained from its beginning only; --from is for networks"
        )
    _check(of, config, start)
    found = _with_structure(config, of, recipe, start)
    names = [name for name in recipe.structure if getattr(found.train, name) != getattr(config.train, name)]
    if names:
        progress(f"{start.name} has {_shown(found, names)}; the settings have {_shown(config, names)}, not used")
    frozen_levels(recipe, recipe.build(len(found.inputs), found.train), found)
    return found


def _check(of: Card, config: Config, start: Path) -> None:
    if of.family != config.model.family:
        raise ModelError(
            f"{start}: these weights are of family {of.family!r} and cannot start a training of {config.model.family!r}"
        )
    if of.bands != config.inputs:
        raise ModelError(
            f"{start}: these weights are for the bands {', '.join(of.bands)}, the settings have "
            f"{', '.join(config.inputs)}; a training must start from weights for the same bands in the same order"
        )


def _with_structure(config: Config, of: Card, recipe: NetworkRecipe, start: Path) -> Config:
    """Return the settings with the structure of the card, validated again: a depth limits the side of a chip."""
    raw = config.model_dump(mode="json")
    raw["train"] |= {name: of.network.get(name) for name in recipe.structure}
    return config.model_copy(update={"train": parse(raw, config.output, f"{start} as the start of a training").train})


def _shown(config: Config, names: Sequence[str]) -> str:
    return " and ".join(f"{name} {getattr(config.train, name)}" for name in names)


def frozen_levels(recipe: NetworkRecipe, network: nn.Module, config: Config) -> Sequence[nn.Module]:
    """Return the levels of a network that keep their weights.

    Raises
    ------
    ConfigError
        If there are fewer.
    """
    levels, count = recipe.levels(network), config.train.freeze_levels
    if count > len(levels):
        raise ConfigError(f"train.freeze_levels = {count}: the encoder of this network has {len(levels)} levels")
    return levels[:count]


def restore(network: nn.Module, start: Path | None, number: int = 0) -> None:
    """Load the weights from which a training starts, if any.

    Member `number` of an ensemble starts from the member of the same number; if there are fewer, from the first again.

    Raises
    ------
    ModelError
        If they are of another structure.
    """
    if start is not None:
        members = ensembles.separated(cards.arrays(start), cards.card(start))
        unet.restore(network, members[number % len(members)])


def statistics(start: Path | None, recipe: NetworkRecipe, chips: Chips) -> BandStatistics:
    """Return the normalisation: that of the weights, because another one would shift all inputs of the network.

    Weights that learned from standardised values get the statistics of the chips.

    Raises
    ------
    ConfigError
        If the weights learned from physical values, and the chips have none.
    """
    of = None if start is None else cards.card(start)
    if of is None or of.made_by.get("units") == STANDARDISED:
        return recipe.statistics(chips)
    if chips.units == STANDARDISED:
        raise ConfigError(
            f"{start}: learned from values in physical units, which the set {chips.sets[0]['name']} does not have; "
            "train with a survey as well, or start from weights of such a set"
        )
    return np.array(of.means), np.array(of.stds)


def made_by(start: Path | None, config: Config) -> dict[str, Any]:
    """Return the fields of `Card.made_by` about the start of a training; none if it started from random weights."""
    if start is None:
        return {}
    return {
        "started_from": {"file": start.name, "checksum": cards.card(start).checksum},
        "frozen_levels": config.train.freeze_levels,
    }
