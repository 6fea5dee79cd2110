"""The bands of every layer of the cube: name, unit, scale and meaning.

Each band is one Zarr array (y, x) of its layer's group, so that CF scale, units and description are its own and a
model reads only the bands it was trained on.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Band:
    """One array of a layer; physical value = stored * scale + offset.

    Attributes
    ----------
    name, units, description : str
        Written into the store; `units` follows CF where CF has the unit.
    dtype : str
        Type on disk. In memory every band is float32 with NaN as nodata, unless `scale` is None.
    scale, offset : float or None
        CF scale_factor and add_offset; None keeps the stored integers as they are in memory.
    fill : int
        Stored value that means nodata; chunks that hold nothing else are not written.
    """

    name: str
    units: str
    description: str
    dtype: str = "int16"
    scale: float | None = 1.0
    offset: float = 0.0
    fill: int = -32768


@dataclass(frozen=True)
class Layer:
    """A group of bands that one stage writes."""

    name: str
    bands: tuple[Band, ...]

    def __getitem__(self, name: str) -> Band:
        for band in self.bands:
            if band.name == name:
                return band
        raise KeyError(f"layer {self.name} has no band {name!r}; it has {', '.join(self.names)}")

    @property
    def names(self) -> tuple[str, ...]:
        """Band names in order."""
        return tuple(band.name for band in self.bands)


def _db(name: str, text: str) -> Band:
    # 0.01 dB is two orders below the speckle of a 40-scene median (about 0.5 dB at ENL 4.4)
    return Band(name, "dB", text, scale=0.01)


def _ratio(name: str, text: str) -> Band:
    return Band(name, "1", text, scale=0.0001)


def _days(name: str, text: str) -> Band:
    return Band(name, "days since 1970-01-01", text, scale=None, fill=-32768)


def _count(name: str, text: str) -> Band:
    return Band(name, "1", text, dtype="uint8", scale=None, fill=0)


_PERIODS = {"pre": "before", "post": "after"}
_DIRECTIONS = {"asc": "ascending", "desc": "descending"}
_COLOURS = {"R": "red (B04)", "G": "green (B03)", "B": "blue (B02)", "NIR": "near infrared (B08)"}

#: What the local bands are (see docs/preprocessing.md).
_LOCAL = "in each relative orbit less the median change of some 560 m around, averaged by inverse variance"
_STANDARDISED = "divided by its standard error, from the variance of the passes pooled over some 240 m"

STACK = Layer(
    "stack",
    (
        *(
            _db(f"{period}{pol}", f"gamma0 {pol}, median of linear power over the window {when}")
            for pol in ("VV", "VH")
            for period, when in _PERIODS.items()
        ),
        *(_db(f"diff{pol}", f"change of gamma0 {pol}: after minus before, in dB") for pol in ("VV", "VH")),
        *(_db(f"local{pol}", f"change of mean gamma0 {pol} in dB {_LOCAL}") for pol in ("VV", "VH")),
        *(Band(f"z{pol}", "1", f"local{pol} {_STANDARDISED}", scale=0.005) for pol in ("VV", "VH")),
        *(
            _db(f"{period}VV_{key}", f"gamma0 VV, median of {direction} passes {when}")
            for key, direction in _DIRECTIONS.items()
            for period, when in _PERIODS.items()
        ),
        *(
            _ratio(f"{period}{key}", f"surface reflectance, {colour}, greenest pixel {when}")
            for period, when in _PERIODS.items()
            for key, colour in _COLOURS.items()
        ),
        _ratio("dNDVI", "NDVI of the composite after minus NDVI of the composite before; a landslide is negative"),
        _ratio("localNDVI", "dNDVI less its median in the surroundings (some 560 m)"),
        # -1553 m to 11,553 m in steps of 0.2 m, a tenth of the error of GLO-30
        Band("elevation", "m", "elevation from the DEM, bilinear", scale=0.2, offset=5000.0),
        Band("slope", "degree", "slope of the DEM by Horn's method", scale=0.01),
        _days("pre_date", "day of the greenest clear look before"),
        _days("post_date", "day of the greenest clear look after"),
        _count("pre_clear_looks", "clear Sentinel-2 days before"),
        _count("post_clear_looks", "clear Sentinel-2 days after"),
        *(
            _count(f"{period}_shaded_looks", f"Sentinel-2 days {when} that were clear but for a mountain's shadow")
            for period, when in _PERIODS.items()
        ),
        _count("pre_sar_looks", "Sentinel-1 passes before"),
        _count("post_sar_looks", "Sentinel-1 passes after"),
        _count("change_looks", "Sentinel-1 passes behind localVV, localVH, zVV and zVH, before and after"),
        *(
            _count(f"{period}_{key}_looks", f"{direction} Sentinel-1 passes {when}")
            for key, direction in _DIRECTIONS.items()
            for period, when in _PERIODS.items()
        ),
        Band(
            "observed",
            "1",
            "bits: 1 Sentinel-2 before and after, 2 Sentinel-1 before and after, 4 DEM, 8 Sentinel-1 ascending before "
            "and after, 16 descending before and after, 32 not by Sentinel-2 because of terrain shadow, 64 "
            "water before; 0 outside the region",
            dtype="uint8",
            scale=None,
            fill=0,
        ),
    ),
)

#: Further bands of Sentinel-2 that STACK has if the setting `composite.bands` asks for them.
FURTHER = {
    "SWIR1": "short-wave infrared, 1.6 um (B11)",
    "SWIR2": "short-wave infrared, 2.2 um (B12)",
    "RE1": "red edge, 705 nm (B05)",
    "RE2": "red edge, 740 nm (B06)",
    "RE3": "red edge, 783 nm (B07)",
    "NIRn": "narrow near infrared, 865 nm (B8A)",
}

#: Changes of indices that follow from further bands, and the bands of one composite that each is computed from, in the
#: order of the kernel's arguments.
INDEX_TERMS = {"dNBR": ("NIR", "SWIR2"), "dNDMI": ("NIR", "SWIR1"), "dBSI": ("SWIR1", "R", "NIR", "B")}
_INDEX_NAMES = {
    "dNBR": "normalised burn ratio",
    "dNDMI": "normalised difference moisture index",
    "dBSI": "bare soil index",
}


def further_bands(name: str) -> tuple[str, ...]:
    """Return the entries of `composite.bands` that a band of STACK needs; empty for a band that is always there."""
    terms = INDEX_TERMS.get(name, (name.removeprefix("pre").removeprefix("post"),))
    return tuple(term for term in terms if term in FURTHER)


def stack_layer(further: tuple[str, ...]) -> Layer:
    """Return the layer STACK of a survey.

    Parameters
    ----------
    further : tuple of str
        The setting `composite.bands`: names in `FURTHER`.

    Returns
    -------
    Layer
        `STACK`; then each further band before and after; then the index differences whose bands are all there.
    """
    reflectances = (
        _ratio(f"{period}{name}", f"surface reflectance, {FURTHER[name]}, greenest pixel {when}")
        for period, when in _PERIODS.items()
        for name in further
    )
    differences = (
        Band(name, "1", f"{_INDEX_NAMES[name]} of the composite after minus that of the composite before", scale=0.0001)
        for name in INDEX_TERMS
        if set(further_bands(name)) <= set(further)
    )
    return Layer(STACK.name, (*STACK.bands, *reflectances, *differences))


#: STACK with every band that a survey can have, to look up a band without the settings of its survey.
FULL_STACK = stack_layer(tuple(FURTHER))

#: Bands that need more than one pass of a relative orbit.
LOCAL_CHANGE = ("localVV", "localVH", "zVV", "zVH")

#: Bands that a model can read: measured values, and not dates, counts or bits.
MODEL_INPUTS = tuple(band.name for band in FULL_STACK.bands if band.scale is not None)

#: The paper's inputs, by name, its settings 1 to 4; then ours: setting 5, which the paper asks for and did not test, as
#: an average over both directions washes out a decrease that only one of them sees; and what is left without some
#: archive.
BAND_SETTINGS: dict[str, tuple[str, ...]] = {
    "s1_s2_dem": (
        "preVV", "postVV", "diffVV", "preVH", "postVH", "diffVH",
        "postR", "postG", "postB", "postNIR", "dNDVI", "elevation", "slope",
    ),
    "s1vv_s2": ("preVV", "postVV", "dNDVI"),
    "s1vv": ("preVV", "postVV"),
    "s2": ("postR", "postG", "postB", "postNIR", "dNDVI"),
    # where there is no near infrared, as in pictures of the true colours
    "s2_rgb": ("preR", "preG", "preB", "postR", "postG", "postB"),
    "s1vv_apart_s2": ("preVV_asc", "postVV_asc", "preVV_desc", "postVV_desc", "dNDVI"),
    # change in units of the variability of a place, which does not depend on level, season or scene-wide change
    "s1_change": LOCAL_CHANGE,
    "s1_change_s2": (*LOCAL_CHANGE, "localNDVI"),
    "s1vv_apart": ("preVV_asc", "postVV_asc", "preVV_desc", "postVV_desc"),
}  # fmt: skip

#: Models whose inputs are part of the method: they take these, whatever the band setting says.
_BEFORE_AFTER = ("preR", "preG", "preB", "preNIR", "postR", "postG", "postB", "postNIR")
OWN_BANDS: dict[str, tuple[str, ...]] = {
    "tehrani": (*_BEFORE_AFTER, "elevation", "slope"),
    "prakash": ("preR", "preG", "preB", "postR", "postG", "postB", "elevation", "slope"),
    "ccdc": ("preR", "preNIR", "dNDVI", "slope"),
    "disturbance": ("zVV", "zVH"),
}

#: Models that give a date for each pixel, in two bands beside the probability.
DATING = ("ccdc",)

#: Models that can average over mirror images (`predict.flips`).
MIRRORING = ("unet", "smp")

_RADAR = re.compile(r"(pre|post|diff|local|z)V[VH]")
_TERRAIN = ("elevation", "slope")


#: Ends of names of bands that know from where the radar looked, and of those that look from the other side.
_LOOKING = {"_asc": "_desc", "_desc": "_asc"}


def knows_look_direction(bands: tuple[str, ...]) -> bool:
    """Return whether a band depends on the look direction of the radar, so that it must not be mirrored."""
    return any(name.endswith(tuple(_LOOKING)) for name in bands)


def mirrored(bands: tuple[str, ...]) -> tuple[int, ...] | None:
    """Return the band indices of an image that is mirrored from east to west; None if it cannot be mirrored.

    Ascending passes look to the east and descending ones to the west, as far from north each, so that the mirror image
    of the one is what the other sees. An image cannot be mirrored if a direction has no partner among the bands.
    """

    def other_side(name: str) -> str:
        end = next((end for end in _LOOKING if name.endswith(end)), "")
        return name.removesuffix(end) + _LOOKING.get(end, "")

    partners = [other_side(name) for name in bands]
    return tuple(bands.index(name) for name in partners) if set(partners) <= set(bands) else None


def sensors(bands: tuple[str, ...]) -> frozenset[str]:
    """Return the archives that a set of STACK bands needs: sentinel1, sentinel2, dem."""
    return frozenset(
        "sentinel1" if _RADAR.match(name) else "dem" if name in _TERRAIN else "sentinel2" for name in bands
    )


def can_mirror(model: str) -> bool:
    """Return whether a model can average over mirror images."""
    return model in MIRRORING


def probability(model: str) -> Layer:
    """Return the layer of a model's probability; one uint16 step is 1.5e-5."""
    band = Band("probability", "1", f"probability of a landslide, {model}", "uint16", 1 / 65534, fill=65535)
    # nodata, and so no bytes, unless predict.flips asks for it or the weights are an ensemble
    text = "standard deviation of the probability over mirror images and members of an ensemble"
    spread = Band("spread", "1", text, "uint8", 1 / 254, fill=255)
    days = (_days("before", "last clear look before the break"), _days("after", "first look after the break"))
    return Layer(f"probability/{model}", (band, spread, *(days if model in DATING else ())))


def mask(model: str) -> Layer:
    """Return the layer of the cleaned mask: 1 landslide, 0 no landslide, 255 not observed."""
    band = Band("landslide", "1", f"landslide mask, {model}", "uint8", scale=None, fill=255)
    return Layer(f"mask/{model}", (band,))


def applicability(model: str) -> Layer:
    """Return the layer that tells where the weights of a model may be believed."""
    index = Band("dissimilarity", "1", "dissimilarity index of the inputs (Meyer and Pebesma 2021)", "uint16", 0.001,
                 fill=65535)  # fmt: skip
    text = "1: inputs unlike those that the weights were trained on, 0: like them, 255: not observed"
    return Layer(f"applicability/{model}", (index, Band("outside", "1", text, "uint8", scale=None, fill=255)))
