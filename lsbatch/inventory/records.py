"""The inventory: join polygon parts over tiles into one record a landslide."""

import hashlib
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from pyproj import Transformer

import lsbatch
from lsbatch.catalog.survey import Survey
from lsbatch.grid import tile_id
from lsbatch.inventory import dating, exports, identity, qgis_style, schema, shapes, terrain_fields, year_matching
from lsbatch.inventory import provenance as sources
from lsbatch.kernels import connected_regions
from lsbatch.models import base
from lsbatch.pipeline.outline import DAYS, HISTOGRAM_BINS, layer_px, layers
from lsbatch.pipeline.types import Reduction
from lsbatch.settings import Config, digest
from lsbatch.storage import receipts, vectors
from lsbatch.storage.files import write_text
from lsbatch.storage.geometries import geodesic
from lsbatch.storage.workspace import Workspace

_EPOCH = date(1970, 1, 1)
#: Minimum share of a record that another inventory must contain to count as agreeing.
AGREES = 0.5


def apply(survey: Survey, config: Config) -> dict[str, Any]:
    """Join the parts of all tiles, give them identifiers, and write the inventory, its style and exports."""
    linked = identity.settle(survey, landslides(survey, config))
    found = identity.found(linked.frame)
    # records kept from earlier years may come from another program
    schema.check(found.drop(columns="geometry").to_dict("list"), config.inventory.confounders)
    folder = survey.workspace.inventory
    write(folder, linked.frame)
    write_text(folder / "landslides.qml", qgis_style.qml())
    exports.write_all(folder, found)
    tiles = {tile for text in found["tiles"] for tile in text.split(";")}
    vectors.write_csv(folder / "scenes.csv", sources.scenes(survey, tiles))
    return {
        "landslides": len(found),
        "area_m2": float(found["area_m2"].sum()),
        "last": linked.last,
        "this": linked.this,
    }


def write(folder: Path, frame: gpd.GeoDataFrame) -> None:
    """Write the three files of the records, each atomically."""
    vectors.write_geopackage(
        folder / "landslides.gpkg", frame, "landslides", {"layer_styles": qgis_style.layer_styles("landslides")}
    )
    vectors.write_parquet(folder / "landslides.parquet", frame)
    vectors.write_csv(folder / "landslides.csv", frame.drop(columns="geometry"))


def landslides(survey: Survey, config: Config) -> gpd.GeoDataFrame:
    """Return one record a landslide, largest first; an empty survey gives an empty frame with the same columns."""
    parts = _joined_parts(survey)
    to_lonlat = Transformer.from_crs(config.grid.crs, "EPSG:4326", always_xy=True)
    provenance, passes = _provenance(config), dating.passes_of(survey, config)
    records = [
        _record(group, survey, to_lonlat, passes) | provenance for _, group in parts.groupby("component", sort=True)
    ]
    types = schema.dtypes(config.inventory.confounders)
    frame = gpd.GeoDataFrame(records, columns=[*types, "geometry"], geometry="geometry", crs=config.grid.crs).astype(
        types
    )
    frame = frame[frame["area_m2"] >= config.inventory.min_area_m2]
    return frame.sort_values(["area_m2", "landslide_id"], ascending=[False, True]).reset_index(drop=True)


def _joined_parts(survey: Survey) -> pd.DataFrame:
    """Return all parts, each with the number of its landslide."""
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
    component = connected_regions.join(edges, counts)
    keys = zip(parts["tile_row"], parts["tile_col"], parts["label"], strict=True)
    return parts.assign(component=[component[row, col][label - 1] for row, col, label in keys])


def _record(group: pd.DataFrame, survey: Survey, to_lonlat: Transformer, passes: dating.Passes) -> dict[str, Any]:
    config = survey.config
    first = group.sort_values(["first_row", "first_col"]).iloc[0]
    shape, repaired = shapes.joined(np.asarray(group["geometry"].values))
    # measured along the pixels; simplified outlines are only for display
    places = terrain_fields.places(group, survey)
    measures = _geometry(shape, places, to_lonlat)
    drawn = shapes.simplified(shape, config.inventory.simplify_m) if config.inventory.simplify_m else shape
    evidence = _evidence(group) | _observability(group) | _on_layers(group, config)
    tiles = sorted({tile_id(row, col) for row, col in zip(group["tile_row"], group["tile_col"], strict=True)})
    name = f"{config.survey.id}-{_pixel_id(survey, int(first['first_row']), int(first['first_col']))}"
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
        **terrain_fields.terrain(group, places),
        **terrain_fields.split(group, config),
        **evidence,
        "confidence": _grade(evidence),  # type: ignore[arg-type]
        "review_state": "unreviewed",
        "reviewer": "",
        "comment": "",
        "reviewed_version": 0,
        "tiles": ";".join(tiles),
        "geometry": drawn,
    }


def _pixel_id(survey: Survey, row: int, col: int) -> str:
    """Return ten hex digits from the CRS and the metre position of the first pixel.

    It depends on the position, not on order: the id is the same with other tiles or workers, and if other landslides
    change.
    """
    return place_id(survey.grid.crs, *(survey.grid.geobox.transform @ (col + 0.5, row + 0.5)))


def place_id(crs: str, x: float, y: float) -> str:
    """Return ten hex digits of a place, to 0.1 m."""
    return hashlib.blake2b(f"{crs} {x:.1f} {y:.1f}".encode(), digest_size=5).hexdigest()


def _dates(group: pd.DataFrame, config: Config, passes: dating.Passes) -> dict[str, str | float]:
    """Return the earliest and latest day of a landslide, and how they were found.

    If the model gives dates, they are the images around the break of the median pixel. Otherwise they are the last
    image before and the first after, or the date windows if Sentinel-2 did not observe it. Sentinel-1 can narrow them.
    """
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
    area, perimeter = geodesic(shape, to_lonlat)
    length = shapes.length(shape, (places["source_x"], places["source_y"]), (places["toe_x"], places["toe_y"]))
    return {"area_m2": area, "perimeter_m": perimeter, "length_m": length, "width_m": area / length}


def _evidence(group: pd.DataFrame) -> dict[str, float]:
    histogram = np.sum(np.stack(group["probability_histogram"].to_numpy()), axis=0)
    cumulative = np.cumsum(histogram) / histogram.sum()
    return {
        "probability_mean": terrain_fields.mean(group, "probability"),
        "probability_p10": float(np.searchsorted(cumulative, 0.1) / (HISTOGRAM_BINS - 1)),
        "probability_p90": float(np.searchsorted(cumulative, 0.9) / (HISTOGRAM_BINS - 1)),
        "probability_max": terrain_fields.finite(group["probability_max"].max()),
        "dndvi_mean": terrain_fields.mean(group, "dNDVI"),
        "dvv_mean_db": terrain_fields.mean(group, "diffVV"),
        "dvh_mean_db": terrain_fields.mean(group, "diffVH"),
        "dvv_ascending_db": terrain_fields.mean(group, "diffVV_asc"),
        "dvv_descending_db": terrain_fields.mean(group, "diffVV_desc"),
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
    """Return the confidence grade: a rule to sort the reviewer's work, not a probability.

    high: mean probability at least 0.8, observed by both sensors, and the whole outline observed. low: mean probability
    below 0.65, or half of it observed by one sensor only. medium: all others.
    """
    sure = evidence["probability_mean"]
    seen = min(evidence["optical_share"], evidence["radar_share"])
    if sure >= 0.8 and seen >= 0.9 and not evidence["unobserved_edge_px"]:
        return "high"
    return "low" if sure < 0.65 or seen < 0.5 else "medium"


def _provenance(config: Config) -> dict[str, str]:
    card = base.card(base.resolve(config))
    return {
        "model": card.family,
        "weights": card.checksum,
        "settings": digest(config.model_dump(mode="json", exclude={"output", "cluster"})),
        "software": f"lsbatch {lsbatch.__version__}",
    }


def _settings(config: Config) -> Mapping[str, Any]:
    kept = {"review": identity.state(Workspace(config.output))}
    return (
        {"inventory": config.inventory.model_dump(mode="json"), "survey": config.survey.model_dump(mode="json")}
        | _provenance(config)
        | dating.version(config)
        | kept
    )


REDUCTION = Reduction(name="inventory", version=4, apply=apply, settings=_settings, after=("outline", "date"))
