"""The registry of model families."""

from collections.abc import Mapping

from lsbatch.errors import ModelError
from lsbatch.models.cards import Card
from lsbatch.models.families.cart import CartFamily
from lsbatch.models.families.ccdc import CcdcFamily
from lsbatch.models.families.disturbance import DisturbanceFamily
from lsbatch.models.families.onnx import OnnxFamily
from lsbatch.models.families.prakash import PrakashFamily
from lsbatch.models.families.smp import SmpFamily
from lsbatch.models.families.tehrani import TehraniFamily
from lsbatch.models.families.unet import UNetFamily
from lsbatch.models.family import Family, NetworkRecipe
from lsbatch.settings import Config

_ALL: tuple[Family, ...] = (
    UNetFamily(),
    CartFamily(),
    TehraniFamily(),
    PrakashFamily(),
    CcdcFamily(),
    DisturbanceFamily(),
    SmpFamily(),
    OnnxFamily(),
)

#: Families by the value of ``model.family``.
FAMILIES: Mapping[str, Family] = {family.name: family for family in _ALL}


def of_card(card: Card) -> Family:
    """Return the family of a file of weights.

    Raises
    ------
    ModelError
        If this version of lsbatch does not have it.
    """
    if card.family not in FAMILIES:
        raise ModelError(
            f"the weights are of family {card.family!r}, which this version of lsbatch does not have; "
            f"use weights of {', '.join(FAMILIES)}"
        )
    return _complete(FAMILIES[card.family], card)


def _complete(family: Family, card: Card) -> Family:
    missing = [name for name in family.structure if name not in card.network]
    if missing or (family.own_bands is not None and card.bands != family.own_bands):
        what = f"network.{missing[0]}" if missing else f"the bands {', '.join(family.own_bands or ())}"
        raise ModelError(f"the weights of family {card.family!r} are damaged: their card lacks {what}; train again")
    if isinstance(family.training, NetworkRecipe) and len(card.means) != len(card.bands):
        raise ModelError(
            f"the weights of family {card.family!r} are damaged: their card lacks the mean and the deviation of each "
            "band; train again"
        )
    return family


def of(config: Config) -> Family:
    """Return the family in the settings."""
    return FAMILIES[config.model.family]
