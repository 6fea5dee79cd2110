"""Containers for the time of a test session."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy import containers


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[containers.Engine]:
    """Podman with a storage of its own."""
    with containers.engine(tmp_path_factory.mktemp("containers")) as made:
        yield made


@pytest.fixture(scope="session")
def image(engine: containers.Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the lists of the built image."""
    folder = tmp_path_factory.mktemp("image")
    containers.build(engine, folder)
    return folder / "image"
