"""Field tables of the inventory in other schemas: INSPIRE Natural Risk Zones, and attributes like Norway's SOSI."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import pandas as pd

from lsbatch.inventory import inventory_files
from lsbatch.storage import vectors

#: Value of the INSPIRE code list NaturalHazardCategoryValue.
LANDSLIDE = "http://inspire.ec.europa.eu/codelist/NaturalHazardCategoryValue/landslide"


@dataclass(frozen=True)
class ExportField:
    """A field of an export.

    Attributes
    ----------
    name : str
    source : str
        Its column in the inventory, or the constant, for the documentation.
    make : callable GeoDataFrame -> column or constant
    """

    name: str
    source: str
    make: Callable[[gpd.GeoDataFrame], object]


@dataclass(frozen=True)
class Export:
    """An export of the inventory: its fields and the function that writes the table."""

    fields: tuple[ExportField, ...]
    write: Callable[[Path, gpd.GeoDataFrame], None]


def _same(name: str, source: str) -> ExportField:
    return ExportField(name, f"`{source}`", lambda frame: frame[source])


def _day(name: str, source: str) -> ExportField:
    return ExportField(name, f"`{source}`", lambda frame: inventory_files.days(frame[source]))


def _constant(name: str, value: str) -> ExportField:
    return ExportField(name, f"“{value}”", lambda frame: value)


def _joined(name: str, source: str, make: Callable[[gpd.GeoDataFrame], object]) -> ExportField:
    return ExportField(name, source, make)


#: ObservedEvent of D2.8.III.12. Names of nested types are joined by `_`, because a GeoPackage is flat.
INSPIRE: tuple[ExportField, ...] = (
    _same("inspireId_localId", "landslide_id"),
    _same("inspireId_namespace", "survey_id"),
    _joined("inspireId_versionId", "`version`", lambda frame: frame["version"].astype(str)),
    _joined("nameOfEvent", "“landslide” and `landslide_id`", lambda frame: "landslide " + frame["landslide_id"]),
    _constant("typeOfHazard_hazardCategory", LANDSLIDE),
    _constant("typeOfHazard_specificHazardType", "not told apart from space"),
    _joined("magnitudeOrIntensity_qualitativeValue", "`confidence`", lambda frame: frame["confidence"] + " confidence"),
    _same("magnitudeOrIntensity_quantitativeValue", "area_m2"),
    _constant("magnitudeOrIntensity_quantitativeValue_uom", "m2"),
    _joined(
        "magnitudeOrIntensity_assessmentMethod",
        "`model`, `software`",
        lambda frame: frame["model"] + ", " + frame["software"],
    ),
    _day("validFrom", "date_earliest"),
    _day("validTo", "date_latest"),
)

#: Attributes modelled on SOSI's datatype Identifikasjon and on a landslide register; not a validated SOSI file.
SOSI: tuple[ExportField, ...] = (
    _same("identifikasjon_lokalId", "landslide_id"),
    _same("identifikasjon_navnerom", "survey_id"),
    _same("identifikasjon_versjonId", "version"),
    _constant("skredtype", "skred, type ikke bestemt"),
    _day("skredtidspunkt_tidligst", "date_earliest"),
    _day("skredtidspunkt_senest", "date_latest"),
    _same("tidspunkt_metode", "date_method"),
    _same("skredareal_m2", "area_m2"),
    _same("skredlengde_m", "length_m"),
    _same("losneomrade_hoyde_moh", "elevation_max_m"),
    _same("utlop_hoyde_moh", "elevation_min_m"),
    _same("losneomrade_ost", "source_x"),
    _same("losneomrade_nord", "source_y"),
    _same("utlop_ost", "toe_x"),
    _same("utlop_nord", "toe_y"),
    _constant("registreringsmetode", "fjernmåling, Sentinel-1 og Sentinel-2"),
    _joined(
        "registreringsstatus",
        "`review_state`",
        lambda frame: frame["review_state"].map(
            {"unreviewed": ("ikke kontrollert"), "confirmed": "kontrollert", "rejected": "avvist"}
        ),
    ),
    _same("merknad", "comment"),
)


def _write_observed_events(path: Path, frame: gpd.GeoDataFrame) -> None:
    vectors.write_geopackage(path, frame, "ObservedEvent", finish=inventory_files.undated)


def _write_attributes(path: Path, frame: gpd.GeoDataFrame) -> None:
    vectors.write_csv(path, frame.drop(columns="geometry"))


#: Exports by the name of the file in ``survey/inventory/``.
EXPORTS: Mapping[str, Export] = {
    "inspire.gpkg": Export(INSPIRE, _write_observed_events),
    "sosi.csv": Export(SOSI, _write_attributes),
}


def write_all(folder: Path, frame: gpd.GeoDataFrame) -> None:
    """Write every export of the inventory `frame` into a folder, each atomically."""
    for name, export in EXPORTS.items():
        export.write(folder / name, with_schema(frame, export.fields))


def with_schema(frame: gpd.GeoDataFrame, fields: tuple[ExportField, ...]) -> gpd.GeoDataFrame:
    """Return the inventory with the fields of another schema and the same geometry."""
    columns = {field.name: field.make(frame) for field in fields}
    table = pd.DataFrame(columns, index=frame.index) if len(frame) else pd.DataFrame(columns=list(columns))
    return gpd.GeoDataFrame(table, geometry=frame.geometry.values, crs=frame.crs)


def markdown_table(fields: tuple[ExportField, ...]) -> str:
    """Return a mapping as a Markdown table, as in docs/inventory.md."""
    rows = [f"| `{field.name}` | {field.source} |" for field in fields]
    return "\n".join(("| field | from |", "|---|---|", *rows))
