"""What the national maps hold: their pixels from the bands of the cube, their colours and their units."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from lsbatch.bands import STACK
from lsbatch.models.applicability import described
from lsbatch.pipeline.clean import UNOBSERVED
from lsbatch.settings import Config
from lsbatch.storage.cog import Content
from lsbatch.storage.rasters import Colour, Legend

NO_PERCENT = 255
NO_DAY = NO_CHANGE = -32768
NO_COLOUR = 0
#: Reflectance of the brightest value of a picture. Values grow with the root of the reflectance, as the eye sees.
BRIGHTEST = 0.3
#: Decibels of a step of the radar change.
CHANGE_STEP_DB = 0.1
#: Bits of `observed` that say which sensor observed a pixel before and after, and that it was water.
OPTICAL, RADAR, WATER = 1, 2, 64
#: Colours of the classes of `observed`, by name; those of Okabe and Ito, which colour-blind readers can tell apart.
OBSERVED: Mapping[str, Colour] = {
    "both": (0, 158, 115, 255),
    "optical": (86, 180, 233, 255),
    "radar": (230, 159, 0, 255),
    "neither": (130, 130, 130, 255),
    "water": (0, 114, 178, 255),
}


def observed_class(bits: int) -> str:
    """Return the name in `OBSERVED` of a value of the map `observed`, which is not 0."""
    if bits & WATER:
        return "water"
    return ("neither", "optical", "radar", "both")[bool(bits & OPTICAL) + 2 * bool(bits & RADAR)]


_GROUND: Colour = (235, 235, 235, 255)
_COLOURS = {
    "mask": {0: _GROUND, 1: (213, 94, 0, 255), UNOBSERVED: (130, 130, 130, 255)},
    "observed": {0: (255, 255, 255, 255), **{bits: OBSERVED[observed_class(bits)] for bits in range(1, 128)}},
    "applicability": {0: _GROUND, 1: (204, 121, 167, 255), UNOBSERVED: (130, 130, 130, 255)},
}
_PICTURE = f"reflectance is {BRIGHTEST:g} * ((value - 1) / 254)^2; 0 is unknown"


@dataclass(frozen=True)
class Map:
    """A national map.

    Attributes
    ----------
    content : Content
    reads : mapping of layer name to band names
        As `lsbatch.pipeline.types.Stage.reads`.
    pixels : callable mapping of band to array -> array (rows, cols) or (rows, cols, samples)
    wanted : callable Config -> bool
    """

    content: Content
    reads: Mapping[str, tuple[str, ...]]
    pixels: Callable[[Mapping[str, np.ndarray]], np.ndarray]
    wanted: Callable[[Config], bool] = lambda _: True


def _probability(bands: Mapping[str, np.ndarray]) -> np.ndarray:
    chance = bands["probability"]
    return np.where(np.isnan(chance), NO_PERCENT, np.rint(chance * 100)).astype(np.uint8)


def _date(bands: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.where(bands["landslide"] == 1, bands["post_date"], NO_DAY).astype(np.int16)


def _picture(period: str) -> Map:
    names = tuple(f"{period}{colour}" for colour in "RGB")

    def pixels(bands: Mapping[str, np.ndarray]) -> np.ndarray:
        colours = np.stack([bands[name] for name in names], axis=-1)
        values = 1 + np.rint(254 * np.sqrt(np.clip(colours / BRIGHTEST, 0, 1)))
        return np.where(np.isnan(colours).any(axis=-1, keepdims=True), NO_COLOUR, values).astype(np.uint8)

    when = {"pre": "before", "post": "after"}[period]
    legend = Legend(f"Sentinel-2 {when} in true colours; {_PICTURE}")
    content = Content(np.uint8, NO_COLOUR, "average", legend, samples=3)
    return Map(content, {"stack": names}, pixels, lambda config: config.maps.true_colour)


def _radar_change(bands: Mapping[str, np.ndarray]) -> np.ndarray:
    change = bands["diffVV"]
    return np.where(np.isnan(change), NO_CHANGE, np.rint(change / CHANGE_STEP_DB)).astype(np.int16)


#: Maps by name; docs/inventory.md describes each.
MAPS: Mapping[str, Map] = {
    "probability": Map(
        Content(np.uint8, NO_PERCENT, "average", Legend("probability of a landslide", "1", 0.01)),
        {"probability": ("probability",)},
        _probability,
    ),
    "mask": Map(
        Content(
            np.uint8, UNOBSERVED, "nearest", Legend("1 landslide, 0 none, 255 not observed"), colours=_COLOURS["mask"]
        ),
        {"mask": ("landslide",)},
        lambda bands: bands["landslide"],
    ),
    "date": Map(
        Content(
            np.int16,
            NO_DAY,
            "nearest",
            Legend("day of the clear look after, where there is a landslide", "days since 1970-01-01"),
        ),
        {"mask": ("landslide",), "stack": ("post_date",)},
        _date,
    ),
    "observed": Map(
        Content(np.uint8, None, "mode", Legend(STACK["observed"].description), colours=_COLOURS["observed"]),
        {"stack": ("observed",)},
        lambda bands: bands["observed"],
    ),
    "applicability": Map(
        Content(
            np.uint8,
            UNOBSERVED,
            "nearest",
            Legend("1 inputs unlike those that the weights were trained on, 0 like them, 255 not observed"),
            colours=_COLOURS["applicability"],
        ),
        {"applicability": ("outside",)},
        lambda bands: bands["outside"],
        lambda config: described(config) is not None,
    ),
    "true_colour_before": _picture("pre"),
    "true_colour_after": _picture("post"),
    "radar_change": Map(
        Content(
            np.int16, NO_CHANGE, "average", Legend("change of gamma0 VV, after minus before", "dB", CHANGE_STEP_DB)
        ),
        {"stack": ("diffVV",)},
        _radar_change,
        lambda config: config.maps.radar_change,
    ),
}


def wanted(config: Config) -> dict[str, Map]:
    """Return the maps of a survey by name."""
    return {name: one for name, one in MAPS.items() if one.wanted(config)}


def settings(config: Config) -> dict[str, object]:
    """Return the settings that decide which maps are made, for digests."""
    # the maps of all surveys are left out: digests of older surveys stay what they were
    more = [name for name, one in wanted(config).items() if name not in ("probability", "mask", "date", "observed")]
    return {"model": config.model.family} | ({"maps": more} if more else {})


def reads(config: Config) -> dict[str, tuple[str, ...]]:
    """Return the bands that the maps of a survey are made from, by layer."""
    found: dict[str, tuple[str, ...]] = {}
    for one in wanted(config).values():
        for layer, names in one.reads.items():
            found[layer] = tuple(dict.fromkeys((*found.get(layer, ()), *names)))
    return found
