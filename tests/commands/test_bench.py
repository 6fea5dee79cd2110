"""`lsbatch bench`: what it says follows from what was done, and the survey is left alone."""

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from lsbatch import cli, settings
from lsbatch.catalog.survey import Survey
from lsbatch.commands import bench
from lsbatch.commands.bench import comparison, machine, machine_monitor, measurement, memory_limits, projection
from lsbatch.engine.todo import step_named
from lsbatch.errors import ConfigError, LsbatchError
from lsbatch.models import base, cards, throughput, unet
from lsbatch.pipeline.types import Reduction, Stage
from lsbatch.settings import BenchSettings, Config
from lsbatch.storage.receipts import Receipt
from tests import surveys

RECEIPT = Receipt(
    "stack", "r000c000", "d", 2.0, 4_000_000, 100.0, "a:1", "now", cpu_s=1.0, read_mb=10.0, written_mb=5.0
)


def _stage(name: str, p50_s: float, p95_s: float | None = None) -> dict[str, Any]:
    return {"stage": name, "p50_s": p50_s, "p95_s": p95_s or p50_s, "mean_s": p50_s, "read_mb": 100.0}


def _measured(*stages: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    fold = {"step": "report", "half_tiles": 2, "half_s": 24.0, "seconds": 36.0}
    found = {"format": 3, "machine": {"cores": 2}, "settings": {}, "stages": list(stages), "folds": [fold]}
    return found | {"tiles": 4, "workers": 1, "threads": 2, "watched": {"network_mb": 40.0, "joules": None}} | changes


@pytest.mark.parametrize("count", [1, 2, 5, 16, 40])
def test_tiles_are_spread_over_the_survey(count: int) -> None:
    positions = [(row, col) for row in range(4) for col in range(4)]
    found = measurement.spread(positions, count)
    assert len(set(found)) == min(count, 16)
    assert list(found) == sorted(found)
    if count == 2:
        assert found == ((1, 0), (3, 0))


def test_first_tiles_of_workers_are_told_apart() -> None:
    receipts = [
        replace(RECEIPT, seconds=30.0),
        replace(RECEIPT, seconds=40.0, worker="b:2"),
        *[
            replace(RECEIPT, seconds=float(s), worker=w, peak_mb=100.0 + s)
            for s, w in ((1, "a:1"), (2, "b:2"), (3, "a:1"))
        ],
    ]
    found = measurement.summary("stack", receipts, threads=2, limit_s=0.5)
    assert (found["tiles"], found["counted"], found["first_s"]) == (5, 3, 40.0)
    assert (found["p50_s"], found["mean_s"], found["peak_mb"]) == (2.0, 2.0, 103.0)
    assert found["p95_s"] == pytest.approx(2.9)
    assert found["mpx_s"] == pytest.approx(2 * 4 / 2)
    assert found["mpx_s_core"] == pytest.approx(4 / 2 / 2)
    assert found["limit_share"] == pytest.approx(0.25)
    alone = measurement.summary("stack", receipts[:1], threads=1, limit_s=0.5)
    assert (alone["counted"], alone["p50_s"]) == (1, 30.0)


def test_projection_by_hand() -> None:
    measured = _measured(_stage("stack", 30.0), _stage("predict", 6.0))
    prices = BenchSettings(euro_core_hour=0.5, euro_gpu_hour=2.0, euro_gb=0.1)
    found = projection.projected(measured, 100, 10, prices, threads=2, gpu=True)
    assert found["worker_hours"] == pytest.approx(1.0)
    assert found["hours"] == pytest.approx(0.1)
    assert found["more_hours"] == pytest.approx((12 + 100 * 6) / 3600)
    assert found["core_hours"] == pytest.approx(2.0)
    assert found["gpu_hours"] == pytest.approx(100 * 6 / 3600)
    assert found["gb_read"] == pytest.approx(20.0)
    assert found["gb_network"] == pytest.approx(1.0)
    assert found["euro"] == pytest.approx(2 * 0.5 + 2.0 * 100 * 6 / 3600 + 0.1)
    assert found["kwh"] is None
    # one tile more than the workers have hands: one more round
    assert projection.projected(measured, 101, 10, prices, threads=2, gpu=False)["hours"] == pytest.approx(0.11)
    watched = measured | {"watched": {"network_mb": 0.0, "joules": 3.6e6}}
    assert projection.projected(watched, 100, 10, prices, threads=2, gpu=False)["kwh"] == pytest.approx(25.0)


@pytest.mark.parametrize(
    ("half_tiles", "half_s", "seconds", "measured", "expected"),
    [
        (2, 3.0, 5.0, 4, 101.0),  # 1 s, and 1 s a tile
        (3, 3.0, 5.0, 7, 51.5),  # 1.5 s, and 0.5 s a tile
        (2, 5.0, 4.0, 4, 4.0),  # no more for all than for half: level
        (2, 1.0, 4.0, 4, 100.0),  # would begin at -2 s
        (0, 0.0, 2.0, 1, 200.0),  # one tile has no half
    ],
)
def test_folds_grow_on_a_straight_line(
    half_tiles: int, half_s: float, seconds: float, measured: int, expected: float
) -> None:
    row = {"half_tiles": half_tiles, "half_s": half_s, "seconds": seconds}
    assert projection.fold_seconds(row, measured, 100) == pytest.approx(expected)
    assert projection.fold_seconds(row, measured, measured) == pytest.approx(seconds)


def test_a_step_with_a_limit_is_timed_with_the_share_of_the_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = []
    clock = iter([0.0, 5.0, 10.0, 12.0, 20.0, 24.0])
    monkeypatch.setattr(measurement.time, "perf_counter", lambda: next(clock))

    def of_sample(survey: Survey, config: Config, share: float) -> dict[str, Any]:
        shares.append(share)
        return {}

    step = Reduction("limited", 1, apply=lambda *_: pytest.fail("timed without a share"), settings=lambda _: {},
                     of_sample=of_sample)  # fmt: skip
    sample = Survey(config=None, grid=None, positions=((0, 0), (0, 1), (0, 2)))  # type: ignore[arg-type]
    # the fastest of three
    assert measurement._seconds(step, sample, 12) == 2.0
    assert shares == [0.25] * 3


def test_tiles_of_a_nation_against_squares_laid_at_random() -> None:
    side_km, area = 20.48, 60_000.0
    rng, counts = np.random.default_rng(0), []
    square = shapely.box(0, 0, *[area**0.5] * 2)
    for angle, x, y in zip(rng.uniform(0, 90, 60), *rng.uniform(0, side_km, (2, 60)), strict=True):
        turned = shapely.affinity.translate(shapely.affinity.rotate(square, angle), x, y)
        left, bottom, right, top = (int(np.floor(v / side_km)) for v in turned.bounds)
        cols, rows = np.meshgrid(np.arange(left, right + 1) * side_km, np.arange(bottom, top + 1) * side_km)
        counts.append(shapely.intersects(turned, shapely.box(cols, rows, cols + side_km, rows + side_km)).sum())
    assert projection.nation_tiles(area, side_km * 1000) == pytest.approx(np.mean(counts), rel=0.02)


def test_bytes_that_a_stage_must_move() -> None:
    config = settings.example()
    side = config.grid.tile_px
    clean, stack = step_named("clean"), step_named("stack")
    assert isinstance(clean, Stage)
    assert isinstance(stack, Stage)
    read = 4 * (side + 2 * clean.halo_px(config)) ** 2 * len(clean.reads(config)["probability"])
    assert memory_limits.moved_bytes(config, clean, 1000.0) == read + side**2
    assert memory_limits.moved_bytes(config, stack, 1000.0) > 1e9 + 4 * 20 * side**2
    assert memory_limits.moved_bytes(config, stack, 1000.0) - memory_limits.moved_bytes(config, stack, 0.0) == 1e9


def test_work_of_a_network_by_hand() -> None:
    card = unet.card(("preVV", "postVV", "dNDVI"), 1, 4, 0.0, means=(0.0,) * 3, stds=(1.0,) * 3)
    down = 9 * (3 * 4 + 4 * 4) + 9 * (4 * 8 + 8 * 8) / 4
    up = 8 * 4 * 4 / 4 + 9 * (8 * 4 + 4 * 4) + 4
    assert throughput.flops_px(card) == pytest.approx(2 * (down + up))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise and matrices that take no time."""
    monkeypatch.setattr(throughput, "SIDE_PX", {"cpu": 128})
    monkeypatch.setattr(throughput, "PRODUCT", {"cpu": 256})


@pytest.mark.usefixtures("small")
def test_pace_of_both_precisions() -> None:
    path = base.named("package:unet-s1vv_s2")
    found = throughput.of(path, settings.PredictSettings(device="cpu"), 1)
    for one in found.values():
        assert one["gflop_s"] == pytest.approx(one["mpx_s"] * throughput.flops_px(cards.card(path)) / 1e3)
        assert one["share"] == pytest.approx(one["gflop_s"] / one["product_gflop_s"])
    assert 0 < found["bfloat16"]["mean_difference"] < found["bfloat16"]["largest_difference"] < 0.2


def test_what_got_slower() -> None:
    old = _measured(
        _stage("stack", 10.0, 12.0), _stage("predict", 2.0, 2.1), _stage("clean", 1.0, 3.0), _stage("score", 1.0)
    )
    new = _measured(
        _stage("stack", 10.5), _stage("predict", 2.4), _stage("clean", 1.5), _stage("score", 0.5), _stage("new", 1.0)
    )
    words = {row["stage"]: row["word"] for row in comparison.compared(old, new)}
    # clean took up to 3 s before: 1.5 is no news
    assert words == {"stack": "as before", "predict": "slower", "clean": "as before", "score": "faster"}


def test_what_else_is_not_the_same() -> None:
    old = _measured(settings={"grid": {"tile_px": 256}, "output": "a", "bench": {"workers": 1}})
    new = _measured(
        settings={"grid": {"tile_px": 512}, "output": "b", "bench": {"workers": 2}}, machine={"cores": 64}, workers=8
    )
    assert comparison.differences(old, new) == [
        "cores: 2 then, 64 now",
        "grid.tile_px: 256 then, 512 now",
        "workers: 1 then, 8 now",
    ]
    assert comparison.differences(old, old) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "7",
        '{"format": 1}',
        '{"format": 2}',
        '{"format": 3, "machine": {}, "stages": [{"stage": 1}]}',
        '{"format": 3, "machine": 1, "stages": []}',
    ],
)
def test_a_file_of_something_else_is_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "old.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(LsbatchError, match=r"old\.json: was not written by lsbatch bench of this version"):
        comparison.read(path)
    with pytest.raises(LsbatchError, match="does not exist"):
        comparison.read(tmp_path / "none.json")


def _fake_smi(folder: Path, says: str, code: int = 0) -> None:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\nprintf '{says}'\nexit {code}\n", encoding="utf-8")
    program.chmod(0o755)


def test_gpus_are_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fake_smi(tmp_path, "80, 1000, 200\\n40, 3000, [N/A]\\n")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(machine_monitor, "POWERCAP", tmp_path / "none")
    with machine_monitor.watching(0.01) as found:
        pass
    assert found.gpu_busy_share == pytest.approx(0.6)
    assert found.gpu_memory_mb == 3000
    assert found.joules is not None
    assert 0 < found.joules < 200 * 60


def test_a_machine_that_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fake_smi(tmp_path, "NVIDIA-SMI has failed\\n", 9)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(machine_monitor, "POWERCAP", tmp_path / "none")
    with machine_monitor.watching() as found:
        pass
    assert found.as_dict() == {
        "gpu_busy_share": None,
        "gpu_memory_mb": None,
        "joules": None,
        "network_mb": pytest.approx(0, abs=100),
    }


def test_energy_of_packages_also_when_the_counter_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_monitor, "POWERCAP", tmp_path)
    monkeypatch.setattr(machine_monitor.shutil, "which", lambda name: None)
    for name, value in (("intel-rapl:0", 9_000_000), ("intel-rapl:1", 1_000_000), ("intel-rapl:0:0", 5)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(str(value), encoding="ascii")
        (tmp_path / name / "max_energy_range_uj").write_text("10000000", encoding="ascii")
    # one that may not be read
    (tmp_path / "intel-rapl:2").mkdir()
    with machine_monitor.watching() as found:
        for name, value in (("intel-rapl:0", 2_000_000), ("intel-rapl:1", 1_500_000), ("intel-rapl:0:0", 9)):
            (tmp_path / name / "energy_uj").write_text(str(value), encoding="ascii")
    assert found.joules == pytest.approx(3.0 + 0.5)


def test_the_machine_is_named() -> None:
    found = machine.about()
    assert found["cores"] >= 1
    assert found["torch"].startswith("2.")
    assert found["gpus"] == []
    assert found["processor"]


@pytest.mark.usefixtures("small")
def test_real_tiles_through_every_stage(planned_survey: Any, tmp_path: Path) -> None:
    survey = surveys.copy_survey(planned_survey, tmp_path / "s")
    before = {path.relative_to(tmp_path) for path in (tmp_path / "s").rglob("*")}
    screen, old = surveys.BenchScreen(), tmp_path / "old.json"
    old.write_text(json.dumps(_measured(_stage("stack", 1e-6), made="long ago")), encoding="utf-8")
    path = bench.bench(survey.config, screen, tiles=2, compare=old)
    found = json.loads(path.read_text(encoding="utf-8"))
    assert [row["stage"] for row in found["stages"]] == [
        "stack", "applicability", "predict", "clean", "outline", "score", "records", "provenance", "map_blocks",
        "thumbnails",
    ]  # fmt: skip
    assert [row["step"] for row in found["folds"]] == ["inventory", "rasters", "project", "catalog", "report"]
    for row in found["folds"]:
        assert row["half_tiles"] == 1
        assert min(row["half_s"], row["seconds"], row["peak_mb"]) > 0
    assert found["measured"] == ["r000c001", "r001c001"]
    assert (found["tiles"], found["survey_tiles"], found["workers"]) == (2, 4, 1)
    for row in found["stages"]:
        assert row["tiles"] == 2
        assert row["counted"] == 1
        assert 0 < row["p50_s"] == row["mean_s"]
        assert row["cpu_s"] > 0
        assert row["mpx_s"] == pytest.approx(256**2 / row["mean_s"] / 1e6)
    # as in a run: what can be done of a tile is done before the next one is begun
    heard = [line[: line.index(", digest")] for line in screen.lines if line.startswith("Receipt(")]
    begun = [heard.index(f"Receipt(stage='stack', tile={tile!r}") for tile in found["measured"]]
    assert begun[0] == 0
    assert heard.index("Receipt(stage='provenance', tile='r000c001'") < begun[1]
    stack = found["stages"][0]
    # its scenes, and its bands
    assert stack["read_mb"] > 1
    assert stack["written_mb"] > 0.1
    assert found["network"]["float32"]["mpx_s"] > 0
    assert found["projection"]["this survey"]["tiles"] == 4
    # of the survey nothing is touched, and nothing stays of what was done but the answer
    after = {path.relative_to(tmp_path) for path in (tmp_path / "s").rglob("*")} - before
    assert {path.name for path in after} - {".lock"} == {"bench", "lease", path.name, path.with_suffix(".png").name}
    assert path.with_suffix(".png").read_bytes()[:4] == b"\x89PNG"
    assert "Projected for the nation (385,000 km2" in screen
    assert "Against long ago:" in screen
    assert "slower" in screen


def test_a_tile_that_fails_ends_it_with_its_reason(planned_survey: Any, tmp_path: Path) -> None:
    survey = surveys.copy_survey(planned_survey, tmp_path / "s")
    file = survey.workspace.plan / "tiles" / "r000c001.json"
    file.write_text(file.read_text(encoding="utf-8").replace(".tif", ".gone"), encoding="utf-8")
    with pytest.raises(LsbatchError, match="bench: stack r000c001 failed, so there is no result: "):
        bench.bench(survey.config, surveys.BenchScreen(), tiles=2)
    assert not (survey.workspace.root / "bench" / "run").exists()


def test_another_device_is_checked(tmp_path: Path) -> None:
    assert settings.with_device(settings.example(), "cuda").predict.device == "cuda"
    with pytest.raises(ConfigError, match=r"predict\.device = 'tpu'"):
        settings.with_device(settings.example(), "tpu")


def test_the_command(
    planned_survey: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    survey = surveys.copy_survey(planned_survey, tmp_path / "s")
    path = tmp_path / "config.yaml"
    path.write_text(settings.to_yaml(survey.config), encoding="utf-8")
    monkeypatch.setattr(
        "sys.argv",
        ["lsbatch", "bench", str(path), "--tiles", "1", "--device", "cpu", "--compare", str(tmp_path / "none.json")],
    )
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "none.json: this file does not exist" in capsys.readouterr().err
