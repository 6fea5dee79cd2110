"""Elements of QGIS styles and projects, as of QGIS 3.22 and newer. Texts are escaped by the writer of the XML."""

from collections.abc import Mapping
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from pyproj import CRS

Colour = tuple[int, int, int, int]
#: The oldest version that reads what is written here.
VERSION = "3.22.0"
#: Beginning of a style and of a project.
DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"


def added(parent: Element, tag: str, text: str = "", /, **attributes: str) -> Element:
    """Add an element to another one; a `_` at the end of the name of an attribute is left out."""
    made = SubElement(parent, tag, {name.removesuffix("_"): printable(value) for name, value in attributes.items()})
    made.text = printable(text) or None
    return made


def printable(text: str) -> str:
    """Return a text without characters that XML cannot hold."""
    return "".join(one for one in text if one.isprintable() or one in "\t\n")


def style(children: list[Element]) -> Element:
    """Return a style as in a file `.qml`."""
    root = Element("qgis", version=VERSION, styleCategories="AllStyleCategories", labelsEnabled="1")
    root.extend(children)
    return root


def document(root: Element) -> str:
    """Return the text of a file."""
    return DOCTYPE + ElementTree.tostring(root, encoding="unicode") + "\n"


def options(parent: Element, values: Mapping[str, str]) -> None:
    """Add a map of texts."""
    table = added(parent, "Option", type="Map")
    for name, value in values.items():
        added(table, "Option", type="QString", name=name, value=value)


def fill(parent: Element, name: str, fill: Colour, outline: Colour, width_mm: float, line: str = "solid") -> None:
    """Add a symbol for polygons."""
    symbol = added(parent, "symbol", type="fill", name=name, alpha="1", clip_to_extent="1", force_rhr="0")
    layer = added(symbol, "layer", class_="SimpleFill", enabled="1", locked="0", pass_="0")
    options(
        layer,
        {
            "color": text(fill),
            "style": "solid" if fill[3] else "no",
            "outline_color": text(outline),
            "outline_style": line,
            "outline_width": f"{width_mm:g}",
            "outline_width_unit": "MM",
            "joinstyle": "miter",
        },
    )


def text(colour: Colour) -> str:
    """Return a colour as QGIS writes it."""
    return ",".join(map(str, colour))


def hexadecimal(colour: Colour) -> str:
    """Return red, green and blue as `#rrggbb`."""
    return "#{:02x}{:02x}{:02x}".format(*colour[:3])


def reference_system(parent: Element, crs: str) -> None:
    """Add a coordinate reference system."""
    known = CRS.from_user_input(crs)
    authority = known.to_authority()
    made = added(parent, "spatialrefsys")
    added(made, "wkt", known.to_wkt())
    added(made, "authid", ":".join(authority) if authority else "")
    added(made, "description", known.name)


def extent(parent: Element, tag: str, bounds: tuple[float, float, float, float]) -> None:
    """Add left, bottom, right and top."""
    made = added(parent, tag)
    for name, value in zip(("xmin", "ymin", "xmax", "ymax"), bounds, strict=True):
        added(made, name, repr(float(value)))
