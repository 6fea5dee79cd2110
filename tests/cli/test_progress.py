"""How far a run is: the pace in a log, and what Prometheus is told."""

import io
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest
from rich.console import Console

from lsbatch.catalog.survey import Survey
from lsbatch.cli import terminal
from lsbatch.commands import run
from lsbatch.engine import execution, metrics
from lsbatch.engine.todo import Todo
from lsbatch.errors import LsbatchError
from lsbatch.storage.receipts import Receipt
from tests import servers, surveys

RECEIPT = Receipt(
    stage="stack", tile="r000c000", digest="d", seconds=2.0, pixels=100, peak_mb=1, worker="w", finished="now"
)


@pytest.mark.parametrize(
    ("done", "total", "seconds", "text"),
    [
        (1, 3, 30.0, "2.0 tiles/min, 1 min 0 s left"),
        (10, 12, 5.0, "120.0 tiles/min, 1 s left"),
        (10, 7300, 600.0, "1.0 tiles/min, 121 h 30 min left"),
    ],
)
def test_pace(done: int, total: int, seconds: float, text: str) -> None:
    assert terminal.pace(done, total, seconds) == text


def _screen() -> tuple[terminal.Screen, io.StringIO]:
    out = io.StringIO()
    return terminal.Screen(Console(file=out, soft_wrap=True, highlight=False)), out


def _set_clock(monkeypatch: pytest.MonkeyPatch, clock: Iterator[float]) -> None:
    """Only of the terminal: event loops of other tests may still run in this process."""
    monkeypatch.setattr(terminal, "time", SimpleNamespace(monotonic=lambda: next(clock)))


def test_a_log_gets_a_line_a_minute_about_all_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 110.0, 161.0, 162.0, 170.0, 222.0])
    _set_clock(monkeypatch, clock)
    screen, out = _screen()
    four = tuple((0, col) for col in range(4))
    screen.begins("stack", Todo(dict.fromkeys(four, "d")))
    screen.begins("predict", Todo(waiting=four))
    for stage in ("stack", "stack", "predict", "stack", "stack"):
        screen.done(replace(RECEIPT, stage=stage))
    screen.ends("stack", Todo())
    screen.ends("predict", Todo(waiting=four[1:]))
    assert out.getvalue().splitlines() == [
        "stack 2 of 4 tiles; 2.0 tiles/min, 3 min 3 s left",
        "predict 1 of 4 tiles; 2.5 tiles/min, 1 min 13 s left",
        "stack         4 done (8.0 s of computing)",
        "predict       1 done, 3 waiting (2.0 s of computing)",
    ]


def test_tiles_that_turn_out_to_be_up_to_date_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 110.0, 161.0])
    _set_clock(monkeypatch, clock)
    screen, out = _screen()
    three = tuple((0, col) for col in range(3))
    screen.begins("stack", Todo(dict.fromkeys(three, "d")))
    screen.begins("clean", Todo(waiting=three))
    screen.done(RECEIPT)
    screen.ends("clean", Todo(done=3))
    screen.done(RECEIPT)
    assert out.getvalue().splitlines() == [
        "clean         3 already done",
        f"stack 2 of 3 tiles; {terminal.pace(2, 3, 61.0)}",
    ]


def test_a_step_that_has_ended_is_told_with_its_failures() -> None:
    screen, out = _screen()
    screen.begins("stack", Todo({(0, 0): "d"}, done=5))
    screen.done(replace(RECEIPT, error="no [network]"))
    screen.ends("stack", Todo(done=5, blocked=((0, 1),), quarantined=((0, 2),)))
    screen.begins("report", None)
    screen.ends("report", None)
    assert out.getvalue().splitlines() == [
        "failed stack r000c000: no [network]",
        "stack         1 failed, 1 blocked, 1 quarantined, 5 already done (2.0 s of computing)",
        "report        already done",
    ]


def _metrics(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {
        name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))
    }


def test_prometheus_is_told_what_the_screen_is_told() -> None:
    port, count = servers.free_port(), surveys.Count()
    with metrics.served(f"127.0.0.1:{port}", count.progress) as progress:
        progress.begins("stack", Todo({(0, 0): "d", (0, 1): "d", (0, 2): "d"}, quarantined=((0, 3),)))
        progress.done(RECEIPT)
        progress.done(replace(RECEIPT, error="why"))
        found = _metrics(port)
        progress.ends("stack", Todo(waiting=((0, 4), (0, 5)), quarantined=((0, 3),)))
        assert _metrics(port)['lsbatch_tiles_pending{stage="stack"}'] == 2
    assert found['lsbatch_tiles_total{result="done",stage="stack"}'] == 1
    assert found['lsbatch_tiles_total{result="failed",stage="stack"}'] == 1
    assert found['lsbatch_tiles_pending{stage="stack"}'] == 1
    assert found['lsbatch_tiles_quarantined{stage="stack"}'] == 1
    assert found['lsbatch_pixels_total{stage="stack"}'] == 100
    assert found['lsbatch_tile_seconds_bucket{le="3.0",stage="stack"}'] == 2
    assert found['lsbatch_tile_seconds_bucket{le="1.0",stage="stack"}'] == 0
    assert len(count.tiles) == 2
    # and nobody listens any more
    with pytest.raises(OSError, match="refused"):
        _metrics(port)


def test_a_run_tells_while_it_goes(stacked_survey: Survey, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    survey, port = surveys.copy_survey(stacked_survey, tmp_path / "s"), servers.free_port()
    config = survey.config.model_copy(
        update={"cluster": survey.config.cluster.model_copy(update={"metrics": f"127.0.0.1:{port}"})}
    )
    real, found = execution.run_reduction, []

    def fold(*args):  # type: ignore[no-untyped-def]
        found.append(_metrics(port))
        return real(*args)

    monkeypatch.setattr(execution, "run_reduction", fold)
    assert run.survey(config, terminal.Screen()) == 0
    assert found[-1]['lsbatch_tiles_total{result="done",stage="predict"}'] == len(survey.positions)
    assert found[-1]['lsbatch_tiles_pending{stage="predict"}'] == 0


def test_a_port_that_is_taken_gets_one_sentence() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(
                LsbatchError,
                match=f"cluster.metrics = '127.0.0.1:{port}': cannot listen at this address: Address already in use",
            ),
            metrics.served(f"127.0.0.1:{port}", execution.Progress()),
        ):
            pass
