"""The figures of the report: receipts, plan, inventory and scores as plain rows."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np

from lsbatch.bands import OWN_BANDS
from lsbatch.catalog import plan
from lsbatch.catalog.survey import Position, Survey
from lsbatch.errors import LsbatchError
from lsbatch.grid import tile_id
from lsbatch.inventory import evaluation, identity, inventory_files
from lsbatch.models import base
from lsbatch.models.applicability import described
from lsbatch.pipeline import applicability_messages
from lsbatch.pipeline.applicability import of_receipts
from lsbatch.settings import Config, to_yaml
from lsbatch.storage import receipts
from lsbatch.storage.addresses import without_secrets
from lsbatch.storage.receipts import Receipt

STAGES = (
    "stack", "applicability", "predict", "clean", "outline", "score", "records", "provenance", "map_blocks",
    "thumbnails",
)  # fmt: skip
MEANING = {
    "stack": "read scenes, make composites before and after",
    "applicability": "compare the inputs with those of the training",
    "predict": "compute probabilities with the model",
    "clean": "apply the threshold, remove single pixels",
    "outline": "convert the mask to polygons",
    "score": "compare with mapped landslides",
    "records": "describe the landslides inside the tile",
    "provenance": "list the scenes, make the STAC item",
    "map_blocks": "compress the blocks of the national maps",
    "thumbnails": "reduce the tile to the scale of this page's map",
    "inventory": "join polygons across tiles, write files",
}
BAND_NAMES = {
    "s1_s2_dem": "Sentinel-1, Sentinel-2 and terrain",
    "s1vv_s2": "Sentinel-1 VV and Sentinel-2",
    "s1vv": "Sentinel-1 VV only",
    "s2": "Sentinel-2 only",
    "s1vv_apart_s2": "Sentinel-1 VV (ascending and descending separate) and Sentinel-2",
    "s1vv_apart": "Sentinel-1 VV only (ascending and descending separate)",
    "s2_rgb": "Sentinel-2 without near infrared",
    "s1_change": "Sentinel-1 change against the surroundings",
    "s1_change_s2": "Sentinel-1 and Sentinel-2 change against the surroundings",
}


@dataclass(frozen=True)
class Records:
    """Receipts of the planned tiles by stage and tile, and of the inventory.

    Attributes
    ----------
    stages : tuple of str
        Stages that the settings enable, in order.
    by_stage : mapping of stage to mapping of tile id to Receipt
    inventory : Receipt or None
    """

    stages: tuple[str, ...]
    by_stage: Mapping[str, Mapping[str, Receipt]]
    inventory: Receipt | None

    def of(self, tile: str) -> list[Receipt]:
        """Return the receipts of a tile, in the order of the stages."""
        return [found for stage in self.stages if (found := self.by_stage[stage].get(tile)) is not None]

    def tally(self, stage: str, tile: str, key: str) -> int | None:
        """Return a count, None if the stage failed for the tile."""
        receipt = self.by_stage[stage].get(tile)
        return receipt.tally.get(key) if receipt else None

    def total(self, stage: str, key: str) -> int:
        """Return the sum of a count over the tiles."""
        return sum(receipt.tally.get(key, 0) for receipt in self.by_stage[stage].values() if receipt)


def read(survey: Survey, config: Config) -> Records:
    """Read all receipts for the report."""
    folder = survey.workspace.receipts
    absent = {"score": config.truth is None, "applicability": described(config) is None}
    stages = tuple(stage for stage in STAGES if not absent.get(stage))
    planned = {tile_id(*position) for position in survey.positions}
    by_stage = {
        stage: {tile: found for tile, found in receipts.read_stage(folder, stage).items() if tile in planned}
        for stage in stages
    }
    return Records(stages, by_stage, receipts.read_stage(folder, "inventory").get("all"))


def landslides(survey: Survey, records: Records) -> gpd.GeoDataFrame | None:
    """Read the inventory, largest first; None if it failed."""
    if not records.inventory:
        return None
    return identity.found(inventory_files.read(survey.workspace))


def worked(survey: Survey, records: Records, *stages: str) -> frozenset[Position]:
    """Return the tiles for which all of these stages succeeded."""
    done = [records.by_stage.get(stage, {}) for stage in stages]
    return frozenset(p for p in survey.positions if all(by_tile.get(tile_id(*p)) for by_tile in done))


def headline(survey: Survey, config: Config, records: Records, found: gpd.GeoDataFrame | None) -> dict[str, Any]:
    """Return the headline figures."""
    px_km2 = (config.grid.resolution_m / 1000) ** 2
    region_km2 = float(plan.load(survey.config.output).summary["region_km2"])
    surveyed_km2 = records.total("clean", "surveyed_pixels") * px_km2
    card = base.card(base.resolve(config))
    return {
        "landslides": None if found is None else len(found),
        "area_m2": None if found is None else float(found["area_m2"].sum()),
        "largest_m2": None if found is None or found.empty else float(found["area_m2"].max()),
        "region_km2": region_km2,
        "surveyed_km2": surveyed_km2,
        "surveyed_share": min(1.0, surveyed_km2 / region_km2) if region_km2 else None,
        "windows": config.survey.windows,
        "inputs": inputs(config),
        "model": card.family,
        "checksum": card.checksum,
        "synthetic": config.survey.id.startswith("synthetic"),
    }


def unlike(survey: Survey, config: Config, records: Records) -> dict[str, Any] | None:
    """Return the share of the ground that is unlike the training, and sentences; None if the weights do not tell."""
    found = of_receipts(records.by_stage.get("applicability", {}), [tile_id(*p) for p in survey.positions])
    if not found.known_px:
        return None
    scenes = plan.load(survey.config.output).summary["scenes"]
    lines = applicability_messages.before_pixels(config, scenes)
    lines += applicability_messages.of_pixels(config, found, "the survey")
    return {"share": found.share, "lines": lines}


def inputs(config: Config) -> str:
    """Return the inputs of the model: its bands, after the name of the band setting if one is used."""
    listed = ", ".join(config.inputs)
    if config.model.family in OWN_BANDS or not isinstance(config.bands, str):
        return listed
    return f"{BAND_NAMES[config.bands]} ({config.bands}): {listed}"


def tiles(survey: Survey, records: Records) -> list[dict[str, Any]]:
    """Return one row a tile, in grid order."""
    return [_tile(tile_id(*position), position, records) for position in survey.positions]


def _tile(tile: str, position: Position, records: Records) -> dict[str, Any]:
    done = records.of(tile)
    failed = next((receipt for receipt in done if not receipt), None)
    missing = next((stage for stage in records.stages if tile not in records.by_stage[stage]), None)
    if failed is not None:
        status, reason = "failed", f"{failed.stage}: {failed.error}"
    elif missing is not None:
        status, reason = "not run", f"{missing} was not run"
    else:
        status, reason = "done", ""
    region = records.tally("stack", tile, "region_pixels")
    surveyed = records.tally("clean", tile, "surveyed_pixels")
    stack = records.by_stage["stack"].get(tile)
    return {
        "id": tile,
        "position": position,
        "status": status,
        "reason": reason,
        "scenes": len(stack.scenes) if stack else None,
        "seconds": sum(receipt.seconds for receipt in done),
        "peak_mb": max((receipt.peak_mb for receipt in done), default=None),
        "landslide_px": records.tally("clean", tile, "landslide_pixels"),
        # of a tile without a pixel in the region there is no share
        "observed": surveyed / region if region and surveyed is not None else None,
    }


def stages(records: Records) -> list[dict[str, Any]]:
    """Return one row a stage: computing seconds, total and a tile, and throughput."""
    rows = [_stage(name, list(records.by_stage[name].values())) for name in records.stages]
    if records.inventory is not None:
        rows.append(_stage("inventory", [records.inventory]))
    rows = [row for row in rows if row["tiles"]]
    total = sum(row["seconds"] for row in rows)
    longest = max((row["seconds"] for row in rows), default=0)
    for row in rows:
        row["share"] = row["seconds"] / total if total else None
        row["bar"] = row["seconds"] / longest if longest else 0
    return rows


def _stage(name: str, done: list[Receipt]) -> dict[str, Any]:
    seconds = np.array([receipt.seconds for receipt in done])
    pixels = sum(receipt.pixels for receipt in done)
    return {
        "name": name,
        "meaning": MEANING[name],
        "tiles": len(done),
        "seconds": float(seconds.sum()),
        "median": float(np.median(seconds)) if seconds.size else None,
        "p95": float(np.percentile(seconds, 95)) if seconds.size else None,
        "speed": pixels / 1e6 / float(seconds.sum()) if pixels and seconds.sum() else None,
        "peak_mb": max((receipt.peak_mb for receipt in done), default=None),
        "workers": len({receipt.worker for receipt in done}),
    }


def faults(survey: Survey, config: Config, records: Records, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what limits trust in the results: failures and omissions."""
    return {
        "failed": [row for row in rows if row["status"] == "failed"],
        "not_run": [row for row in rows if row["status"] == "not run"],
        "inventory": _inventory_fault(records.inventory),
        "dropped": _dropped(records),
        "left_out": list(plan.load(config.output).summary.get("left_out", ())),
    }


def _inventory_fault(receipt: Receipt | None) -> str | None:
    if receipt is None:
        return "the inventory does not exist yet; run lsbatch run"
    return receipt.error


def _dropped(records: Records) -> list[dict[str, Any]]:
    """Return the scenes that could not be read, with reason and tiles, most frequent first."""
    by_reason: dict[str, list[str]] = {}
    for tile, receipt in sorted(records.by_stage["stack"].items()):
        for reason in receipt.dropped:
            by_reason.setdefault(reason, []).append(tile)
    rows = [{"reason": reason, "tiles": found} for reason, found in by_reason.items()]
    return sorted(rows, key=lambda row: (-len(row["tiles"]), row["reason"]))


def scores(survey: Survey) -> tuple[dict[str, Any] | None, str]:
    """Return scores against mapped landslides, or None and the reason."""
    try:
        return evaluation.summary(survey), ""
    except LsbatchError as error:
        return None, str(error)


def reliability(survey: Survey) -> list[dict[str, float]]:
    """Return the bins of probability with pixels: mean prediction, observed frequency, pixels."""
    found = receipts.read_stage(survey.workspace.receipts, "score")
    bins = evaluation.reliability(found.values())
    return [{"predicted": p / n, "observed": hits / n, "pixels": int(n)} for n, p, hits in bins.tolist() if n]


def provenance(config: Config, records: Records) -> dict[str, Any]:
    """Return the provenance of the results."""
    decisions = [receipt.tally.get("decisions", {}) for receipt in records.by_stage["stack"].values() if receipt]
    scenes = {scene for receipt in records.by_stage["stack"].values() for scene in receipt.scenes}
    card = base.card(base.resolve(config))
    return {
        "scenes": len(scenes),
        "offsets": _counted(decisions, "offsets"),
        "orbits": _counted(decisions, "orbits"),
        "trained_on": [str(name) for name in card.made_by.get("surveys", ())],
        "trained_with": str(card.made_by.get("software", "")),
        "test_mcc": dict(card.scores.get("test") or {}).get("mcc"),
        # addresses in settings may carry a user or a key
        "settings": without_secrets(to_yaml(config)),
    }


def _counted(decisions: Iterable[Mapping[str, Any]], key: str) -> list[tuple[str, int]]:
    """Return decisions with their number of tiles, most frequent first."""
    return Counter(text for one in decisions for text in one.get(key, ())).most_common()
