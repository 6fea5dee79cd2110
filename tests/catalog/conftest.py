"""No long waits between tries."""

import pytest

from lsbatch.catalog import http
from lsbatch.imagery import scene_reading


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene_reading, "FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(http, "WAIT_S", 0.001)
