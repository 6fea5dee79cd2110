"""Small kernels for tests of compilation."""

from collections.abc import Sequence
from typing import Any

from lsbatch.kernels.compilation import kernel


def adder(number: float) -> Any:
    """A kernel that takes a number from the enclosing function."""

    @kernel
    def add(x):  # type: ignore[no-untyped-def]
        return x + number

    return add


def chain(number: int) -> Any:
    """A kernel that calls two others of the enclosing function, one of them defined after it, one inlined."""

    @kernel
    def outer(x):  # type: ignore[no-untyped-def]
        return inner(x) * 1000 + inlined(x)

    @kernel
    def inner(x):  # type: ignore[no-untyped-def]
        return x + number

    @kernel(inline="always", error_model="numpy")
    def inlined(x):  # type: ignore[no-untyped-def]
        return number / x

    return outer


def lists(values: list[int]) -> Any:
    """A kernel that takes a list, which has no name of its own, from the enclosing function."""

    @kernel
    def first(x):  # type: ignore[no-untyped-def]
        return x + len(values)

    return first


@kernel
def applied(function, x):  # type: ignore[no-untyped-def]
    """Call the function given as an argument."""
    return function(x)


def pair(first: Any, second: Any) -> Any:
    """A kernel that calls two others: the linker must find both."""

    @kernel
    def both(x):  # type: ignore[no-untyped-def]
        return first(x) * 100 + second(x)

    return both


def loaded(function: Any) -> int:
    """Signatures of a kernel that were loaded and not compiled."""
    return sum(function.stats.cache_hits.values())


def main(numbers: Sequence[str]) -> None:
    """Print for each number the results of its kernels, and how many signatures were loaded."""
    for text in numbers:
        made = chain(int(text))
        print(text, made(1), made(1.0), adder(int(text))(1), loaded(made))
