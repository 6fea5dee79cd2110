"""What a driver's container runs: waits for what has to be ready, then is `lsbatch run`.

    driver.py CONFIG [--annual] [--parts N] [more arguments of lsbatch run]

With ``--annual`` the settings are those of the newest season that has ended. With ``--parts N`` this is one index of an
indexed Job, which needs neither scheduler nor workers: indices 0 to N - 1 do the first stage of parts 1 to N, the next
N the second stage, and so on; the last one does what reads every tile. Kubernetes starts low indices first, so an index
waits only for some that began before it.
"""

import argparse
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from lsbatch import settings
from lsbatch.catalog import plan, scene_history
from lsbatch.catalog.survey import open_survey
from lsbatch.cli import main as command_line
from lsbatch.engine import schedule, todo
from lsbatch.engine.registry import PIPELINE
from lsbatch.errors import LsbatchError
from lsbatch.pipeline.types import Stage
from lsbatch.storage import lease

STAGES = tuple(step.name for step in PIPELINE if isinstance(step, Stage))
#: An image may take minutes to arrive on a new node.
SCHEDULER_S = 1800
#: Twice what the lease of a driver that was killed lasts. Without this wait the Job would count every refusal as a
#: failure.
LEASE_S = 2 * lease.SECONDS
#: An index that waited so long gives its place up: one that it waits for may have lost its node, and need the place.
TURN_S = 900
#: What the Job takes for nobody's failure (podFailurePolicy in _driver.tpl).
GAVE_UP = 75
POLL_S = 15.0


def main(argv: list[str]) -> int:
    """Wait, and run."""
    parser = argparse.ArgumentParser(prog="driver.py", allow_abbrev=False)
    parser.add_argument("config", type=Path)
    parser.add_argument("--annual", action="store_true")
    parser.add_argument("--parts", type=int, default=0)
    given, more = parser.parse_known_args(argv)
    path = given.config
    if given.annual:
        raw = of_season(yaml.safe_load(path.read_text(encoding="utf-8")), datetime.now(UTC).date())
        # /config is read-only
        path = Path("/tmp/config.yaml")
        path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    config = settings.load(path)
    if given.parts:
        return run_index(config, path, given.parts, int(os.environ["JOB_COMPLETION_INDEX"]))
    if config.cluster.address is not None:
        wait_for_scheduler(config.cluster.address)
    wait_for_lease(config, "all")
    return lsbatch("run", str(path), *more)


def of_season(raw: Mapping[str, Any], today: date) -> dict[str, Any]:
    """Settings of the newest season that has ended, in a folder of its own.

    By the season, not by the year: a survey that is resumed in January is still last year's.
    """
    survey = dict(raw["survey"])
    _, last = survey.get("season", settings.SurveySettings.model_fields["season"].default)
    year = today.year if f"{today:%m-%d}" > last else today.year - 1
    survey |= {"id": f"{survey['id']}-{year}", "year": year}
    return {**raw, "survey": survey, "output": f"{raw['output']}/{year}"}


def run_index(config: settings.Config, path: Path, parts: int, index: int) -> int:
    """One stage of one part, or the end."""
    step, part = divmod(index, parts)
    wanted = [stage.name for stage in todo.steps(config) if isinstance(stage, Stage)]
    name = (*STAGES, None)[step]
    if name is not None and name not in wanted:
        return 0
    if index > 0:
        # by the first index alone
        wait_until(lambda: is_planned(config), "the archives to be searched")
    before = wanted[: wanted.index(name)] if name is not None else wanted
    if before:
        wait_until(lambda: is_done(config, before[-1]), f"all parts to do {before[-1]}")
    if name is None:
        wait_for_lease(config, "all")
        return lsbatch("run", str(path))
    wait_for_lease(config, f"{part + 1}-of-{parts}")
    code = lsbatch("run", str(path), "--part", f"{part + 1}/{parts}", "--until", name)
    # tiles that failed for good are counted at the end; they are no reason to stop the other tiles
    return 0 if code == 1 and is_done(config, name, (part + 1, parts)) else code


def is_planned(config: settings.Config) -> bool:
    """Whether the archives were searched for these settings."""
    return plan.fits(config) and (config.model.family != "ccdc" or scene_history.fits(config))


def is_done(config: settings.Config, stage: str, part: tuple[int, int] = (1, 1)) -> bool:
    """Whether nothing can be done in a stage any more: its tiles are done, or have failed for good."""
    pending = schedule.pending_work(open_survey(config), part, until=stage)[stage]
    return not pending.digests and not pending.waiting


def wait_until(ready: Callable[[], bool], what: str) -> None:
    """Look again and again; give the place up when it takes too long."""
    if ready():
        return
    say(f"waiting for {what}")
    end = time.monotonic() + TURN_S
    while not ready():
        if time.monotonic() > end:
            say("giving the place up for a while, others may need it")
            sys.exit(GAVE_UP)
        time.sleep(POLL_S)


def wait_for_scheduler(address: str) -> None:
    """Until somebody listens there; the driver itself would give up after 20 s."""
    place, end, said = urlsplit(address), time.monotonic() + SCHEDULER_S, False
    while True:
        try:
            socket.create_connection((place.hostname, place.port), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > end:
                raise LsbatchError(f"no scheduler at {address} within {SCHEDULER_S // 60} minutes: {error}") from None
            if not said:
                say(f"waiting for the scheduler at {address}: {error}")
        said = True
        time.sleep(POLL_S)


def wait_for_lease(config: settings.Config, part: str) -> None:
    """Until the lease of a driver that was killed has run out.

    One that lives is left to `lsbatch run`, which says whose it is.
    """
    end = time.monotonic() + LEASE_S
    while time.monotonic() < end:
        holders = [
            (one, left) for one, left in lease.holders(config.output) if part == "all" or one.part in (part, "all")
        ]
        if not holders:
            return
        one, left = holders[0]
        say(f"waiting for the lease of another run ({one}); it ends in {left:.0f} s unless it is renewed")
        time.sleep(min(POLL_S, left + 1))


def lsbatch(*args: str) -> int:
    """The command line, in this process: it hears SIGTERM itself, and hands the survey back."""
    sys.argv = ["lsbatch", *args]
    try:
        command_line()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def say(line: str) -> None:
    """A line of the log, now."""
    print(f"{datetime.now(UTC):%H:%M:%S} {line}", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LsbatchError as error:
        # as the command line answers what a person can mend
        print(f"lsbatch: {error}", file=sys.stderr)
        sys.exit(2)
