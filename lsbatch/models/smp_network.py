"""Networks of segmentation-models-pytorch: a decoder on an encoder.

The library is optional: ``pip install 'lsbatch[smp]'``. Nothing is downloaded. An encoder begins with random weights or
with those of a file, and names are accepted only if the library or timm has them, because a name may also be an
address.

First layer: a file for three bands is fitted to another number of bands as the library does it. Band k takes the
weights of band k modulo 3, times 3 by the number of bands; a single band takes the sum.
"""

import difflib
import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from lsbatch.errors import ModelError
from lsbatch.kernels import inference_windows
from lsbatch.models import cards, devices, ensembles, unet
from lsbatch.models.model_card import Card
from lsbatch.storage import files

#: Sides of chips must be multiples of it: encoders halve an image five times.
LATTICE_PX = 32
#: Bands of most pretrained encoders.
COLOURS = 3
#: Prefix of the encoders of timm in the library.
TIMM = "tu-"
#: Exceptions with which the library refuses an architecture on an encoder, or an encoder a side of a chip.
FAULTS = (ValueError, KeyError, TypeError, RuntimeError, AssertionError, AttributeError, IndexError)


class Segmenter(nn.Module):
    """A network of the library, from normalised bands (n, bands, rows, cols) to logits (n, rows, cols)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        # not a weight: the card has it
        self.temperature = 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Apply the network."""
        if self.training and len(x) == 1:
            # batch norm behind a global mean needs two images
            return self.network(torch.cat([x, x]))[:1, 0]
        return self.network(x)[:, 0] / self.temperature


def library() -> Any:
    """Return the module segmentation_models_pytorch.

    Raises
    ------
    ModelError
        If it is not installed, or torchvision does not fit torch.
    """
    # the library imports a client of a model hub; it is never asked, and now it would not ask
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        import segmentation_models_pytorch
    except ImportError as error:
        raise ModelError(
            f"model.family smp: needs segmentation-models-pytorch ({error}); run pip install 'lsbatch[smp]'"
        ) from None
    except RuntimeError as error:
        raise ModelError(
            f"model.family smp: torchvision is of another build than torch ({error}); install both from one index"
        ) from None
    return segmentation_models_pytorch


def check_names(architecture: Any, encoder: Any) -> None:
    """Check that the library has an architecture and an encoder of these names.

    Raises
    ------
    ModelError
        If it does not.
    """
    smp = library()
    import timm

    architectures = [each.__name__ for each in smp.MODEL_ARCHITECTURES_MAPPING.values()]
    if architecture not in architectures:
        raise ModelError(
            f"architecture {_short(architecture)}: is not in segmentation-models-pytorch {smp.__version__}; allowed: "
            f"{', '.join(architectures)}"
        )
    encoders = [*smp.encoders.get_encoder_names(), *(f"{TIMM}{name}" for name in timm.list_models())]
    if encoder not in encoders:
        near = difflib.get_close_matches(str(encoder)[:80], encoders)
        raise ModelError(
            f"encoder {_short(encoder)}: is not in segmentation-models-pytorch {smp.__version__}; the names are in its "
            f"documentation{f'; similar: {chr(44).join(near)}' if near else ''}"
        )


def _short(name: Any) -> str:
    return repr(name)[:80]


def build(bands: int, architecture: str, encoder: str) -> Segmenter:
    """Return a network with random weights.

    Raises
    ------
    ModelError
        If the library does not have the names, or cannot combine them.
    """
    check_names(architecture, encoder)
    try:
        network = library().create_model(
            architecture, encoder_name=encoder, encoder_weights=None, in_channels=bands, classes=1
        )
    except FAULTS as error:
        raise ModelError(f"architecture {architecture} on encoder {encoder}: {_line(error)}") from None
    return Segmenter(network)


def check_side(network: Segmenter, bands: int, side_px: int) -> None:
    """Check that a network accepts images of this side.

    Raises
    ------
    ModelError
        If it does not.
    """
    network.eval()
    try:
        with torch.inference_mode():
            shape = tuple(network(torch.zeros(1, bands, side_px, side_px)).shape)
    except FAULTS as error:
        raise ModelError(f"this network accepts no images of {side_px} px: {_line(error)}") from None
    if shape != (1, side_px, side_px):
        raise ModelError(f"this network returns {shape} for an image of {side_px} px")


def load_encoder(network: Segmenter, path: Path) -> None:
    """Replace the weights of the encoder by those of a file.

    The file has the state of the encoder as the library or timm saves it, or of a whole network of the library, of
    which the encoder is used. Weights of a classifier are ignored.

    Raises
    ------
    ModelError
        If the file cannot be read, or has another structure.
    """
    encoder: Any = network.network.encoder
    own: dict[str, Tensor] = encoder.state_dict()
    found = _tensors(path)
    inner = {name.removeprefix("encoder."): value for name, value in found.items() if name.startswith("encoder.")}
    fitted = {name: _fitted(value, own.get(name), path) for name, value in (inner or found).items()}
    counters = {name: value for name, value in own.items() if not value.is_floating_point()}
    try:
        encoder.load_state_dict(counters | fitted)
    except RuntimeError as error:
        raise ModelError(f"{path}: does not fit the encoder: {_line(error)}") from None


def _tensors(path: Path) -> dict[str, Tensor]:
    """Read a file of tensors by name. Torch reads .pth and .pt without running code (``weights_only``)."""
    readers: dict[str, Callable[[Path], Any]] = {".safetensors": load_file, ".pth": _torch_file, ".pt": _torch_file}
    if path.suffix not in readers:
        raise ModelError(f"{path}: pretrained weights must be a file {', '.join(readers)}")
    if not files.exists(path):
        raise ModelError(f"train.encoder_weights = {str(path)!r}: this file does not exist")
    try:
        found = readers[path.suffix](files.on_disk(path))
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: cannot be read: {_line(error)}") from None
    if not (isinstance(found, Mapping) and all(isinstance(each, Tensor) for each in found.values())):
        raise ModelError(f"{path}: must be a state, tensors by name, and nothing else")
    return {str(name): value.float() if value.is_floating_point() else value for name, value in found.items()}


def _torch_file(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    # a damaged or hostile file makes torch raise errors of many kinds, also those of a module that is imported nowhere
    except Exception as error:
        raise ModelError(f"{path}: cannot be read as weights only: {_line(error)}") from None


def _fitted(value: Tensor, target: Tensor | None, path: Path) -> Tensor:
    """Return a weight of the first layer for another number of bands; any other weight as it is."""
    if target is None or value.ndim != 4 or value.shape == target.shape:
        return value
    bands = target.shape[1]
    if value.shape[0] != target.shape[0] or value.shape[2:] != target.shape[2:]:
        return value
    if value.shape[1] != COLOURS:
        raise ModelError(f"{path}: was made for {value.shape[1]} bands; {COLOURS} or {bands} are possible here")
    if bands == 1:
        return value.sum(dim=1, keepdim=True)
    return value[:, [band % COLOURS for band in range(bands)]] * (COLOURS / bands)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


def card(bands: tuple[str, ...], architecture: str, encoder: str, temperature: float = 1.0, **known: Any) -> Card:
    """Return the card of a network; `known` are the fields besides its structure."""
    network = {
        "architecture": architecture,
        "encoder": encoder,
        "temperature": temperature,
        "smp": str(library().__version__),
    }
    return Card(
        family="smp",
        bands=bands,
        network=network,
        halo_px=inference_windows.blend_px(),
        lattice_px=inference_windows.BLEND_STRIDE_PX,
        **known,
    )


def check_card(of: Card) -> None:
    """Check that the library has the network of a card.

    Raises
    ------
    ModelError
        If the library is missing or does not have it.
    """
    check_names(of.network.get("architecture"), of.network.get("encoder"))


def restored(of: Card, found: Mapping[str, np.ndarray]) -> Segmenter:
    """Return the network of a card and its arrays, for prediction.

    Raises
    ------
    ModelError
        If the library does not have it, or the arrays are of another structure.
    """
    check_card(of)
    network = build(len(of.bands), of.network["architecture"], of.network["encoder"])
    try:
        unet.restore(network, found)
    except ModelError as error:
        raise ModelError(
            f"{error}; they were made with segmentation-models-pytorch {of.network.get('smp')}, installed is "
            f"{library().__version__}"
        ) from None
    network.temperature = float(of.network.get("temperature", 1.0))
    return network.eval()


@lru_cache(maxsize=2)
def loaded(path: Path, _checksum: str, name: str) -> tuple[tuple[Segmenter, ...], torch.device]:
    """Return the networks of a file, one for each member; they are kept for the next tile of this process."""
    where = devices.device(name)
    of = cards.card(path)
    members = (restored(of, found) for found in ensembles.separated(cards.arrays(path), of))
    # memory_format is documented, but the type stubs of torch lack it
    return tuple(net.to(where, memory_format=torch.channels_last) for net in members), where  # type: ignore[call-overload]
