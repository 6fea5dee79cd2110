"""Write ``survey.qgz``, the survey as a QGIS project, and a style beside each national map."""

from collections.abc import Iterator
from typing import Any

from lsbatch.catalog.survey import Survey
from lsbatch.inventory import areas, schema
from lsbatch.inventory.qgis import landslide_styles, project, raster_styles
from lsbatch.inventory.qgis.project import Layer, Project
from lsbatch.inventory.qgis.words import word
from lsbatch.pipeline import map_contents
from lsbatch.pipeline.types import FOUND, Reduction
from lsbatch.settings import Config
from lsbatch.storage import files, receipts

#: Groups of the maps, from top to bottom.
GROUPS = {
    "evidence": ("mask", "probability", "radar_change", "date"),
    "observation": ("applicability", "observed"),
    "images": ("true_colour_after", "true_colour_before"),
}
#: Map themes, and the maps that they show beside the landslides.
THEMES = {
    "group landslides": ("true_colour_after",),
    "group evidence": ("probability", "radar_change"),
    "group observation": ("observed", "applicability"),
}


def apply(survey: Survey, config: Config) -> dict[str, Any]:
    """Write the project and the styles, each atomically."""
    places = survey.workspace
    layers = [*_vectors(survey, config), *_rasters(survey, config)]
    for name in map_contents.MAPS:
        style = places.maps / f"{name}.qml"
        if name in (layer.id for layer in layers):
            files.write_text(style, raster_styles.qml(name, config))
        else:
            files.remove(style)
    files.write_bytes(places.project, project.archive(_project(survey, config, layers), places.project.stem))
    return {"layers": len(layers)}


def _project(survey: Survey, config: Config, layers: list[Layer]) -> Project:
    language, windows = config.inventory.language, config.survey.windows
    first, last = windows.pre[0], windows.post[1]
    years = f"{first.year}-{last.year}" if first.year != last.year else str(last.year)
    return Project(
        word("title", language).format(config.survey.id, last.year),
        word("attribution", language).format(years),
        config.grid.crs,
        survey.grid.bounds,
        (first, last),
        layers,
    )


def _done(survey: Survey, reduction: str) -> receipts.Receipt | None:
    return receipts.read_stage(survey.workspace.receipts, reduction).get("all") or None


def _vectors(survey: Survey, config: Config) -> Iterator[Layer]:
    language = config.inventory.language
    group = word("group landslides", language)
    everywhere = tuple(word(theme, language) for theme in THEMES)
    inventory = _done(survey, "inventory")
    if inventory:
        fields = schema.fields(config.inventory.confounders)
        styles = {
            word(f"style {name}", language): landslide_styles.parts(name, language, fields, config.survey.windows)
            for name in landslide_styles.FIELDS
        }
        source = "inventory/landslides.gpkg|layername=landslides|subset=\"observation\" {} '{}'"
        title = word("landslides", language)
        yield Layer("landslides", title, group, source.format("=", FOUND), styles, True, True, themes=everywhere)
    if inventory and inventory.tally["last"]:
        style = landslide_styles.plain((0, 0, 0, 0), (90, 90, 90, 255), "dash")
        title = word("kept", language)
        yield Layer("kept", title, group, source.format("<>", FOUND), {"default": style}, True, True, themes=everywhere)
    if config.inventory.areas is not None and _done(survey, "figures"):
        style = [
            *landslide_styles.plain((0, 0, 0, 0), (60, 60, 60, 255), "solid", '"area" || \'\\n\' || "landslides"'),
            landslide_styles.field_aliases(areas.FIELDS, language),
        ]
        title = word("areas", language)
        yield Layer("areas", title, group, "inventory/areas.gpkg|layername=areas", {"default": style}, True, True)


def _rasters(survey: Survey, config: Config) -> Iterator[Layer]:
    language = config.inventory.language
    maps = map_contents.wanted(config) if _done(survey, "rasters") else {}
    # one map is seen under the landslides: the image, or else the probability
    first = next((name for name in ("true_colour_after", "probability") if name in maps), "")
    for group, names in GROUPS.items():
        for name in names:
            if name in maps:
                yield Layer(
                    name,
                    word(name, language),
                    word(f"group {group}", language),
                    f"maps/{name}.tif",
                    {"default": [raster_styles.pipe(name, config)]},
                    visible=name == first,
                    legend_order=raster_styles.legend_order(name),
                    themes=tuple(word(theme, language) for theme, shown in THEMES.items() if name in shown),
                )


def _settings(config: Config) -> dict[str, Any]:
    return {
        "id": config.survey.id,
        "windows": config.survey.windows.model_dump(mode="json"),
        "language": config.inventory.language,
        "confounders": sorted(config.inventory.confounders),
        "areas": config.inventory.areas is not None,
        **map_contents.settings(config),
    }


REDUCTION = Reduction(
    name="project",
    version=1,
    apply=apply,
    settings=_settings,
    after=("inventory", "figures", "rasters"),
)
