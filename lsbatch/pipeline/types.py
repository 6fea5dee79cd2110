"""Types of the pipeline: blocks of bands, stages and reductions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lsbatch.bands import Layer, applicability, mask, probability, stack_layer
from lsbatch.errors import SceneError
from lsbatch.grid import Tile
from lsbatch.settings import Config

#: Value of `observation` for a landslide found in this survey's own images; for the others see
#: `lsbatch.inventory.schema`.
FOUND = "found"

#: Layers by the short name that `Stage.reads` uses.
LAYERS: Mapping[str, Callable[[Config], Layer]] = {
    "stack": lambda config: stack_layer(config.composite.bands),
    "applicability": lambda config: applicability(config.model.family),
    "probability": lambda config: probability(config.model.family),
    "mask": lambda config: mask(config.model.family),
}


@dataclass(frozen=True)
class Dropped:
    """A scene that could not be read, and whether the failure is transient."""

    reason: str
    may_pass: bool = False

    @classmethod
    def of(cls, error: SceneError) -> "Dropped":
        """Make it from the error of a scene."""
        return cls(str(error), error.may_pass)


@dataclass(frozen=True)
class Block:
    """Bands of one tile in memory, with or without a halo.

    Attributes
    ----------
    tile : Tile
    halo_px : int
        Pixels around the tile that `bands` carry on each side.
    bands : mapping of str to array (rows, cols)
        float32 with NaN as nodata, or integers where the band has no scale.
    tally : mapping of str to int, float or text
        Exact counts for the receipt.
    part : object or None
        A table. Stages that outline give features (GeoDataFrame) and the band `edges`; others a DataFrame or a pyarrow
        Table.
    scenes : tuple of str
        Scenes that were read.
    dropped : tuple of Dropped
        Scenes that could not be read.
    """

    tile: Tile
    halo_px: int
    bands: Mapping[str, np.ndarray]
    tally: Mapping[str, Any] = field(default_factory=dict)
    part: Any = None
    scenes: tuple[str, ...] = ()
    dropped: tuple[Dropped, ...] = ()


@dataclass(frozen=True)
class Stage:
    """One stage of the pipeline, applied to one tile at a time.

    Attributes
    ----------
    name, version
        Part of the digest. Increase `version` when the result changes for the same settings.
    apply : callable (Block, Config) -> Block
        Pure, and trims its own halo. A stage that reads scenes does so itself.
    reads : callable Config -> mapping of layer name to band names
    writes : callable Config -> Layer, or None where the stage leaves a part or only a tally
    halo_px : callable Config -> int
    settings : callable Config -> dict
        Exactly the settings that change the result.
    after : tuple of str
        Stages whose receipts this one depends on.
    scenes : callable (Config, tile id) -> Path or None
        File of the plan with the scenes that it reads from the archive; None if it reads only the cube.
    resources : callable Config -> mapping, for dask placement, e.g. {"GPU": 1}
    """

    name: str
    version: int
    apply: Callable[[Block, Config], Block]
    settings: Callable[[Config], Mapping[str, Any]]
    reads: Callable[[Config], Mapping[str, tuple[str, ...]]] = lambda _: {}
    writes: Callable[[Config], Layer | None] = lambda _: None
    halo_px: Callable[[Config], int] = lambda _: 0
    after: tuple[str, ...] = ()
    scenes: Callable[[Config, str], Path | None] = lambda _, tile: None
    resources: Callable[[Config], Mapping[str, float]] = lambda _: {}
    wanted: Callable[[Config], bool] = lambda _: True


@dataclass(frozen=True)
class Reduction:
    """A step that reads all receipts or parts once and writes one result.

    `apply` takes the survey (grid, positions, workspace; see `lsbatch.catalog.survey.Survey`) and the settings, writes
    its result atomically, and returns counts for its receipt.

    `of_sample` is for a step whose work has a limit that does not grow with the tiles. It does what `apply` does for a
    sample of the tiles, with this share of the limit, so that its time grows with the tiles as that of the others.
    """

    name: str
    version: int
    apply: Callable[[Any, Config], Mapping[str, Any]]
    settings: Callable[[Config], Mapping[str, Any]]
    after: tuple[str, ...] = ()
    wanted: Callable[[Config], bool] = lambda _: True
    of_sample: Callable[[Any, Config, float], Mapping[str, Any]] | None = None
