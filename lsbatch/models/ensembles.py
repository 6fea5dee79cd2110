"""Ensembles: several networks of one structure in one file of weights.

Their arrays have the prefixes ``0.``, ``1.`` and so on, and the card has their number in ``network["members"]``. A
file with one network has neither, as in older versions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from lsbatch.errors import ModelError
from lsbatch.models.model_card import Card


def joined(members: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the arrays of all members under names that are unique; those of one network as they are."""
    if len(members) == 1:
        return dict(members[0])
    return {f"{number}.{name}": value for number, found in enumerate(members) for name, value in found.items()}


def described(of: Card, count: int) -> Card:
    """Return the card of an ensemble of this many members; of one network the card as it is."""
    return of if count == 1 else replace(of, network={**of.network, "members": count})


def separated(found: Mapping[str, np.ndarray], of: Card) -> list[dict[str, np.ndarray]]:
    """Return the arrays of each member.

    Raises
    ------
    ModelError
        If an array belongs to no member.
    """
    count = of.network.get("members", 1)
    if count == 1:
        return [dict(found)]
    members: list[dict[str, np.ndarray]] = [{} for _ in range(count)]
    for name, value in found.items():
        number, _, own = name.partition(".")
        if not (number.isdecimal() and int(number) < count):
            raise ModelError(f"weights do not fit their card: array {name!r} belongs to none of its {count} members")
        members[int(number)][own] = value
    return members
