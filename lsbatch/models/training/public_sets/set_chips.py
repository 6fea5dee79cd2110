"""Chips of public sets: where they lie, their statistics, and common units with the surveys."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lsbatch.errors import NoDataError
from lsbatch.models.training.public_sets.chip_folder import PHYSICAL, STANDARDISED, ChipFolder, UnusablePatchError
from lsbatch.models.training.spatial_split import SPLITS, TRAIN, UNKNOWN

#: Factor and summand of each band, arrays (bands,).
Scale = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Square:
    """The place of a chip: patch, first row and column in it, split, and whether it holds a landslide."""

    patch: int
    row: int
    col: int
    share: int
    landslide: bool


@dataclass(frozen=True)
class Contents:
    """What a set holds.

    Attributes
    ----------
    squares : tuple of Square
        Chips with an observed pixel whose truth is known.
    sums : array (3, bands)
        Count, sum and sum of squares of each band over the training patches, as stored.
    facts : mapping
        For the card: name, format, licence, patches by split, patches left out by reason, regions, and the share of
        pixels without all bands or without a known truth.
    """

    squares: tuple[Square, ...]
    sums: np.ndarray
    facts: Mapping[str, Any]


def contents(of: ChipFolder, bands: int, side_px: int) -> Contents:
    """Read a set once, patch by patch.

    Parameters
    ----------
    of : ChipFolder
    bands : int
        Number of bands.
    side_px : int
        Side of a chip, a divisor of the side of a patch.

    Raises
    ------
    NoDataError
        If no patch is left, or a file is damaged.
    """
    squares: list[Square] = []
    sums = np.zeros((3, bands))
    left_out, counts, pixels = Counter(of.left_out), Counter(dict.fromkeys(SPLITS, 0)), np.zeros(2, np.int64)
    for number, patch in enumerate(of.patches):
        try:
            values, truth = of.read(patch)
        except UnusablePatchError as reason:
            left_out[str(reason)] += 1
            continue
        seen = np.isfinite(values).all(axis=0) & (truth != UNKNOWN)
        counts[SPLITS[patch.share]] += 1
        pixels += np.count_nonzero(~seen), seen.size
        squares += _squares(number, patch.share, seen, truth, side_px)
        if patch.share == TRAIN:
            sums += band_sums(values)
    if not counts.total():
        raise NoDataError(f"{of.name}: no patch is left for training: {_reasons(left_out)}")
    facts = {
        "name": of.name, "format": of.form, "licence": of.licence, "patches": dict(counts), "left_out": dict(left_out),
        "regions": list(of.regions), "unmapped_share": round(float(pixels[0] / pixels[1]), 4),
    }  # fmt: skip
    return Contents(tuple(squares), sums, facts)


def _squares(number: int, share: int, seen: np.ndarray, truth: np.ndarray, side_px: int) -> Iterator[Square]:
    for row in range(0, len(seen), side_px):
        for col in range(0, seen.shape[1], side_px):
            piece = np.s_[row : row + side_px, col : col + side_px]
            if seen[piece].any():
                yield Square(number, row, col, share, bool((seen[piece] & (truth[piece] == 1)).any()))


def band_sums(values: np.ndarray) -> np.ndarray:
    """Return count, sum and sum of squares of the finite values of each band, array (3, bands)."""
    finite = np.isfinite(values)
    exact = np.where(finite, values, 0).astype(np.float64)
    return np.stack([finite.sum(axis=(1, 2)), exact.sum(axis=(1, 2)), np.square(exact).sum(axis=(1, 2))])


def onto_common_units(
    surveys: np.ndarray, sets: Sequence[ChipFolder], found: Sequence[Contents]
) -> tuple[list[Scale], np.ndarray, str]:
    """Return the scale of each set, the statistics of all training pixels in common units, and these units.

    Values of a standardised set get the mean and the spread of the surveys and sets in physical units. If there are
    none, they get mean 0 and spread 1, and the common units are STANDARDISED.

    Parameters
    ----------
    surveys : array (3, bands)
        Count, sum and sum of squares over the training blocks of the surveys.
    sets : sequence of ChipFolder
    found : sequence of Contents

    Returns
    -------
    scales : list of (factor, summand)
    sums : array (3, bands)
    units : str
    """
    own = [one.sums for one, of in zip(found, sets, strict=True) if of.units == PHYSICAL]
    physical = sum(own, start=surveys)
    has_physical = bool((physical[0] > 0).all())
    means, stds = moments(physical) if has_physical else (np.zeros(surveys.shape[1]), np.ones(surveys.shape[1]))
    scales, total = [], physical.copy()
    for of, one in zip(sets, found, strict=True):
        if of.units == PHYSICAL:
            scales.append((np.ones_like(means), np.zeros_like(means)))
            continue
        middle, spread = moments(one.sums)
        factor, summand = stds / spread, means - middle * stds / spread
        count, first, second = one.sums
        moved = factor * first + summand * count
        total += count, moved, factor**2 * second + 2 * factor * summand * first + summand**2 * count
        scales.append((factor, summand))
    return scales, total, PHYSICAL if has_physical or not sets else STANDARDISED


def moments(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and spread of each band from count, sum and sum of squares; the spread of a constant band is 1."""
    count, total, squares = sums
    means = total / np.maximum(count, 1)
    stds = np.sqrt(np.maximum(squares / np.maximum(count, 1) - means**2, 0))
    return means, np.where(stds > 0, stds, 1.0)


def patches(
    sets: Sequence[ChipFolder], scales: Sequence[Scale], first: int, wanted: Collection[tuple[int, int]]
) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
    """Yield set, patch, bands in common units and truth of the wanted patches, one at a time.

    Parameters
    ----------
    sets : sequence of ChipFolder
    scales : sequence of (factor, summand)
    first : int
        Number of the first set: the surveys come before it.
    wanted : collection of (set, patch)
    """
    for index, (of, (factor, summand)) in enumerate(zip(sets, scales, strict=True), first):
        for number, patch in enumerate(of.patches):
            if (index, number) in wanted:
                values, truth = of.read(patch)
                scaled = values * factor.astype(np.float32)[:, None, None] + summand.astype(np.float32)[:, None, None]
                # as in the tiles of surveys: loss and scores ignore these pixels
                truth[~np.isfinite(values).all(axis=0)] = 0
                yield index, number, scaled, truth


def sentence(facts: Mapping[str, Any]) -> str:
    """Return what was read of a set, and what was left out."""
    used = sum(facts["patches"].values())
    left_out = sum(facts["left_out"].values())
    by_split = ", ".join(f"{count} {name}" for name, count in facts["patches"].items())
    text = f"{facts['name']}: {used} patches ({by_split}); {facts['unmapped_share']:.1%} of their pixels are not used"
    return (
        f"{text}; {left_out} of {used + left_out} patches were left out: {_reasons(facts['left_out'])}"
        if left_out
        else text
    )


def _reasons(left_out: Mapping[str, int]) -> str:
    return "; ".join(f"{count} {reason}" for reason, count in left_out.items()) or "it has none"
