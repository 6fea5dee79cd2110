"""What QGIS makes of a project: its layers, styles and times, and pictures. Runs in the Python of QGIS.

    QT_QPA_PLATFORM=offscreen /usr/bin/python3 benchmarks/in_qgis.py '{"project": "survey/survey.qgz"}'

The argument is JSON: `project`; `ranges`, list of (first day, last day) for the temporal controller; `alone`, rasters
that are opened without the project; `pictures`, list of mappings with `file`, `theme` or `layers`, `scale`, and
optionally `style` of the landslides, `centre` (x, y) and `size` (width, height). The answer is JSON on standard output.
It imports nothing of lsbatch.
"""

import faulthandler
import json
import os
import sys

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from qgis.core import (
    QgsApplication,
    QgsDateTimeRange,
    QgsFeatureRequest,
    QgsLayerTreeModel,
    QgsLegendRenderer,
    QgsLegendSettings,
    QgsMapRendererParallelJob,
    QgsMapSettings,
    QgsPointXY,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsRenderContext,
    QgsVectorLayerTemporalContext,
)
from qgis.PyQt.QtCore import QDateTime, QSize, Qt
from qgis.PyQt.QtGui import QColor, QImage, QPainter

#: Dots an inch of the pictures.
DPI = 96


def main():
    """Answer one request."""
    faulthandler.enable()
    asked = json.loads(sys.argv[1])
    application = QgsApplication([], False)
    application.initQgis()
    project = QgsProject.instance()
    told = {"opened": project.read(asked["project"]), "title": project.title(), "crs": project.crs().authid()}
    told["layers"] = [_layer(one) for one in _ordered(project)]
    told["groups"] = [group.name() for group in project.layerTreeRoot().findGroups()]
    told["themes"] = sorted(project.mapThemeCollection().mapThemes())
    told["themes_in_order"] = [name for name in told["groups"] if name in told["themes"]]
    told["days"] = [
        _day(end)
        for end in (project.timeSettings().temporalRange().begin(), project.timeSettings().temporalRange().end())
    ]
    told["counts"] = [_count(project, *days) for days in asked.get("ranges", ())]
    told["alone"] = {path: _alone(path) for path in asked.get("alone", ())}
    for picture in asked.get("pictures", ()):
        _draw(project, picture)
    print(json.dumps(told))
    # QGIS may crash when Python tears it down
    sys.stdout.flush()
    os._exit(0)


def _ordered(project):
    return [node.layer() for node in project.layerTreeRoot().findLayers()]


def _layer(layer):
    root = QgsProject.instance().layerTreeRoot()
    model = QgsLayerTreeModel(root)
    told = {
        "id": layer.id(),
        "name": layer.name(),
        "valid": layer.isValid(),
        "source": layer.source(),
        "crs": layer.crs().authid(),
        "styles": layer.styleManager().styles(),
        "style": layer.styleManager().currentStyle(),
        "renderer": layer.renderer().type(),
        "legend": [each.data(0) for each in model.layerLegendNodes(root.findLayer(layer.id()))],
    }
    if hasattr(layer, "fields"):
        names = enumerate(layer.fields())
        told["fields"] = {one.name(): [one.typeName(), layer.attributeDisplayName(i)] for i, one in names}
        told["features"] = layer.featureCount()
        told["labels"] = layer.labelsEnabled()
    return told


def _day(moment):
    return moment.date().toString("yyyy-MM-dd")


def _count(project, first, last):
    """Count the landslides that the temporal controller shows from one day to another, both included."""
    layer = project.mapLayer("lsbatch_landslides")
    ends = [QDateTime.fromString(text, Qt.ISODate) for text in (f"{first}T00:00:00Z", f"{last}T23:59:59Z")]
    context = QgsVectorLayerTemporalContext()
    context.setLayer(layer)
    expression = layer.temporalProperties().createFilterString(context, QgsDateTimeRange(*ends))
    return sum(1 for _ in layer.getFeatures(QgsFeatureRequest().setFilterExpression(expression)))


def _alone(path):
    layer = QgsRasterLayer(path, "alone")
    return {"valid": layer.isValid(), "renderer": layer.renderer().type()}


def _draw(project, picture):
    width, height = picture.get("size", (1000, 700))
    if "style" in picture:
        project.mapLayer("lsbatch_landslides").styleManager().setCurrentStyle(picture["style"])
    if "theme" in picture:
        layers = project.mapThemeCollection().mapThemeVisibleLayers(picture["theme"])
    else:
        layers = [project.mapLayer(f"lsbatch_{name}") for name in picture["layers"]]
    settings = QgsMapSettings()
    settings.setLayers(layers)
    settings.setDestinationCrs(project.crs())
    settings.setBackgroundColor(QColor("white"))
    settings.setOutputDpi(DPI)
    settings.setOutputSize(QSize(width, height))
    settings.setTransformContext(project.transformContext())
    whole = project.viewSettings().defaultViewExtent()
    centre = QgsPointXY(*picture["centre"]) if picture.get("centre") else whole.center()
    metres = picture["scale"] * 0.0254 / DPI
    settings.setExtent(QgsRectangle.fromCenterAndSize(centre, width * metres, height * metres))
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    image = QImage(width, height, QImage.Format_RGB32)
    image.setDotsPerMeterX(round(DPI / 0.0254))
    image.setDotsPerMeterY(round(DPI / 0.0254))
    painter = QPainter(image)
    painter.drawImage(0, 0, job.renderedImage())
    _legend(project, layers, painter, height)
    painter.end()
    if not image.save(picture["file"]):
        raise SystemExit(f"{picture['file']}: cannot be written")


def _legend(project, layers, painter, height):
    """Draw the legend of the layers on a white ground, top left."""
    root = project.layerTreeRoot().clone()
    for node in root.findLayers():
        if node.layer() not in layers:
            node.parent().removeChildNode(node)
    for group in root.findGroups():
        if not group.children():
            root.removeChildNode(group)
    # in a variable: the renderer does not keep it alive
    model = QgsLayerTreeModel(root)
    renderer = QgsLegendRenderer(model, QgsLegendSettings())
    context = QgsRenderContext.fromQPainter(painter)
    size = renderer.minimumSize(context)
    dots = context.scaleFactor()
    painter.save()
    painter.fillRect(0, 0, int(size.width() * dots), min(int(size.height() * dots), height), QColor(255, 255, 255, 235))
    painter.scale(dots, dots)
    renderer.drawLegend(context)
    painter.restore()


if __name__ == "__main__":
    main()
