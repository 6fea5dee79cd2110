"""Progress bars on a terminal, plain lines in a log."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
)
from rich.table import Table

from lsbatch.catalog.plan import Plan
from lsbatch.catalog.survey import Survey
from lsbatch.engine.todo import Todo
from lsbatch.errors import printable
from lsbatch.storage.files import exists
from lsbatch.storage.receipts import Receipt

#: Failed tiles that are listed; the others are counted.
SHOWN_FAILURES = 10
#: Seconds between two lines in a log.
LOG_SECONDS = 60.0
PLOT_COLUMNS = (
    "plot",
    "precision",
    "recall",
    "f1",
    "iou",
    "mcc",
    "mcc_low",
    "mcc_high",
    "tp",
    "fp",
    "fn",
    "tn",
    "prevalence",
)


@dataclass
class _Step:
    """Counts of a step, and its bar on a terminal."""

    total: int
    bar: TaskID | None = None
    done: int = 0
    failed: int = 0
    seconds: float = 0.0

    @property
    def ended(self) -> int:
        """Return the number of tiles that are done or failed."""
        return self.done + self.failed


class Screen:
    """Show a run: one progress bar a stage on a terminal, one line a minute in a log."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self._bars: Progress | None = None
        self._steps: dict[str, _Step] = {}
        self._began = self._printed = 0.0
        #: tiles of all steps since the first began: each step waits for others, so only their sum has a pace
        self._ended = self._total = 0

    def text(self, line: str) -> None:
        """Print a line."""
        self.console.print(escape(printable(line)))

    def plan(self, made: Plan) -> None:
        """Print the plan."""
        for line in made.lines():
            self.text(line)

    def begins(self, name: str, todo: Todo | None) -> None:
        """Start showing a step."""
        if not self._steps:
            self._began = self._printed = time.monotonic()
            self._ended = self._total = 0
        total = 1 if todo is None else len(todo.digests) + len(todo.waiting)
        step = self._steps[name] = _Step(total)
        self._total += total
        if self.console.is_terminal and total:
            if self._bars is None:
                self._bars = Progress(
                    TextColumn("{task.description:<13}"), BarColumn(), MofNCompleteColumn(),
                    TextColumn("{task.fields[pace]}"), console=self.console, transient=True,
                )  # fmt: skip
                self._bars.start()
            step.bar = self._bars.add_task(name, total=total, pace="")

    def done(self, receipt: Receipt) -> None:
        """Count a finished or failed tile or reduction."""
        step = self._steps[receipt.stage]
        step.seconds += receipt.seconds
        self._ended += 1
        if receipt:
            step.done += 1
        else:
            step.failed += 1
            self.console.print(
                f"[red]failed[/red] {escape(printable(f'{receipt.stage} {receipt.tile}: {receipt.error}'))}"
            )
        for reason in receipt.dropped:
            self.console.print(f"[yellow]left out[/yellow] {escape(printable(f'{receipt.tile}: {reason}'))}")
        now = time.monotonic()
        if self._bars is not None and step.bar is not None:
            self._bars.update(step.bar, advance=1, pace=pace(step.ended, step.total, now - self._began))
        elif now - self._printed >= LOG_SECONDS:
            self._printed = now
            self._log(now)

    def _log(self, now: float) -> None:
        """Print one line about the steps of which some tiles are done, or about the first one."""
        steps = [(name, step) for name, step in self._steps.items() if step.ended < step.total]
        if steps := [each for each in steps if each[1].ended] or steps[:1]:
            counts = ", ".join(f"{name} {step.ended} of {step.total}" for name, step in steps)
            self.text(f"{counts} tiles; {pace(self._ended, self._total, now - self._began)}")

    def ends(self, name: str, todo: Todo | None) -> None:
        """Print the result of a step and stop showing it."""
        step = self._steps.pop(name)
        # tiles that were waiting and turned out to be up to date
        self._total -= step.total - step.ended
        if self._bars is not None and step.bar is not None:
            self._bars.remove_task(step.bar)
        counts = {"done": step.done, "failed": step.failed}
        if todo is not None:
            others = {key: len(getattr(todo, key)) for key in ("blocked", "waiting", "quarantined")}
            # `done` of the pending work counts the tiles that were up to date
            counts |= others | {"already done": todo.done}
        words = ", ".join(f"{number} {word}" for word, number in counts.items() if number) or "already done"
        computed = f" [dim]({step.seconds:.1f} s of computing)[/dim]" if step.ended else ""
        self.console.print(f"{name:<13} {words}{computed}")
        if not self._steps:
            self._stop_bars()

    def _stop_bars(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def finished(self, survey: Survey, faults: int) -> None:
        """Print where the results are, or what to do about failures."""
        self._stop_bars()
        if faults:
            what = "1 tile or step" if faults == 1 else f"{faults} tiles or steps"
            self.text(
                f"{what} failed. Reasons: lsbatch status --failed. To try again: lsbatch retry --all, then lsbatch run."
            )
        report = survey.workspace.report / "report.html"
        if exists(report):
            self.text(f"Inventory: {survey.workspace.inventory / 'landslides.gpkg'}")
            self.text(f"Report:    {report}")

    def status(
        self, rows: Sequence[Mapping[str, Any]], failed: Sequence[Receipt], *, every_failure: bool = False
    ) -> None:
        """Print the state of a survey as a table, then the reasons of failures: the first few, or all."""
        table = Table("stage", *("done", "pending", "failed", "blocked"), box=None)
        for row in rows:
            table.add_row(*(str(row[key]) for key in ("stage", "done", "pending", "failed", "blocked")))
        self.console.print(table)
        shown = failed if every_failure else failed[:SHOWN_FAILURES]
        for receipt in shown:
            tries = "" if receipt.attempts == 1 else f" (after {receipt.attempts} tries)"
            self.text(f"{receipt.stage} {receipt.tile}: {receipt.error}{tries}")
        if len(failed) > len(shown):
            self.text(f"... and {len(failed) - len(shown)} more: lsbatch status --failed")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print rows of text at full width; rich would cut figures to fit the terminal."""
        lines = [columns, *rows]
        widths = [max(len(line[k]) for line in lines) for k in range(len(columns))]
        for line in lines:
            self.text("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())

    def scores(self, found: Mapping[str, Any], plots: Mapping[str, Mapping[str, Any]] = MappingProxyType({})) -> None:
        """Print counts and scores against mapped landslides, and one row a plot."""
        table = Table("against mapped landslides", "", box=None)
        for key, value in found.items():
            table.add_row(key, _shown(value))
        self.console.print(table)
        if plots:
            rows = [(name, *(_shown(one[key]) for key in PLOT_COLUMNS[1:])) for name, one in plots.items()]
            self.text("")
            self.table(PLOT_COLUMNS, rows)

    def drawn(self, found: Mapping[str, Any]) -> None:
        """Print the number of points drawn in each stratum, and what to do next."""
        rows = list(
            zip(found["strata"], *([f"{n:,}" for n in found[key]] for key in ("pixels", "points")), strict=True)
        )
        self.table(("stratum", "pixels", "points"), rows)
        self.text(f"Answer here:   {found['file']}")
        self.text(f"Pictures:       {found['page']}")
        self.text("Next: fill in the column 'reference' with landslide, no landslide or unsure, then lsbatch assess")

    def accuracy(self, found: Mapping[str, Any], names: Mapping[str, str]) -> None:
        """Print counts, figures with intervals, area and warnings."""
        heads = ("stratum", "map_class", "pixels", "points", "landslide", "no landslide", "unsure")
        self.table(
            heads,
            [
                tuple(f"{row[key]:,}" if isinstance(row[key], int) else str(row[key]) for key in heads)
                for row in found["counts"]
            ],
        )
        self.text("")
        unsure = any(row["unsure"] for row in found["counts"])
        columns = ("value", "standard_error", "low", "high", *(("value_if_unsure_agree",) if unsure else ()))
        rows = [(names[key], *(_shown(one[name]) for name in columns)) for key, one in found["figures"].items()]
        area = found["landslide_m2"]
        rows.append(
            (
                "area of landslides, ha",
                *("undefined" if area[name] is None else f"{area[name] / 1e4:,.1f}" for name in columns),
            )
        )
        self.table(
            ("by the reference", "value", "std. error", "95 % from", "to", *(("if unsure agree",) if unsure else ())),
            rows,
        )
        self.text(f"The map shows {found['mapped_m2'] / 1e4:,.1f} ha of {found['surveyed_m2'] / 1e4:,.1f} ha surveyed.")
        for line in found["warnings"]:
            self.text(f"Note: {line}")


def pace(done: int, total: int, seconds: float) -> str:
    """Return the throughput and the remaining time at this throughput."""
    left = round((total - done) * seconds / done)
    hours, rest = divmod(left, 3600)
    time_left = (
        f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s" if rest >= 60 else f"{rest} s"
    )
    return f"{60 * done / seconds:.1f} tiles/min, {time_left} left"


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}" if isinstance(value, float) else f"{value:,}"
