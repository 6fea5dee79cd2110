"""The commands run, status, retry and verify: plan if needed, run pending work, report the result."""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, Protocol

from lsbatch.catalog import date_windows, plan, planning, scene_history, survey_version
from lsbatch.catalog.survey import Survey, open_survey
from lsbatch.commands import applicability
from lsbatch.engine import cluster, execution, metrics, schedule, todo, verification
from lsbatch.engine.distribute import ClientFor
from lsbatch.engine.todo import Todo
from lsbatch.errors import LsbatchError
from lsbatch.grid import tile_id
from lsbatch.models import base, families
from lsbatch.pipeline import applicability_messages
from lsbatch.pipeline.types import Stage
from lsbatch.settings import Config, to_yaml
from lsbatch.storage import files, lease, receipts, symlinks
from lsbatch.storage.addresses import without_secrets
from lsbatch.storage.files import make_folder
from lsbatch.storage.receipts import Receipt
from lsbatch.storage.workspace import Workspace


class Screen(Protocol):
    """Output of a command; `lsbatch.cli.terminal.Screen` implements it."""

    def plan(self, made: plan.Plan) -> None:
        """Show a plan."""

    def begins(self, name: str, todo: Todo | None) -> None:
        """Start showing a step."""

    def done(self, receipt: Receipt) -> None:
        """Show that a tile or a reduction has ended."""

    def ends(self, name: str, todo: Todo | None) -> None:
        """Show the result of a step."""

    def finished(self, survey: Survey, faults: int) -> None:
        """Show that a run has ended."""

    def status(self, rows: Sequence[dict[str, Any]], failed: Sequence[Receipt], *, every_failure: bool) -> None:
        """Show the state of a survey."""

    def text(self, line: str) -> None:
        """Show a line."""


def survey(
    config: Config,
    screen: Screen,
    *,
    until: str | None = None,
    part: tuple[int, int] = (1, 1),
    replan: bool = False,
    client_for: ClientFor | None = None,
) -> int:
    """Plan unless the saved plan fits, then run all pending work; return the number of failed tiles.

    With `client_for` the tiles go to its workers, and `cluster.kind` is not used.
    """
    if until is not None:
        todo.step_named(until)
    make_folder(config.output)
    symlinks.refuse(config.output)
    # only the driver of an allocation returns from this call
    joined = nullcontext(None) if client_for else cluster.joined(config)
    with joined as driver, lease.acquire(config.output, part) as hold:
        prepare(config, screen, replan=replan)
        if until not in ("stack",):
            # checked before hours of STACK: weights that are missing or were trained for other bands
            base.check(base.card(base.resolve(config)), config)
            _warn(config, screen)
        ready = open_survey(config)
        shown = execution.Progress(screen.begins, _watching(hold, screen), screen.ends, screen.text)
        progress = applicability.Watch(ready, shown, screen.text).progress
        with (
            metrics.served(config.cluster.metrics, progress) as watched,
            nullcontext(client_for) if client_for else cluster.connect(config, driver, screen.text) as client_for,
        ):
            faults = execution.run(ready, client_for, until=until, part=part, progress=watched, lease=hold)
    screen.finished(ready, faults)
    for line in applicability.final(ready) if until != "stack" else ():
        screen.text(line)
    return faults


def prepare(config: Config, screen: Screen, *, replan: bool = False, known: date_windows.Answers | None = None) -> None:
    """Plan unless the saved plan fits, and save the settings. The caller holds the lease."""
    survey_version.record(config.output)
    planned(config, screen, replan=replan, known=known)
    _save_settings(config)


def _warn(config: Config, screen: Screen) -> None:
    """Show what is unlike the training of the weights, as far as the plan knows it."""
    for line in applicability_messages.before_pixels(config, plan.load(config.output).summary["scenes"]):
        screen.text(line)


def _save_settings(config: Config) -> None:
    """Save the settings in the survey's folder, without secrets, so that `lsbatch.open_survey` can open the folder."""
    # whoever runs a year of a series alone keeps no composites for the next year
    alone = config.cluster.model_copy(update={"season_before": None, "season_after": None})
    text = without_secrets(to_yaml(config.model_copy(update={"cluster": alone})))
    file = Workspace(config.output).settings
    if not files.exists(file) or files.read_text(file) != text:
        files.write_text(file, text)


def planned(config: Config, screen: Screen, *, replan: bool = False, known: date_windows.Answers | None = None) -> None:
    """Make and save a plan unless the saved one was made for these settings; the same for the scene history."""
    if replan or not plan.fits(config):
        made = planning.make(config, known)
        plan.save(made, config.output)
        screen.plan(made)
    if families.of(config).reads_archive and (replan or not scene_history.fits(config)):
        found = scene_history.make(config)
        scene_history.save(found, config)
        first, last = scene_history.days(config)
        screen.text(
            f"History: {first} to {last}, {min(map(len, found.values()))} to {max(map(len, found.values()))} scenes a "
            "tile"
        )


def _watching(hold: lease.Lease, screen: Screen) -> Callable[[Receipt], None]:
    """Pass receipts to the screen. End the run if the lease was lost, for example on a suspended laptop."""
    checked = time.monotonic()

    def done(receipt: Receipt) -> None:
        nonlocal checked
        screen.done(receipt)
        if time.monotonic() - checked > lease.SECONDS / 4:
            hold.check()
            checked = time.monotonic()

    return done


def status(config: Config, screen: Screen, *, every_failure: bool = False) -> int:
    """Show completed, pending and failed tiles by stage and the active writer; return the number of failed tiles."""
    ready = open_survey(config)
    rows: list[dict[str, Any]] = []
    failed: list[Receipt] = []
    pending_work = schedule.pending_work(ready)
    for step in todo.steps(config):
        found = receipts.read_stage(ready.workspace.receipts, step.name)
        if isinstance(step, Stage):
            pending = pending_work[step.name]
            failures = [found[tile_id(*position)] for position in (*pending.quarantined, *pending.tries)]
            row = {
                "done": pending.done,
                "pending": len(pending.digests) - len(pending.tries) + len(pending.waiting),
                "blocked": len(pending.blocked),
            }
        else:
            old = found.get("all")
            fresh = old is not None and bool(old) and old.digest == todo.reduction_digest(ready, step)
            failures = [old] if old is not None and not old else []
            row = {"done": int(fresh), "pending": int(not fresh) - len(failures), "blocked": 0}
        failed += failures
        rows.append({"stage": step.name, "failed": len(failures), **row})
    screen.status(rows, failed, every_failure=every_failure)
    for holder, left in lease.holders(config.output):
        screen.text(f"Active writer: {holder}; its lease ends in {left:.0f} s unless it is renewed")
    return len(failed)


def retry(config: Config, screen: Screen, tile: str | None) -> None:
    """Remove the receipts of a named tile, or of all failed tiles, so that the next run does them again.

    A named tile is computed again from the first stage, whatever its state is.

    Raises
    ------
    LsbatchError
        If the survey has no such tile.
    """
    ready = open_survey(config)
    folder = ready.workspace.receipts
    names = {ready.tile(position).id for position in ready.positions}
    if tile is not None and tile not in names:
        raise LsbatchError(f"{tile!r}: is not a tile of the survey; its tiles are {min(names)} to {max(names)}")
    freed = set()
    with lease.acquire(config.output):
        for step in todo.steps(config):
            for name, receipt in receipts.read_stage(folder, step.name).items():
                if name == tile or (tile is None and not receipt):
                    receipts.remove(folder, step.name, name)
                    freed.add(name)
    screen.text(
        f"{len(freed)} will be computed again. Next: lsbatch run"
        if freed
        else "No tile has failed, so nothing will be computed again."
    )


def verify(config: Config, screen: Screen) -> int:
    """Compare the stored data with the checksums in the receipts; return the number of tiles that differ."""
    ready = open_survey(config)
    found = verification.tiles(ready)
    for one in found.wrong:
        screen.text(f"{one.stage} {one.tile}: {one.reason}")
    screen.text(
        f"{found.right} of {found.right + len(found.wrong)} match their checksums"
        + (f"; {found.unknown} have none, because an older version of lsbatch wrote them" if found.unknown else "")
    )
    if found.wrong:
        screen.text("To compute them again: lsbatch retry CONFIG TILE, then lsbatch run CONFIG")
    return len(found.wrong)
