"""Pending work: the steps enabled by the settings and the tiles without an up-to-date receipt."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from lsbatch.catalog.survey import Position, Survey
from lsbatch.engine.registry import PIPELINE
from lsbatch.errors import LsbatchError
from lsbatch.grid import tile_id
from lsbatch.pipeline.types import Reduction, Stage
from lsbatch.settings import Config, digest
from lsbatch.storage import receipts
from lsbatch.storage.receipts import Receipt

Receipts = Mapping[str, Mapping[str, Receipt]]


@dataclass(frozen=True)
class Todo:
    """Pending work of a stage.

    Attributes
    ----------
    digests : mapping of position to text
        Tiles to compute now, in grid order, each with the digest for its receipt.
    done : int
        Tiles with a fresh receipt.
    blocked : tuple of position
        Tiles whose own earlier stage failed.
    waiting : tuple of position
        Tiles that need an earlier stage, of their own or of a neighbour, that has not run yet.
    quarantined : tuple of position
        Tiles with a permanent failure, or too many failures, which wait for `lsbatch retry`.
    tries : mapping of position to int
        Attempts so far of tiles that failed before and will be tried again.
    """

    digests: Mapping[Position, str] = field(default_factory=dict)
    done: int = 0
    blocked: tuple[Position, ...] = ()
    waiting: tuple[Position, ...] = ()
    quarantined: tuple[Position, ...] = ()
    tries: Mapping[Position, int] = field(default_factory=dict)


def steps(config: Config) -> tuple[Stage | Reduction, ...]:
    """Return the pipeline steps that the settings enable, in order."""
    return tuple(step for step in PIPELINE if step.wanted(config))


def step_named(name: str) -> Stage | Reduction:
    """Return a pipeline step by name."""
    for step in PIPELINE:
        if step.name == name:
            return step
    raise LsbatchError(f"{name!r} is not a stage; stages are {', '.join(s.name for s in PIPELINE)}")


def todo(survey: Survey, stage: Stage, part: tuple[int, int] = (1, 1)) -> Todo:
    """Find the tiles without an up-to-date receipt, in grid order.

    Parameters
    ----------
    survey : Survey
    stage : Stage
    part : (i, n)
        Only every n-th tile from the i-th (from 1). The parts of n jobs are disjoint and together complete, and need no
        scheduler.
    """
    folder = survey.workspace.receipts
    mine = receipts.read_stage(folder, stage.name)
    after = _after(stage, survey.config)
    upstream = {name: receipts.read_stage(folder, name) for name in _before(stage, survey.config)}
    base = _base_digest(survey, stage)
    halo = stage.halo_px(survey.config)
    planned = frozenset(survey.positions)
    index, count = part
    digests: dict[Position, str] = {}
    tries: dict[Position, int] = {}
    done = 0
    blocked: list[Position] = []
    waiting: list[Position] = []
    quarantined: list[Position] = []
    for position in survey.positions[index - 1 :: count]:
        near = _neighbours(survey, planned, position) if halo else ()
        state = _upstream_state(after, upstream, position, near)
        if state is None or isinstance(state, Receipt):
            (waiting if state is None else blocked).append(position)
            continue
        key = digest([base, state, _source_digest(survey, stage, position)])
        receipt = mine.get(tile_id(*position))
        # a receipt of other settings or other input does not apply to the present ones
        if receipt is None or receipt.digest != key:
            digests[position] = key
        elif receipt:
            done += 1
        elif is_quarantined(receipt, survey.config):
            quarantined.append(position)
        else:
            digests[position] = key
            tries[position] = receipt.attempts
    return Todo(digests, done, tuple(blocked), tuple(waiting), tuple(quarantined), tries)


def is_quarantined(receipt: Receipt, config: Config) -> bool:
    """Return whether a failed tile is skipped: its failure is permanent, or it has used all attempts."""
    return not receipt and (not receipt.may_pass or receipt.attempts >= config.cluster.attempts)


def _base_digest(survey: Survey, stage: Stage | Reduction) -> str:
    halo = stage.halo_px(survey.config) if isinstance(stage, Stage) else 0
    return digest([stage.name, stage.version, halo, stage.settings(survey.config), survey.grid])


def _source_digest(survey: Survey, stage: Stage, position: Position) -> str:
    """Return the checksum of the planned scenes of a tile, for a stage that reads scenes."""
    path = stage.scenes(survey.config, tile_id(*position))
    return "" if path is None else receipts.checksum(path)


def _neighbours(survey: Survey, planned: frozenset[Position], position: Position) -> tuple[Position, ...]:
    return tuple(p for p in survey.grid.neighbours(*position) if p in planned)


def _after(stage: Stage, config: Config) -> tuple[str, ...]:
    """Return the stages whose receipts a stage depends on, without those that the settings do not enable."""
    return tuple(name for name in stage.after if step_named(name).wanted(config))


def _before(stage: Stage, config: Config) -> set[str]:
    """Return the names of all stages before a stage, direct and indirect."""
    found: set[str] = set()
    for name in _after(stage, config):
        earlier = step_named(name)
        found |= {name} | (_before(earlier, config) if isinstance(earlier, Stage) else set())
    return found


def _upstream_state(
    after: tuple[str, ...], upstream: Receipts, position: Position, near: tuple[Position, ...]
) -> list[str] | Receipt | None:
    """Return the digests of what a tile reads; the failed receipt of an earlier stage; or None if one is missing.

    A neighbour that failed is read as nodata. Its digest is then 'failed', so the tile is computed again when the
    neighbour succeeds.
    """
    found = []
    for name in after:
        own = _state(name, upstream, tile_id(*position))
        if own is None or not own:
            return own
        found.append(own.digest)
        for other in near:
            receipt = _state(name, upstream, tile_id(*other))
            if receipt is None:
                return None
            found.append(receipt.digest if receipt else "failed")
    return found


def _state(name: str, upstream: Receipts, tile: str) -> Receipt | None:
    """Return the receipt of a tile in a stage, or that of the failed earlier stage that blocks it."""
    found = upstream[name].get(tile)
    if found is None:
        step = step_named(name)
        earlier = (_state(other, upstream, tile) for other in step.after if other in upstream)
        return next((receipt for receipt in earlier if receipt is not None and not receipt), None)
    return found


def reduction_digest(survey: Survey, reduction: Reduction) -> str:
    """Return the digest of all receipts that a reduction reads."""
    folder = survey.workspace.receipts
    state = [
        [name, sorted((tile, r.digest if r else "failed") for tile, r in receipts.read_stage(folder, name).items())]
        for name in reduction.after
    ]
    return digest([_base_digest(survey, reduction), state])
