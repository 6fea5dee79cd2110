"""Whether a survey is finished, and what it observed."""

from dataclasses import dataclass

from lsbatch.catalog import plan
from lsbatch.catalog.survey import Survey
from lsbatch.errors import LeaseError, NoDataError
from lsbatch.grid import tile_id
from lsbatch.storage import lease, receipts

#: Stages of a tile on which the inventory depends, the last one first.
STAGES = ("outline", "clean", "predict", "stack")


@dataclass(frozen=True)
class Observed:
    """What a survey observed.

    Attributes
    ----------
    tiles, failed : int
        Planned tiles, and those that failed.
    region_km2, surveyed_km2 : float
    """

    tiles: int
    failed: int
    region_km2: float
    surveyed_km2: float

    @property
    def unobserved_share(self) -> float:
        """Return the share of the region that was not observed, 0 to 1."""
        return max(0.0, 1 - self.surveyed_km2 / self.region_km2) if self.region_km2 else 0.0


def check(survey: Survey) -> Observed:
    """Return what a finished survey observed.

    Raises
    ------
    NoDataError
        If tiles, the inventory or the national maps are pending or failed.
    LeaseError
        If a run is writing the survey.
    """
    output, folder = survey.config.output, survey.workspace.receipts
    for holder, _ in lease.holders(output):
        raise LeaseError(f"{output}: a run is writing the survey ({holder}); publish it when the run has ended")
    done = {stage: receipts.read_stage(folder, stage) for stage in STAGES}
    tiles = [tile_id(*position) for position in survey.positions]
    # of the last stage, or the failure of an earlier one
    last = {tile: next((done[stage][tile] for stage in STAGES if tile in done[stage]), None) for tile in tiles}
    failed = sum(receipt is not None and not receipt for receipt in last.values())
    pending = sum(receipt is None or (bool(receipt) and receipt.stage != STAGES[0]) for receipt in last.values())
    if pending:
        raise NoDataError(
            f"{output}: the survey is not finished: {pending} of {len(tiles)} tiles are pending; run lsbatch run first"
        )
    for name, what in (("inventory", "the inventory"), ("rasters", "the set of national maps")):
        if not receipts.read_stage(folder, name).get("all"):
            raise NoDataError(f"{output}: the survey is not finished: {what} is missing; run lsbatch run first")
    surveyed_px = sum(one.tally.get("surveyed_pixels", 0) for tile in tiles if (one := done["clean"].get(tile)))
    region_km2 = float(plan.load(output).summary["region_km2"])
    return Observed(len(tiles), failed, region_km2, surveyed_px * (survey.grid.resolution_m / 1000) ** 2)
