"""Memory that a network needs for a window. Needs neither torch nor numpy."""

from lsbatch.errors import ModelError
from lsbatch.models.model_card import Card

#: float32 values that a network of `width` channels holds for each pixel of a window at its maximum, by `width`: when
#: the two halves of the last level are joined, plus memory in between. 7.4 and 7.8 were measured.
HELD = 8


def most_px(of: Card, memory_gb: float) -> int:
    """Return the pixels of the largest window whose computation fits in this memory.

    Raises
    ------
    ModelError
        If not even one cell of the lattice with its halo fits.
    """
    held = 4 * HELD * of.network["width"]
    least = (2 * of.halo_px + of.lattice_px) ** 2
    if memory_gb * 1e9 < least * held:
        raise ModelError(
            f"predict.memory_gb = {memory_gb:g}: the smallest window of this network needs {least * held / 1e9:.2f}"
        )
    return int(memory_gb * 1e9 / held)
