"""The commands `lsbatch run --years` and `lsbatch years`: annual surveys in a row, and the page that compares them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from lsbatch.catalog import date_windows
from lsbatch.catalog.survey import open_survey, settings_of_folder
from lsbatch.commands import link, run
from lsbatch.commands.run import Screen
from lsbatch.engine import cluster, todo
from lsbatch.errors import ConfigError, LsbatchError, NoDataError
from lsbatch.grid import tile_id
from lsbatch.inventory import records
from lsbatch.report import years_page
from lsbatch.settings import Config
from lsbatch.settings.survey import FIRST_SENTINEL
from lsbatch.storage import files, lease, objects, receipts, symlinks
from lsbatch.storage.files import make_folder
from lsbatch.storage.workspace import Workspace

#: Folder beside the surveys with composites that the next year needs.
SEASONS = "seasons"
#: Last step before the inventory. What comes before it reads no other year.
BEFORE_INVENTORY = "thumbnails"
#: Last year for which the folder of a survey is looked for; see `survey.year` of the settings.
LAST_YEAR = 2100


def surveys(
    configs: Sequence[Config],
    screen: Screen,
    *,
    until: str | None = None,
    part: tuple[int, int] = (1, 1),
    replan: bool = False,
) -> int:
    """Plan all years, then run one survey a year, each linked with the year before.

    The inventory of a year waits while tiles of the year before are failed or pending: it would be linked with an
    inventory that lacks landslides. Its tiles are computed nevertheless. Return the number of failed tiles and of
    inventories that wait.

    Parameters
    ----------
    configs : sequence of Config
        Settings of each year, ascending, as `settings.load` with `year` gives them.
    screen : Screen
    until, part, replan
        As in `run.survey`. Years are linked by a run of all tiles that reaches the inventory.

    Raises
    ------
    LsbatchError
        If a year cannot be planned or started. The message names the year.
    """
    if until is not None:
        todo.step_named(until)
    configs = _sharing(configs)
    whole = part == (1, 1)
    links = whole and any(step is records.REDUCTION for step in todo.steps(configs[0], until))
    make_folder(configs[0].output)
    symlinks.refuse(configs[0].output)
    # only the driver of an allocation returns from this call
    with cluster.joined(configs[0]) as driver:
        _plan_all(configs, screen, part=part, replan=replan)
        with cluster.connect(configs[0], driver, screen.text) as client_for:
            faults = 0
            for config in configs:
                with _named(config):
                    screen.text(f"Year {_year(config)}: {config.output}")
                    is_ready = not links or _link(config, screen)
                    last = until if is_ready else BEFORE_INVENTORY
                    failed = run.survey(config, screen, until=last, part=part, client_for=client_for)
                    if whole and not failed and config.cluster.season_before:
                        files.remove_folder(config.cluster.season_before)
                    faults += failed + (not is_ready)
    if whole and not faults:
        files.remove_folder(configs[0].output.parent / SEASONS)
    if links and not faults:
        compare([root for root in _series(configs[-1]).values() if _has_inventory(root)], screen)
    return faults


def _sharing(configs: Sequence[Config]) -> list[Config]:
    """Return settings with the folders of the seasons that two of the years need."""
    years = {_year(config) for config in configs}

    def folder(config: Config, year: int, other: int) -> Path | None:
        return config.output.parent / SEASONS / str(year) if other in years else None

    def shared(config: Config) -> Config:
        year = _year(config)
        folders = {
            "season_before": folder(config, year - 1, year - 1),
            "season_after": folder(config, year, year + 1),
        }
        return config.model_copy(update={"cluster": config.cluster.model_copy(update=folders)})

    return [shared(config) for config in configs]


def _plan_all(configs: Sequence[Config], screen: Screen, *, part: tuple[int, int], replan: bool) -> None:
    """Plan all years before the first is run: a year without scenes is then known before hours of work.

    A season that two years need is searched for once.
    """
    known: date_windows.Answers = {}
    for config in configs:
        with _named(config):
            make_folder(config.output)
            symlinks.refuse(config.output)
            with lease.acquire(config.output, part):
                run.prepare(config, screen, replan=replan, known=known)


def _link(config: Config, screen: Screen) -> bool:
    """Import the inventory of the latest earlier year of the series; return whether this inventory can be made."""
    earlier = {year: root for year, root in _series(config).items() if year < _year(config)}
    if not earlier:
        return True
    year = max(earlier)
    last = settings_of_folder(str(earlier[year]))
    if not _is_complete(last):
        screen.text(
            f"The inventory of {_year(config)} waits for that of {year}, of which tiles failed or are pending. Its own "
            "tiles are computed now."
        )
        return False
    old = link.import_last(config, last)
    screen.text(f"Linked with {year}: {len(old.frame)} landslides")
    return True


def _series(config: Config) -> dict[int, Path]:
    """Return the folders of all surveys of the series by year: those beside this one whose names differ by the year."""
    name, year = config.output.name, str(_year(config))
    years = range(FIRST_SENTINEL.year, LAST_YEAR + 1)
    folders = {other: config.output.with_name(name.replace(year, str(other))) for other in years}
    return {other: root for other, root in folders.items() if files.exists(Workspace(root).settings)}


def _is_complete(config: Config) -> bool:
    """Return whether a survey has an inventory of all its tiles."""
    outlined = receipts.read_stage(Workspace(config.output).receipts, "outline")
    tiles = open_survey(config).positions
    return _has_inventory(config.output) and all(outlined.get(tile_id(*position)) for position in tiles)


def _has_inventory(root: Path) -> bool:
    made = receipts.read_stage(Workspace(root).receipts, records.REDUCTION.name).get("all")
    return bool(made) and files.exists(Workspace(root).inventory / "landslides.gpkg")


def _year(config: Config) -> int:
    return config.survey.windows.year


@contextmanager
def _named(config: Config) -> Iterator[None]:
    """Name the year in an error."""
    try:
        yield
    except LsbatchError as error:
        raise LsbatchError(f"year {_year(config)}: {error}") from error


def folders(texts: Sequence[str]) -> list[Path]:
    """Return the folders of surveys: those given, or those in a given folder.

    Raises
    ------
    NoDataError
        If a folder is no survey and holds none.
    """
    found: list[Path] = []
    for text in texts:
        path = objects.path_of(text)
        # a series may lie in the folder of a survey that was run before
        inside = _surveys_in(path) or ([path] if files.exists(Workspace(path).settings) else [])
        if not inside:
            raise NoDataError(f"{text}: is no survey, and no folder in it is one; give the folders of annual surveys")
        found += inside
    return found


def _surveys_in(folder: Path) -> list[Path]:
    if objects.is_remote(folder):
        inside = [folder / str(year) for year in range(FIRST_SENTINEL.year, LAST_YEAR + 1)]
    else:
        inside = sorted(path for path in folder.glob("*") if path.is_dir())
    return [path for path in inside if files.exists(Workspace(path).settings) and _has_inventory(path)]


def compare(roots: Sequence[Path], screen: Any, *, out: Path | None = None) -> None:
    """Write the page and the table that compare annual surveys, into the folder of the newest one's folder or `out`.

    Raises
    ------
    LsbatchError
        If a survey has no inventory, or two are of the same year.
    """
    opened = [open_survey(settings_of_folder(str(root))) for root in roots]
    opened.sort(key=lambda survey: _year(survey.config))
    for survey in opened:
        if not _has_inventory(survey.workspace.root):
            raise NoDataError(f"{survey.workspace.root}: has no inventory yet; make it with lsbatch run")
    for last, this in pairwise(opened):
        if _year(last.config) == _year(this.config):
            raise ConfigError(
                f"{last.workspace.root} and {this.workspace.root}: are both of {_year(this.config)}; give one survey "
                "a year"
            )
        if last.config.grid.crs != this.config.grid.crs:
            raise ConfigError(
                f"{this.workspace.root}: grid.crs = {this.config.grid.crs!r}, but that of {last.workspace.root} is "
                f"{last.config.grid.crs!r}; years in different projections cannot be compared"
            )
    folder = make_folder(out or opened[-1].workspace.root.parent)
    page = years_page.write(opened, folder)
    screen.text(f"Years:     {page}")
