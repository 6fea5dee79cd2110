"""The family tehrani: a random forest on segments of the red-green change."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lsbatch.bands import STACK
from lsbatch.grid import Tile
from lsbatch.models import cards, tehrani
from lsbatch.models.cards import Card
from lsbatch.models.family import FamilyBase, TrainingJob
from lsbatch.models.training import spatial_split
from lsbatch.models.training.spatial_split import Source, Split
from lsbatch.settings import PredictSettings
from lsbatch.storage import cube

#: Pixels of each tile from which the classes of change are learned.
SAMPLED_PX = 50_000


def train(job: TrainingJob) -> Card:
    """Train in two passes over the tiles: class centres from a sample of pixels, then segments and their classes."""
    settings, side_m = job.config.train, job.config.grid.resolution_m
    split = spatial_split.held_out_split(job.sources, settings, job.hold_out)
    middle = _centres(job.sources, settings.seed)
    features, slides = [], []
    for index, tile, block, truth in _blocks(job.sources, tehrani.HALO_PX):
        segments = tehrani.cut(block, middle, side_m)
        own = _own(segments.first - tehrani.HALO_PX, tile, None if split is None else (split, index))
        # the truth of most of a segment must be known
        own &= tehrani.shares(segments.labels, truth == spatial_split.UNKNOWN) < 0.5
        features.append(segments.features[own])
        slides.append(tehrani.shares(segments.labels, truth == 1)[own] >= 0.5)
    samples, landslide = np.concatenate(features), np.concatenate(slides)
    card = tehrani.card(
        side_m,
        settings={"seed": settings.seed, "segments": len(landslide), "landslides": int(landslide.sum())},
        made_by=spatial_split.made_by(job.sources, job.learned, split),
    )
    return cards.save(job.out, tehrani.fit(samples, landslide, middle, settings.seed), card)


def _centres(sources: Sequence[Source], seed: int) -> np.ndarray:
    """Return the centres of the classes of change, from a sample of each tile."""
    dice = np.random.default_rng(seed)
    changes = []
    for _, _, block, _ in _blocks(sources, 0):
        values = tehrani.change(block).ravel()
        values = values[np.isfinite(values)]
        changes.append(dice.permutation(values)[:SAMPLED_PX])
    return tehrani.centres(np.concatenate(changes), seed)


def _blocks(sources: Sequence[Source], halo_px: int) -> Iterator[tuple[int, Tile, np.ndarray, np.ndarray]]:
    """Yield source number, tile, bands and truth, with a halo."""
    for index, source in enumerate(sources):
        for tile in source.tiles:
            bands = cube.read(source.store, source.grid, STACK, tile, halo_px, tehrani.BANDS)
            truth = source.truth(replace(tile, geobox=tile.padded(halo_px)))
            yield index, tile, np.stack([bands[name] for name in tehrani.BANDS]), truth


def _own(places: np.ndarray, tile: Tile, split: tuple[Split, int] | None) -> np.ndarray:
    """Return the segments whose first pixel lies in the tile and not in a test block."""
    side = [span.stop - span.start for span in tile.region]
    own = np.asarray(((places >= 0) & (places < side)).all(axis=1))
    if split is not None and own.any():
        shares = split[0].pixels(split[1], *tile.region)
        own[own] = shares[tuple(places[own].T)] != spatial_split.TEST
    return own


class TehraniFamily(FamilyBase):
    """The random forest on segments."""

    name = "tehrani"
    summary = "random forest on segments of the red-green change"
    structure = ("side_m",)
    own_bands = tehrani.BANDS
    makes_segments = True
    # a function of the class would become a method
    training = staticmethod(train)

    def predict(
        self, path: Path, block: np.ndarray, halo_px: int, predict: PredictSettings, seen: np.ndarray, side_m: float
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the probability of the segment of each pixel, 0 outside segments."""
        return tehrani.answer(path, block, halo_px), None
