"""A QGIS project of layers in groups, as a file that QGIS 3.22 and newer open."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from xml.etree.ElementTree import Element

from lsbatch.inventory.qgis import elements
from lsbatch.inventory.qgis.elements import added

#: Where decorations lie: bottom left, bottom right.
_LEFT, _RIGHT = "0", "3"


@dataclass(frozen=True)
class Layer:
    """A layer of the project.

    Attributes
    ----------
    id, title, group : str
        `title` and `group` are what a person reads.
    source : str
        Path from the folder of the project, with what OGR needs behind it.
    styles : mapping of title to list of Element
        The first one is used; of a raster the one is its `pipe`.
    is_vector : bool
    visible : bool
    legend_order : str
        Entries that the legend shows, by their places, with commas; `empty` for none, and an empty text for all.
    themes : tuple of str
        Map themes in which it is visible.
    """

    id: str
    title: str
    group: str
    source: str
    styles: Mapping[str, list[Element]]
    is_vector: bool = False
    visible: bool = False
    legend_order: str = ""
    themes: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Return the id in the project; QGIS replaces ids of ten characters or less by its own."""
        return f"lsbatch_{self.id}"


@dataclass(frozen=True)
class Project:
    """What a project holds.

    Attributes
    ----------
    title, attribution : str
    crs : str
    bounds : tuple of float
        left, bottom, right, top of the first view.
    days : (date, date)
        First and last day of the temporal controller.
    layers : sequence of Layer
        From top to bottom; those of one group follow each other.
    """

    title: str
    attribution: str
    crs: str
    bounds: tuple[float, float, float, float]
    days: tuple[date, date]
    layers: Sequence[Layer] = field(default_factory=tuple)


def archive(project: Project, name: str) -> bytes:
    """Return a project as a `.qgz`: a ZIP archive with the project `NAME.qgs`; the same bytes for the same project."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        inner = zipfile.ZipInfo(f"{name}.qgs", (1980, 1, 1, 0, 0, 0))
        inner.compress_type = zipfile.ZIP_DEFLATED
        made.writestr(inner, text(project))
    return file.getvalue()


def text(project: Project) -> str:
    """Return a project as XML."""
    root = Element("qgis", version=elements.VERSION, projectname=elements.printable(project.title))
    added(root, "title", project.title)
    elements.reference_system(added(root, "projectCrs"), project.crs)
    _tree(root, project)
    _canvas(root, project)
    layers = added(root, "projectlayers")
    for layer in project.layers:
        _layer(layers, project, layer)
    order = added(root, "layerorder")
    for layer in project.layers:
        added(order, "layer", id=layer.key)
    _properties(root, project)
    _themes(root, project)
    _metadata(root, project)
    return elements.document(root)


def _tree(root: Element, project: Project) -> None:
    tree, group, title = added(root, "layer-tree-group"), None, ""
    for layer in project.layers:
        if group is None or layer.group != title:
            title = layer.group
            group = added(tree, "layer-tree-group", name=title, checked="Qt::Checked", expanded="1")
        made = added(
            group,
            "layer-tree-layer",
            id=layer.key,
            name=layer.title,
            source=f"./{layer.source}",
            providerKey=_provider(layer),
            checked="Qt::Checked" if layer.visible else "Qt::Unchecked",
            expanded="1" if layer.visible else "0",
        )
        elements.options(
            added(made, "customproperties"), {"legend/node-order": layer.legend_order} if layer.legend_order else {}
        )


def _provider(layer: Layer) -> str:
    return "ogr" if layer.is_vector else "gdal"


def _canvas(root: Element, project: Project) -> None:
    canvas = added(root, "mapcanvas", name="theMapCanvas", annotationsVisible="1")
    added(canvas, "units", "meters")
    elements.extent(canvas, "extent", project.bounds)
    added(canvas, "rotation", "0")
    elements.reference_system(added(canvas, "destinationsrs"), project.crs)


def _layer(parent: Element, project: Project, layer: Layer) -> None:
    kind = {"type": "vector", "geometry": "Polygon", "labelsEnabled": "1"} if layer.is_vector else {"type": "raster"}
    made = added(parent, "maplayer", styleCategories="AllStyleCategories", **kind)
    added(made, "id", layer.key)
    added(made, "datasource", f"./{layer.source}")
    added(made, "layername", layer.title)
    elements.reference_system(added(made, "srs"), project.crs)
    added(made, "provider", _provider(layer), **({"encoding": "UTF-8"} if layer.is_vector else {}))
    (current, style), *others = layer.styles.items()
    manager = added(made, "map-layer-style-manager", current=current)
    added(manager, "map-layer-style", name=current)
    for name, other in others:
        added(manager, "map-layer-style", name=name).append(elements.style(other))
    made.extend(style)


def _properties(root: Element, project: Project) -> None:
    groups = {
        "Paths": {"Absolute": ("bool", "false")},
        "SpatialRefSys": {"ProjectionsEnabled": ("int", "1")},
        "ScaleBar": {"Enabled": ("bool", "true"), "Placement": ("int", _LEFT)},
        "CopyrightLabel": {
            "Enabled": ("bool", "true"), "Placement": ("int", _RIGHT), "Label": ("QString", project.attribution),
        },
    }  # fmt: skip
    properties = added(root, "properties")
    for group, values in groups.items():
        made = added(properties, group)
        for name, (kind, value) in values.items():
            added(made, name, value, type=kind)


def _themes(root: Element, project: Project) -> None:
    presets = added(root, "visibility-presets")
    for theme in dict.fromkeys(name for layer in project.layers for name in layer.themes):
        preset = added(presets, "visibility-preset", name=theme)
        for layer in project.layers:
            if theme in layer.themes:
                added(preset, "layer", id=layer.key, visible="1", style=next(iter(layer.styles)))


def _metadata(root: Element, project: Project) -> None:
    metadata = added(root, "projectMetadata")
    added(metadata, "title", project.title)
    added(metadata, "rights", project.attribution)
    view = added(added(root, "ProjectViewSettings", UseProjectScales="0"), "DefaultViewExtent")
    view.attrib |= dict(zip(("xmin", "ymin", "xmax", "ymax"), map(repr, map(float, project.bounds)), strict=True))
    elements.reference_system(view, project.crs)
    time = added(
        root, "ProjectTimeSettings", timeStep="1", timeStepUnit="wk", frameRate="1", cumulativeTemporalRange="0"
    )
    days = added(time, "TemporalRange")
    for name, day in zip(("start", "end"), project.days, strict=True):
        added(days, name, f"{day.isoformat()}T00:00:00Z")
