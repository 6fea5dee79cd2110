"""Stage STACK to APPLICABILITY: where the inputs are unlike those that the weights were trained on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lsbatch.bands import applicability
from lsbatch.kernels.statistics import dissimilarity
from lsbatch.models import base
from lsbatch.models.applicability import changed, described, index
from lsbatch.pipeline.types import Block, Stage
from lsbatch.settings import Config
from lsbatch.storage.receipts import Receipt

#: Value of the band `outside` where an input was not observed.
UNOBSERVED = 255
#: Step of the pixels whose median is taken: a composite is smooth, and a tile has millions.
STEP_PX = 4


@dataclass(frozen=True)
class Summary:
    """What the receipts of the stage say of a survey.

    Attributes
    ----------
    known_px, outside_px : int
        Pixels with all inputs, and those of them that are unlike the training.
    medians : mapping of str to float
        Median over the tiles of each band, and of each change.
    """

    known_px: int
    outside_px: int
    medians: Mapping[str, Mapping[str, float]]

    @property
    def share(self) -> float:
        """Return the share of the observed pixels that is unlike the training."""
        return self.outside_px / self.known_px if self.known_px else 0.0


def apply(block: Block, config: Config) -> Block:
    """Return the dissimilarity index, and whether it exceeds the limit of the training."""
    of = described(config)
    assert of is not None
    found = index(base.resolve(config), block.bands, block.halo_px)
    known = ~np.isnan(found)
    outside = np.where(known, found > of.limit, UNOBSERVED).astype(np.uint8)
    inner = slice(block.halo_px, -block.halo_px or None, STEP_PX)
    thinned = {name: block.bands[name][inner, inner] for name in config.inputs}
    tally = {
        "known_pixels": int(known.sum()),
        "outside_pixels": int(np.count_nonzero(outside == 1)),
        "medians": {"bands": _medians(thinned), "changes": _medians(changed(thinned, config.inputs))},
    }
    return Block(block.tile, 0, {"dissimilarity": found, "outside": outside}, tally)


def _medians(bands: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return the median of each band that has a value."""
    finite = {name: values[np.isfinite(values)] for name, values in bands.items()}
    return {name: float(np.median(values)) for name, values in finite.items() if values.size}


def summary(tallies: Iterable[Mapping[str, Any]]) -> Summary:
    """Add up the tallies of tiles; a tile weighs as many pixels as are known in it."""
    found = [tally for tally in tallies if tally["known_pixels"]]
    weights = np.array([tally["known_pixels"] for tally in found])
    medians = {
        kind: {
            name: _weighted_median(np.array([tally["medians"][kind].get(name, np.nan) for tally in found]), weights)
            for name in sorted({name for tally in found for name in tally["medians"][kind]})
        }
        for kind in ("bands", "changes")
    }
    return Summary(int(weights.sum()), sum(tally["outside_pixels"] for tally in found), medians)


def of_receipts(done: Mapping[str, Receipt], tiles: Iterable[str]) -> Summary:
    """Return the summary of the tiles of a survey that are done."""
    return summary(done[tile].tally for tile in tiles if done.get(tile))


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values, kind="stable")
    # a tile may know a few pixels and none of those that were looked at
    order = order[np.isfinite(values[order])]
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)]) if order.size else float("nan")


def _settings(config: Config) -> dict[str, object]:
    card = base.card(base.resolve(config))
    base.check(card, config)
    assert card.applicability is not None
    return {"description": card.applicability.checksum, "bands": config.inputs}


STAGE = Stage(
    name="applicability",
    version=1,
    apply=apply,
    settings=_settings,
    reads=lambda config: {"stack": config.inputs},
    writes=lambda config: applicability(config.model.family),
    halo_px=lambda _: dissimilarity.HALO_PX,
    after=("stack",),
    wanted=lambda config: described(config) is not None,
)
