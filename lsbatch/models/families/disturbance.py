"""The family disturbance: Sentinel-1 alone, without training."""

from pathlib import Path

import numpy as np

from lsbatch.models import cards, disturbance
from lsbatch.models.cards import Card
from lsbatch.models.family import FamilyBase
from lsbatch.settings import PredictSettings


class DisturbanceFamily(FamilyBase):
    """Distance of the passes after from those before."""

    name = "disturbance"
    summary = "distance of the Sentinel-1 passes after from those before; needs no training and no clear sky"
    structure = tuple(disturbance.PARAMETERS)
    own_bands = disturbance.BANDS
    has_false_alarm_rate = True

    def halo_px(self, card: Card, predict: PredictSettings, side_m: float) -> int:
        """Return the pixels of the surroundings."""
        return disturbance.halo_px(card.network, side_m)

    def predict(
        self, path: Path, block: np.ndarray, halo_px: int, predict: PredictSettings, seen: np.ndarray, side_m: float
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the score of the distance."""
        rule = cards.card(path).network
        # whole cells from the first pixel of the tile
        spare = halo_px - disturbance.halo_px(rule, side_m)
        inner = np.s_[spare : block.shape[1] - spare, spare : block.shape[2] - spare]
        distances = disturbance.distance(block[0][inner], block[1][inner], rule, side_m)
        rows, cols = seen.shape
        halo = halo_px - spare
        core = distances[halo : halo + rows, halo : halo + cols]
        return disturbance.score(core, predict.false_alarm_rate), None
