"""QGIS styles of the landslides: by confidence, change, review and date, with labels and times.

The colours are those of Okabe and Ito, which colour-blind readers can tell apart.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from xml.etree.ElementTree import Element

import pandas as pd

from lsbatch.inventory import aliases
from lsbatch.inventory.qgis import elements
from lsbatch.inventory.qgis.elements import Colour, added
from lsbatch.inventory.qgis.words import word
from lsbatch.inventory.schema import Field
from lsbatch.settings.survey import Windows

Rgb = tuple[int, int, int]
#: Colours by value, for each style by the values of a field.
COLOURS: Mapping[str, Mapping[str, Rgb]] = {
    "confidence": {"high": (213, 94, 0), "medium": (230, 159, 0), "low": (240, 228, 66)},
    "status": {
        "new": (213, 94, 0),
        "persisting": (0, 114, 178),
        "enlarged": (204, 121, 167),
        "reactivated": (230, 159, 0),
        "gone": (120, 120, 120),
    },
    "review": {"unreviewed": (230, 159, 0), "confirmed": (0, 158, 115), "rejected": (120, 120, 120)},
}
#: The field of each style.
FIELDS = {"confidence": "confidence", "status": "status", "review": "review_state", "date": "date_latest"}
#: Colours of the style by date, from the first to the last.
DATE_COLOURS: tuple[Rgb, ...] = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
OTHER: Rgb = (150, 150, 150)
#: Labels are drawn where one centimetre on the screen is at most this many centimetres on the ground.
LABELS_SCALE = 20_000
_DAY = """coalesce('\\n' || format_date("date_latest", 'yyyy-MM-dd'), '')"""
LABEL = f"""format_number("area_m2" / 10000, 1) || ' ha' || {_DAY}"""
#: A date as a number that grows with it.
_DAY_NUMBER = """to_int(format_date("date_latest", 'yyyyMMdd'))"""


def qml(name: str, language: str, fields: Sequence[Field]) -> str:
    """Return a style as a QML file: confidence, status or review."""
    return elements.document(elements.style(parts(name, language, fields)))


def parts(name: str, language: str, fields: Sequence[Field], windows: Windows | None = None) -> list[Element]:
    """Return the elements of a style of `FIELDS`; that by date needs the windows of the survey.

    Parameters
    ----------
    name : str
    language : str
    fields : sequence of Field
        Columns of the layer, for their aliases: QGIS reads those of the GeoPackage only with GDAL 3.7 and newer.
    windows : Windows, optional
    """
    renderer = _by_date(language, windows) if windows is not None and name == "date" else _by_value(name, language)
    return [_times(), renderer, _labels(), field_aliases(fields, language)]


def field_aliases(fields: Sequence[Field], language: str) -> Element:
    """Return the aliases of columns."""
    made = Element("aliases")
    for field in fields:
        added(made, "alias", field=field.name, name=aliases.title(field, language))
    return made


def _by_value(name: str, language: str) -> Element:
    colours = {**COLOURS[name], "": OTHER}
    renderer = Element("renderer-v2", type="categorizedSymbol", attr=FIELDS[name], symbollevels="0", enableorderby="0",
                       forceraster="0")  # fmt: skip
    categories, symbols = added(renderer, "categories"), added(renderer, "symbols")
    for i, (value, colour) in enumerate(colours.items()):
        # an empty value stands for all other values
        label = word(value or "other", language)
        added(categories, "category", value=value, symbol=str(i), label=label, render="true")
        _symbol(symbols, i, colour)
    return renderer


def _by_date(language: str, windows: Windows) -> Element:
    # before the images after a landslide is dated only by a time series; one class is enough for these
    first, (begin, last), steps = windows.pre[0], windows.post, len(DATE_COLOURS) - 1
    ends = [begin + (last - begin) * i // steps for i in range(steps + 1)]
    renderer = Element("renderer-v2", type="graduatedSymbol", attr=_DAY_NUMBER, graduatedMethod="GraduatedColor",
                       symbollevels="0", enableorderby="0", forceraster="0")  # fmt: skip
    ranges, symbols = added(renderer, "ranges"), added(renderer, "symbols")
    for i, (begin, end) in enumerate(zip([first, *ends], ends, strict=False)):
        label = word("until", language).format(end.isoformat())
        lower, upper = _number(begin + timedelta(days=1) if i else begin), _number(end)
        added(ranges, "range", lower=lower, upper=upper, symbol=str(i), label=label, render="true")
        _symbol(symbols, i, DATE_COLOURS[i])
    return renderer


def _number(day: date) -> str:
    return f"{day:%Y%m%d}"


def _symbol(parent: Element, number: int, colour: Rgb) -> None:
    elements.fill(parent, str(number), (*colour, 90), (*colour, 255), 0.5)


def plain(fill: Colour, outline: Colour, line: str, label: str = "") -> list[Element]:
    """Return the elements of a style with one symbol; `label` is an expression."""
    renderer = Element("renderer-v2", type="singleSymbol", symbollevels="0", enableorderby="0", forceraster="0")
    elements.fill(added(renderer, "symbols"), "0", fill, outline, 0.4, line)
    return [renderer, *([_labels(label, 0)] if label else [])]


def _times() -> Element:
    """Return the times of the features: from the earliest to the latest day, both included."""
    return Element("temporal", enabled="1", mode="2", startField="date_earliest", endField="date_latest", limitMode="1",
                   startExpression="", endExpression="", durationField="", durationUnit="min", fixedDuration="0",
                   accumulate="0")  # fmt: skip


def _labels(expression: str = LABEL, scale: int = LABELS_SCALE) -> Element:
    """Return labels, at all scales if `scale` is 0."""
    labeling = Element("labeling", type="simple")
    settings = added(labeling, "settings", calloutType="simple")
    font = added(
        settings,
        "text-style",
        fieldName=expression,
        isExpression="1",
        fontFamily="Sans Serif",
        fontSize="9",
        fontSizeUnit="Point",
        fontWeight="75",
        namedStyle="Bold",
        textColor="20,20,20,255",
        textOpacity="1",
        multilineHeight="1",
    )
    added(font, "text-buffer", bufferDraw="1", bufferSize="0.7", bufferSizeUnits="MM", bufferColor="255,255,255,255",
          bufferOpacity="0.9")  # fmt: skip
    added(settings, "placement", placement="1" if scale == 0 else "8", dist="1", distUnits="MM", placementFlags="10",
          priority="5", polygonPlacementFlags="2", centroidInside="1" if scale == 0 else "0")  # fmt: skip
    added(settings, "rendering", drawLabels="1", scaleVisibility="1" if scale else "0", scaleMin="1",
          scaleMax=str(scale), obstacle="1", fontMaxPixelSize="10000", maxNumLabels="2000")  # fmt: skip
    return labeling


def layer_styles(layer: str, language: str, fields: Sequence[Field]) -> pd.DataFrame:
    """Return the table from which QGIS reads the styles of a GeoPackage layer; that by confidence is the default."""
    names = list(COLOURS)
    return pd.DataFrame(
        {
            "f_table_catalog": "",
            "f_table_schema": "",
            "f_table_name": layer,
            "f_geometry_column": "geom",
            "styleName": names,
            "styleQML": [qml(name, language, fields) for name in names],
            "styleSLD": "",
            "useAsDefault": [name == names[0] for name in names],
            "description": [word(f"style {name}", language) for name in names],
            "owner": "",
            "ui": "",
            # QGIS sorts by this time; a constant, so that the same inventory gives the same file
            "update_time": pd.Timestamp("2026-01-01T00:00:00Z"),
        }
    )
