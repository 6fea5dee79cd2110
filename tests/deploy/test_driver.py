"""What the driver's container does before, between and after `lsbatch run` (deploy/helm/lsbatch/files/driver.py)."""

import importlib.util
import os
import runpy
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from lsbatch import settings
from lsbatch.errors import LsbatchError
from lsbatch.storage import files, lease
from tests import surveys
from tests.deploy import charts

DRIVER = charts.CHART / "files" / "driver.py"
ANNUAL = {"survey": {"id": "norway", "kind": "annual"}, "output": "/survey"}


@pytest.fixture
def driver() -> ModuleType:
    """The script as a module, anew for each test."""
    spec = importlib.util.spec_from_file_location("driver", DRIVER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def made(folder: Path, **changes: Any) -> settings.Config:
    """Settings of a survey in a folder; nothing is there yet."""
    source = {"preset": "local", "url": "catalog.json", "collections": ["any"]}
    raw = {
        "survey": {"id": "norway", "kind": "annual", "year": 2024},
        "region": {"bounds": [0, 0, 5120, 5120]},
        "archives": {"sentinel2": source, "sentinel1": source, "dem": source},
        "truth": {"file": "truth.gpkg"},
        "cluster": {"kind": "serial"},
        "output": str(folder),
    }
    return settings.parse(raw | changes, folder)


@dataclass
class Clock:
    """Time that passes when somebody sleeps; `wake` is called each time."""

    wake: Callable[[float], None] = lambda seconds: None
    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)
        self.wake(seconds)


# ---- the season


@pytest.mark.parametrize(
    ("today", "season", "year"),
    [
        (date(2026, 10, 15), None, 2026),
        (date(2026, 9, 16), None, 2026),
        # its last day is not over yet
        (date(2026, 9, 15), None, 2025),
        # resumed after the turn of the year: still the same survey
        (date(2027, 1, 2), None, 2026),
        (date(2026, 7, 1), ["04-01", "05-31"], 2026),
    ],
)
def test_season_that_has_ended(driver: ModuleType, today: date, season: list[str] | None, year: int) -> None:
    raw: dict[str, Any] = {**ANNUAL, "survey": ANNUAL["survey"] | ({"season": season} if season else {})}
    before = yaml.safe_dump(raw)
    found = driver.of_season(raw, today)
    assert found["survey"]["year"] == year
    assert found["survey"]["id"] == f"norway-{year}"
    assert found["output"] == f"/survey/{year}"
    assert yaml.safe_dump(raw) == before


@pytest.mark.skipif(charts.HELM is None, reason="helm is not installed")
@pytest.mark.parametrize("storage", ["", "s3://surveys/norway"])
def test_settings_of_a_season_are_settings(driver: ModuleType, storage: str) -> None:
    values = {
        "schedule": "0 4 15 10 *",
        "storage": storage,
        "envFromSecret": "keys",
        "config": {"survey": {"id": "norway", "kind": "annual"}},
    }
    raw = yaml.safe_load(charts.one(charts.rendered(values), "ConfigMap")["data"]["config.yaml"])
    found = settings.parse(driver.of_season(raw, date(2026, 10, 15)), Path("/config"))
    assert found.survey.windows.post == (date(2026, 6, 15), date(2026, 9, 15))
    assert str(found.output) == f"{storage or '/survey'}/2026"


# ---- one driver


def test_more_arguments_go_to_the_run(driver: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(settings.to_yaml(made(tmp_path)), encoding="utf-8")
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(driver, "lsbatch", lambda *args: asked.append(args) or 7)
    assert driver.main([str(path), "--until", "stack", "--replan"]) == 7
    assert asked == [("run", str(path), "--until", "stack", "--replan")]


def test_waits_for_the_scheduler(
    driver: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        clock = Clock(lambda seconds: server.listen() if clock.now > 100 else None)
        monkeypatch.setattr(driver, "time", clock)
        driver.wait_for_scheduler(address)
    assert 100 < clock.now < 130
    assert capsys.readouterr().out.count(f"waiting for the scheduler at {address}") == 1
    assert len(clock.slept) > 3
    # closed again: half an hour, then one sentence
    clock.wake = lambda seconds: None
    with pytest.raises(LsbatchError, match=f"no scheduler at {address} within 30 minutes"):
        driver.wait_for_scheduler(address)


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases of this process look like those of another host, whose processes cannot be asked whether they live."""
    places = iter(["there pid:[1]"])
    monkeypatch.setattr(lease, "_place", lambda: next(places, "here pid:[2]"))


def test_waits_for_the_lease_of_a_driver_that_was_killed(
    driver: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, foreign: None
) -> None:
    config = made(tmp_path)
    with lease.acquire(tmp_path):
        path = tmp_path / "lease" / "all.json"
        text = path.read_text(encoding="utf-8")
    # as a kill leaves it: there, and growing old
    path.write_text(text, encoding="utf-8")

    def grow_old(seconds: float) -> None:
        stat = path.stat()
        os.utime(path, (stat.st_atime - seconds, stat.st_mtime - seconds))

    clock = Clock(grow_old)
    monkeypatch.setattr(driver, "time", clock)
    driver.wait_for_lease(config, "all")
    assert lease.SECONDS <= clock.now < lease.SECONDS + 2 * driver.POLL_S
    assert lease.holders(tmp_path) == []


def test_does_not_wait_for_ever_for_a_driver_that_lives(
    driver: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, foreign: None
) -> None:
    config = made(tmp_path)
    clock = Clock()
    monkeypatch.setattr(driver, "time", clock)
    with lease.acquire(tmp_path, (3, 8)):
        # another part is in nobody's way
        driver.wait_for_lease(config, "4-of-8")
        assert clock.now == 0
        for part in ("3-of-8", "all"):
            began = clock.now
            driver.wait_for_lease(config, part)
            assert clock.now - began >= driver.LEASE_S
        assert [holder.part for holder, _ in lease.holders(tmp_path)] == ["3-of-8"]
    began = clock.now
    driver.wait_for_lease(config, "all")
    assert clock.now == began


def test_what_a_person_can_mend_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("survey: {id: x, yeer: 2024}\n", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", [str(DRIVER), str(path)])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(DRIVER), run_name="__main__")
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"lsbatch: {path}: ")
    assert "survey.yeer: is not a setting" in said


def test_exit_codes_are_those_of_the_command_line(
    driver: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert driver.lsbatch("--version") == 0
    assert driver.lsbatch("run", str(tmp_path / "none.yaml")) == 2
    assert "none.yaml" in capfd.readouterr().err


# ---- parts


@pytest.fixture
def asked(driver: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What the driver asked `lsbatch` to do; nothing is done, and nothing is waited for."""
    found: list[tuple[str, ...]] = []
    monkeypatch.setattr(driver, "lsbatch", lambda *args: found.append(args) or 0)
    monkeypatch.setattr(driver, "wait_until", lambda ready, what: found.append(("wait", what)))
    monkeypatch.setattr(driver, "wait_for_lease", lambda config, part: found.append(("lease", part)))
    return found


def test_every_index_has_its_work(driver: ModuleType, tmp_path: Path, asked: list[tuple[str, ...]]) -> None:
    stages = driver.STAGES
    assert stages == (
        "stack", "applicability", "predict", "clean", "outline", "date", "score", "areas", "records", "provenance",
        "map_blocks", "thumbnails",
    )  # fmt: skip
    path, parts, steps = Path("/config/config.yaml"), 3, []
    more = {
        "inventory": {"radar_dates": True, "areas": "counties.gpkg"},
        # weights that describe their training
        "model": {"weights": "package:unet-s1vv_s2"},
    }
    for index in range(len(stages) * parts + 1):
        asked.clear()
        assert driver.run_index(made(tmp_path, **more), path, parts, index) == 0
        steps.append(list(asked))
    for index, done in enumerate(steps[:-1]):
        name, part = stages[index // parts], index % parts + 1
        assert done[-2:] == [("lease", f"{part}-of-3"), ("run", str(path), "--part", f"{part}/3", "--until", name)]
        # one alone searches the archives; later stages wait for the one before
        waits = [("wait", "the archives to be searched")] if index > 0 else []
        waits += [("wait", f"all parts to do {stages[index // parts - 1]}")] if index >= parts else []
        assert done[:-2] == waits
    assert steps[-1] == [
        ("wait", "the archives to be "
                 "searched"), ("wait", "all parts to do thumbnails"), ("lease", "all"), ("run", str(path)),
    ]  # fmt: skip


def test_stage_that_is_not_wanted_is_passed_over(
    driver: ModuleType, tmp_path: Path, asked: list[tuple[str, ...]]
) -> None:
    config = made(tmp_path, truth=None)
    assert driver.run_index(config, Path("c"), 2, driver.STAGES.index("areas") * 2) == 0
    assert asked == []
    driver.run_index(config, Path("c"), 2, len(driver.STAGES) * 2)
    assert ("wait", "all parts to do thumbnails") in asked


@pytest.mark.slow
def test_stage_is_done_when_nothing_can_be_done(driver: ModuleType, stacked_survey: Any, tmp_path: Path) -> None:
    survey = surveys.copy_survey(stacked_survey, tmp_path / "s")
    config = survey.config
    assert driver.is_planned(config)
    assert driver.is_done(config, "stack")
    assert not driver.is_done(config, "predict")
    # waits for a part that has not done its tile
    files.remove(next((survey.workspace.receipts / "stack").glob("*.json")))
    assert not driver.is_done(config, "stack")
    assert sum(driver.is_done(config, "stack", (part, 4)) for part in range(1, 5)) == 3
    assert not driver.is_planned(config.model_copy(update={"output": tmp_path / "t"}))


@pytest.mark.parametrize(
    ("code", "left", "answer"), [(0, False, 0), (1, False, 0), (1, True, 1), (2, False, 2), (143, True, 143)]
)
def test_tiles_that_failed_for_good_do_not_stop_the_others(
    driver: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, left: bool, answer: int
) -> None:
    monkeypatch.setattr(driver, "lsbatch", lambda *args: code)
    monkeypatch.setattr(driver, "is_done", lambda *args: not left)
    assert driver.run_index(made(tmp_path), Path("c"), 2, 0) == answer


def test_waits_its_turn_and_gives_its_place_up(
    driver: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    monkeypatch.setattr(driver, "time", clock)
    driver.wait_until(lambda: clock.now > 200, "others")
    assert 200 < clock.now <= 200 + driver.POLL_S
    with pytest.raises(SystemExit) as end:
        driver.wait_until(lambda: False, "others")
    assert end.value.code == driver.GAVE_UP
    # once each: a log of hours is read by people
    assert capsys.readouterr().out.count("waiting for others") == 2


@pytest.mark.skipif(charts.HELM is None, reason="helm is not installed")
def test_job_knows_who_gave_its_place_up(driver: ModuleType) -> None:
    rules = charts.one(charts.rendered({"driver": {"parts": 2}}), "Job")["spec"]["podFailurePolicy"]["rules"]
    assert driver.GAVE_UP in rules[1]["onExitCodes"]["values"]
    # 1 and 2 are failures that count
    assert not {1, 2} & set(rules[1]["onExitCodes"]["values"])
