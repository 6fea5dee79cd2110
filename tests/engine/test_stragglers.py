"""Silent workers and slow tiles: what is found in plain values, with an obvious oracle."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsbatch.engine import stragglers
from lsbatch.engine.scheduler_state import WorkerState
from lsbatch.engine.stragglers import Observed, observe


def worker(
    name: str = "a", last_seen: float = 0.0, executing: tuple[str, ...] = (), *, heartbeat_s: float = 0.5,
    takes_tasks: bool = True, **resources: float,
) -> WorkerState:  # fmt: skip
    return WorkerState(name, last_seen, heartbeat_s, takes_tasks, resources, executing, executing)


def looks(seconds: float, *workers: WorkerState, start: float = 0.0) -> Observed:
    """Look every five seconds for a while at workers; those whose heartbeat is at 0 never send another one."""
    found, now = None, start
    while now <= start + seconds:
        found = observe(found, [replace(one, last_seen=one.last_seen and now + 1) for one in workers], now)
        now += stragglers.LOOK_S
    assert found is not None
    return found


@given(
    beats=st.lists(st.booleans(), min_size=1, max_size=80),
    gaps=st.lists(st.sampled_from([1.0, 5.0, 15.0, 15.1, 400.0]), min_size=80, max_size=80),
)
def test_silence_is_the_time_since_the_last_new_heartbeat_without_gaps(beats: list[bool], gaps: list[float]) -> None:
    observed, now, beat, silent = None, 0.0, 0, 0.0
    for does_beat, gap in zip(beats, gaps, strict=False):
        now += gap
        if does_beat or gap > 15 or observed is None:
            silent = 0.0
        else:
            silent += gap
        beat += does_beat
        observed = observe(observed, [worker(last_seen=beat)], now)
        found = stragglers.silences(observed)
        assert [(one.seconds, one.lost) for one in found] == (
            [(pytest.approx(silent), silent >= 180)] if silent >= 60 else []
        )


def test_a_worker_that_answers_is_not_silent() -> None:
    observed = None
    for i in range(100):
        observed = observe(observed, [worker(last_seen=i)], 5.0 * i)
    assert observed is not None
    assert stragglers.silences(observed) == []


def test_silence_is_reported_then_lost() -> None:
    assert stragglers.silences(looks(55, worker())) == []
    [found] = stragglers.silences(looks(60, worker(executing=("t",))))
    assert (found.worker, found.seconds, found.lost, found.tasks) == ("a", 60.0, False, ("t",))
    assert stragglers.silences(looks(180, worker()))[0].lost


def test_rare_heartbeats_of_large_clusters_are_no_silence() -> None:
    assert stragglers.silences(looks(505, worker(heartbeat_s=51.0))) == []
    assert stragglers.silences(looks(510, worker(heartbeat_s=51.0)))[0].lost


def test_a_driver_that_stood_still_takes_nobody_for_silent() -> None:
    before = looks(170, worker(executing=("t",)))
    after = observe(before, [worker(executing=("t",))], before.at + 3600)
    assert stragglers.silences(after) == []
    assert stragglers.slow_tasks(after, {"t": 0.1}) == []


@pytest.mark.parametrize(
    ("median", "seconds", "expected"),
    [
        # the floor of a minute: tiles of a second are not slow after ten
        (1.0, 55, None), (1.0, 60, False), (1.0, 115, False), (1.0, 120, True),
        (30.0, 295, None), (30.0, 300, False), (30.0, 595, False), (30.0, 600, True),
    ],
)  # fmt: skip
def test_ten_times_the_median_is_slow_and_twice_that_is_lost(
    median: float, seconds: float, expected: bool | None
) -> None:
    found = stragglers.slow_tasks(looks(seconds, worker("a", 1.0, ("t",))), {"t": median})
    assert [(one.task, one.worker, one.seconds, one.lost) for one in found] == (
        [] if expected is None else [("t", "a", seconds, expected)]
    )


def test_a_task_without_a_median_or_that_waits_is_not_judged() -> None:
    queued = WorkerState("a", 1.0, 0.5, True, {}, (), ("t",))
    assert stragglers.slow_tasks(looks(5000, worker("a", 1.0, ("t",))), {}) == []
    assert stragglers.slow_tasks(looks(5000, queued), {"t": 1.0}) == []


def test_a_task_of_a_silent_worker_is_not_judged() -> None:
    assert stragglers.slow_tasks(looks(55, worker(executing=("t",))), {"t": 0.1}) == []
    assert stragglers.slow_tasks(looks(5000, worker(executing=("t",))), {"t": 0.1}) == []


def test_a_task_that_moved_counts_anew() -> None:
    before = looks(100, worker("a", executing=("t",)))
    after = observe(before, [worker("b", executing=("t",))], before.at + 5)
    assert stragglers.slow_tasks(after, {"t": 1.0}) == []


def test_the_median_needs_five() -> None:
    assert stragglers.median_s([1.0] * 4) is None
    assert stragglers.median_s([1.0, 9.0, 2.0, 3.0, 100.0]) == 3.0


def test_others_are_neither_silent_nor_paused_nor_without_the_resource() -> None:
    states = [
        worker("slow", GPU=1),
        worker("good", GPU=1),
        worker("more", GPU=2),
        worker("none"),
        worker("paused", takes_tasks=False, GPU=1),
    ]
    observed = observe(None, states, 0.0)
    assert stragglers.others(observed, "slow", {"GPU": 1}) == ["good", "more"]
    assert stragglers.others(observed, "slow", {}) == ["good", "more", "none"]
    for i in range(15):
        beating = [worker("slow", i, GPU=1), worker("good", GPU=1), worker("more", i, GPU=1)]
        observed = observe(observed, beating, 5.0 * i)
    assert stragglers.others(observed, "slow", {"GPU": 1}) == ["more"]


def test_what_it_waits_for() -> None:
    tiles = {"t": ("stack", "r000c001"), "u": ("stack", "r000c002"), "v": ("predict", "r000c000")}

    def line(*workers: WorkerState, seconds: float = 100.0) -> str:
        return re.sub(r"\d\d:\d\d:\d\d", "TIME", stragglers.waiting(looks(seconds, *workers), tiles, 61.0))

    start = "Nothing has finished since TIME; in flight: 2 stack, 1 predict; "
    assert line() == start + "no worker is connected; the run continues when one is"
    assert line(worker(takes_tasks=False)) == start + "none of the 1 workers takes tiles"
    assert line(worker(), worker("b")) == start + "none of them has started on the 2 workers"
    two = line(worker("a", executing=("u",)), worker("b", executing=("v",)), worker("c"))
    assert two == start + "2 are computed by 2 of 3 workers; the oldest is stack r000c002 on a since TIME"
    # tasks of another client of the scheduler are not ours
    assert line(worker(executing=("stranger",))) == start + "none of them has started on the 1 workers"
