"""What a target is: inputs for one boundary of lsbatch, and the code that reads them."""

from dataclasses import dataclass

from hypothesis.strategies import SearchStrategy

from tests.fuzz.judging import Feed


@dataclass(frozen=True)
class Target:
    """A boundary of lsbatch.

    Attributes
    ----------
    inputs : strategy of bytes
        Damaged forms of good inputs.
    seeds : tuple of bytes
        Good inputs.
    feed : callable
        Read one input as lsbatch reads it, and use what was read.
    """

    inputs: SearchStrategy[bytes]
    seeds: tuple[bytes, ...]
    feed: Feed
