"""Settings of a survey: frozen, strict, described; the laws between them; and the way back to a commented YAML.

Paths are relative to the folder of the settings file. Nothing here opens an archive, a store or a model.
"""

import hashlib
import json
import math
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pyproj import CRS
from pyproj.exceptions import CRSError

from lsbatch.errors import ConfigError
from lsbatch.layers import BAND_SETTINGS, sensors

DAY_OF_YEAR = r"^(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$"


class Section(BaseModel):
    """Base of every group of settings: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Windows(Section):
    """First and last day, both included, of the looks before and after."""

    pre: tuple[date, date]
    post: tuple[date, date]


class SurveySettings(Section):
    """What is surveyed, and when."""

    id: str = Field(
        "survey",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$",
        description="name of the survey; starts every landslide id",
    )
    kind: Literal["annual", "event"] = Field(
        "annual",
        description="annual: a season against the season of the year before; event: days before and after a date",
    )
    year: int | None = Field(None, ge=2015, le=2100, description="annual: the survey year (the looks after)")
    season: tuple[str, str] = Field(("06-15", "09-15"), description="annual: first and last day of the season, MM-DD")
    event_date: date | None = Field(
        None, description="event: the day, or the first day, of the storm or the earthquake"
    )
    window_days: int = Field(30, ge=1, le=366, description="event: days before and after the date")
    newest_passes: int | None = Field(
        None,
        ge=1,
        le=100,
        description="keep only this many Sentinel-1 passes per relative orbit nearest to the event, on each side; empty: all",
    )

    @field_validator("season")
    @classmethod
    def _is_season(cls, season: tuple[str, str]) -> tuple[str, str]:
        for day in season:
            try:
                date.fromisoformat(f"2001-{day}")
            except ValueError:
                raise ValueError("must be two days of the year as MM-DD, for example ['06-15', '09-15']") from None
        if season[0] >= season[1]:
            raise ValueError("must begin before it ends, within one calendar year")
        return season

    @model_validator(mode="after")
    def _has_a_time(self) -> Self:
        if self.kind == "annual" and self.year is None:
            raise ValueError("an annual survey needs year")
        if self.kind == "event" and self.event_date is None:
            raise ValueError("an event survey needs event_date")
        return self

    @property
    def windows(self) -> Windows:
        """Days before and after, from the year and season or from the event."""
        if self.kind == "annual":
            pre, post = (
                tuple(date.fromisoformat(f"{year}-{day}") for day in self.season)
                for year in (self.year - 1, self.year)  # type: ignore[operator]
            )
            return Windows(pre=pre, post=post)
        day, span = self.event_date, timedelta(days=self.window_days)
        one = timedelta(days=1)
        # the day of the event itself is in neither: a scene of that day may be from before or after it
        return Windows(pre=(day - span, day - one), post=(day + one, day + span))  # type: ignore[operator]


class RegionSettings(Section):
    """Where: exactly one of bounds and file."""

    bounds: tuple[float, float, float, float] | None = Field(None, description="left, bottom, right, top in grid.crs")
    file: Path | None = Field(
        None, description="vector file whose polygons are the region (any format and CRS that GDAL reads)"
    )

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.bounds is None) == (self.file is None):
            raise ValueError("needs exactly one of bounds and file")
        if self.bounds and not (self.bounds[0] < self.bounds[2] and self.bounds[1] < self.bounds[3]):
            raise ValueError("bounds must be left, bottom, right, top with left < right and bottom < top")
        return self


class GridSettings(Section):
    """The national pixel lattice."""

    crs: str = Field("EPSG:25833", description="projected CRS in metres")
    resolution_m: float = Field(10.0, gt=0, le=1000, description="side of a pixel")
    tile_px: int = Field(
        2048,
        ge=128,
        le=8192,
        description="side of a tile: the unit of work, of storage (one shard) and of failure; a multiple of 128",
    )

    @field_validator("crs")
    @classmethod
    def _is_metric(cls, crs: str) -> str:
        try:
            parsed = CRS.from_user_input(crs)
        except CRSError:
            raise ValueError("is not a known CRS; give one such as EPSG:25833") from None
        if not parsed.is_projected or parsed.axis_info[0].unit_name != "metre":
            raise ValueError(
                f"is {parsed.name!r} in {parsed.axis_info[0].unit_name}s; a projected CRS in metres is needed, for example EPSG:25833"
            )
        return crs

    @field_validator("tile_px")
    @classmethod
    def _is_multiple(cls, tile_px: int) -> int:
        if tile_px % 128:
            raise ValueError(
                "must be a multiple of 128, so that chunks, chips (stride 64) and the network's lattice fit whole tiles"
            )
        return tile_px


class SourceSettings(Section):
    """One archive: where its STAC catalogue is and which collections hold the sensor."""

    preset: Literal["earth-search", "planetary-computer", "local", "stac"] = Field(
        description="earth-search, planetary-computer (signed when read), local (a folder with catalog.json), stac (any STAC API or static catalogue)"
    )
    url: str | None = Field(
        None, description="catalogue: an API's root, or catalog.json as a path or over http(s); empty: the preset's own"
    )
    collections: tuple[str, ...] = Field((), description="collection ids; empty: the preset's own for this sensor")

    @model_validator(mode="after")
    def _has_url(self) -> Self:
        if self.preset in ("local", "stac") and not (self.url and self.collections):
            raise ValueError(f"preset {self.preset} needs url and collections")
        return self


class ArchiveSettings(Section):
    """The three sources; a source that the band setting does not use may be left out."""

    sentinel2: SourceSettings | None = Field(None, description="Sentinel-2 L2A")
    sentinel1: SourceSettings | None = Field(None, description="Sentinel-1, terrain-corrected gamma0 in linear power")
    dem: SourceSettings | None = Field(None, description="elevation")
    max_cloud_percent: float = Field(80.0, ge=0, le=100, description="Sentinel-2 scenes with more cloud are not read")
    attempts: int = Field(
        4, ge=1, le=20, description="tries for a read or a search that fails in passing; waits double from 0.5 s"
    )


class CompositeSettings(Section):
    """How scenes become one picture before and one after."""

    cloud_dilate_px: int = Field(3, ge=0, le=50, description="pixels by which clouds are grown")
    speckle: Literal["none", "lee"] = Field("none", description="filter for each Sentinel-1 scene before the median")
    speckle_size_px: int = Field(7, ge=3, le=31, description="side of the filter's window, odd")
    speckle_looks: float = Field(4.4, gt=0, le=1000, description="equivalent number of looks of a scene")
    same_orbits: bool = Field(True, description="compose before and after from the same relative orbits and platforms")

    @field_validator("speckle_size_px")
    @classmethod
    def _is_odd(cls, size: int) -> int:
        if size % 2 == 0:
            raise ValueError("must be odd")
        return size


class ModelSettings(Section):
    """Which model answers, and with which weights."""

    family: Literal["unet", "cart"] = Field(
        "unet", description="unet: learned from polygons; cart: decision tree on points of eight classes"
    )
    weights: str | None = Field(
        None,
        description="file of weights (.safetensors) or 'package:NAME' for those that come with lsbatch; empty: survey/model, made by lsbatch train",
    )


class TrainSettings(Section):
    """How the U-Net is trained. Depth, width and loss are not in the paper: these defaults are ours."""

    chip_px: int = Field(128, ge=32, le=512, description="side of a chip")
    stride_px: int = Field(64, ge=16, le=512, description="step between chips")
    block_px: int = Field(
        512, ge=128, description="side of the spatial blocks that are dealt whole to train, validation and test"
    )
    validation_share: float = Field(0.2, gt=0, lt=0.5, description="share of the blocks for validation")
    test_share: float = Field(0.2, ge=0, lt=0.5, description="share of the blocks for the test score")
    depth: int = Field(4, ge=1, le=6, description="poolings of the U-Net")
    width: int = Field(16, ge=4, le=128, description="channels of its first level")
    dropout: float = Field(0.1, ge=0, lt=1, description="dropout at the deepest level")
    loss: Literal["dice_bce", "focal"] = Field(
        "dice_bce", description="dice_bce: Dice plus weighted cross-entropy; focal: focal loss"
    )
    batch: int = Field(32, ge=1, le=1024, description="chips a step")
    epochs: int = Field(30, ge=1, le=1000, description="at most this many passes over the chips")
    patience: int = Field(6, ge=1, le=100, description="epochs without a better validation score before it stops")
    learning_rate: float = Field(2e-3, gt=0, le=1, description="peak of the one-cycle schedule")
    empty_share: float = Field(1.0, ge=0, le=100, description="chips without a landslide for each chip with one")
    symmetries: bool = Field(
        True, description="augment by the eight symmetries of the square, unless a band knows the look direction"
    )
    max_minutes: float | None = Field(None, gt=0, description="stop after this time; empty: no limit")
    seed: int = Field(0, ge=0, description="of the split, the weights and the order")


class PredictSettings(Section):
    """Tiled inference."""

    tiling: Literal["exact", "blend"] = Field(
        "exact",
        description="exact: windows with a halo of the receptive field, equal to the whole image; blend: the paper's 128/64 sliding window",
    )
    window_px: int = Field(
        1024, ge=128, le=4096, description="largest window of the exact tiling, halo included; a multiple of 64"
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: the GPU where there is one")

    @field_validator("window_px")
    @classmethod
    def _is_multiple(cls, window_px: int) -> int:
        if window_px % 64:
            raise ValueError("must be a multiple of 64, the lattice of the deepest network")
        return window_px


class CleanSettings(Section):
    """From probability to a mask."""

    threshold: float = Field(0.5, gt=0, lt=1, description="probability from which a pixel is landslide")
    mode_radius_px: float = Field(1.5, ge=0, le=10, description="radius of the circle of the focal mode; 0: none")


class InventorySettings(Section):
    """From mask to records."""

    min_area_m2: float = Field(
        500.0, ge=0, description="smaller landslides are left out of the inventory (not of the pixel counts)"
    )


class TruthSettings(Section):
    """Mapped landslides, for training and scoring."""

    file: Path = Field(description="vector file of landslide polygons")
    date_field: str | None = Field(
        None, description="column with the day of the landslide; only those between the windows count; empty: all count"
    )
    points: Path | None = Field(None, description="vector file of training points for cart")
    class_field: str = Field("class", description="column of the points' class; 'landslide' against all others")


class ClusterSettings(Section):
    """Who does the work."""

    kind: Literal["local", "serial", "address"] = Field(
        "local",
        description="local: processes on this machine; serial: this process; address: a Dask scheduler that runs already",
    )
    workers: int | None = Field(
        None, ge=1, le=10000, description="local: processes; empty: as many as cores and memory allow"
    )
    threads: int = Field(1, ge=1, le=256, description="threads of a worker, used inside a tile")
    memory_gb: float = Field(4.0, gt=0.2, le=10000, description="memory of a worker")
    address: str | None = Field(None, description="address: the scheduler, e.g. tcp://127.0.0.1:8786")
    in_flight: int = Field(512, ge=1, le=100000, description="tiles handed to the scheduler at once")

    @model_validator(mode="after")
    def _has_address(self) -> Self:
        if self.kind == "address" and not self.address:
            raise ValueError("kind address needs address")
        return self


class Config(Section):
    """All settings of a survey."""

    survey: SurveySettings = Field(description="what and when")
    region: RegionSettings = Field(description="where")
    grid: GridSettings = Field(GridSettings(), description="the national lattice")
    archives: ArchiveSettings = Field(description="where scenes come from")
    composite: CompositeSettings = Field(CompositeSettings(), description="from scenes to the STACK")
    bands: Literal["s1_s2_dem", "s1vv_s2", "s1vv", "s2"] = Field(
        "s1vv_s2", description="inputs of the model: the paper's settings 1 to 4 by name"
    )
    model: ModelSettings = Field(ModelSettings(), description="who answers")
    train: TrainSettings = Field(TrainSettings(), description="how the U-Net learns")
    predict: PredictSettings = Field(PredictSettings(), description="tiled inference")
    clean: CleanSettings = Field(CleanSettings(), description="from probability to mask")
    inventory: InventorySettings = Field(InventorySettings(), description="from mask to records")
    truth: TruthSettings | None = Field(None, description="mapped landslides; empty: nothing is scored")
    cluster: ClusterSettings = Field(ClusterSettings(), description="who works")
    output: Path = Field(Path("survey"), description="folder of the survey")

    @model_validator(mode="after")
    def _sources_cover_bands(self) -> Self:
        missing = sorted(s for s in sensors(BAND_SETTINGS[self.bands]) if getattr(self.archives, s) is None)
        if missing:
            raise ValueError(f"bands {self.bands} needs archives.{', archives.'.join(missing)}")
        return self

    @model_validator(mode="after")
    def _blocks_fit_chips(self) -> Self:
        if self.train.chip_px % 2**self.train.depth or self.predict.window_px % 2**self.train.depth:
            raise ValueError(
                f"train.chip_px and predict.window_px must be multiples of 2^train.depth = {2**self.train.depth}"
            )
        if self.train.block_px < self.train.chip_px or self.grid.tile_px % self.train.stride_px:
            raise ValueError("train.block_px must hold a chip, and grid.tile_px be a multiple of train.stride_px")
        if self.train.validation_share + self.train.test_share > 0.8:
            raise ValueError(
                "train.validation_share and train.test_share leave less than a fifth of the blocks for training"
            )
        return self

    @property
    def inputs(self) -> tuple[str, ...]:
        """STACK bands of the band setting, in the model's order."""
        return BAND_SETTINGS[self.bands]


def digest(value: Any) -> str:
    """16 hex digits of a JSON-like value; floats by their shortest form, keys in order."""
    text = json.dumps(value, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def load(path: Path) -> Config:
    """Read settings from YAML; relative paths become relative to the file.

    Raises
    ------
    ConfigError
        With one line a fault: the field, the value, what is allowed.
    """
    path = Path(path)
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not YAML that may be loaded: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: must hold settings by name, as 'lsbatch config' prints them")
    return parse(raw, path.parent, str(path))


def parse(raw: dict[str, Any], folder: Path, where: str = "settings") -> Config:
    """Validate plain values; `folder` is what relative paths start from."""
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        lines = "; ".join(_sentence(fault) for fault in error.errors(include_url=False))
        raise ConfigError(f"{where}: {lines}") from None
    return _rooted(config, folder.resolve())


def _sentence(fault: Any) -> str:
    field = ".".join(str(part) for part in fault["loc"]) or "settings"
    if fault["type"] == "missing":
        return f"{field}: is missing"
    if fault["type"] == "extra_forbidden":
        return f"{field}: is not a setting{_nearest(fault['loc'])}"
    message = fault["msg"].removeprefix("Value error, ")
    value = fault["input"]
    shown = "" if isinstance(value, (dict, BaseModel)) else f" = {value!r}"
    return f"{field}{shown}: {message[0].lower()}{message[1:]}"


def _nearest(loc: tuple[Any, ...]) -> str:
    section: Any = Config
    for part in loc[:-1]:
        section = _section(section.model_fields[part].annotation)
    return f"; allowed: {', '.join(section.model_fields)}"


def _section(annotation: Any) -> Any:
    """The Section inside ``X`` or ``X | None``."""
    options = getattr(annotation, "__args__", (annotation,))
    return next(option for option in options if isinstance(option, type) and issubclass(option, Section))


def _rooted(config: Config, folder: Path) -> Config:
    def absolute(path: Path | None) -> Path | None:
        return None if path is None else (folder / path.expanduser())

    def source(s: SourceSettings | None) -> SourceSettings | None:
        if s is None or s.url is None or "://" in s.url:
            return s
        return s.model_copy(update={"url": str(absolute(Path(s.url)))})

    archives = config.archives.model_copy(
        update={name: source(getattr(config.archives, name)) for name in ("sentinel2", "sentinel1", "dem")}
    )
    weights = config.model.weights
    if weights and not weights.startswith("package:"):
        weights = str(absolute(Path(weights)))
    truth = config.truth and config.truth.model_copy(
        update={"file": absolute(config.truth.file), "points": absolute(config.truth.points)}
    )
    return config.model_copy(
        update={
            "archives": archives,
            "region": config.region.model_copy(update={"file": absolute(config.region.file)}),
            "model": config.model.model_copy(update={"weights": weights}),
            "truth": truth,
            "output": absolute(config.output),
        }
    )


def to_yaml(config: Config) -> str:
    """Settings as YAML with every description as a comment; `parse` of the text gives the same settings."""
    return "\n".join(_yaml_lines(config, 0)) + "\n"


def _yaml_lines(section: Section, depth: int) -> list[str]:
    pad, lines = "  " * depth, []
    for name, info in type(section).model_fields.items():
        value = getattr(section, name)
        if depth == 0 and lines:
            lines.append("")
        lines.append(f"{pad}# {info.description}{_bounds(info)}")
        if isinstance(value, Section):
            lines += [f"{pad}{name}:", *_yaml_lines(value, depth + 1)]
        else:
            lines.append(f"{pad}{name}: {_scalar(value)}".rstrip())
    return lines


def _bounds(info: Any) -> str:
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    found = [
        f"{signs[key]} {getattr(m, key)}" for m in info.metadata for key in signs if getattr(m, key, None) is not None
    ]
    return f" ({', '.join(found)})" if found else ""


def _scalar(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return "[" + ", ".join(_scalar(v) for v in value) + "]"
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    if isinstance(value, (bool, int)):
        return str(value).lower()
    return json.dumps(str(value))


def example() -> Config:
    """Settings to start from: Norway's annual survey."""
    return Config(
        survey=SurveySettings(id="norway-2024", year=2024),
        region=RegionSettings(bounds=(-80000.0, 6440000.0, 1120000.0, 7945000.0)),
        archives=ArchiveSettings(
            sentinel2=SourceSettings(preset="earth-search"),
            sentinel1=SourceSettings(preset="planetary-computer"),
            dem=SourceSettings(preset="planetary-computer"),
        ),
    )
