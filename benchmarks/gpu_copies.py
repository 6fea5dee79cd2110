"""Ways to take tiles from host memory through a GPU and back, for `benchmarks.gpu`."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from benchmarks.gpu_setup import PredictDefaults, Setup, numbers
from lsbatch.models import tiled_inference

Way = Callable[[str], list[np.ndarray]]


def ways(setup: Setup, tiles: Sequence[np.ndarray], side: int) -> Mapping[str, Way]:
    """Return what is timed, by name. Each takes a precision and returns the maps of all tiles, one after another.

    Parameters
    ----------
    setup : Setup
    tiles : sequence of arrays (bands, side + 2 halo, side + 2 halo) float32
        Values before normalisation.
    side : int
    """
    cut, seen, halo = setup.windows(side), np.ones((side, side), bool), setup.of.halo_px
    means, stds = (torch.tensor(v, device=setup.where)[:, None, None] for v in (setup.of.means, setup.of.stds))

    def program(precision: str) -> list[np.ndarray]:
        predict = PredictDefaults(precision)
        return [tiled_inference.answer(setup.network, setup.of, tile, halo, predict, seen) for tile in tiles]  # type: ignore[arg-type]

    def compute(raw: Tensor) -> Tensor:
        inputs = torch.nan_to_num((raw - means) / stds, nan=0.0, posinf=0.0, neginf=0.0)
        return tiled_inference.exact(setup.network, inputs, halo, cut)

    def in_turn(precision: str) -> list[np.ndarray]:
        with numbers(setup.where, precision):
            return [compute(torch.from_numpy(tile).to(setup.where)).cpu().numpy() for tile in tiles]

    pipeline = Overlapped(setup.where, tiles[0].shape, (side, side))

    def at_once(precision: str) -> list[np.ndarray]:
        with numbers(setup.where, precision):
            return pipeline.run(tiles, compute)

    return {
        "as lsbatch does it: normalised on the host, copies in turn": program,
        "normalised on the GPU, copies in turn": in_turn,
        "normalised on the GPU, copies overlapped (pinned, own streams)": at_once,
    }


class Overlapped:
    """Two pinned buffers each way: a tile is copied in and another one out while a third is computed."""

    def __init__(self, where: torch.device, shape_in: Sequence[int], shape_out: Sequence[int]) -> None:
        self.where = where
        # pinned once: it takes longer than the copy
        self.host_in, self.host_out = (
            [torch.empty(tuple(shape), pin_memory=True) for _ in range(2)] for shape in (shape_in, shape_out)
        )
        self.stream_in, self.stream_out = (torch.cuda.Stream(where) for _ in range(2))

    def run(self, tiles: Sequence[np.ndarray], compute: Callable[[Tensor], Tensor]) -> list[np.ndarray]:
        """Return the maps of all tiles."""
        inside, outside = ([torch.cuda.Event() for _ in range(2)] for _ in range(2))
        found = []
        for i, tile in enumerate(tiles):
            slot = i % 2
            # until the tile before the last has left this buffer
            inside[slot].synchronize()
            self.host_in[slot].copy_(torch.from_numpy(tile))
            out = compute(self._upload(slot, inside[slot]))
            self._download(out, slot, outside[slot])
            if i:
                outside[1 - slot].synchronize()
                found.append(self.host_out[1 - slot].numpy().copy())
        outside[slot].synchronize()
        return [*found, self.host_out[slot].numpy().copy()]

    def _upload(self, slot: int, copied: torch.cuda.Event) -> Tensor:
        now = torch.cuda.current_stream(self.where)
        with torch.cuda.stream(self.stream_in):
            raw = self.host_in[slot].to(self.where, non_blocking=True)
            copied.record(self.stream_in)
        now.wait_event(copied)
        # its memory belongs to the stream of the copy, and must outlast the computation
        raw.record_stream(now)
        return raw

    def _download(self, out: Tensor, slot: int, copied: torch.cuda.Event) -> None:
        self.stream_out.wait_stream(torch.cuda.current_stream(self.where))
        with torch.cuda.stream(self.stream_out):
            self.host_out[slot].copy_(out, non_blocking=True)
            copied.record(self.stream_out)
        out.record_stream(self.stream_out)
