"""Polygon parts to the inventory: one record a landslide, also where it crosses tiles."""

import hashlib
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from pyproj import Geod

import lsbatch
from lsbatch.archive import receipts, vectors
from lsbatch.archive.survey import Survey
from lsbatch.config import Config, digest
from lsbatch.grid import tile_id
from lsbatch.kernels import regions
from lsbatch.models import base
from lsbatch.records import Fold
from lsbatch.stages import when
from lsbatch.stages.outline import DAYS, HISTOGRAM_BINS

_SUMS = ("dNDVI", "diffVV", "diffVH", "slope", "probability", "aspect_sin", "aspect_cos")
_EPOCH = date(1970, 1, 1)


def apply(survey: Survey, config: Config) -> dict[str, Any]:
    """Join the parts of all tiles and write GeoPackage, GeoParquet and CSV."""
    frame = landslides(survey, config)
    folder = survey.workspace.inventory
    vectors.write_geopackage(folder / "landslides.gpkg", frame, "landslides")
    vectors.write_parquet(folder / "landslides.parquet", frame)
    vectors.write_csv(folder / "landslides.csv", frame.drop(columns="geometry"))
    return {"landslides": len(frame), "area_m2": float(frame["area_m2"].sum())}


def landslides(survey: Survey, config: Config) -> gpd.GeoDataFrame:
    """One record a landslide, largest first; an empty survey gives an empty frame with the same columns."""
    parts = _joined_parts(survey)
    passes = when.passes_of(survey, config)
    records = [_record(group, survey, config, passes) for _, group in parts.groupby("component", sort=True)]
    frame = gpd.GeoDataFrame(records, columns=[*SCHEMA, "geometry"], geometry="geometry", crs=config.grid.crs)
    frame = frame.astype(SCHEMA)
    frame = frame[frame["area_m2"] >= config.inventory.min_area_m2]
    return frame.sort_values(["area_m2", "landslide_id"], ascending=[False, True]).reset_index(drop=True)


#: Columns of the inventory and their types; docs/inventory.md describes each.
SCHEMA: dict[str, str] = {
    "landslide_id": "str", "survey_id": "str", "version": "int32", "status": "str",
    "date_earliest": "str", "date_latest": "str", "date_method": "str", "date_confidence": "float64",
    "area_m2": "float64", "perimeter_m": "float64", "length_m": "float64", "width_m": "float64",
    "source_x": "float64", "source_y": "float64", "toe_x": "float64", "toe_y": "float64",
    "elevation_min_m": "float64", "elevation_max_m": "float64", "relief_m": "float64",
    "slope_mean_deg": "float64", "slope_max_deg": "float64", "aspect_mean_deg": "float64",
    "probability_mean": "float64", "probability_p10": "float64", "probability_p90": "float64",
    "probability_max": "float64", "dndvi_mean": "float64", "dvv_mean_db": "float64", "dvh_mean_db": "float64",
    "optical_share": "float64", "radar_share": "float64", "unobserved_edge_px": "int64",
    "review_state": "str", "reviewer": "str", "comment": "str",
    "model": "str", "weights": "str", "settings": "str", "software": "str",
}  # fmt: skip


def _joined_parts(survey: Survey) -> pd.DataFrame:
    """All parts, each with the number of the landslide it belongs to."""
    frames, edges, counts = [], {}, {}
    done = receipts.read_stage(survey.workspace.receipts, "outline")
    for position in survey.positions:
        receipt = done.get(tile_id(*position))
        if receipt and receipt.tally["parts"]:
            path = survey.workspace.part("outline", receipt.tile)
            frames.append(vectors.read_part(path))
            edges[position] = vectors.read_edges(path.with_suffix(".npy"))
            counts[position] = len(frames[-1])
    if not frames:
        return pd.DataFrame({"component": []})
    parts = pd.concat(frames, ignore_index=True)
    component = regions.join(edges, counts)
    keys = zip(parts["tile_row"], parts["tile_col"], parts["label"], strict=True)
    return parts.assign(component=[component[row, col][label - 1] for row, col, label in keys])


def _record(group: pd.DataFrame, survey: Survey, config: Config, passes: when.Passes) -> dict[str, Any]:
    first = group.sort_values(["first_row", "first_col"]).iloc[0]
    # normalised, so that vertices left where parts met do not tell tiles apart
    # a corner of the pixels' outline comes first, and corners that only a tile's edge made are left out
    shape = shapely.simplify(shapely.normalize(shapely.union_all(group.geometry.values)), 0)
    pixels = int(group["pixels"].sum())
    name = f"{config.survey.id}-{_pixel_id(survey, int(first['first_row']), int(first['first_col']))}"
    return {
        "landslide_id": name,
        "survey_id": config.survey.id,
        "version": 1,
        "status": "new",
        **_dates(group, config, passes),
        **_geometry(shape, config),
        **_terrain(group, survey),
        **_evidence(group),
        "optical_share": float(group["optical_px"].sum() / pixels),
        "radar_share": float(group["radar_px"].sum() / pixels),
        "unobserved_edge_px": int(group["unobserved_edge_px"].sum()),
        "review_state": "unreviewed",
        "reviewer": "",
        "comment": "",
        **_provenance(config),
        "geometry": shape if shape.geom_type == "MultiPolygon" else shapely.multipolygons([shape]),
    }


def _pixel_id(survey: Survey, row: int, col: int) -> str:
    """Ten hex digits from the CRS and the metre position of the first pixel.

    Position, not order: the id is the same with other tiles, other workers, or when another landslide comes or goes.
    """
    x, y = survey.grid.geobox.transform @ (col + 0.5, row + 0.5)
    text = f"{survey.grid.crs} {x:.1f} {y:.1f}"
    return hashlib.blake2b(text.encode(), digest_size=5).hexdigest()


def _dates(group: pd.DataFrame, config: Config, passes: when.Passes) -> dict[str, str | float]:
    """Between the looks around the break, as the middle pixel has them, where a model tells the day; else between the last
    greenest look before and the first after, the windows where Sentinel-2 did not see it, or less where Sentinel-1 tells it.
    """
    windows = config.survey.windows
    if "after_days" in group:
        told = [np.concatenate(group[f"{name}_days"].to_list()) for name in DAYS]
        if told[0].size:
            # of whole days, and in order: each pixel's look before is earlier than its look after
            middle = (int(np.quantile(days, 0.5, method="lower")) for days in told)
            return _written(*middle, "breaks in the series")
    earliest, latest = int(group["last_before"].max()), int(group["first_after"].min())
    limits = (windows.pre[0] - _EPOCH).days, (windows.post[1] - _EPOCH).days
    if limits[0] <= earliest < latest <= limits[1]:
        days, method = (earliest, latest), "greenest looks"
    else:
        days, method = limits, "survey windows"
    narrowed = when.narrowed(passes(group), days, limits, config.composite.speckle_looks)
    if narrowed is not None:
        return _written(*narrowed[:2], when.METHOD, narrowed[2])
    return _written(*days, method)


def _written(earliest: int, latest: int, method: str, confidence: float = np.nan) -> dict[str, str | float]:
    first, last = (_EPOCH + timedelta(days=day) for day in (earliest, latest))
    return {"date_earliest": first.isoformat(), "date_latest": last.isoformat(), "date_method": method, "date_confidence": confidence}


def _geometry(shape: shapely.Geometry, config: Config) -> dict[str, float]:
    """Geodesic area and perimeter; length is the long side of the smallest rectangle, width is area over length."""
    lonlat = gpd.GeoSeries([shape], crs=config.grid.crs).to_crs("EPSG:4326").iloc[0]
    area, perimeter = Geod(ellps="WGS84").geometry_area_perimeter(shapely.orient_polygons(lonlat))
    corners = shapely.get_coordinates(shapely.minimum_rotated_rectangle(shape))
    length = float(np.hypot(*np.diff(corners, axis=0).T).max())
    return {"area_m2": abs(area), "perimeter_m": perimeter, "length_m": length, "width_m": abs(area) / length}


def _terrain(group: pd.DataFrame, survey: Survey) -> dict[str, float]:
    """Source is the highest pixel's centre, toe the lowest's; ties go to the first in row-major order."""
    top = group.sort_values(["top_elevation_m", "top_row", "top_col"], ascending=[False, True, True]).iloc[0]
    toe = group.sort_values(["toe_elevation_m", "toe_row", "toe_col"]).iloc[0]
    transform = survey.grid.geobox.transform
    source_x, source_y = transform @ (top["top_col"] + 0.5, top["top_row"] + 0.5)
    toe_x, toe_y = transform @ (toe["toe_col"] + 0.5, toe["toe_row"] + 0.5)
    high, low = float(top["top_elevation_m"]), float(toe["toe_elevation_m"])
    aspect = np.degrees(np.arctan2(group["aspect_sin_sum"].sum(), group["aspect_cos_sum"].sum())) % 360
    return {
        "source_x": source_x, "source_y": source_y, "toe_x": toe_x, "toe_y": toe_y,
        "elevation_min_m": low, "elevation_max_m": high, "relief_m": high - low,
        "slope_mean_deg": _mean(group, "slope"), "slope_max_deg": _finite(group["slope_max"].max()),
        "aspect_mean_deg": float(aspect) if group["aspect_sin_count"].sum() else np.nan,
    }  # fmt: skip


def _evidence(group: pd.DataFrame) -> dict[str, float]:
    histogram = np.sum(np.stack(group["probability_histogram"].to_numpy()), axis=0)
    cumulative = np.cumsum(histogram) / histogram.sum()
    return {
        "probability_mean": _mean(group, "probability"),
        "probability_p10": float(np.searchsorted(cumulative, 0.1) / (HISTOGRAM_BINS - 1)),
        "probability_p90": float(np.searchsorted(cumulative, 0.9) / (HISTOGRAM_BINS - 1)),
        "probability_max": _finite(group["probability_max"].max()),
        "dndvi_mean": _mean(group, "dNDVI"),
        "dvv_mean_db": _mean(group, "diffVV"),
        "dvh_mean_db": _mean(group, "diffVH"),
    }


def _mean(group: pd.DataFrame, name: str) -> float:
    count = group[f"{name}_count"].sum()
    return float(group[f"{name}_sum"].sum() / count) if count else np.nan


def _finite(value: float) -> float:
    return float(value) if np.isfinite(value) else np.nan


def _provenance(config: Config) -> dict[str, str]:
    card = base.card(base.resolve(config))
    return {
        "model": card.family,
        "weights": card.checksum,
        "settings": digest(config.model_dump(mode="json", exclude={"output", "cluster"})),
        "software": f"lsbatch {lsbatch.__version__}",
    }


def _settings(config: Config) -> Mapping[str, Any]:
    return {"inventory": config.inventory.model_dump(), "survey": config.survey.model_dump(mode="json")} | _provenance(
        config
    )


FOLD = Fold(name="inventory", version=2, apply=apply, settings=_settings, after=("outline", "date"))
