"""Try damaged inputs on one target until a time or a number is reached; shrink each input that shows a new fault."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.judging import GUARD, LONGEST_S, Fault, TooSlow, judge
from tests.fuzz.targets.target import Target

#: Inputs of one run of hypothesis. It keeps what it has tried, so its memory grows with them.
ROUND = 500
#: Seconds to make one failing input smaller.
SHRINK_S = 20.0


@dataclass
class Found:
    """What was tried and found.

    Attributes
    ----------
    tried : int
    faults : mapping of the fault's name to fault and smallest input
    """

    tried: int = 0
    faults: dict[str, tuple[Fault, bytes]] = field(default_factory=dict)


class _Shown(AssertionError):
    """An input shows a new fault."""


def explore(
    target: Target,
    folder: Path,
    found: Found,
    *,
    seconds: float = float("inf"),
    most: float = float("inf"),
    first_seed: int = 0,
    limit_s: float = LONGEST_S,
    before: Callable[[bytes], None] = lambda data: None,
) -> None:
    """Try inputs of a target.

    Parameters
    ----------
    target : Target
    folder : Path
        The only place where it may write.
    found : Found
        Gets what is tried and found, while it is.
    seconds, most : float
        The exploration ends when so much time is over or so many inputs are tried.
    first_seed : int
        The same seed gives the same inputs.
    limit_s : float
        Of one input.
    before : callable
        Called with each input before it is tried, or passed over because the time is over.
    """
    end, number = time.monotonic() + seconds, first_seed
    while time.monotonic() < end and found.tried < most:
        _round(target, folder, found, number, min(ROUND, most - found.tried), end, limit_s, before)
        number += 1


def _round(
    target: Target,
    folder: Path,
    found: Found,
    number: int,
    most: float,
    end: float,
    limit_s: float,
    before: Callable[[bytes], None],
) -> None:
    new: str | None = None
    until = end

    @seed(number)
    @settings(
        max_examples=int(most),
        database=None,
        deadline=None,
        derandomize=False,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(target.inputs)
    def attempt(data: bytes) -> None:
        nonlocal new, until
        # also when the time is over and hypothesis only ends its round: this must not be taken for an input that hangs
        before(data)
        if time.monotonic() > until:
            return
        with GUARD.around(folder):
            fault = judge(target.feed, data, limit_s)
            if fault is not None and fault.what == TooSlow.__name__:
                # the first input of its kind compiles kernels
                fault = judge(target.feed, data, limit_s)
        found.tried += 1
        if fault is None or (fault.name != new and (new is not None or fault.name in found.faults)):
            return
        if new is None:
            new, until = fault.name, min(end, time.monotonic() + SHRINK_S)
        if fault.name not in found.faults or len(data) <= len(found.faults[fault.name][1]):
            found.faults[fault.name] = fault, data
        raise _Shown(fault.name)

    try:
        attempt()
    # hypothesis says so if the input did not fail again: because the time was over, or because the fault comes and goes
    except Exception as error:
        if new is None:
            raise error
