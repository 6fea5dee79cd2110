"""Read and check an ONNX file before ONNX Runtime sees it.

A graph of the standard operators computes and nothing else: it reads no file, writes none and opens no connection. All
other operators are refused, and so are arrays in files outside of the model's folder. ONNX Runtime gets the checked
bytes, with all arrays inside.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lsbatch.errors import ModelError
from lsbatch.models.mlm.item import Description, Layout, beside
from lsbatch.models.mlm.item_schema import MOST_DIMENSIONS, NumberFormat

#: Domains of the standard operators. `com.microsoft` is not one: its EPContext loads files.
DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
#: Maximum bytes of a network with all its files; a protobuf holds at most 2 GB.
LARGEST_BYTES = 1_500_000_000
MISSING = "model.family = 'onnx': needs ONNX, which is not installed: pip install 'lsbatch[onnx]'"
#: ONNX's numbers of the number formats.
_FORMATS: dict[int, NumberFormat] = {1: "float32", 10: "float16"}


@dataclass(frozen=True)
class Port:
    """The input or the output of a graph.

    Attributes
    ----------
    name : str
    shape : tuple of (int or None), or None
        None is any size; None instead of the tuple if the graph does not tell.
    number_format : str or None
        None if it is neither float32 nor float16.
    """

    name: str
    shape: tuple[int | None, ...] | None
    number_format: NumberFormat | None


@dataclass(frozen=True)
class Graph:
    """A checked network.

    Attributes
    ----------
    entry, result : Port
    files : tuple of Path
        Files with arrays, beside the ONNX file.
    checksum : str
        Of the bytes of the ONNX file and of each other file.
    """

    entry: Port
    result: Port
    files: tuple[Path, ...]
    checksum: str


def load(path: Path) -> tuple[Graph, bytes]:
    """Read an ONNX file and the arrays in the files beside it; return the graph, and the model without other files.

    Raises
    ------
    ModelError
        If it is damaged, too large, has other operators than the standard ones, or names files outside of its folder.
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:
        raise ModelError(MISSING) from None
    data = content(path, LARGEST_BYTES)
    try:
        model = onnx.load_model_from_string(data)
    except DecodeError:
        raise ModelError(f"{path}: is not an ONNX file, or is damaged") from None
    messages = list(_messages(model))
    _check_operators(messages, path)
    files = _take_in([each for each in messages if isinstance(each, onnx.TensorProto)], path, len(data))
    digests = [hashlib.blake2b(each, digest_size=16).hexdigest() for each in (data, *files.values())]
    graph = Graph(*_ports(model.graph, path), tuple(files), " ".join(digests))
    return graph, model.SerializeToString() if files else data


def content(path: Path, most: int) -> bytes:
    """Return the bytes of a file.

    Raises
    ------
    ModelError
        If it cannot be read, is not a file, or has more than `most` bytes.
    """
    try:
        if not path.is_file():
            raise ModelError(f"{path}: cannot be read: is not a file")
        with path.open("rb") as file:
            found = file.read(most + 1)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from None
    if len(found) > most:
        raise ModelError(f"{path}: is too large: at most {most / 1e6:g} MB are read")
    return found


def _messages(message: Any) -> Iterator[Any]:
    """Yield a protobuf message and all messages in it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for each in [value] if hasattr(value, "ListFields") else value:
                yield from _messages(each)


def _check_operators(messages: list[Any], path: Path) -> None:
    """Refuse operators that are not standard; functions of the model itself are not looked into."""
    for node in messages:
        if type(node).__name__ == "NodeProto" and node.domain not in DOMAINS:
            raise ModelError(
                f"{path}: has the operator {node.domain[:40]}.{node.op_type[:40]}; allowed are the operators of "
                "ai.onnx and ai.onnx.ml; inline functions of the network with onnx.inliner.inline_local_functions"
            )


def _take_in(tensors: list[Any], path: Path, size: int) -> dict[Path, bytes]:
    """Move arrays from files beside the model into it; return the bytes of each file."""
    files: dict[Path, bytes] = {}
    for tensor in tensors:
        # a location without the flag would be read by some programs
        if not tensor.external_data and tensor.data_location == tensor.DEFAULT:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        target = beside(path, entries.get("location", ""))
        if target not in files:
            files[target] = content(target, LARGEST_BYTES - size - sum(map(len, files.values())))
        tensor.raw_data = _part(files[target], entries, target)
        tensor.data_location = tensor.DEFAULT
        del tensor.external_data[:]
    return files


def _part(data: bytes, entries: dict[str, str], path: Path) -> bytes:
    try:
        start = int(entries.get("offset", 0))
        stop = start + int(entries.get("length", len(data) - start))
    except ValueError:
        start, stop = 0, -1
    if not 0 <= start <= stop <= len(data):
        raise ModelError(f"{path}: is too short for the arrays that the network has in it")
    return data[start:stop]


def _ports(graph: Any, path: Path) -> tuple[Port, Port]:
    held = {each.name for each in graph.initializer} | {each.values.name for each in graph.sparse_initializer}
    inputs = [each for each in graph.input if each.name not in held]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise ModelError(
            f"{path}: has {len(inputs)} inputs and {len(graph.output)} outputs; a network must have one of each"
        )
    return _port(inputs[0]), _port(graph.output[0])


def _port(value: Any) -> Port:
    kind = value.type.tensor_type
    shape = tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim)
    return Port(value.name, shape if kind.HasField("shape") else None, _FORMATS.get(kind.elem_type))


def check(graph: Graph, of: Description) -> None:
    """Compare a graph with what its item says.

    Raises
    ------
    ModelError
        If the number format, the number of dimensions or a size differs.
    """
    # the network of the item has as many bands as the item names
    sizes = {**of.layout_in.sizes, "channel": len(of.bands)}
    _compare(graph.entry, Layout(of.layout_in.order, sizes, of.layout_in.number_format), f"{of.asset}: input")
    _compare(graph.result, of.layout_out, f"{of.asset}: output")
    if of.window_px is None and _has_fixed_sides(graph.entry, of.layout_in):
        raise ModelError(
            f"{of.asset}: has windows of one size; lsbatch:halo_px needs a network for windows of any size"
        )


def _has_fixed_sides(port: Port, of: Layout) -> bool:
    sizes = dict(zip(of.order, port.shape or (), strict=False))
    return any(sizes.get(name) is not None for name in ("height", "width"))


def _compare(port: Port, said: Layout, where: str) -> None:
    if port.number_format != said.number_format:
        raise ModelError(f"{where}: is not {said.number_format}, as the item says")
    if port.shape is None:
        return
    if len(port.shape) != len(said.order) or any(
        real is not None and stated != real for real, stated in zip(port.shape, said.shape, strict=True)
    ):
        raise ModelError(
            f"{where}: has the shape {_text(port.shape)}; the item says {_text(said.shape)} for {', '.join(said.order)}"
        )


def _text(shape: tuple[int | None, ...]) -> str:
    sizes = ["any" if size in (None, -1) else str(size) for size in shape[:MOST_DIMENSIONS]]
    return "[" + ", ".join(sizes) + (", ...]" if len(shape) > MOST_DIMENSIONS else "]")
