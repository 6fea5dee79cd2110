"""Records of landslides one by one: slow and obvious, the oracle of `lsbatch.inventory.record_fields`."""

import hashlib
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from pyproj import Geod, Transformer

from lsbatch.grid import Grid, tile_id
from lsbatch.inventory import dating, schema, year_matching
from lsbatch.kernels import slope_profile
from lsbatch.pipeline.outline import DAYS, HISTOGRAM_BINS, STEP_M, layer_px, layers
from lsbatch.settings import Config
from lsbatch.storage.geometries import POLYGONS

AGREES = 0.5
DEM_M = 30.0
LEAST_BREAK_DEG = 5.0
AREA_KEPT = 1e-4
SAME_PLACE_M = 1.0
_EPOCH = date(1970, 1, 1)
_GEOD = Geod(ellps="WGS84")
Passes = Callable[[pd.DataFrame], pd.DataFrame | None]


def landslides(parts: pd.DataFrame, component: np.ndarray, grid: Grid, config: Config, passes: Passes) -> pd.DataFrame:
    """One record a landslide, without the provenance, in any order."""
    to_lonlat = Transformer.from_crs(config.grid.crs, "EPSG:4326", always_xy=True)
    groups = parts.assign(component=component).groupby("component", sort=True)
    records = [_record(group, grid, config, to_lonlat, passes) for _, group in groups]
    types = {name: kind for name, kind in schema.dtypes(config.inventory.confounders).items() if name in records[0]}
    frame = gpd.GeoDataFrame(records, columns=[*types, "geometry"], geometry="geometry", crs=config.grid.crs)
    return frame.astype(types)


def _record(group: pd.DataFrame, grid: Grid, config: Config, to_lonlat: Transformer, passes: Passes) -> dict[str, Any]:
    first = group.sort_values(["first_row", "first_col"]).iloc[0]
    shape, repaired = _joined(np.asarray(group["geometry"].values))
    # measured along the pixels; simplified outlines are only for display
    places = _places(group, grid)
    measures = _geometry(shape, places, to_lonlat)
    drawn = _simplified(shape, config.inventory.simplify_m) if config.inventory.simplify_m else shape
    evidence = _evidence(group) | _observability(group) | _on_layers(group, config)
    tiles = sorted({tile_id(row, col) for row, col in zip(group["tile_row"], group["tile_col"], strict=True)})
    name = f"{config.survey.id}-{_pixel_id(grid, int(first['first_row']), int(first['first_col']))}"
    return {
        "landslide_id": name,
        "survey_id": config.survey.id,
        "version": 1,
        "status": "new",
        "observation": year_matching.FOUND,
        "parent_ids": "",
        **_dates(group, config, passes),
        **measures,
        **places,
        "outline": "simplified" if drawn is not shape else "pixels, repaired" if repaired else "pixels",
        **_terrain(group, places),
        **_split(group, config),
        **evidence,
        "confidence": _grade(evidence),  # type: ignore[arg-type]
        "review_state": "unreviewed",
        "reviewer": "",
        "comment": "",
        "reviewed_version": 0,
        "tiles": ";".join(tiles),
        "geometry": drawn,
    }


def _pixel_id(grid: Grid, row: int, col: int) -> str:
    """Return ten hex digits from the CRS and the metre position of the first pixel."""
    return place_id(grid.crs, *(grid.geobox.transform @ (col + 0.5, row + 0.5)))


def place_id(crs: str, x: float, y: float) -> str:
    """Return ten hex digits of a place, to 0.1 m."""
    return hashlib.blake2b(f"{crs} {x:.1f} {y:.1f}".encode(), digest_size=5).hexdigest()


def _dates(group: pd.DataFrame, config: Config, passes: Passes) -> dict[str, str | float]:
    """Return the earliest and latest day of a landslide, and how they were found."""
    windows = config.survey.windows
    if "after_days" in group:
        pixel_days = [np.concatenate(group[f"{name}_days"].to_list()) for name in DAYS]
        if pixel_days[0].size:
            # whole days, and ordered: the image before each pixel's break is earlier than the image after
            middle = (int(np.quantile(days, 0.5, method="lower")) for days in pixel_days)
            return _written(*middle, "breaks in the series")  # type: ignore[arg-type, call-arg]
    earliest, latest = int(group["last_before"].max()), int(group["first_after"].min())
    limits = (windows.pre[0] - _EPOCH).days, (windows.post[1] - _EPOCH).days
    if limits[0] <= earliest < latest <= limits[1]:
        days, method = (earliest, latest), "greenest looks"
    else:
        days, method = limits, "survey windows"
    narrowed = dating.narrowed(passes(group), days, limits, config.composite.speckle_looks)
    if narrowed is not None:
        return _written(*narrowed[:2], dating.METHOD, narrowed[2])
    return _written(*days, method)


def _written(earliest: int, latest: int, method: str, confidence: float = np.nan) -> dict[str, str | float]:
    first, last = (_EPOCH + timedelta(days=day) for day in (earliest, latest))
    return {
        "date_earliest": first.isoformat(),
        "date_latest": last.isoformat(),
        "date_method": method,
        "date_confidence": confidence,
    }


def _geometry(shape: shapely.MultiPolygon, places: Mapping[str, float], to_lonlat: Transformer) -> dict[str, float]:
    area, perimeter = _geodesic(shape, to_lonlat)
    length = _length(shape, (places["source_x"], places["source_y"]), (places["toe_x"], places["toe_y"]))
    return {"area_m2": area, "perimeter_m": perimeter, "length_m": length, "width_m": area / length}


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
        "dvv_ascending_db": _mean(group, "diffVV_asc"),
        "dvv_descending_db": _mean(group, "diffVV_desc"),
    }


def _observability(group: pd.DataFrame) -> dict[str, float]:
    shares = {
        "optical_share": "optical_px",
        "radar_share": "radar_px",
        "ascending_share": "ascending_px",
        "descending_share": "descending_px",
        "radar_hidden_share": "one_side_px",
        "terrain_shade_share": "shaded_px",
    }
    return {name: _share(group, column) for name, column in shares.items()} | {
        "unobserved_edge_px": int(group["unobserved_edge_px"].sum()),
        # not in parts of weights that do not describe their training
        "outside_share": _share(group, "outside_px") if "outside_px" in group else np.nan,
    }


def _on_layers(group: pd.DataFrame, config: Config) -> dict[str, float | str]:
    shares = {
        kind: {name: _share(group, layer_px(kind, name)) for name in files} for kind, files in layers(config).items()
    }
    agree = ";".join(sorted(name for name, share in shares["others"].items() if share >= AGREES))
    return {schema.CONFOUNDER.format(name): share for name, share in shares["confounders"].items()} | {
        "models_agree": agree
    }


def _share(group: pd.DataFrame, column: str) -> float:
    return float(group[column].sum() / group["pixels"].sum())


def _grade(evidence: Mapping[str, float]) -> str:
    """Return the confidence grade: a rule to sort the reviewer's work, not a probability."""
    sure = evidence["probability_mean"]
    seen = min(evidence["optical_share"], evidence["radar_share"])
    if sure >= 0.8 and seen >= 0.9 and not evidence["unobserved_edge_px"]:
        return "high"
    return "low" if sure < 0.65 or seen < 0.5 else "medium"


def _places(group: pd.DataFrame, grid: Grid) -> dict[str, float]:
    """Return the source (centre of the highest pixel) and the toe (lowest pixel); ties go to the first."""
    top = group.sort_values(["top_elevation_m", "top_row", "top_col"], ascending=[False, True, True]).iloc[0]
    toe = group.sort_values(["toe_elevation_m", "toe_row", "toe_col"]).iloc[0]
    transform = grid.geobox.transform
    source_x, source_y = transform @ (top["top_col"] + 0.5, top["top_row"] + 0.5)
    toe_x, toe_y = transform @ (toe["toe_col"] + 0.5, toe["toe_row"] + 0.5)
    return {"source_x": source_x, "source_y": source_y, "toe_x": toe_x, "toe_y": toe_y}


def _terrain(group: pd.DataFrame, places: Mapping[str, float]) -> dict[str, float]:
    high, low = float(group["top_elevation_m"].max()), float(group["toe_elevation_m"].min())
    away = float(np.hypot(places["source_x"] - places["toe_x"], places["source_y"] - places["toe_y"]))
    aspect = np.degrees(np.arctan2(group["aspect_sin_sum"].sum(), group["aspect_cos_sum"].sum())) % 360
    return {
        "elevation_min_m": low, "elevation_max_m": high, "relief_m": high - low,
        "slope_mean_deg": _mean(group, "slope"), "slope_max_deg": _finite(group["slope_max"].max()),
        "aspect_mean_deg": float(aspect) if group["aspect_sin_count"].sum() else np.nan,
        "travel_angle_deg": float(np.degrees(np.arctan2(high - low, away))) if away else np.nan,
    }  # fmt: skip


def _split(group: pd.DataFrame, config: Config) -> dict[str, float]:
    """Return the elevation where steep ground ends, from the slope profiles of all parts."""
    step, *values = (np.concatenate(group[f"profile_{name}"].to_list()) for name in ("step", "px", "slope", "slope2"))
    found = None
    if step.size:
        steps = sorted(set(step.tolist()))
        sums = [np.array([each[step == one].sum() for one in steps]) for each in values]
        sample = max(1.0, (DEM_M / config.grid.resolution_m) ** 2)
        found = [one[0] for one in slope_profile.breaks_of_slope(np.array([0]), *sums, sample)]
    if found is None or found[0] < 0 or found[1] - found[2] < 10 * LEAST_BREAK_DEG:
        return dict.fromkeys(("split_elevation_m", "source_share", "source_slope_deg", "transport_slope_deg"), np.nan)
    first, above, below = found
    return {
        "split_elevation_m": steps[first] * STEP_M, "source_share": float(sums[0][first:].sum() / sums[0].sum()),
        "source_slope_deg": above / 10, "transport_slope_deg": below / 10,
    }  # fmt: skip


def _mean(group: pd.DataFrame, name: str) -> float:
    count = group[f"{name}_count"].sum()
    return float(group[f"{name}_sum"].sum() / count) if count else np.nan


def _finite(value: float) -> float:
    return float(value) if np.isfinite(value) else np.nan


def _joined(parts: np.ndarray) -> tuple[shapely.MultiPolygon, bool]:
    """Join the parts of one landslide to one valid outline; return whether it was repaired."""
    shape = shapely.simplify(shapely.normalize(shapely.union_all(parts)), 0)
    return _valid(shape)


def _valid(shape: shapely.Geometry) -> tuple[shapely.MultiPolygon, bool]:
    if shapely.is_valid(shape):
        return _polygonal(shape), False
    return _polygonal(shapely.make_valid(shape)), True


def _simplified(shape: shapely.MultiPolygon, most_m: float) -> shapely.MultiPolygon:
    """Simplify an outline within about `most_m` and to the same area within `AREA_KEPT`."""
    thin = shapely.simplify(shape, most_m)
    inner, outer = -most_m, most_m

    def moved(by_m: float) -> shapely.Geometry:
        return shapely.buffer(thin, by_m, join_style="mitre", mitre_limit=2.0)

    if not shapely.area(moved(inner)) <= shape.area <= shapely.area(moved(outer)):
        return shape
    for _ in range(50):
        middle = (inner + outer) / 2
        found = moved(middle)
        if abs(found.area - shape.area) <= AREA_KEPT / 2 * shape.area:
            # moved inwards, a narrow neck can split; pieces that touched only at a corner can merge
            torn = shapely.get_num_geometries(shape) == 1 and shapely.get_num_geometries(found) > 1
            return shape if torn else _valid(found)[0]
        if found.area < shape.area:
            inner = middle
        else:
            outer = middle
    return shape


def _length(shape: shapely.Geometry, source: tuple[float, float], toe: tuple[float, float]) -> float:
    """Return the length from source to toe in m; if these are one place, the long side of the smallest rectangle."""
    away = np.subtract(toe, source)
    distance = float(np.hypot(*away))
    if distance < SAME_PLACE_M:
        corners = shapely.get_coordinates(shapely.minimum_rotated_rectangle(shape))
        return float(np.hypot(*np.diff(corners, axis=0).T).max())
    return float(np.ptp((shapely.get_coordinates(shape) - source) @ (away / distance)))


def _polygonal(shape: shapely.Geometry | None) -> shapely.MultiPolygon | None:
    """Return the valid polygons of a geometry without lines and points; None if there are none."""
    if shape is None or shape.is_empty:
        return None
    parts = shapely.get_parts(shape)
    if shape.geom_type == "GeometryCollection":
        parts = shapely.get_parts(parts)
    parts = parts[np.isin(shapely.get_type_id(parts), POLYGONS) & (shapely.area(parts) > 0)]
    whole = shapely.multipolygons(parts) if len(parts) else None
    # parts of a repaired geometry may touch along an edge
    return whole if whole is None or whole.is_valid else _polygonal(shapely.union_all(parts))


def _geodesic(shape: shapely.Geometry, to_lonlat: Transformer) -> tuple[float, float]:
    """Return area in m2 and perimeter in m on the WGS 84 ellipsoid."""
    lonlat = shapely.transform(shape, to_lonlat.transform, interleaved=False)
    area, perimeter = _GEOD.geometry_area_perimeter(shapely.orient_polygons(lonlat))
    return abs(area), perimeter
