"""The family onnx: networks of others, described by a STAC item beside an ONNX file."""

from pathlib import Path

import numpy as np

from lsbatch.models import cards
from lsbatch.models.cards import Card
from lsbatch.models.family import FamilyBase
from lsbatch.settings import PredictSettings


class OnnxFamily(FamilyBase):
    """A network of others. Its item says whether windows are exact or blended."""

    name = "onnx"
    summary = "a network of others: the STAC item (MLM) of an ONNX file, in model.weights"
    structure = ("item",)

    def check(self, card: Card, predict: PredictSettings) -> None:
        """Compute one window."""
        from lsbatch.models.mlm import inference

        inference.check(Path(card.network["item"]), card.checksum, predict)

    def predict(
        self, path: Path, block: np.ndarray, halo_px: int, predict: PredictSettings, seen: np.ndarray, side_m: float
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Predict window by window in ONNX Runtime."""
        from lsbatch.models.mlm import inference

        return inference.answer(path, cards.card(path).checksum, block, halo_px, predict, seen), None
