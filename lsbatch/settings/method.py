"""Settings of the method: composites, model, inference, cleaning, inventory, truth."""

from typing import Annotated, Literal, TypeVar

from pydantic import Field, StringConstraints, field_validator

from lsbatch.settings.survey import Place, Section

#: A word that can be part of a column's name.
LayerName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,30}$")]


Name = TypeVar("Name", bound=str)

#: Names in `lsbatch.bands.FURTHER`.
FurtherBand = Literal["SWIR1", "SWIR2", "RE1", "RE2", "RE3", "NIRn"]


def without_duplicates(names: tuple[Name, ...]) -> tuple[Name, ...]:
    """Return the names.

    Raises
    ------
    ValueError
        If a name is there twice.
    """
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"names {str(twice)[:40]} twice")
    return names


class CompositeSettings(Section):
    """How scenes become one composite before and one after."""

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
    # not dumped if empty: digests of surveys that do not ask stay what they were before the setting existed
    bands: tuple[FurtherBand, ...] = Field(
        (),
        exclude_if=lambda bands: not bands,
        description="further Sentinel-2 bands of the composites: SWIR1, SWIR2, RE1, RE2, RE3, NIRn (B11, B12, B05, "
        "B06, B07, B8A); SWIR1 adds dNDMI and dBSI to the STACK, SWIR2 adds dNBR; each band makes reading slower",
    )

    @field_validator("bands")
    @classmethod
    def _is_set(cls, bands: tuple[FurtherBand, ...]) -> tuple[FurtherBand, ...]:
        return without_duplicates(bands)

    @field_validator("speckle_size_px")
    @classmethod
    def _is_odd(cls, size: int) -> int:
        if size % 2 == 0:
            raise ValueError("must be odd")
        return size


class ModelSettings(Section):
    """Model family and weights."""

    family: Literal["unet", "cart", "tehrani", "prakash", "ccdc", "disturbance", "smp", "onnx"] = Field(
        "unet",
        description="unet: trained on polygons; cart: decision tree on points of eight classes; tehrani: random "
        "forest on segments of the red-green change; prakash: three-stream network of images before and "
        "after and of the terrain; ccdc: breaks in the Sentinel-2 history of each pixel, needs no training; "
        "disturbance: distance of the Sentinel-1 passes after from those before, needs no training; "
        "smp: a network of segmentation-models-pytorch (train.architecture, train.encoder). "
        "onnx: a network of others, whose STAC item is model.weights. "
        "tehrani, prakash, ccdc and disturbance have their own bands and ignore the setting bands",
    )
    weights: str | None = Field(
        None,
        description="file of weights (.safetensors) or 'package:NAME' for packaged weights; for model.family onnx a "
        "STAC item (.json) in the folder of its ONNX file; empty: survey/model, made by lsbatch train",
    )
    history_years: int = Field(
        3,
        ge=1,
        le=10,
        description="ccdc: years of Sentinel-2 scenes to read, before the year of the images before; each year has "
        "some 60 scenes a tile",
    )


class PredictSettings(Section):
    """Tiled inference."""

    tiling: Literal["exact", "blend"] = Field(
        "exact",
        description="exact: windows with a halo of the receptive field, equal to the whole image; blend: the paper's "
        "128/64 sliding window, which smp always uses",
    )
    memory_gb: float = Field(
        1.0,
        ge=0.1,
        le=1000,
        description="exact: memory for one window, of the worker or its GPU. With width 16 a tile of 2048 px is four "
        "windows with 1 GB and one with 2.6 GB; one window has less halo, which is faster on a GPU only",
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="unet, prakash, smp: number format of the network; bfloat16 is faster on GPUs and on CPUs that "
        "support it (avx512_bf16, amx) and changes probabilities by up to about 0.01; lsbatch bench measures both",
    )
    flips: bool = Field(
        False,
        description="unet, smp: mean prediction of the image and its three mirror images, and their spread as a "
        "measure of uncertainty; takes four times as long; not for bands that depend on the look direction",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: the GPU if there is one")
    # not dumped at its default: digests of older surveys stay what they were
    false_alarm_rate: float = Field(
        0.005,
        gt=0,
        lt=0.5,
        exclude_if=lambda rate: rate == 0.005,
        description="disturbance: share of unchanged ground that may be called before single pixels are removed; "
        "lower misses more",
    )


class CleanSettings(Section):
    """From probability to mask."""

    threshold: float = Field(0.5, gt=0, lt=1, description="probability from which a pixel is landslide")
    mode_radius_px: float = Field(1.5, ge=0, le=10, description="radius of the circle of the focal mode; 0: none")
    # not dumped at its default: digests of older surveys stay what they were
    min_slope_deg: float = Field(
        0,
        ge=0,
        lt=90,
        exclude_if=lambda slope: slope == 0,
        description="flatter pixels are no landslide; needs archives.dem; 0: all count",
    )


class InventorySettings(Section):
    """From mask to records."""

    min_area_m2: float = Field(
        500.0, ge=0, description="smaller landslides are not in the inventory (but in the pixel counts)"
    )
    simplify_m: float = Field(
        0.0,
        ge=0,
        le=100,
        description="maximum displacement when outlines are simplified; their area is kept; 0: outlines follow the "
        "pixels",
    )
    confounders: dict[LayerName, Place] = Field(
        {},
        description="vector files of other possible causes of change, by name, e.g. farmland: fields.gpkg; each "
        "record gets the share of its area on each layer; no record is removed",
    )
    others: dict[LayerName, Place] = Field(
        {},
        description="inventories of the same year from other models or mappers, by name, e.g. cart: "
        "../cart/inventory/landslides.gpkg; each record lists those that contain at least half of it",
    )
    areas: Place | None = Field(
        None, description="vector file of polygons, e.g. counties, for statistics of each; empty: none"
    )
    areas_field: str = Field("name", description="column of their names")
    # not dumped at its default: digests of older surveys stay what they were
    language: Literal["en", "fr", "de", "es", "nb"] = Field(
        "en",
        exclude_if=lambda language: language == "en",
        description="language of the names of columns and layers that QGIS shows: English, French, German, Spanish or "
        "Norwegian; the columns of the files are called the same in all of them",
    )
    radar_dates: bool = Field(
        False,
        description="narrow the dates with the Sentinel-1 time series around each landslide, if there is a "
        "Sentinel-1 archive: all passes between the images before and after are read there",
    )


class MapsSettings(Section):
    """National maps on request. Each takes some megabytes a tile."""

    true_colour: bool = Field(
        False, description="true_colour_before.tif and true_colour_after.tif: the images of Sentinel-2 as pictures"
    )
    radar_change: bool = Field(
        False, description="radar_change.tif: the change of gamma0 VV in dB, both pass directions together"
    )


class TruthSettings(Section):
    """Mapped landslides, for training and scoring."""

    file: Place = Field(description="vector file of landslide polygons")
    date_field: str | None = Field(
        None,
        description="column with the date of the landslide; only landslides between the windows count; empty: "
        "all count",
    )
    # not dumped if empty: digests of older surveys stay what they were
    mapped_area: Place | None = Field(
        None,
        exclude_if=lambda area: area is None,
        description="vector file of polygons within which all landslides are mapped; ground outside is neither learned "
        "from nor scored; empty: the whole region is mapped",
    )
    points: Place | None = Field(None, description="vector file of training points for cart")
    class_field: str = Field("class", description="column of the points' class: 'landslide' or any other")
    plots: Place | None = Field(
        None, description="vector file of polygons that are also scored separately; empty: none"
    )
    plot_field: str = Field("name", description="column of the plots' names")
