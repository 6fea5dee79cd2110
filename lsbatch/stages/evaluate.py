"""National figures from what the tiles left: exact sums of counts, and landslides found one by one."""

from collections.abc import Iterable, Mapping
from typing import Any

import geopandas as gpd

from lsbatch.archive import receipts, vectors
from lsbatch.archive.survey import Survey
from lsbatch.errors import NoDataError
from lsbatch.grid import tile_id
from lsbatch.records import Confusion, Receipt


def confusion(found: Iterable[Receipt]) -> Confusion:
    """Sum of the tiles' counts; integers, so in any order."""
    total = Confusion()
    for receipt in found:
        if receipt:
            total += Confusion(**{key: receipt.tally[key] for key in ("tp", "fp", "fn", "tn")})
    return total


def summary(survey: Survey) -> dict[str, Any]:
    """Counts, scores, prevalence and surveyed area of a survey that was run.

    Returns
    -------
    dict
        tp, fp, fn, tn, precision, recall, f1, iou, mcc, prevalence (None where undefined), surveyed_km2,
        tiles, tiles_failed, landslides (records), and with truth: landslides_mapped and landslides_found (mapped
        ones of at least the inventory's smallest area that a record touches).

    Raises
    ------
    NoDataError
        Where nothing was scored yet, or there is no truth.
    """
    config, folder = survey.config, survey.workspace.receipts
    if config.truth is None:
        raise NoDataError("the settings name no truth, so there is nothing to score against; set truth.file")
    planned = {tile_id(*position) for position in survey.positions}
    scored = {tile: r for tile, r in receipts.read_stage(folder, "score").items() if tile in planned}
    total = confusion(scored.values())
    if total.total == 0:
        raise NoDataError(f"{survey.config.output}: no tile was scored yet; run 'lsbatch run' first")
    side_km = config.grid.resolution_m / 1000
    return {
        **total.scores(),
        "surveyed_km2": round(total.total * side_km**2, 4),
        "tiles": len(survey.positions),
        "tiles_failed": sum(not receipt for receipt in scored.values()) + len(survey.positions) - len(scored),
        **_objects(survey),
    }


def _objects(survey: Survey) -> Mapping[str, Any]:
    config = survey.config
    assert config.truth is not None
    file = survey.workspace.inventory / "landslides.parquet"
    if not file.exists():
        return {}
    found = vectors.read_part(file)
    truth = vectors.read_truth(config.truth, config.survey.windows, config.grid.crs, survey.grid.bounds)
    # touching more than an edge: an outline that only shares a border has found nothing
    large = truth[truth.area >= config.inventory.min_area_m2]
    hits = _touched(large, found)
    return {
        "landslides": len(found),
        "landslides_true": len(_touched(found, truth)),
        "landslides_mapped": len(large),
        "landslides_found": len(hits),
    }


def _touched(these: gpd.GeoDataFrame, those: gpd.GeoDataFrame) -> set[int]:
    """Rows of `these` whose inside meets the inside of any of `those`."""
    pairs = gpd.sjoin(these[["geometry"]], those[["geometry"]], predicate="intersects")
    return {
        left
        for left, right in zip(pairs.index, pairs["index_right"], strict=True)
        if these.geometry.loc[left].intersection(those.geometry.loc[right]).area > 0
    }
