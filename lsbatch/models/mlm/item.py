"""What an MLM item says about a network: bands, scaling, order of the dimensions, windows and classes."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lsbatch.bands import MODEL_INPUTS
from lsbatch.errors import ModelError
from lsbatch.kernels import inference_windows
from lsbatch.models.mlm import item_schema
from lsbatch.models.mlm.item_schema import ModelInput, ModelOutput, NumberFormat, Properties, Scaling, Structure

#: The extension from 1.4 on, which has `value_scaling`.
_EXTENSION = re.compile(r"https://stac-extensions\.github\.io/mlm/v1\.(\d+)\.\d+/schema\.json")
_LEAST_MINOR = 4
ROLE = "mlm:model"
#: Names of dimensions in items, and ours.
_DIMENSIONS = {"batch": "batch", "height": "height", "width": "width"} | dict.fromkeys(
    ("bands", "band", "channel", "channels", "class", "classes"), "channel"
)
#: Dimensions of an array as the program has it.
ORDER = ("batch", "channel", "height", "width")
LANDSLIDE = "landslide"
#: Functions that an item may name to be applied to the output; both make probabilities of logits.
ACTIVATIONS = ("sigmoid", "softmax")
#: Sides of a window of fixed size.
LEAST_WINDOW_PX, LARGEST_WINDOW_PX = 32, 2048


@dataclass(frozen=True)
class Layout:
    """The dimensions of an array of the network.

    Attributes
    ----------
    order : tuple of str
        Names in `ORDER`, in the network's order; `channel` may be missing in an output.
    sizes : mapping of name to int
        -1 is any size.
    number_format : str
    """

    order: tuple[str, ...]
    sizes: Mapping[str, int]
    number_format: NumberFormat

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the sizes in the network's order."""
        return tuple(self.sizes[name] for name in self.order)


@dataclass(frozen=True)
class Description:
    """A network as its item describes it.

    Attributes
    ----------
    asset : Path
        The ONNX file.
    bands : tuple of str
        STACK bands in the network's order.
    scaling : array (4, bands) float32
        Least and largest value to which a band is clipped, then offset and divisor.
    fill : float
        Value for nodata after the scaling; NaN if the network takes it.
    layout_in, layout_out : Layout
    kind : str
        Output of the network: "probability" or "logit".
    class_index : int
        Channel of the landslides.
    halo_px, lattice_px : int
        Of exact windows, or of blended ones.
    window_px : int or None
        Side of blended windows; None for exact windows.
    facts : Properties
        The properties of the item.
    """

    asset: Path
    bands: tuple[str, ...]
    scaling: np.ndarray
    fill: float
    layout_in: Layout
    layout_out: Layout
    kind: str
    class_index: int
    halo_px: int
    lattice_px: int
    window_px: int | None
    facts: Properties


def describe(content: bytes, path: Path) -> Description:
    """Return what the item in a file says.

    Raises
    ------
    ModelError
        If the item is not one of MLM 1.4 or newer, is contradictory, or asks for something that is not supported.
    """
    item = item_schema.parse(content, path)
    if not any((found := _EXTENSION.fullmatch(uri)) and int(found[1]) >= _LEAST_MINOR for uri in item.stac_extensions):
        raise ModelError(f"{path}: stac_extensions: names no Machine Learning Model extension of version 1.4 or newer")
    facts = item.properties
    (given,), (result,) = facts.input, facts.output
    bands = _bands(given, path)
    layout_in = _layout(given.input, f"{path}: mlm:input.0.input", needed=ORDER)
    layout_out = _layout(result.result, f"{path}: mlm:output.0.result", needed=("batch", "height", "width"))
    if layout_in.sizes["channel"] not in (-1, len(bands)):
        raise ModelError(f"{path}: mlm:input: has {len(bands)} bands, but the shape {list(layout_in.shape)}")
    window_px, halo_px, lattice_px = _windows(layout_in, facts, path)
    is_exact = window_px is None
    return Description(
        asset=_asset(item, path),
        bands=bands,
        scaling=_scaling(given.value_scaling, len(bands), f"{path}: mlm:input.0.value_scaling"),
        # items that lsbatch wrote before it stated `lsbatch:nodata` are those with a halo; their networks take NaN
        fill=(np.nan if is_exact else 0.0) if facts.nodata is None else float(facts.nodata),
        layout_in=layout_in,
        layout_out=layout_out,
        kind="logit" if _is_activated(result, path) else facts.kind,
        class_index=_class_index(result, layout_out, path),
        halo_px=halo_px,
        lattice_px=lattice_px,
        window_px=window_px,
        facts=facts,
    )


def _bands(given: ModelInput, path: Path) -> tuple[str, ...]:
    bands = tuple(band if isinstance(band, str) else band.name for band in given.bands)
    wrong = next((name for name in bands if name not in MODEL_INPUTS), None)
    if wrong is not None:
        raise ModelError(
            f"{path}: mlm:input.0.bands: {wrong[:40]!r} is not a band that a model can read; allowed: "
            f"{', '.join(MODEL_INPUTS)}"
        )
    twice = next((name for name in bands if bands.count(name) > 1), None)
    if twice is not None:
        raise ModelError(f"{path}: mlm:input.0.bands: names {twice} twice")
    return bands


def _layout(given: Structure, where: str, needed: Sequence[str]) -> Layout:
    order = tuple(_DIMENSIONS.get(name, "") for name in given.dim_order)
    if "" in order or len(set(order)) != len(order) or not set(needed) <= set(order):
        raise ModelError(
            f"{where}.dim_order: {_listed(given.dim_order)} is not supported; allowed is any order of batch, height, "
            "width and one of bands, channel, class; an output may lack the last"
        )
    if len(given.shape) != len(order) or any(size < 1 and size != -1 for size in given.shape):
        raise ModelError(f"{where}.shape: {given.shape} must have a size, or -1, for each of {_listed(order)}")
    return Layout(order, dict(zip(order, given.shape, strict=True)), given.data_type)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(name[:40] for name in names[:10])


def _windows(layout: Layout, facts: Properties, path: Path) -> tuple[int | None, int, int]:
    """Return the side of blended windows or None for exact ones, the halo and the lattice."""
    halo_px, lattice_px = facts.halo_px, facts.lattice_px
    if (halo_px is None) != (lattice_px is None):
        raise ModelError(f"{path}: lsbatch:halo_px and lsbatch:lattice_px must be stated together")
    if halo_px is not None and lattice_px is not None:
        if halo_px % lattice_px:
            raise ModelError(f"{path}: lsbatch:halo_px = {halo_px}: must be a multiple of lsbatch:lattice_px")
        return None, halo_px, lattice_px
    rows, cols = layout.sizes["height"], layout.sizes["width"]
    if rows != cols or (rows % 2 and rows != -1) or not (rows == -1 or LEAST_WINDOW_PX <= rows <= LARGEST_WINDOW_PX):
        raise ModelError(
            f"{path}: mlm:input.0.input.shape: height {rows} and width {cols} must be equal and even, "
            f"{LEAST_WINDOW_PX} to {LARGEST_WINDOW_PX} px, or both -1"
        )
    window_px = inference_windows.BLEND_WINDOW_PX if rows == -1 else rows
    # neighbouring windows share half of their side
    return window_px, window_px // 2, window_px // 2


def _scaling(given: Sequence[Scaling | None] | None, count: int, where: str) -> np.ndarray:
    each = [_steps(one, f"{where}.{i}") for i, one in enumerate(given or [None])]
    if len(each) not in (1, count):
        raise ModelError(f"{where}: has {len(each)} entries; must have one, or one for each of the {count} bands")
    return np.array(each * (count if len(each) == 1 else 1), np.float32).T


def _steps(given: Scaling | None, where: str) -> tuple[float, float, float, float]:
    """Return least and largest value, offset and divisor."""
    low, high, offset, divisor = -np.inf, np.inf, 0.0, 1.0

    def number(name: str) -> float:
        found = None if given is None else getattr(given, name)
        if found is None:
            raise ModelError(f"{where}: lacks {name}")
        return float(found)

    match None if given is None else given.type:
        case "min-max":
            offset, divisor = number("minimum"), number("maximum") - number("minimum")
        case "z-score":
            offset, divisor = number("mean"), number("stddev")
        case "clip":
            low, high = number("minimum"), number("maximum")
        case "clip-min":
            low = number("minimum")
        case "clip-max":
            high = number("maximum")
        case "offset":
            offset = number("value")
        case "scale":
            divisor = number("value")
    # a divisor that is 0 in float32 is one too
    if low > high or not np.float32(divisor):
        raise ModelError(f"{where}: divides by 0, or its minimum exceeds its maximum")
    return low, high, offset, divisor


def _is_activated(result: ModelOutput, path: Path) -> bool:
    """Return whether the item names a function that makes probabilities of the output."""
    if result.post_processing_function is None:
        return False
    name = str(result.post_processing_function.expression)
    if re.split(r"[.:]", name)[-1].lower() not in ACTIVATIONS:
        raise ModelError(
            f"{path}: mlm:output.0.post_processing_function: {name[:60]!r} is not supported; allowed are null and a "
            f"function of torch that is called {' or '.join(ACTIVATIONS)}"
        )
    return True


def _class_index(result: ModelOutput, layout: Layout, path: Path) -> int:
    """Return the channel of the landslides: 0 where there is one channel."""
    found = [each.value for each in result.classes if each.name.lower() == LANDSLIDE]
    if len(found) != 1:
        names = ", ".join(each.name[:40] for each in result.classes[:10])
        raise ModelError(f"{path}: classification:classes: one class must be called {LANDSLIDE!r}; there are {names}")
    channels = layout.sizes.get("channel", 1)
    if channels < 1:
        raise ModelError(f"{path}: mlm:output.0.result.shape: the number of classes must be stated")
    if channels > 1 and not 0 <= found[0] < channels:
        raise ModelError(f"{path}: classification:classes: {found[0]} is none of the {channels} channels of the output")
    return found[0] if channels > 1 else 0


def _asset(item: item_schema.Item, path: Path) -> Path:
    hrefs = [asset.href for asset in item.assets.values() if ROLE in asset.roles]
    if len(hrefs) != 1:
        raise ModelError(f"{path}: assets: one must have the role {ROLE}; {len(hrefs)} have")
    if not hrefs[0].endswith(".onnx"):
        raise ModelError(f"{path}: assets: {hrefs[0][:80]!r} is not an ONNX file; its name must end in .onnx")
    return beside(path, hrefs[0])


def beside(path: Path, href: Any) -> Path:
    """Return a file that is named in a document, relative to it.

    Raises
    ------
    ModelError
        If it is not a file in the folder of the document or below it.
    """
    folder = path.parent.resolve()
    refusal = f"{path}: names {str(href)[:80]!r}; allowed is a relative path of a file in its folder"
    relative = Path(str(href))
    if not str(href).isprintable() or "://" in str(href) or relative.is_absolute() or ".." in relative.parts:
        raise ModelError(refusal)
    try:
        # a link inside the folder may lead anywhere
        target = (folder / relative).resolve()
        is_inside = target.is_relative_to(folder) and target.is_file()
    except (OSError, ValueError, RuntimeError):
        is_inside = False
    if not is_inside:
        raise ModelError(refusal)
    return target
