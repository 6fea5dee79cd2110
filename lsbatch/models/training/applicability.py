"""Description of what a network learned from, made of its training chips (docs/applicability.md)."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lsbatch.kernels.statistics import dissimilarity as kernels
from lsbatch.models import cards
from lsbatch.models.applicability import changed, features
from lsbatch.models.cards import Applicability
from lsbatch.models.training.chips import Chips
from lsbatch.models.training.public_sets.chip_folder import SIDE_M, ChipFolder
from lsbatch.models.training.spatial_split import Source

#: Cells of the sample, and the share of them that hold a landslide.
CELLS, LANDSLIDE_SHARE = 2500, 0.1
#: Training chips that are looked at, drawn at random.
MOST_CHIPS = 2000
QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.99)
#: Step of the pixels of a chip that are counted in the quantiles of its bands.
STEP_PX = 4

Described = tuple[Applicability, np.ndarray]


def describe(
    chips: Chips, sources: Sequence[Source], names: tuple[str, ...], seed: int, chip_sets: Sequence[ChipFolder] = ()
) -> Described | None:
    """Return the description of a training and its sample of cells, array (cells, features) float16, standardised.

    Parameters
    ----------
    chips : Chips
    sources : sequence of Source
    names : tuple of str
        Bands of the chips.
    seed : int
        Of the random draw.
    chip_sets : sequence of ChipFolder
        Public sets of the chips, after the surveys. Their scenes and seasons are not described.

    Returns
    -------
    (Applicability, array) or None
        None if all training chips lie in one block, because the limit then cannot be cross-validated.
    """
    dice = np.random.default_rng([seed, 3])
    train = chips.of("train")
    looked_at = np.sort(dice.choice(train, min(MOST_CHIPS, len(train)), replace=False))
    cells, landslide, owner = _cells(chips, looked_at, names)
    chosen = _chosen(landslide, dice)
    folds, words = _folds(chips.blocks[owner[chosen]])
    if len(np.unique(folds)) < 2:
        return None
    means, stds = cells[chosen].mean(axis=0), cells[chosen].std(axis=0)
    stds[stds == 0] = 1.0
    sample = ((cells[chosen] - means) / stds).astype(np.float16)
    # as it is stored and will be searched
    points = sample.astype(np.float64)
    distance = kernels.mean_distance(points)
    limit = kernels.outlier_limit(kernels.held_out_distances(points, folds) / distance)
    quantiles, changes = _pixels(chips, looked_at, names)
    sides = [source.grid.resolution_m for source in sources] + [SIDE_M] * len(chip_sets)
    trained_on = (*(source.name for source in sources), *(one.name for one in chip_sets))
    described = Applicability(
        tuple(means.tolist()), tuple(stds.tolist()), distance, limit, quantiles, changes, (min(sides), max(sides)),
        _scenes(sources), _seasons(sources), words, trained_on, "",
    )  # fmt: skip
    return replace(described, checksum=cards.sample_checksum(sample, described)), sample


def _cells(chips: Chips, looked_at: np.ndarray, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the features of different cells, whether each holds a landslide, and its chip; without chip edges."""
    found, slides, owners = [], [], []
    for i in looked_at:
        values = features(dict(zip(names, chips.values[i], strict=True)), names)[1:-1, 1:-1]
        side = kernels.CELL_PX
        rows, cols = (size // side for size in chips.truth[i].shape)
        slid = (chips.truth[i] == 1).reshape(rows, side, cols, side).any(axis=(1, 3))[1:-1, 1:-1]
        known = np.isfinite(values).all(axis=-1)
        found.append(values[known])
        slides.append(slid[known])
        owners.append(np.full(int(known.sum()), i))
    # chips overlap
    cells, first = np.unique(np.concatenate(found), axis=0, return_index=True)
    return cells, np.concatenate(slides)[first], np.concatenate(owners)[first]


def _chosen(landslide: np.ndarray, dice: np.random.Generator) -> np.ndarray:
    """Draw the cells of the sample; landslides are rare, and have a share of their own."""
    counts = round(LANDSLIDE_SHARE * CELLS), round((1 - LANDSLIDE_SHARE) * CELLS)
    groups = [np.flatnonzero(landslide), np.flatnonzero(~landslide)]
    drawn = [dice.choice(g, min(n, len(g)), replace=False) for g, n in zip(groups, counts, strict=True)]
    return np.sort(np.concatenate(drawn))


def _folds(blocks: np.ndarray) -> tuple[np.ndarray, str]:
    """Return the fold of each cell: its survey or public set; or its block, if there is one of these."""
    surveys = np.unique(blocks[:, 0])
    if len(surveys) > 1:
        return blocks[:, 0], f"{len(surveys)} surveys"
    _, folds = np.unique(blocks, axis=0, return_inverse=True)
    return folds, f"{folds.max() + 1} blocks"


def _pixels(
    chips: Chips, looked_at: np.ndarray, names: tuple[str, ...]
) -> tuple[dict[str, tuple[float, ...]], dict[str, tuple[float, float]]]:
    """Return quantiles of each band, and the least and largest median of each change over the chips."""
    thinned = np.stack([chips.values[i][:, ::STEP_PX, ::STEP_PX] for i in looked_at], axis=1)
    quantiles = {
        name: tuple(np.nanquantile(band, QUANTILES).tolist()) for name, band in zip(names, thinned, strict=True)
    }
    full = np.isfinite(thinned).all(axis=0).mean(axis=(1, 2)) >= 0.5
    bands = dict(zip(names, thinned[:, full] if full.any() else thinned, strict=True))
    ends = {name: np.nanmedian(values, axis=(1, 2)) for name, values in changed(bands, names).items()}
    return quantiles, {name: (float(np.nanmin(of)), float(np.nanmax(of))) for name, of in ends.items()}


def _scenes(sources: Sequence[Source]) -> dict[str, tuple[int, int]]:
    """Return the least and largest number of scenes of a tile over the surveys, by key of the plan."""
    keys = sorted({key for source in sources for key in source.scenes})
    every = {key: [source.scenes[key] for source in sources if key in source.scenes] for key in keys}
    return {key: (min(low for low, _ in of), max(high for _, high in of)) for key, of in every.items()}


def _seasons(sources: Sequence[Source]) -> tuple[tuple[str, str], ...]:
    """Return the different windows of the images, as days of the year."""
    windows = [window for source in sources if source.windows for window in (source.windows.pre, source.windows.post)]
    return tuple(sorted({(f"{first:%m-%d}", f"{last:%m-%d}") for first, last in windows}))
