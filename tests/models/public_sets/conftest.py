"""The synthetic country of `tests/conftest.py`, which the networks' tests replace by arrays."""

from pathlib import Path

import pytest

from tests import surveys


@pytest.fixture(scope="session")
def country(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Settings file of a synthetic country of 512 x 512 pixels."""
    return surveys.shared_country(tmp_path_factory)
