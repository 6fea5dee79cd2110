"""QGIS styles of the national maps, by the name of the map."""

from datetime import date, timedelta
from xml.etree.ElementTree import Element

from lsbatch.inventory.qgis import elements
from lsbatch.inventory.qgis.elements import Colour, added, hexadecimal
from lsbatch.inventory.qgis.landslide_styles import DATE_COLOURS
from lsbatch.inventory.qgis.words import word
from lsbatch.pipeline.map_contents import OBSERVED, observed_class
from lsbatch.settings import Config

Stop = tuple[float, str, Colour]
#: Probability, its label and its colour; ground of a low one is transparent.
PROBABILITY: tuple[Stop, ...] = (
    (0.1, "10 %", (255, 255, 178, 0)),
    (0.3, "30 %", (254, 204, 92, 150)),
    (0.5, "50 %", (253, 141, 60, 220)),
    (0.75, "75 %", (240, 59, 32, 235)),
    (1.0, "100 %", (150, 0, 38, 255)),
)
#: Decibels, and colours from brown (less) to green (more); ground that did not change is transparent.
RADAR_CHANGE: tuple[Stop, ...] = (
    (-6, "−6 dB", (140, 81, 10, 255)),
    (-3, "−3 dB", (216, 179, 101, 220)),
    (0, "0 dB", (245, 245, 245, 0)),
    (3, "+3 dB", (90, 180, 172, 220)),
    (6, "+6 dB", (1, 102, 94, 255)),
)
PICTURES = ("true_colour_before", "true_colour_after")
_MASK, _OUTSIDE = (213, 94, 0, 255), (204, 121, 167, 190)


def qml(name: str, config: Config) -> str:
    """Return the style of a map as a QML file."""
    return elements.document(elements.style([pipe(name, config)]))


def pipe(name: str, config: Config) -> Element:
    """Return the element of a style that draws a map."""
    made = Element("pipe")
    language = config.inventory.language
    if name in PICTURES:
        _picture(made)
    elif name == "probability":
        _ramp(made, PROBABILITY)
    elif name == "radar_change":
        _ramp(made, RADAR_CHANGE)
    elif name == "date":
        _ramp(made, _dates(config))
    elif name == "mask":
        _classes(made, {1: (word("landslide", language), _MASK)})
    elif name == "applicability":
        _classes(made, {1: (word("outside", language), _OUTSIDE)})
    else:
        assert name == "observed"
        _classes(made, {bits: _observed(bits, language) for bits in range(1, 128)})
    added(made, "brightnesscontrast", brightness="0", contrast="0", gamma="1")
    added(made, "rasterresampler", maxOversampling="2")
    return made


def legend_order(name: str) -> str:
    """Return which entries the legend shows, by their places; that at 0 is the description of the band.

    The map `observed` has 127 values and five classes; the first value of each class stands for it.
    """
    if name in PICTURES:
        return "empty"
    if name == "observed":
        classes = [observed_class(bits) for bits in range(1, 128)]
        places = [classes.index(each) for each in OBSERVED]
    else:
        stops = {"probability": len(PROBABILITY), "radar_change": len(RADAR_CHANGE), "date": len(DATE_COLOURS)}
        places = list(range(stops.get(name, 1)))
    return ",".join(str(place + 1) for place in places)


def _observed(bits: int, language: str) -> tuple[str, Colour]:
    name = observed_class(bits)
    red, green, blue, _ = OBSERVED[name]
    return word(name, language), (red, green, blue, 150)


def _dates(config: Config) -> tuple[Stop, ...]:
    first, last = config.survey.windows.post
    days = [first + (last - first) * i // (len(DATE_COLOURS) - 1) for i in range(len(DATE_COLOURS))]
    return tuple(
        ((day - date(1970, 1, 1)) / timedelta(days=1), day.isoformat(), (*colour, 255))
        for day, colour in zip(days, DATE_COLOURS, strict=True)
    )


def _classes(parent: Element, classes: dict[int, tuple[str, Colour]]) -> None:
    renderer = _renderer(parent, type="paletted", band="1")
    palette = added(renderer, "colorPalette")
    for value, (label, colour) in classes.items():
        added(palette, "paletteEntry", value=str(value), label=label, color=hexadecimal(colour), alpha=str(colour[3]))


def _ramp(parent: Element, stops: tuple[Stop, ...]) -> None:
    low, high = f"{stops[0][0]:g}", f"{stops[-1][0]:g}"
    renderer = _renderer(parent, type="singlebandpseudocolor", band="1", classificationMin=low, classificationMax=high)
    shader = added(added(renderer, "rastershader"), "colorrampshader", colorRampType="INTERPOLATED", clip="0",
                   classificationMode="1", minimumValue=low, maximumValue=high, labelPrecision="2")  # fmt: skip
    for value, label, colour in stops:
        added(shader, "item", value=f"{value:g}", label=label, color=hexadecimal(colour), alpha=str(colour[3]))
    # the labels of the items, and not a bar between the first and the last number
    added(shader, "rampLegendSettings", useContinuousLegend="0", orientation="2", direction="0")


def _picture(parent: Element) -> None:
    renderer = _renderer(parent, type="multibandcolor", redBand="1", greenBand="2", blueBand="3")
    for colour in ("red", "green", "blue"):
        stretch = added(renderer, f"{colour}ContrastEnhancement")
        added(stretch, "minValue", "1")
        # bright ground is rare; fields and forest get more of the range
        added(stretch, "maxValue", "220")
        added(stretch, "algorithm", "StretchToMinimumMaximum")


def _renderer(parent: Element, **attributes: str) -> Element:
    renderer = added(parent, "rasterrenderer", opacity="1", alphaBand="-1", nodataColor="", **attributes)
    limits = added(renderer, "minMaxOrigin")
    added(limits, "limits", "None")
    return renderer
