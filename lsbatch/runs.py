"""What the commands do: plan if needed, run what is pending, say what happened."""

from collections.abc import Sequence
from typing import Any, Protocol

from lsbatch import cluster, engine, work
from lsbatch.archive import history, plan, receipts
from lsbatch.archive.files import make_folder
from lsbatch.archive.survey import Survey, open_survey
from lsbatch.config import Config
from lsbatch.models import base
from lsbatch.records import Receipt, Stage
from lsbatch.work import Todo


class Screen(Protocol):
    """Where a command shows what happens; `lsbatch.terminal.Screen` is the real one."""

    def plan(self, made: plan.Plan) -> None:
        """A plan was made."""

    def begins(self, name: str, todo: Todo | None) -> None:
        """A step begins."""

    def done(self, receipt: Receipt) -> None:
        """A tile or a fold ended."""

    def finished(self, survey: Survey, faults: int) -> None:
        """A run ended."""

    def status(self, rows: Sequence[dict[str, Any]], failed: Sequence[Receipt]) -> None:
        """State of a survey."""

    def text(self, line: str) -> None:
        """A line for the reader."""


def survey(
    config: Config, screen: Screen, *, until: str | None = None, part: tuple[int, int] = (1, 1), replan: bool = False
) -> int:
    """Plan unless the saved plan fits, then do what is pending; returns the number of tiles that failed."""
    if until is not None:
        work.step_named(until)
    make_folder(config.output)
    planned(config, screen, replan=replan)
    if until not in ("stack",):
        # before hours of STACK: weights that are missing or were trained for other bands
        base.check(base.card(base.resolve(config)), config)
    ready = open_survey(config)
    progress = engine.Progress(begins=screen.begins, done=screen.done)
    with cluster.connect(config) as client:
        faults = engine.run(ready, client, until=until, part=part, progress=progress)
    screen.finished(ready, faults)
    return faults


def planned(config: Config, screen: Screen, *, replan: bool = False) -> None:
    """Make and save a plan, unless the one that is there was made for these settings; the same for the years before."""
    if replan or not plan.fits(config):
        made = plan.make(config)
        plan.save(made, config.output)
        screen.plan(made)
    if config.model.family == "ccdc" and (replan or not history.fits(config)):
        found = history.make(config)
        history.save(found, config)
        first, last = history.days(config)
        screen.text(f"History: {first} to {last}, {min(map(len, found.values()))} to {max(map(len, found.values()))} scenes a tile")


def status(config: Config, screen: Screen) -> int:
    """Show what is done, pending and failed, by stage; returns the number of failed tiles."""
    ready = open_survey(config)
    planned_tiles = {ready.tile(p).id for p in ready.positions}
    rows: list[dict[str, Any]] = []
    failed: list[Receipt] = []
    for step in work.stages(config):
        found = receipts.read_stage(ready.workspace.receipts, step.name)
        bad = [r for tile, r in found.items() if not r and tile in {*planned_tiles, "all"}]
        failed += bad
        row = {"stage": step.name, "failed": len(bad)}
        if isinstance(step, Stage):
            todo = work.pending(ready, step)
            row |= {
                "done": todo.done,
                "pending": len(todo.digests) - len(bad) + len(todo.waiting),
                "blocked": len(todo.blocked),
            }
        else:
            old = found.get("all")
            fresh = bool(old) and old.digest == work.fold_digest(ready, step)
            row |= {"done": int(fresh), "pending": int(not fresh) - len(bad), "blocked": 0}
        rows.append(row)
    screen.status(rows, failed)
    return len(failed)
