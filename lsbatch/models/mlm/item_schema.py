"""The parts of an MLM item that lsbatch reads, and their types. Other fields are ignored.

Specification: https://github.com/stac-extensions/mlm
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lsbatch.errors import ModelError

#: Maximum bytes of an item; an item has some thousand bytes.
LARGEST_BYTES = 10_000_000
#: Characters of the place of a fault in a message.
LONGEST_PLACE = 200
#: Bounds of a shape; a network has four dimensions, and messages tell them.
MOST_DIMENSIONS, LARGEST_SIZE = 8, 2**31
#: Number formats of the arrays that a network reads and writes.
NumberFormat = Literal["float32", "float16"]


class _Object(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, allow_inf_nan=False)


class BandReference(_Object):
    """A band by name. Expressions are not computed."""

    name: str
    format: None = None
    expression: None = None


class Scaling(_Object):
    """How values of a band are scaled before they enter the network."""

    type: Literal["min-max", "z-score", "clip", "clip-min", "clip-max", "offset", "scale"] | None
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    stddev: float | None = None
    value: float | None = None


class Structure(_Object):
    """Shape, order and number format of an array; -1 is any size."""

    shape: Annotated[list[Annotated[int, Field(ge=-1, le=LARGEST_SIZE)]], Field(max_length=MOST_DIMENSIONS)]
    dim_order: list[str]
    data_type: NumberFormat


class ModelInput(_Object):
    """The input of the network."""

    bands: Annotated[list[str | BandReference], Field(min_length=1)]
    input: Structure
    value_scaling: list[Scaling | None] | None = None
    resize_type: None = None
    pre_processing_function: None = None


class Class(_Object):
    """A class of the output."""

    value: Annotated[int, Field(ge=-LARGEST_SIZE, le=LARGEST_SIZE)]
    name: str


class Expression(_Object):
    """A function, e.g. ``torch.nn.functional:softmax`` of the format ``python``."""

    format: str
    expression: Any


class ModelOutput(_Object):
    """The output of the network."""

    result: Structure
    classes: Annotated[list[Class], Field(alias="classification:classes", min_length=1)]
    post_processing_function: Expression | None = None


class Properties(_Object):
    """Properties of the item."""

    architecture: Annotated[str, Field(alias="mlm:architecture")] = "unknown"
    hyperparameters: Annotated[dict[str, Any] | None, Field(alias="mlm:hyperparameters")] = None
    input: Annotated[list[ModelInput], Field(alias="mlm:input", min_length=1, max_length=1)]
    output: Annotated[list[ModelOutput], Field(alias="mlm:output", min_length=1, max_length=1)]
    license: str | None = None
    kind: Annotated[Literal["probability", "logit"], Field(alias="lsbatch:output")] = "probability"
    nodata: Annotated[Literal["nan"] | float | None, Field(alias="lsbatch:nodata")] = None
    halo_px: Annotated[int | None, Field(alias="lsbatch:halo_px", ge=1, le=4096)] = None
    lattice_px: Annotated[int | None, Field(alias="lsbatch:lattice_px", ge=1, le=4096)] = None
    scores: Annotated[dict[str, dict[str, int | float | list[list[int]] | None]], Field(alias="lsbatch:scores")] = {}
    learned_from: Annotated[dict[str, Any], Field(alias="lsbatch:learned_from")] = {}
    applicability: Annotated[dict[str, Any], Field(alias="lsbatch:applicability")] = {}


class Asset(_Object):
    """A file of the item."""

    href: str
    roles: list[str] = []


class Item(_Object):
    """An MLM item."""

    type: Literal["Feature"]
    stac_extensions: list[str]
    properties: Properties
    assets: dict[str, Asset]


def parse(content: bytes, path: Path) -> Item:
    """Return the item in a file.

    Raises
    ------
    ModelError
        If it is not JSON, lacks a field, or has a value that is not allowed. The message names the first such field.
    """
    try:
        return Item.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "item"
        raise ModelError(f"{path}: {place[:LONGEST_PLACE]}: {first['msg']}") from None
