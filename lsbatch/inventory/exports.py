"""Field tables of the inventory in other schemas: INSPIRE Natural Risk Zones, and attributes like Norway's SOSI."""

from collections.abc import Callable
from dataclasses import dataclass

import geopandas as gpd
import pandas as pd

#: Value of the INSPIRE code list NaturalHazardCategoryValue.
LANDSLIDE = "http://inspire.ec.europa.eu/codelist/NaturalHazardCategoryValue/landslide"


@dataclass(frozen=True)
class Mapped:
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


def _same(name: str, source: str) -> Mapped:
    return Mapped(name, f"`{source}`", lambda frame: frame[source])


def _constant(name: str, value: str) -> Mapped:
    return Mapped(name, f"“{value}”", lambda frame: value)


def _joined(name: str, source: str, make: Callable[[gpd.GeoDataFrame], object]) -> Mapped:
    return Mapped(name, source, make)


#: ObservedEvent of D2.8.III.12. Names of nested types are joined by `_`, because a GeoPackage is flat.
INSPIRE: tuple[Mapped, ...] = (
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
    _same("validFrom", "date_earliest"),
    _same("validTo", "date_latest"),
)

#: Attributes modelled on SOSI's datatype Identifikasjon and on a landslide register; not a validated SOSI file.
SOSI: tuple[Mapped, ...] = (
    _same("identifikasjon_lokalId", "landslide_id"),
    _same("identifikasjon_navnerom", "survey_id"),
    _same("identifikasjon_versjonId", "version"),
    _constant("skredtype", "skred, type ikke bestemt"),
    _same("skredtidspunkt_tidligst", "date_earliest"),
    _same("skredtidspunkt_senest", "date_latest"),
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


def mapped(frame: gpd.GeoDataFrame, fields: tuple[Mapped, ...]) -> gpd.GeoDataFrame:
    """Return the inventory with the fields of another schema and the same geometry."""
    columns = {field.name: field.make(frame) for field in fields}
    table = pd.DataFrame(columns, index=frame.index) if len(frame) else pd.DataFrame(columns=list(columns))
    return gpd.GeoDataFrame(table, geometry=frame.geometry.values, crs=frame.crs)


def table(fields: tuple[Mapped, ...]) -> str:
    """Return a mapping as a Markdown table, as in docs/inventory.md."""
    rows = [f"| `{field.name}` | {field.source} |" for field in fields]
    return "\n".join(("| field | from |", "|---|---|", *rows))
