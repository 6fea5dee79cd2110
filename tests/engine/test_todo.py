"""What decides whether a tile is done again."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lsbatch.engine import todo
from lsbatch.errors import StaleStoreError


def test_a_lost_file_of_the_plan_is_named(tmp_path: Path) -> None:
    path = tmp_path / "r000c000.json"
    survey: Any = SimpleNamespace(config=None)
    stage: Any = SimpleNamespace(scenes=lambda config, tile: tmp_path / f"{tile}.json")
    with pytest.raises(StaleStoreError, match=r"r000c000\.json: is missing.*--replan"):
        todo.source_digest(survey, stage, (0, 0))
    path.write_bytes(b"{}")
    assert len(todo.source_digest(survey, stage, (0, 0))) == 16
