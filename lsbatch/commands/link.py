"""The command `lsbatch link`: match this year's inventory with last year's, with a complete account of outlines."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import geopandas as gpd
import shapely
from pyproj import CRS

from lsbatch.catalog.survey import open_survey
from lsbatch.engine.execution import run_reduction
from lsbatch.errors import ConfigError, LsbatchError, NoDataError
from lsbatch.inventory import (
    inventory_files,
    observed_ground,
    previous_inventory,
    record_fields,
    records,
    schema,
    year_matching,
)
from lsbatch.inventory.previous_inventory import ID, Read
from lsbatch.settings import Config
from lsbatch.storage import files, lease, receipts, vectors
from lsbatch.storage.workspace import Workspace

#: Default pixel side in metres, if an inventory does not give one: that of Sentinel-2.
PIXEL_M = 10.0
#: A table with all of these columns was made by lsbatch, and its other columns have our meaning.
_OURS = (ID, "survey_id", "version", "status", "review_state")


class Screen(Protocol):
    """Output of the command; `lsbatch.cli.terminal.Screen` implements it."""

    def text(self, line: str) -> None:
        """Print a line."""

    def table(self, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
        """Print rows of text."""


def survey(
    config: Config, last: Config | Path, screen: Screen, *, column: str | None = None, out: Path | None = None
) -> None:
    """Match a completed survey with an earlier inventory.

    Without `out` the survey imports the earlier inventory, and its own inventory is written again, now and in every
    later run. With `out` the linked inventory is written there, and the survey is unchanged.

    Raises
    ------
    LsbatchError
        If one of them has no inventory, or the earlier one cannot be used. Nothing is changed in this case.
    """
    mine = _inventory_of(config)
    file = _inventory_of(last) if isinstance(last, Config) else last
    layers = config.inventory.confounders
    old = _read(file, config.grid.crs, column, confounders=layers)
    ready = open_survey(config)
    if file == mine or out is not None:
        this = _read(mine, config.grid.crs, None, confounders=layers)
        seen = None if file == mine else lambda shapes: observed_ground.share(ready, shapes)
        linked = year_matching.link(this.frame, old.frame, config.grid.resolution_m, seen)
        _finish(screen, (str(file), old), (str(mine), this), linked, out)
        if out is None:
            screen.text("LAST is the same survey: there is nothing to import.")
        return
    with lease.acquire(config.output):
        vectors.write_parquet(ready.workspace.earlier, old.frame)
        run_reduction(ready, records.REDUCTION)
    receipt = receipts.read_stage(ready.workspace.receipts, "inventory").get("all")
    if receipt is None or not receipt:
        why = "it has no receipt" if receipt is None else receipt.error
        raise LsbatchError(
            f"{file}: was imported, but the inventory of {config.output} could not be written: {why}; continue with "
            "lsbatch run"
        )
    _tell(screen, "last year's", str(file), old)
    _account(screen, receipt.tally["last"], receipt.tally["this"])
    screen.text(f"Inventory: {ready.workspace.inventory / 'landslides.gpkg'}. Update the report with: lsbatch run")


def import_last(config: Config, last: Config) -> Read:
    """Import the inventory of last year's survey; the next run links with it. The same bytes as `survey` imports.

    Raises
    ------
    LsbatchError
        If it has no inventory, or one that cannot be used.
    """
    old = _read(_inventory_of(last), config.grid.crs, None, confounders=config.inventory.confounders)
    files.make_folder(config.output)
    with lease.acquire(config.output):
        vectors.write_parquet(Workspace(config.output).earlier, old.frame)
    return old


def inventory_file(
    this: Path, last: Config | Path, screen: Screen, *, column: str | None = None, out: Path | None = None
) -> None:
    """Match two inventory files. The observed ground is unknown, so no landslide is called gone.

    Raises
    ------
    LsbatchError
        If one of them cannot be used.
    """
    if out is None:
        raise ConfigError(f"{this}: is a file; give the folder of the linked inventory with --out")
    crs = previous_inventory.crs_of(this)
    known = CRS.from_user_input(crs)
    if not known.is_projected or known.axis_info[0].unit_name != "metre":
        raise ConfigError(
            f"{this}: its CRS is {known.name!r}; areas need a projected CRS in metres; save the file in one"
        )
    new = _read(this, crs, None, named=False)
    old = _read(_inventory_of(last) if isinstance(last, Config) else last, crs, column)
    linked = year_matching.link(new.frame, old.frame, PIXEL_M)
    _finish(screen, (str(last.output if isinstance(last, Config) else last), old), (str(this), new), linked, out)


def _inventory_of(config: Config) -> Path:
    file = Workspace(config.output).inventory / "landslides.gpkg"
    if not files.exists(file):
        raise NoDataError(f"{config.output}: has no inventory yet; make it with lsbatch run")
    return file


def _read(file: Path, crs: str, column: str | None, *, named: bool = True, confounders: Iterable[str] = ()) -> Read:
    """Read an inventory in our columns. Of a foreign inventory only outlines and ids are used."""
    got = previous_inventory.read(file, crs, column, named=named)
    frame = got.frame
    if set(_OURS) <= set(frame.columns):
        for name, allowed in (("status", schema.STATUSES), ("review_state", year_matching.STATES)):
            odd = set(frame[name].dropna().astype(str)) - {*allowed, ""}
            if odd:
                raise ConfigError(f"{file}: {name} {min(odd)!r}: must be one of {', '.join(allowed)}")
        for name in inventory_files.DAYS:
            odd = {day for day in frame.get(name, ()) if isinstance(day, str) and day and not schema.is_day(day)}
            if odd:
                raise ConfigError(f"{file}: {name} {min(odd)!r}: must be a day such as 2026-07-01")
    else:
        frame = frame[[name for name in (ID, "geometry") if name in frame]].assign(survey_id=file.stem)
        if ID not in frame:
            frame[ID] = _placed(frame, file.stem)
    frame = year_matching.complete(previous_inventory.measured(frame), schema.dtypes(confounders))
    return Read(**{**got.__dict__, "frame": frame})


def _placed(frame: gpd.GeoDataFrame, stem: str) -> list[str]:
    """Return ids from positions, for outlines without an id. A count distinguishes identical outlines."""
    taken: set[str] = set()
    corners = [shapely.get_coordinates(shape)[0] for shape in shapely.normalize(frame.geometry.values)]
    return [year_matching.unused(f"{stem}-{record_fields.place_id(str(frame.crs), x, y)}", taken) for x, y in corners]


def _finish(
    screen: Screen, last: tuple[str, Read], this: tuple[str, Read], linked: year_matching.Linked, out: Path | None
) -> None:
    if out is not None:
        inventory_files.write(files.make_folder(out), linked.frame)
    _tell(screen, "last year's", *last)
    _tell(screen, "this year's", *this)
    _account(screen, linked.last, linked.this)
    if out is not None:
        screen.text(f"Inventory: {out / 'landslides.gpkg'}")


def _tell(screen: Screen, which: str, name: str, read: Read) -> None:
    """Print what was read and what was written."""
    screen.text(f"{which}: {name}: {read.features} features, {len(read.frame)} landslides")
    if read.crs:
        screen.text(f"  transformed from {read.crs}")
    if read.repaired:
        screen.text(
            f"  {read.repaired} outlines were invalid and were repaired; the change of area is {read.repair_m2:.1f} "
            "m² in total"
        )
    if read.empty:
        screen.text(f"  {read.empty} features have no area and were left out")
    if read.overlaps:
        screen.text(f"  {read.overlaps} pairs of outlines overlap, {read.overlap_m2:.1f} m² in total; all were kept")


def _account(screen: Screen, last: Mapping[str, int], this: Mapping[str, int]) -> None:
    for title, counts in (("last year's landslides", last), ("this year's landslides", this)):
        rows: list[tuple[Any, ...]] = [(name, str(count)) for name, count in sorted(counts.items())]
        screen.text("")
        screen.table((title, "landslides"), [*rows, ("together", str(sum(counts.values())))])
