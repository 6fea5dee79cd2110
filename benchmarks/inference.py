"""Tiled inference against MONAI's sliding window and against the whole image in one go.

Pixels a second, and how far apart.

    python -m benchmarks.inference [--tile 2048] [--rounds 3] [--device auto]

One tile of noise with the spread of the packaged network's bands (width 16, depth 4, 3 bands). Useful pixels are those
of the tile, without halo. All take turns in one process, on all its cores, and the best round counts. The peers:

- MONAI: `sliding_window_inference` over the tile, windows of 128 px, overlap a half, Gaussian weights: the paper's
  windows, as a good
  user would run the same network (eval, inference_mode). Batches of 4 and of 16, the faster one counts.
- The limit: the same network over the whole tile in one go - as trained, and with batch norm fused and channels last,
  as ours has it. It has
  no halo, so its border is wrong; the differences are therefore taken from a forward over the tile with its halo.
- ONNX Runtime, on a CPU, and torch.compile: our windows and our trimmed network, run by them. Compilation, which takes
  half a minute and
  on a CPU a C++ compiler, is not counted.
"""

import argparse
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from monai.inferers import sliding_window_inference

from lsbatch.kernels import inference_windows
from lsbatch.models import base, cards, devices, throughput, tiled_inference, unet, window_memory
from lsbatch.models.unet_weights import loaded
from lsbatch.settings import PredictSettings

WEIGHTS = base.named("package:unet-s1vv_s2")
Answers = dict[str, Callable[[], np.ndarray]]


def programs(side: int, name: str, weights: Path = WEIGHTS) -> Answers:
    """What is timed, by name; each gives the tile's probability, (rows, cols)."""
    of = cards.card(weights)
    block, halo = throughput.noise(of, side), of.halo_px
    (fused,), where = loaded(weights, of.checksum, name)
    trained = unet.restore(unet.structure(of), cards.arrays(weights)).eval()
    unet.cooled(trained.last, of)
    trained = trained.to(where)
    inputs = torch.from_numpy(unet.normalised(block, of.means, of.stds))[None]
    tile = inputs[..., halo:-halo, halo:-halo].contiguous()

    def ours(**changes: object) -> np.ndarray:
        predict = PredictSettings(device=name, **changes)  # type: ignore[arg-type]
        return tiled_inference.answer(fused, of, block, halo, predict, np.ones((side, side), bool))

    def monai(batch: int) -> np.ndarray:
        with torch.inference_mode():
            network = lambda x: torch.sigmoid(trained(x))[:, None]  # noqa: E731
            return (
                sliding_window_inference(tile.to(where), 128, batch, network, overlap=0.5, mode="gaussian")[0, 0]
                .cpu()
                .numpy()
            )

    def whole(network: torch.nn.Module, bands: torch.Tensor) -> np.ndarray:
        with devices.numbers(where, "float32"):
            return torch.sigmoid(network(bands.to(where)))[0].cpu().numpy()

    found = {
        "ours, exact": ours,
        "ours, exact, bfloat16": lambda: ours(precision="bfloat16"),
        "ours, blend": lambda: ours(tiling="blend"),
        "MONAI 128/64, batches of 4": lambda: monai(4),
        "MONAI 128/64, batches of 16": lambda: monai(16),
        "whole tile, as trained": lambda: whole(trained, tile),
        "whole tile, fused, channels last": lambda: whole(fused, tile.contiguous(memory_format=torch.channels_last)),
        "whole tile with halo": lambda: whole(fused, inputs.contiguous(memory_format=torch.channels_last))[
            halo:-halo, halo:-halo
        ],
    }
    return found if where.type == "cuda" else found | {"ONNX Runtime, our windows": onnx(fused, of, inputs, side)}


class _Trimmed(torch.nn.Module):
    """The network with its halo and the sigmoid, as one graph."""

    def __init__(self, network: unet.UNet, halo_px: int) -> None:
        super().__init__()
        self.network, self.halo_px = network, halo_px

    def forward(self, bands: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.network(bands, self.halo_px))


def onnx(network: unet.UNet, of: cards.Card, inputs: torch.Tensor, side: int) -> Callable[[], np.ndarray]:
    """Our windows by ONNX Runtime, with as many threads as torch has."""
    cut = _cut(of, side)
    shape = [span.stop - span.start for span in cut[0].read]
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # of torch about itself while it traces
        warnings.simplefilter("ignore")
        path, example = f"{folder}/network.onnx", (torch.zeros(1, len(of.bands), *shape),)
        torch.onnx.export(
            _Trimmed(network, of.halo_px).eval(),
            example,
            path,
            input_names=["bands"],
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    bands = inputs.numpy()

    def answer() -> np.ndarray:
        out = np.empty((side, side), np.float32)
        for window in cut:
            found = session.run(None, {"bands": np.ascontiguousarray(bands[:, :, *window.read])})[0][0]
            out[window.keep] = found[window.inner]
        return out

    return answer


def compiled(side: int, name: str, weights: Path = WEIGHTS) -> Callable[[], np.ndarray]:
    """Our windows by torch.compile."""
    of = cards.card(weights)
    network, where = loaded(weights, of.checksum, name)
    inputs = torch.from_numpy(unet.normalised(throughput.noise(of, side), of.means, of.stds))[None].to(where)
    program = torch.compile(_Trimmed(network, of.halo_px).eval(), dynamic=False)

    def answer() -> np.ndarray:
        out = inputs.new_empty((side, side))
        with devices.numbers(where, "float32"), devices.kept_memory(where):
            for window in _cut(of, side):
                found = program(inputs[:, :, *window.read].contiguous(memory_format=torch.channels_last))[0]
                out[window.keep] = found[window.inner]
        return out.cpu().numpy()

    answer()
    return answer


def _cut(of: cards.Card, side: int) -> tuple[inference_windows.Window, ...]:
    return inference_windows.exact(
        (side, side), of.halo_px, of.lattice_px, window_memory.most_px(of, PredictSettings().memory_gb)
    )


def measure(answers: Answers, rounds: int) -> dict[str, tuple[float, float, float]]:
    """Seconds of the best round, and the largest and the mean difference from the whole tile with its halo."""
    truth = answers["whole tile with halo"]()
    seconds = dict.fromkeys(answers, np.inf)
    apart = {}
    for _ in range(rounds):
        for name, program in answers.items():
            began = time.perf_counter()
            found = program()
            seconds[name] = min(seconds[name], time.perf_counter() - began)
            apart[name] = np.abs(found - truth)
    return {name: (seconds[name], float(apart[name].max()), float(apart[name].mean())) for name in answers}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tile", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="auto")
    asked = parser.parse_args()
    where = devices.device(asked.device)
    what = torch.cuda.get_device_name(where) if where.type == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"{what}, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}, tile of {asked.tile} px\n")
    answers = programs(asked.tile, asked.device) | {"torch.compile, our windows": compiled(asked.tile, asked.device)}
    found = measure(answers, asked.rounds)
    speed = {name: asked.tile**2 / seconds / 1e6 for name, (seconds, _, _) in found.items()}
    peer = max(value for name, value in speed.items() if name.startswith("MONAI"))
    limit = max(value for name, value in speed.items() if name.startswith("whole"))
    print(
        "| | useful Mpx/s | times MONAI | of the whole tile in one go | largest difference | mean "
        "|\n|---|---|---|---|---|---|"
    )
    for name, (_, most, mean) in found.items():
        print(
            f"| {name} | {speed[name]:.2f} | {speed[name] / peer:.1f} | {speed[name] / limit:.0%} | {most:.1e} | "
            f"{mean:.1e} |"
        )


if __name__ == "__main__":
    main()
