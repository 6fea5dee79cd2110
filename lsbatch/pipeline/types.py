"""What flows between the floors: blocks of bands, the stages that turn one into another, and the receipts they leave."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from lsbatch.bands import Layer
from lsbatch.errors import SceneError
from lsbatch.grid import Tile
from lsbatch.settings import Config


@dataclass(frozen=True)
class Dropped:
    """A scene that could not be read, and whether another try may mend it."""

    reason: str
    may_pass: bool = False

    @classmethod
    def of(cls, error: SceneError) -> "Dropped":
        """From what reading it raised."""
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
        A table: of features (GeoDataFrame) with the band `edges`, for stages that outline; plain (DataFrame) without.
    scenes : tuple of str
        Scenes that were read.
    dropped : tuple of Dropped
        Scenes that could not be.
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
    """One step of the story, over one tile at a time.

    Attributes
    ----------
    name, version
        Part of the digest; raise `version` when the result changes for the same settings.
    apply : callable (Block, Config) -> Block
        Pure; trims its own halo. A stage that reads scenes does so itself.
    reads : callable Config -> mapping of layer name to band names
    writes : callable Config -> Layer, or None where the stage leaves a part or only a tally
    halo_px : callable Config -> int
    settings : callable Config -> dict
        Exactly the settings that change the result.
    after : tuple of str
        Stages whose receipts this one depends on.
    scenes : callable (Config, tile id) -> Path or None
        File of the plan with the scenes that it reads from the archive; None where it reads the cube alone.
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
class Fold:
    """A step that reads every receipt or part once and writes one artefact.

    `apply` takes the survey (grid, positions, workspace; see `lsbatch.engine.execution.Survey`) and the settings, writes its
    artefact whole, and returns counts for its receipt.
    """

    name: str
    version: int
    apply: Callable[[Any, Config], Mapping[str, Any]]
    settings: Callable[[Config], Mapping[str, Any]]
    after: tuple[str, ...] = ()
    wanted: Callable[[Config], bool] = lambda _: True


@dataclass(frozen=True)
class Receipt:
    """Proof that a stage was done for a tile, or the reason why not; truthy if it worked.

    Attributes
    ----------
    attempts : int
        Tries so far, of this run and of those before it.
    may_pass : bool
        What went wrong may be over by the next try.
    sums : mapping of band or file to text
        Checksums of what was written: of a layer's stored numbers, or of a part's files.
    cpu_s, read_mb, written_mb : float
        Of the process while the tile was done: seconds of all its threads, and what it read from and wrote to files; what comes over
        the network is not among them. 0 where the system does not tell.
    """

    stage: str
    tile: str
    digest: str
    seconds: float
    pixels: int
    peak_mb: float
    worker: str
    finished: str
    tally: Mapping[str, Any] = field(default_factory=dict)
    scenes: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    error: str | None = None
    trace: str | None = None
    attempts: int = 1
    may_pass: bool = False
    sums: Mapping[str, str] = field(default_factory=dict)
    cpu_s: float = 0.0
    read_mb: float = 0.0
    written_mb: float = 0.0

    def __bool__(self) -> bool:
        return self.error is None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "Receipt":
        """Inverse of `to_dict`; unknown keys of a later version are dropped."""
        known = {f.name for f in fields(cls)}
        kept = {key: value for key, value in raw.items() if key in known}
        for key in ("scenes", "dropped"):
            kept[key] = tuple(kept.get(key, ()))
        return cls(**kept)


def _ratio(numerator: float, denominator: float) -> float | None:
    return numerator / denominator if denominator else None


@dataclass(frozen=True)
class Confusion:
    """Exact counts of surveyed pixels; scores are None where they are undefined (never 0)."""

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0

    def __add__(self, other: "Confusion") -> "Confusion":
        return Confusion(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn)

    @property
    def total(self) -> int:
        """Surveyed pixels."""
        return self.tp + self.fp + self.fn + self.tn

    @property
    def precision(self) -> float | None:
        """tp / (tp + fp)."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float | None:
        """tp / (tp + fn)."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float | None:
        """2 tp / (2 tp + fp + fn)."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def iou(self) -> float | None:
        """tp / (tp + fp + fn)."""
        return _ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def prevalence(self) -> float | None:
        """Share of landslide in the surveyed truth."""
        return _ratio(self.tp + self.fn, self.total)

    @property
    def mcc(self) -> float | None:
        """Matthews correlation, -1..1, with the square root that the paper's Table 2 lacks."""
        # the four sums are exact Python integers; two roots keep the product inside float range
        root = math.sqrt((self.tp + self.fp) * (self.tp + self.fn)) * math.sqrt(
            (self.tn + self.fp) * (self.tn + self.fn)
        )
        return _ratio(self.tp * self.tn - self.fp * self.fn, root)

    def scores(self) -> dict[str, float | int | None]:
        """Counts and scores by name."""
        names = ("precision", "recall", "f1", "iou", "mcc", "prevalence")
        return asdict(self) | {name: getattr(self, name) for name in names}
