"""QGIS style of the inventory: fill by confidence, in colours for colour-blind readers (Okabe and Ito)."""

from xml.sax.saxutils import quoteattr

import pandas as pd

from lsbatch.inventory import schema

#: Red, green, blue of each grade.
COLOURS = {"high": (213, 94, 0), "medium": (230, 159, 0), "low": (240, 228, 66)}


def qml(attribute: str = "confidence") -> str:
    """Return a QGIS style (QML, QGIS 3) for polygons with the grades of `lsbatch.inventory.schema.GRADES`."""
    categories = "".join(
        f'<category value={quoteattr(grade)} symbol="{i}" label={quoteattr(f"{grade} confidence")} render="true"/>'
        for i, grade in enumerate(schema.GRADES)
    )
    symbols = "".join(_symbol(i, COLOURS[grade]) for i, grade in enumerate(schema.GRADES))
    return (
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
        '<qgis version="3.28.0" styleCategories="Symbology">'
        f'<renderer-v2 type="categorizedSymbol" attr={quoteattr(attribute)} symbollevels="0" enableorderby="0" '
        'forceraster="0">'
        f"<categories>{categories}</categories><symbols>{symbols}</symbols></renderer-v2></qgis>\n"
    )


def _symbol(number: int, colour: tuple[int, int, int]) -> str:
    red, green, blue = colour
    options = {
        "color": f"{red},{green},{blue},90",
        "style": "solid",
        "outline_color": f"{red},{green},{blue},255",
        "outline_style": "solid",
        "outline_width": "0.5",
        "outline_width_unit": "MM",
        "joinstyle": "miter",
    }
    values = "".join(f'<Option type="QString" name="{name}" value="{value}"/>' for name, value in options.items())
    return (
        f'<symbol type="fill" name="{number}" alpha="1" clip_to_extent="1" force_rhr="0"><layer class="SimpleFill" '
        f'enabled="1" locked="0" pass="0"><Option type="Map">{values}</Option></layer></symbol>'
    )


def layer_styles(layer: str) -> pd.DataFrame:
    """Return the table from which QGIS reads the style of a GeoPackage layer."""
    return pd.DataFrame(
        {
            "f_table_catalog": [""],
            "f_table_schema": [""],
            "f_table_name": [layer],
            "f_geometry_column": ["geom"],
            "styleName": ["confidence"],
            "styleQML": [qml()],
            "styleSLD": [""],
            "useAsDefault": [True],
            "description": ["fill by confidence"],
            "owner": [""],
            "ui": [""],
            # QGIS sorts by this time; a constant, so that the same inventory gives the same file
            "update_time": [pd.Timestamp("2026-01-01T00:00:00Z")],
        }
    )
