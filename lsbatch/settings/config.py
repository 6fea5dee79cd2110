"""All settings together, and the rules between them."""

from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from lsbatch.bands import (
    BAND_SETTINGS,
    LOCAL_CHANGE,
    MIRRORING,
    MODEL_INPUTS,
    OWN_BANDS,
    can_mirror,
    further_bands,
    knows_look_direction,
    sensors,
)
from lsbatch.settings.cluster import BenchSettings, ClusterSettings
from lsbatch.settings.method import (
    CleanSettings,
    CompositeSettings,
    InventorySettings,
    MapsSettings,
    ModelSettings,
    PredictSettings,
    TruthSettings,
    without_duplicates,
)
from lsbatch.settings.publish import PublishSettings
from lsbatch.settings.survey import ArchiveSettings, GridSettings, Place, RegionSettings, Section, SurveySettings
from lsbatch.settings.training import TrainSettings


class Config(Section):
    """All settings of a survey."""

    survey: SurveySettings = Field(description="what and when")
    region: RegionSettings = Field(description="where")
    grid: GridSettings = Field(GridSettings(), description="the national lattice")
    archives: ArchiveSettings = Field(description="where scenes come from")
    composite: CompositeSettings = Field(CompositeSettings(), description="from scenes to the STACK")
    bands: str | tuple[str, ...] = Field(
        "s1vv_s2",
        description="inputs of the model, the paper's settings 1 to 4: s1_s2_dem (13 bands), s1vv_s2 (its best), s1vv "
        "(radar only), s2; our setting 5: s1vv_apart_s2 and s1vv_apart, with separate ascending and "
        "descending passes; s1_change and s1_change_s2, the change against the surroundings; s2_rgb for images without "
        "near infrared; or a list of STACK bands, for example [preVV, postVV, dNBR], where dNBR needs SWIR2 in "
        "composite.bands",
    )
    model: ModelSettings = Field(ModelSettings(), description="who answers")
    train: TrainSettings = Field(TrainSettings(), description="training of the networks")
    predict: PredictSettings = Field(PredictSettings(), description="tiled inference")
    clean: CleanSettings = Field(CleanSettings(), description="from probability to mask")
    inventory: InventorySettings = Field(InventorySettings(), description="from mask to records")
    # not dumped at its default: digests of older surveys stay what they were
    maps: MapsSettings = Field(
        MapsSettings(), exclude_if=lambda maps: maps == MapsSettings(), description="national maps on request"
    )
    truth: TruthSettings | None = Field(None, description="mapped landslides; empty: no scores are computed")
    publish: PublishSettings = Field(PublishSettings(), description="the published page")
    cluster: ClusterSettings = Field(ClusterSettings(), description="who works")
    bench: BenchSettings = Field(BenchSettings(), description="assumptions of the projection of lsbatch bench")
    output: Place = Field(
        Path("survey"), description="folder of the survey, or its address in object storage: s3://bucket/folder"
    )

    @field_validator("bands", mode="before")
    @classmethod
    def _name_inputs(cls, bands: Any) -> str | tuple[str, ...]:
        """Return a named setting or a list; a union of both types would be refused with a sentence for each."""
        if isinstance(bands, list | tuple):
            return _band_list(tuple(bands))
        if not isinstance(bands, str) or bands not in BAND_SETTINGS:
            raise ValueError(f"must be {', '.join(BAND_SETTINGS)}, or a list of STACK bands")
        return bands

    @model_validator(mode="after")
    def _further_bands_are_composed(self) -> Self:
        for name in self.inputs:
            missing = [band for band in further_bands(name) if band not in self.composite.bands]
            if missing:
                raise ValueError(f"bands: {name} needs {' and '.join(missing)} in composite.bands")
        if self.composite.bands and self.archives.sentinel2 is None:
            raise ValueError("composite.bands needs archives.sentinel2")
        return self

    @model_validator(mode="after")
    def _sources_cover_bands(self) -> Self:
        missing = sorted(sensors(self.inputs) - self.archives.sensors)
        if missing:
            own_bands = OWN_BANDS.get(self.model.family)
            who = f"bands {self.bands_text}" if own_bands is None else f"model.family {self.model.family}"
            raise ValueError(f"{who} needs archives.{', archives.'.join(missing)}")
        return self

    @model_validator(mode="after")
    def _blocks_fit_chips(self) -> Self:
        train, lattice = self.train, 2**self.train.depth
        if train.chip_px % lattice:
            raise ValueError(f"train.chip_px = {train.chip_px} must be a multiple of 2^train.depth = {lattice}")
        if train.block_px < train.chip_px:
            raise ValueError(f"train.block_px = {train.block_px} must be at least train.chip_px = {train.chip_px}")
        if self.grid.tile_px % train.stride_px:
            raise ValueError(
                f"grid.tile_px = {self.grid.tile_px} must be a multiple of train.stride_px = {train.stride_px}"
            )
        if train.validation_share + train.test_share > 0.8:
            raise ValueError(
                f"train.validation_share = {train.validation_share} and train.test_share = {train.test_share} leave "
                "less than a fifth of the blocks for training"
            )
        return self

    @model_validator(mode="after")
    def _check_flips(self) -> Self:
        if self.predict.flips and not can_mirror(self.model.family):
            raise ValueError(f"predict.flips is for model.family {', '.join(MIRRORING)}, not {self.model.family}")
        if self.predict.flips and knows_look_direction(self.inputs):
            raise ValueError(
                f"predict.flips: bands {self.bands_text} depend on the look direction of the radar and cannot be "
                "mirrored"
            )
        return self

    @model_validator(mode="after")
    def _passes_vary(self) -> Self:
        wanted = [name for name in self.inputs if name in LOCAL_CHANGE]
        if wanted and self.survey.newest_passes == 1:
            raise ValueError(
                f"survey.newest_passes = 1: {wanted[0]} needs the variance from pass to pass; at least 2 are needed"
            )
        return self

    @model_validator(mode="after")
    def _slope_has_a_source(self) -> Self:
        if self.clean.min_slope_deg > 0 and self.archives.dem is None:
            raise ValueError("clean.min_slope_deg needs archives.dem")
        return self

    @model_validator(mode="after")
    def _maps_have_a_source(self) -> Self:
        for wanted, name, source in (
            (self.maps.true_colour, "true_colour", "sentinel2"),
            (self.maps.radar_change, "radar_change", "sentinel1"),
        ):
            if wanted and getattr(self.archives, source) is None:
                raise ValueError(f"maps.{name} needs archives.{source}")
        return self

    @model_validator(mode="after")
    def _check_gpu_jobs(self) -> Self:
        if self.cluster.kind == "slurm" and (self.predict.device == "cuda") != (self.cluster.slurm.gpu is not None):
            raise ValueError(
                "predict.device cuda and cluster.slurm.gpu must be set together: predictions run only in these jobs"
            )
        return self

    def of_results(self) -> dict[str, Any]:
        """Return the settings that results depend on, as plain values: not place, workers and the published page."""
        return self.model_dump(mode="json", exclude={"output", "cluster", "publish"})

    @property
    def inputs(self) -> tuple[str, ...]:
        """Return the STACK bands in the model's order: its own, or those of the setting `bands`."""
        own_bands = OWN_BANDS.get(self.model.family)
        if own_bands is not None:
            return own_bands
        return BAND_SETTINGS[self.bands] if isinstance(self.bands, str) else self.bands

    @property
    def bands_text(self) -> str:
        """Return the setting `bands` for messages: its name, or the list with commas."""
        return self.bands if isinstance(self.bands, str) else ", ".join(self.bands)


def _band_list(names: tuple[Any, ...]) -> tuple[str, ...]:
    """Return a list of model inputs; refuse an empty one, and names that are unknown or given twice."""
    if not names:
        raise ValueError("must name at least one band")
    wrong = [str(name)[:40] for name in names if name not in MODEL_INPUTS]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is not a band that a model can read; allowed: {', '.join(MODEL_INPUTS)}")
    return without_duplicates(names)
