"""Pipeline steps that the settings enable, and what decides whether the receipt of a tile is up to date."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from lsbatch.catalog.survey import Position, Survey
from lsbatch.engine.registry import PIPELINE
from lsbatch.errors import LsbatchError, StaleStoreError
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
        Tiles to compute now, each with the digest for its receipt.
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


def steps(config: Config, until: str | None = None) -> tuple[Stage | Reduction, ...]:
    """Return the pipeline steps that the settings enable, in order; up to a step, if it is one of them, or all."""
    enabled = tuple(step for step in PIPELINE if step.wanted(config))
    names = [step.name for step in enabled]
    return enabled[: names.index(until) + 1] if until in names else enabled


def step_named(name: str) -> Stage | Reduction:
    """Return a pipeline step by name."""
    for step in PIPELINE:
        if step.name == name:
            return step
    raise LsbatchError(f"{name!r} is not a stage; stages are {', '.join(s.name for s in PIPELINE)}")


def is_quarantined(receipt: Receipt, config: Config) -> bool:
    """Return whether a failed tile is skipped: its failure is permanent, or it has used all attempts."""
    return not receipt and (not receipt.may_pass or receipt.attempts >= config.cluster.attempts)


def base_digest(survey: Survey, stage: Stage | Reduction) -> str:
    """Return the digest of the settings and the grid of a stage or reduction."""
    halo = stage.halo_px(survey.config) if isinstance(stage, Stage) else 0
    return digest([stage.name, stage.version, halo, stage.settings(survey.config), survey.grid])


def source_digest(survey: Survey, stage: Stage, position: Position) -> str:
    """Return the checksum of the planned scenes of a tile, for a stage that reads scenes."""
    path = stage.scenes(survey.config, tile_id(*position))
    try:
        return "" if path is None else receipts.checksum(path)
    except FileNotFoundError:
        raise StaleStoreError(f"{path}: is missing, but the plan names its tile; run with --replan") from None


def stages_after(stage: Stage, config: Config) -> tuple[str, ...]:
    """Return the stages whose receipts a stage depends on, without those that the settings do not enable."""
    return tuple(name for name in stage.after if step_named(name).wanted(config))


def upstream_state(
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
    return digest([base_digest(survey, reduction), state])
