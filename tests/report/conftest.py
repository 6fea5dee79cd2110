"""Shared fixtures of the report tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import browser


@pytest.fixture
def page(tmp_path: Path) -> Iterator[browser.Page]:
    if browser.program() is None:
        pytest.skip("no Chromium on this machine; make system-packages installs it")
    with browser.Page(tmp_path) as page:
        yield page
