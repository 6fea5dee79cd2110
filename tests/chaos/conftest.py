"""One nursery for all: what it compiles and computes takes half a minute."""

from collections.abc import Iterator

import pytest

from tests.chaos import arena


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[arena.Nursery]:
    """Starts programs quickly, and has the undisturbed survey."""
    with arena.nursery(tmp_path_factory.mktemp("nursery") / "country") as found:
        yield found
