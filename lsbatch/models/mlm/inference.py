"""Predict a block with a network of others, in ONNX Runtime, window by window."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import expit, softmax

from lsbatch.errors import ModelError
from lsbatch.kernels import inference_windows
from lsbatch.kernels.inference_windows import Window
from lsbatch.models.mlm import graph, model
from lsbatch.models.mlm.item import ORDER, Description, Layout
from lsbatch.models.tiled_inference import BLEND_BATCH
from lsbatch.models.window_memory import HELD
from lsbatch.settings import PredictSettings

#: Width of the network from which the memory of a window is estimated, if the item states none.
USUAL_WIDTH, LARGEST_WIDTH = 16, 4096
#: How far a probability may lie outside of 0 to 1 by rounding.
ROUNDING = 1e-3
CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
#: Level of ONNX Runtime at which it writes nothing to the terminal: every fault is an exception.
SILENT = 4


def answer(
    path: Path, checksum: str, block: np.ndarray, carried_px: int, predict: PredictSettings, seen: np.ndarray
) -> np.ndarray:
    """Return the probability in the core of a block.

    Parameters
    ----------
    path : Path
        The item.
    checksum : str
        Of its card.
    block : array (bands, rows + 2 carried, cols + 2 carried) float32
        NaN as nodata.
    carried_px : int
        At least the halo of the card.
    predict : PredictSettings
    seen : bool array (rows, cols)
        Pixels that are needed. Windows without any are not computed.

    Returns
    -------
    array (rows, cols) float32

    Raises
    ------
    ModelError
        If the output of the network has another shape than its item says, is not finite, or is no probability.
    """
    session, of = _kept(path, checksum, predict.device, torch.get_num_threads())
    spare = carried_px - of.halo_px
    rows, cols = (size - spare for size in block.shape[1:])
    inputs = scaled(block[:, spare:rows, spare:cols], of)
    most_px = largest_px(of, predict.memory_gb)
    if of.window_px is None:
        cut = inference_windows.exact(seen.shape, of.halo_px, of.lattice_px, most_px, seen)
        return _exact(session, of, inputs, cut)
    cut = inference_windows.blend(seen.shape, of.window_px, of.lattice_px, seen)
    return _blended(session, of, inputs, cut, batch_size(of, most_px))


def scaled(block: np.ndarray, of: Description) -> np.ndarray:
    """Return bands (bands, rows, cols) as the network reads them: clipped, shifted, divided, nodata filled."""
    low, high, offset, divisor = of.scaling[:, :, None, None]
    found = (np.clip(block, low, high) - offset) / divisor
    found[~np.isfinite(found)] = of.fill
    return found


def largest_px(of: Description, memory_gb: float) -> int:
    """Return the pixels of all windows that are computed at once, by a rule for U-Nets of the stated width.

    Raises
    ------
    ModelError
        If the smallest exact window does not fit.
    """
    stated = (of.facts.hyperparameters or {}).get("width")
    width = stated if isinstance(stated, int) and 1 <= stated <= LARGEST_WIDTH else USUAL_WIDTH
    held = 4 * HELD * width
    least = 0 if of.window_px else (2 * of.halo_px + of.lattice_px) ** 2
    if memory_gb * 1e9 < least * held:
        raise ModelError(
            f"predict.memory_gb = {memory_gb:g}: the smallest window of this network needs {least * held / 1e9:.2f}"
        )
    return int(memory_gb * 1e9 / held)


def batch_size(of: Description, most_px: int) -> int:
    """Return the windows of a batch: the number in the item, or as many as fit. It is constant, for equal results."""
    stated = of.layout_in.sizes["batch"]
    return stated if stated > 0 else int(np.clip(most_px // (of.window_px or 1) ** 2, 1, BLEND_BATCH))


def _exact(session: Any, of: Description, inputs: np.ndarray, cut: Sequence[Window]) -> np.ndarray:
    out = np.zeros([size - 2 * of.halo_px for size in inputs.shape[1:]], np.float32)
    inner = slice(of.halo_px, -of.halo_px)
    batch = max(1, of.layout_in.sizes["batch"])
    for window in cut:
        found = run(session, of, np.repeat(inputs[None, :, *window.read], batch, axis=0))[0, inner, inner]
        out[window.keep] = found[window.inner]
    return out


def _blended(session: Any, of: Description, inputs: np.ndarray, cut: Sequence[Window], batch: int) -> np.ndarray:
    side = of.window_px or 0
    bell = inference_windows.hann(side)
    total, weight = (np.zeros([size - 2 * of.halo_px for size in inputs.shape[1:]], np.float32) for _ in range(2))
    for windows in _batches(cut, batch):
        filled = [*windows, *[windows[-1]] * (batch - len(windows))]
        found = run(session, of, np.stack([inputs[:, *window.read] for window in filled]))
        for window, each in zip(windows, found, strict=False):
            inference_windows.add_into(total, weight, each, window, bell)
    # 0 where no window was computed
    return total / np.maximum(weight, inference_windows.LEAST, dtype=np.float32)


def _batches(cut: Sequence[Window], size: int) -> Iterator[Sequence[Window]]:
    return (cut[start : start + size] for start in range(0, len(cut), size))


def run(session: Any, of: Description, windows: np.ndarray) -> np.ndarray:
    """Return the probability of windows (n, bands, rows, cols), array (n, rows, cols) float32.

    Raises
    ------
    ModelError
        As `answer`.
    """
    given = windows.transpose([ORDER.index(name) for name in of.layout_in.order])
    given = np.ascontiguousarray(given, of.layout_in.number_format)
    try:
        (found,) = session.run(None, {session.get_inputs()[0].name: given})
    # ONNX Runtime has an exception of its own for each kind of fault, derived from Exception
    except Exception as error:
        raise ModelError(f"{of.asset}: ONNX Runtime cannot compute a window: {_first_line(error)}") from None
    values = _ordered(found, of.layout_out)
    if values is None or values.shape[0] != windows.shape[0] or values.shape[2:] != windows.shape[2:]:
        raise ModelError(
            f"{of.asset}: the output for windows of {windows.shape[2]} x {windows.shape[3]} px has the shape "
            f"{list(np.shape(found))}, not that of the item"
        )
    return _probability(values, of)


def _ordered(found: Any, of: Layout) -> np.ndarray | None:
    """Return the output as (batch, channel, height, width) float32; None if it has other dimensions than stated."""
    if np.ndim(found) != len(of.order):
        return None
    order = [of.order.index(name) for name in ORDER if name in of.order]
    values = np.asarray(found, np.float32).transpose(order)
    values = values if "channel" in of.order else values[:, None]
    return values if values.shape[1] == of.sizes.get("channel", 1) else None


def _probability(values: np.ndarray, of: Description) -> np.ndarray:
    if not np.isfinite(values).all():
        raise ModelError(f"{of.asset}: the output has values that are not finite")
    if of.kind == "logit":
        return expit(values[:, 0]) if values.shape[1] == 1 else softmax(values, axis=1)[:, of.class_index]
    found = values[:, of.class_index]
    if found.size and not -ROUNDING <= found.min() <= found.max() <= 1 + ROUNDING:
        raise ModelError(
            f"{of.asset}: the output has values from {found.min():g} to {found.max():g}, which are no probabilities; "
            "if they are logits, state lsbatch:output = 'logit' in the item"
        )
    return np.clip(found, 0, 1)


def check(path: Path, checksum: str, predict: PredictSettings) -> None:
    """Compute one window on the CPU, so that a network that cannot predict is refused before a survey starts.

    Raises
    ------
    ModelError
        If ONNX Runtime is not installed or refuses the network, if memory is missing, and as `answer`.
    """
    largest_px(model.read(path).description, predict.memory_gb)
    _try(path, checksum)


@lru_cache(maxsize=16)
def _try(path: Path, checksum: str) -> None:
    session, of = _opened(path, checksum, "cpu", 1)
    side = of.window_px or 2 * of.halo_px + of.lattice_px
    empty = np.zeros((max(1, of.layout_in.sizes["batch"]), len(of.bands), side, side), np.float32)
    run(session, of, empty)


@lru_cache(maxsize=2)
def _kept(path: Path, checksum: str, device: str, threads: int) -> tuple[Any, Description]:
    """Keep the network for the next tile of this process."""
    return _opened(path, checksum, device, threads)


def _opened(path: Path, checksum: str, device: str, threads: int) -> tuple[Any, Description]:
    """Return the network in ONNX Runtime, and its description."""
    try:
        import onnxruntime
    except ImportError:
        raise ModelError(graph.MISSING) from None
    network, content = model.with_model(path, checksum)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = SILENT
    options.use_deterministic_compute = True
    # threads that wait would take the time of other workers
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    wanted = _providers(onnxruntime.get_available_providers(), device)
    try:
        # without its second attempt, which prints
        session = onnxruntime.InferenceSession(content, options, providers=wanted, enable_fallback=False)
    # as in `run`
    except Exception as error:
        raise ModelError(f"{network.description.asset}: ONNX Runtime refuses it: {_first_line(error)}") from None
    if device == "cuda" and CUDA not in session.get_providers():
        raise ModelError("predict.device = 'cuda': ONNX Runtime cannot use the GPU here; set it to auto or cpu")
    return session, network.description


def _providers(available: Sequence[str], device: str) -> list[Any]:
    """Return where ONNX Runtime computes, by preference."""
    if device != "cpu" and CUDA in available:
        # no search for the fastest algorithm, which may choose another one tomorrow, and no factors of ten bits
        return [(CUDA, {"cudnn_conv_algo_search": "DEFAULT", "use_tf32": "0"}), CPU]
    if device == "cuda":
        raise ModelError(
            "predict.device = 'cuda': ONNX Runtime has no CUDA here; install onnxruntime-gpu instead of onnxruntime, "
            "or set it to auto or cpu"
        )
    return [CPU]


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300]
