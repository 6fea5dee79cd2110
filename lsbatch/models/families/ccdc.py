"""The family ccdc: breaks in the Sentinel-2 history of each pixel.

Predictions need the scene history, so `lsbatch.pipeline.pixel_history` makes them with the functions of
`lsbatch.models.ccdc`.
"""

from pathlib import Path

import numpy as np

from lsbatch.errors import ModelError
from lsbatch.models import ccdc
from lsbatch.models.cards import Card
from lsbatch.models.family import FamilyBase
from lsbatch.settings import PredictSettings


class CcdcFamily(FamilyBase):
    """Continuous change detection."""

    name = "ccdc"
    summary = "breaks in the Sentinel-2 history of each pixel; also gives the day; needs no training"
    structure = tuple(ccdc.PARAMETERS)
    own_bands = ccdc.BANDS
    reads_archive = True
    dates_pixels = True

    def check(self, card: Card, predict: PredictSettings) -> None:
        """Check that pyxccd is installed."""
        ccdc.check()

    def predict(
        self, path: Path, block: np.ndarray, halo_px: int, predict: PredictSettings, seen: np.ndarray, side_m: float
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Refuse: the STACK is not enough.

        Raises
        ------
        ModelError
            Always.
        """
        raise ModelError(
            f"{path}: ccdc cannot predict from the STACK: it reads the scene history of each pixel; "
            "run 'lsbatch run' with model.family ccdc"
        )
