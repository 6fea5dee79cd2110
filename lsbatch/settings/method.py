"""Settings of the method: composites, model, training, inference, cleaning, inventory, truth."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator

from lsbatch.settings.survey import Place, Section

#: A word that can be part of a column's name.
LayerName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,30}$")]


class CompositeSettings(Section):
    """How scenes become one picture before and one after."""

    cloud_dilate_px: int = Field(3, ge=0, le=50, description="pixels by which clouds are grown")
    speckle: Literal[
        "none", "boxcar", "lee", "kuan", "gamma_map", "frost", "refined_lee", "lee_sigma", "multitemporal"
    ] = Field(
        "none",
        description="filter of each Sentinel-1 scene before the median: none, boxcar, lee, kuan, gamma_map, frost, "
        "refined_lee, lee_sigma; or multitemporal, over all dates of a relative orbit",
    )
    speckle_size_px: int = Field(7, ge=3, le=31, description="side of the filter's window, odd")
    speckle_looks: float = Field(4.4, gt=0, le=1000, description="equivalent number of looks of a scene")
    slope_model: Literal["volume", "surface"] = Field(
        "volume",
        description="slope correction of Sentinel-1 that is not terrain-corrected yet: volume for vegetation, surface "
        "for bare ground",
    )
    same_orbits: bool = Field(True, description="compose before and after from the same relative orbits and platforms")

    @field_validator("speckle_size_px")
    @classmethod
    def _is_odd(cls, size: int) -> int:
        if size % 2 == 0:
            raise ValueError("must be odd")
        return size


class ModelSettings(Section):
    """Which model answers, and with which weights."""

    family: Literal["unet", "cart", "tehrani", "prakash", "ccdc"] = Field(
        "unet",
        description="unet: learned from polygons; cart: decision tree on points of eight classes; tehrani: random "
        "forest on segments of the red-green change; prakash: three-stream network of pictures before and "
        "after and of the terrain; ccdc: breaks in each pixel's years of Sentinel-2, learned from nothing. "
        "The last three take bands of their own, whatever bands says",
    )
    weights: str | None = Field(
        None,
        description="file of weights (.safetensors) or 'package:NAME' for those that come with lsbatch; empty: "
        "survey/model, made by lsbatch train",
    )
    history_years: int = Field(
        3,
        ge=1,
        le=10,
        description="ccdc: whole years of Sentinel-2 before the year of the looks before; each year is some 60 scenes "
        "a tile to read",
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
    patience: int = Field(8, ge=1, le=100, description="epochs without a better validation score before it stops")
    learning_rate: float = Field(4e-3, gt=0, le=1, description="peak of the one-cycle schedule")
    empty_share: float = Field(1.0, ge=0, le=100, description="chips without a landslide for each chip with one")
    symmetries: bool = Field(
        True,
        description="augment by the eight symmetries of the square; where bands know the look direction, by the mirror "
        "from east to west with ascending and descending exchanged",
    )
    max_minutes: float | None = Field(None, gt=0, description="stop after this time; empty: no limit")
    seed: int = Field(0, ge=0, description="of the split, the weights and the order")


class PredictSettings(Section):
    """Tiled inference."""

    tiling: Literal["exact", "blend"] = Field(
        "exact",
        description="exact: windows with a halo of the receptive field, equal to the whole image; blend: the paper's "
        "128/64 sliding window",
    )
    memory_gb: float = Field(
        1.0,
        ge=0.1,
        le=1000,
        description="exact: memory for a window, of the worker or its GPU. A tile of 2048 px is four windows of a "
        "network of width 16 with 1, one with 2.6: less halo, which a GPU heeds and a CPU does not",
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="unet, prakash: numbers of the network; bfloat16 is for GPUs and for CPUs that have it "
        "(avx512_bf16, amx), moves a probability by a hundredth, and is faster there: lsbatch bench says by how much",
    )
    flips: bool = Field(
        False,
        description="unet: mean of the answers to the picture and its three mirror images, and their spread as a "
        "measure of doubt; four times the work, and not for bands that know the look direction",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: the GPU where there is one")


class CleanSettings(Section):
    """From probability to a mask."""

    threshold: float = Field(0.5, gt=0, lt=1, description="probability from which a pixel is landslide")
    mode_radius_px: float = Field(1.5, ge=0, le=10, description="radius of the circle of the focal mode; 0: none")


class InventorySettings(Section):
    """From mask to records."""

    min_area_m2: float = Field(
        500.0, ge=0, description="smaller landslides are left out of the inventory (not of the pixel counts)"
    )
    simplify_m: float = Field(
        0.0,
        ge=0,
        le=100,
        description="outlines are simplified by at most this much, their area kept; 0: they follow the pixels",
    )
    confounders: dict[LayerName, Place] = Field(
        {},
        description="vector files of what may explain a change otherwise, by name, e.g. farmland: fields.gpkg; each "
        "record says how much of it lies there, none is left out",
    )
    others: dict[LayerName, Place] = Field(
        {},
        description="inventories of the same year by other models or mappers, by name, e.g. cart: "
        "../cart/inventory/landslides.gpkg; each record names those that hold half of it",
    )
    areas: Place | None = Field(
        None, description="vector file of polygons, e.g. counties, for which figures are given; empty: none"
    )
    areas_field: str = Field("name", description="column of their names")
    radar_dates: bool = Field(
        False,
        description="narrow the dates by the series of Sentinel-1 around each landslide, where there is an archive of "
        "it: every pass from the looks before to the looks after is read there",
    )


class TruthSettings(Section):
    """Mapped landslides, for training and scoring."""

    file: Place = Field(description="vector file of landslide polygons")
    date_field: str | None = Field(
        None, description="column with the day of the landslide; only those between the windows count; empty: all count"
    )
    points: Place | None = Field(None, description="vector file of training points for cart")
    class_field: str = Field("class", description="column of the points' class; 'landslide' against all others")
    plots: Place | None = Field(None, description="vector file of polygons to be scored one by one, too; empty: none")
    plot_field: str = Field("name", description="column of the plots' names")
