"""Order of the tile tasks of a run: a task is ready when everything that it reads is final.

No stage waits for the slowest tile of the stage before it. Of the tasks that are ready, those of the last stages come
first, so tiles are finished before others are begun.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lsbatch.catalog.survey import Position, Survey
from lsbatch.engine.tile_task import Task
from lsbatch.engine.todo import (
    Todo,
    base_digest,
    is_quarantined,
    source_digest,
    stages_after,
    steps,
    upstream_state,
)
from lsbatch.grid import tile_id
from lsbatch.pipeline.types import Stage
from lsbatch.settings import Config, digest
from lsbatch.storage import receipts
from lsbatch.storage.lease import Lease
from lsbatch.storage.receipts import Receipt

#: Resources of a stage as sorted pairs, for example (("GPU", 1),).
Resources = tuple[tuple[str, float], ...]


@dataclass
class _StageState:
    """State of the tiles of one stage in a run.

    Attributes
    ----------
    after : tuple of str
        Stages that it reads.
    has_halo : bool
        Whether it reads them of the neighbours too. Noted once: of a network, its weights are looked at.
    missing : mapping of position to int
        Tiles that are not final yet, with the number of inputs that are not final.
    pending : mapping of position to text
        Tiles that are ready or computed now, with the digest for the receipt.
    tries : mapping of position to int
        Attempts of earlier runs.
    """

    stage: Stage
    index: int
    resources: Resources
    after: tuple[str, ...]
    has_halo: bool
    base: str
    missing: dict[Position, int] = field(default_factory=dict)
    pending: dict[Position, str] = field(default_factory=dict)
    tries: dict[Position, int] = field(default_factory=dict)
    quarantined: list[Position] = field(default_factory=list)
    blocked: list[Position] = field(default_factory=list)
    done: int = 0

    def todo(self) -> Todo:
        """Return the state as pending work; tiles whose inputs are not final are waiting."""
        return Todo(
            dict(self.pending), self.done, tuple(self.blocked),
            tuple(position for position in self.missing if position not in self.pending),
            tuple(self.quarantined), dict(self.tries),
        )  # fmt: skip


class Schedule:
    """Tile tasks of several stages, handed out one by one when their inputs are final.

    Parameters
    ----------
    survey : Survey
    stages : sequence of Stage
        In the order of the pipeline, without gaps.
    part : (i, n)
        Only every n-th tile from the i-th (from 1) is computed. The receipts of the other tiles are read as they are.
    lease : Lease or None
        Sent with each task.
    forget : callable (stage, tile)
        Called for a receipt of an earlier run that is outdated and will not be replaced in this run, because an input
        failed or is missing.
    """

    def __init__(
        self,
        survey: Survey,
        stages: Sequence[Stage],
        part: tuple[int, int] = (1, 1),
        lease: Lease | None = None,
        forget: Callable[[str, str], None] = lambda stage, tile: None,
    ) -> None:
        self._survey, self._lease, self._forget_receipt = survey, lease, forget
        index, count = part
        self._mine = survey.positions[index - 1 :: count]
        self._order = {position: number for number, position in enumerate(survey.positions)}
        self._stages = {stage.name: self._state(stage, number) for number, stage in enumerate(stages)}
        self._ready: dict[Resources, list[tuple[int, int, Task]]] = {}
        self._receipts: dict[str, dict[str, Receipt]] = {}
        self._finals: deque[tuple[str, Position]] = deque()
        self._read_receipts()
        self._count_missing()

    def _state(self, stage: Stage, number: int) -> _StageState:
        config = self._survey.config
        resources = tuple(sorted(stage.resources(config).items()))
        after, has_halo = stages_after(stage, config), stage.halo_px(config) > 0
        return _StageState(stage, number, resources, after, has_halo, base_digest(self._survey, stage))

    def _read_receipts(self) -> None:
        folder = self._survey.workspace.receipts
        for name in self._stages:
            found = receipts.read_stage(folder, name)
            self._receipts[name] = {tile: _without_details(receipt) for tile, receipt in found.items()}

    def _count_missing(self) -> None:
        mine = frozenset(self._mine)
        for state in self._stages.values():
            for position in self._mine:
                inputs = (*self._near(state, position), position)
                state.missing[position] = len(state.after) * sum(each in mine for each in inputs)
        for state in self._stages.values():
            if not state.after:
                for position in self._mine:
                    self._consider(state, position)
        self._pass_on()

    def _near(self, state: _StageState, position: Position) -> tuple[Position, ...]:
        return self._survey.neighbours(position) if state.has_halo else ()

    def _consider(self, state: _StageState, position: Position) -> None:
        """Decide about a tile whose inputs of this run are final: ready, or final without any work."""
        inputs = upstream_state(state.after, self._receipts, position, self._near(state, position))
        if inputs is None:
            # an input belongs to another part, which has not computed it yet
            return
        if isinstance(inputs, Receipt):
            state.blocked.append(position)
            self._forget(state, position)
            self._final(state, position)
            return
        key = digest([state.base, inputs, source_digest(self._survey, state.stage, position)])
        receipt = self._receipts[state.stage.name].get(tile_id(*position))
        # a receipt of other settings or other input does not apply to the present ones
        if receipt is None or receipt.digest != key:
            self._put(state, position, key)
        elif receipt:
            state.done += 1
            self._final(state, position)
        elif is_quarantined(receipt, self._survey.config):
            state.quarantined.append(position)
            self._final(state, position)
        else:
            state.tries[position] = receipt.attempts
            self._put(state, position, key)

    def _put(self, state: _StageState, position: Position, key: str) -> None:
        state.pending[position] = key
        task = Task(state.stage.name, position, key, state.tries.get(position, 0) + 1, self._lease)
        heap = self._ready.setdefault(state.resources, [])
        heapq.heappush(heap, (-state.index, self._order[position], task))

    def _forget(self, state: _StageState, position: Position) -> None:
        name, tile = state.stage.name, tile_id(*position)
        if self._receipts[name].pop(tile, None) is not None:
            self._forget_receipt(name, tile)

    def _final(self, state: _StageState, position: Position) -> None:
        del state.missing[position]
        self._finals.append((state.stage.name, position))

    def _pass_on(self) -> None:
        """Count the final tiles as inputs of later stages, until nothing changes."""
        while self._finals:
            name, position = self._finals.popleft()
            for state in self._stages.values():
                if name in state.after:
                    for each in (*self._near(state, position), position):
                        self._count_input(state, each)

    def _count_input(self, state: _StageState, position: Position) -> None:
        if position not in state.missing:
            return
        state.missing[position] -= 1
        if not state.missing[position]:
            self._consider(state, position)

    def resources(self) -> Iterator[Resources]:
        """Yield the resources for which tasks are ready."""
        yield from (resources for resources, heap in self._ready.items() if heap)

    def next(self, resources: Resources | None = None) -> Task | None:
        """Return the next task that is ready, for workers with these resources or for any; None if there is none."""
        heaps = [heap for key, heap in self._ready.items() if heap and resources in (None, key)]
        return heapq.heappop(min(heaps))[2] if heaps else None

    def next_stage(self) -> str | None:
        """Return the stage of the next task that is ready; None if there is none."""
        heaps = [heap for heap in self._ready.values() if heap]
        return min(heaps)[0][2].stage if heaps else None

    def finish(self, receipt: Receipt, position: Position) -> None:
        """Note the last receipt of a task, done or failed for good."""
        state = self._stages[receipt.stage]
        del state.pending[position]
        self._receipts[receipt.stage][receipt.tile] = _without_details(receipt)
        self._final(state, position)
        self._pass_on()

    def refresh(self) -> bool:
        """Read the receipts of other parts again; return whether that made a task ready."""
        if len(self._mine) == len(self._survey.positions):
            return False
        mine = {tile_id(*position) for position in self._mine}
        for name, known in self._receipts.items():
            found = receipts.read_stage(self._survey.workspace.receipts, name)
            known |= {tile: _without_details(receipt) for tile, receipt in found.items() if tile not in mine}
        for state in self._stages.values():
            waiting = [each for each, inputs in state.missing.items() if not inputs and each not in state.pending]
            for position in waiting:
                self._consider(state, position)
        self._pass_on()
        return any(self._ready.values())

    def resources_of(self, name: str) -> Resources:
        """Return the resources that a stage needs."""
        return self._stages[name].resources

    def priority(self, name: str) -> int:
        """Return the priority of a stage, higher first."""
        return self._stages[name].index

    def todo(self) -> Mapping[str, Todo]:
        """Return the present state of each stage, in the order of the pipeline."""
        return {name: state.todo() for name, state in self._stages.items()}

    def ended(self) -> list[str]:
        """Return the stages of which every tile is final, in the order of the pipeline."""
        return [name for name, state in self._stages.items() if not state.missing]

    def forget_waiting(self) -> None:
        """Forget the receipts of tiles whose inputs did not become final in this run."""
        for state in self._stages.values():
            for position in state.missing:
                self._forget(state, position)


def pending_work(survey: Survey, part: tuple[int, int] = (1, 1), until: str | None = None) -> Mapping[str, Todo]:
    """Return the pending work of each stage, up to a stage or of all; nothing is changed."""
    return Schedule(survey, stages_until(survey.config, until), part).todo()


def stages_until(config: Config, until: str | None) -> tuple[Stage, ...]:
    """Return the stages that the settings enable, in order, up to a step or all."""
    return tuple(step for step in steps(config, until) if isinstance(step, Stage))


def _without_details(receipt: Receipt) -> Receipt:
    """Keep what decides about later tasks: 50,000 tiles in ten stages must fit into the driver's memory."""
    return replace(receipt, scenes=(), dropped=(), tally={}, sums={}, trace=None)
