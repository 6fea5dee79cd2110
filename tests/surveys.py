"""Small surveys for tests: a synthetic country on disk, read through the real path."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from lsbatch import settings, synthetic
from lsbatch.bands import STACK
from lsbatch.catalog import plan, planning
from lsbatch.catalog.survey import Survey, open_survey
from lsbatch.engine import execution
from tests import shared_folders

__all__ = ["STACK"]

SEED = 7
SIDE_PX = 512


def make_country(folder: Path) -> Path:
    """A country of 512 x 512 pixels; returns its settings file."""
    return synthetic.simulate(folder, seed=SEED, rows=SIDE_PX, cols=SIDE_PX)


def shared_country(factory: pytest.TempPathFactory) -> Path:
    """The country, made once for all test processes; returns its settings file."""

    def make(folder: Path) -> None:
        folder.mkdir()
        make_country(folder)

    return shared_folders.made_once(factory, "country", make) / "config.yaml"


def shared_survey(country: Path, factory: pytest.TempPathFactory, state: str) -> Survey:
    """A survey of the country, made once for all test processes, and copied for this one.

    Planned, stacked or done in four tiles, or stacked as one tile.
    """
    makers: dict[str, tuple[str | None, Callable[[settings.Config], object]]]
    makers = {
        "planned": (None, ready),
        "stacked": ("planned", stacked),
        "done": ("stacked", done),
        "one-tile": (None, lambda config: stacked(ready(config).config)),
    }
    before, make = makers[state]
    whole = {"grid": {"tile_px": SIDE_PX}} if state == "one-tile" else {}

    def fill(folder: Path) -> None:
        if before is not None:
            copy_survey(shared_survey(country, factory, before), folder)
        make(configured(country, folder, **whole))

    folder = shared_folders.made_once(factory, state, fill)
    return copy_survey(open_survey(configured(country, folder, **whole)), factory.mktemp(state) / "s")


def stacked(config: settings.Config) -> None:
    """Run to the STACK."""
    assert execution.run(open_survey(config), until="stack") == 0


def done(config: settings.Config) -> None:
    """Run to the report."""
    assert execution.run(open_survey(config)) == 0


def configured(path: Path, output: Path, **changes: Any) -> settings.Config:
    """Settings of a country with another output folder, tiles of 256 px and no Dask, and `changes` by section."""
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    raw["output"] = str(output)
    raw["grid"]["tile_px"] = 256
    raw["cluster"] = {"kind": "serial"}
    for section, values in changes.items():
        raw[section] = raw.get(section, {}) | values if isinstance(values, dict) else values
    return settings.parse(raw, path.parent)


def ready(config: settings.Config) -> Survey:
    """Plan and open."""
    config.output.mkdir(parents=True, exist_ok=True)
    plan.save(planning.make(config), config.output)
    return open_survey(config)


def copy_survey(survey: Survey, output: Path) -> Survey:
    """The same survey, as far as it went, in another folder."""
    shutil.copytree(survey.workspace.root, output)
    return Survey(survey.config.model_copy(update={"output": output}), survey.grid, survey.positions)


class Heard:
    """A screen that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def text(self, line: str) -> None:
        self.lines.append(line)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self.lines += [" ".join(row) for row in (columns, *rows)]

    def __contains__(self, text: str) -> bool:
        return any(text in line for line in self.lines)


class BenchScreen(Heard):
    """One that also hears a run."""

    def plan(self, made: object) -> None:
        self.lines.append("planned")

    def begins(self, name: str, todo: object) -> None:
        self.lines.append(name)

    def done(self, receipt: object) -> None:
        self.lines.append(str(receipt))

    def ends(self, name: str, todo: object) -> None:
        pass

    def finished(self, survey: object, faults: int) -> None:
        pass


class Count:
    """Hears what a run does."""

    def __init__(self) -> None:
        self.tiles: list[tuple[str, str]] = []
        self.failed: dict[tuple[str, str], str] = {}

    @property
    def progress(self) -> execution.Progress:
        """Callbacks for `execution.run`."""
        return execution.Progress(done=self._done)

    def _done(self, receipt: Any) -> None:
        self.tiles.append((receipt.stage, receipt.tile))
        if not receipt:
            self.failed[receipt.stage, receipt.tile] = receipt.error

    def stages(self) -> set[str]:
        """Stages that did anything."""
        return {stage for stage, _ in self.tiles}


def whole(survey: Survey, layer: Any) -> dict[str, np.ndarray]:
    """All bands of a layer as stored, national arrays."""
    import zarr

    group = zarr.open_group(survey.workspace.store / layer.name, mode="r")
    return {name: group[name][:] for name in layer.names}
