"""Order of tile tasks: what may start when, against a slow obvious rule; priorities; parts; failures."""

from collections.abc import Sequence
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from lsbatch import settings
from lsbatch.catalog.survey import Position, Survey
from lsbatch.engine.registry import PIPELINE
from lsbatch.engine.schedule import Schedule
from lsbatch.engine.tile_task import Fault, Task, make_receipt
from lsbatch.grid import Grid
from lsbatch.pipeline.types import Block, Reduction, Stage
from lsbatch.storage import receipts


def _stage(name: str, after: tuple[str, ...] = (), halo_px: int = 0, gpu: bool = False) -> Stage:
    """A stage under the name of a real one, because earlier stages are looked up by name."""

    def apply(block: Block, config: settings.Config) -> Block:
        raise NotImplementedError

    return Stage(
        name, 1, apply, settings=lambda config: {}, after=after, halo_px=lambda config: halo_px,
        resources=lambda config: {"GPU": 1} if gpu else {},
    )  # fmt: skip


STAGES = (
    _stage("stack"),
    _stage("predict", ("stack",), 8, gpu=True),
    _stage("clean", ("stack", "predict"), 8),
    _stage("outline", ("clean",)),
)


def _survey(folder: Path, rows: int, cols: int, *, holes: Sequence[Position] = ()) -> Survey:
    config = settings.example().model_copy(update={"output": folder})
    side = config.grid.tile_px
    grid = Grid("EPSG:25833", 10.0, side, (0.0, 0.0, cols * side * 10.0, rows * side * 10.0))
    places = tuple((row, col) for row in range(rows) for col in range(cols) if (row, col) not in holes)
    return Survey(config, grid, places)


def _done(task: Task, *, error: str | None = None) -> receipts.Receipt:
    return make_receipt(task, 0.0, fault=Fault(error) if error else None)


def _inputs(survey: Survey, stage: Stage, position: Position) -> set[tuple[str, Position]]:
    """What a tile reads: the stages before it, of the tile and, with a halo, of its neighbours."""
    near = survey.neighbours(position) if stage.halo_px(survey.config) else ()
    return {(name, place) for name in stage.after for place in (position, *near)}


@given(
    st.integers(1, 4), st.integers(1, 4), st.sets(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=4),
    st.randoms(use_true_random=False), st.sets(st.integers(0, 60), max_size=3),
)  # fmt: skip
def test_a_task_starts_when_and_only_when_its_inputs_are_final(
    tmp_path_factory, rows: int, cols: int, holes: set[Position], random, bad: set[int]
) -> None:
    survey = _survey(tmp_path_factory.mktemp("s"), rows, cols, holes=sorted(holes))
    schedule = Schedule(survey, STAGES)
    running: list[Task] = []
    final: set[tuple[str, Position]] = set()
    failed: set[tuple[str, Position]] = set()
    started: set[tuple[str, Position]] = set()
    number = 0
    while True:
        while (task := schedule.next()) is not None:
            assert task.position is not None
            started.add((task.stage, task.position))
            running.append(task)
        # a tile whose own input failed is final too, without being computed
        for stage in STAGES:
            for place in survey.positions:
                key = stage.name, place
                if key not in started and any((name, place) in failed for name in stage.after):
                    failed.add(key)
                    if _inputs(survey, stage, place) <= final:
                        final.add(key)
                may = _inputs(survey, stage, place) <= final and key not in failed
                if may or key in started:
                    assert key in started, f"{key} could start"
                    assert _inputs(survey, stage, place) <= final, f"{key} started too early"
        if not running:
            break
        task = running.pop(random.randrange(len(running)))
        assert task.position is not None
        error = "made to fail" if number in bad else None
        number += 1
        schedule.finish(_done(task, error=error), task.position)
        final.add((task.stage, task.position))
        if error:
            failed.add((task.stage, task.position))
    assert final == {(stage.name, place) for stage in STAGES for place in survey.positions}
    assert schedule.ended() == [stage.name for stage in STAGES]


def test_tiles_are_finished_before_others_are_begun(tmp_path: Path) -> None:
    survey = _survey(tmp_path, 2, 6)
    schedule, order = Schedule(survey, STAGES), []
    while (task := schedule.next()) is not None:
        assert task.position is not None
        order.append((task.stage, task.position))
        schedule.finish(_done(task), task.position)
    assert len(order) == len(STAGES) * 12
    # in row order a tile of two rows needs the first tiles of the second row
    assert order[:9] == [("stack", (0, col)) for col in range(6)] + [
        ("stack", (1, 0)), ("stack", (1, 1)), ("predict", (0, 0)),
    ]  # fmt: skip
    # before the last tile of STACK, all other tiles are as far as their neighbours allow: one column back for each halo
    before = order[: order.index(("stack", (1, 5)))]
    assert sum(stage == "predict" for stage, _ in before) == 2 * 4
    assert sum(stage == "outline" for stage, _ in before) == 2 * 3


def test_tasks_are_handed_out_by_the_kind_of_worker(tmp_path: Path) -> None:
    survey = _survey(tmp_path, 1, 3)
    schedule = Schedule(survey, STAGES)
    assert list(schedule.resources()) == [()]
    assert schedule.next((("GPU", 1),)) is None
    tasks = [task for _ in range(3) if (task := schedule.next(())) is not None]
    schedule.finish(_done(tasks[0]), (0, 0))
    assert not any(schedule.resources())
    schedule.finish(_done(tasks[1]), (0, 1))
    assert list(schedule.resources()) == [(("GPU", 1),)]
    assert schedule.next(()) is None
    task = schedule.next((("GPU", 1),))
    assert task is not None
    assert (task.stage, task.position) == ("predict", (0, 0))
    assert schedule.resources_of("predict") == (("GPU", 1),)


def test_receipts_of_an_earlier_run_are_forgotten_only_if_their_input_failed(tmp_path: Path) -> None:
    survey = _survey(tmp_path, 1, 2)
    stages = STAGES[:2]
    schedule = Schedule(survey, stages)
    while (task := schedule.next()) is not None:
        assert task.position is not None
        receipts.write(survey.workspace.receipts, _done(task))
        schedule.finish(_done(task), task.position)
    again = Schedule(survey, stages)
    assert again.next() is None
    assert [work.done for work in again.todo().values()] == [2, 2]
    receipts.remove(survey.workspace.receipts, "stack", "r000c000")
    forgotten: list[tuple[str, str]] = []
    after = Schedule(survey, stages, forget=lambda stage, tile: forgotten.append((stage, tile)))
    task = after.next()
    assert task is not None
    after.finish(_done(task, error="gone"), (0, 0))
    assert forgotten == [("predict", "r000c000")]
    neighbour = after.next()
    assert neighbour is not None
    # it reads the failed tile as nodata, which is another input
    assert (neighbour.stage, neighbour.position) == ("predict", (0, 1))
    assert after.todo()["predict"].blocked == ((0, 0),)


def test_a_part_goes_on_when_another_part_has_written_its_receipts(tmp_path: Path) -> None:
    survey = _survey(tmp_path, 1, 4)
    parts = [Schedule(survey, STAGES, part=(i, 2)) for i in (1, 2)]
    done: list[tuple[str, Position]] = []

    def work(schedule: Schedule) -> None:
        while (task := schedule.next()) is not None:
            assert task.position is not None
            receipts.write(survey.workspace.receipts, _done(task))
            schedule.finish(_done(task), task.position)
            done.append((task.stage, task.position))

    for schedule in parts:
        work(schedule)
    # each has its own STACK, and waits for the other's
    assert {stage for stage, _ in done} == {"stack"}
    assert parts[0].todo()["predict"].waiting == ((0, 0), (0, 2))
    while any(schedule.refresh() for schedule in parts):
        for schedule in parts:
            work(schedule)
    assert sorted(done) == sorted((stage.name, place) for stage in STAGES for place in survey.positions)


def test_a_whole_run_has_nothing_to_read_again(tmp_path: Path) -> None:
    assert not Schedule(_survey(tmp_path, 1, 2), STAGES).refresh()


def test_every_stage_comes_before_every_reduction() -> None:
    """Stages run together, then reductions one after another."""
    kinds = [isinstance(step, Reduction) for step in PIPELINE]
    assert kinds == sorted(kinds)


def test_every_stage_depends_on_earlier_ones_only() -> None:
    seen: set[str] = set()
    for step in PIPELINE:
        if isinstance(step, Stage):
            assert set(step.after) <= seen
            seen.add(step.name)
    assert {"stack", "predict", "clean", "outline", "score"} <= seen
