"""Whether a survey that SLURM computed is the serial one, bit for bit."""

from pathlib import Path
from typing import Any

import numpy as np

from lsbatch import settings
from lsbatch.bands import STACK, mask, probability
from lsbatch.catalog.survey import Survey
from lsbatch.engine import execution
from lsbatch.settings import ClusterSettings, to_yaml
from tests import surveys


def with_cluster(survey: Survey, **settings: Any) -> Survey:
    """The same survey, done by others."""
    changed = survey.config.model_copy(update={"cluster": ClusterSettings(**settings)})
    return Survey(changed, survey.grid, survey.positions)


def saved(survey: Survey, file: Path) -> Path:
    """Its settings in a file, which say the same when they are read."""
    file.write_text(to_yaml(survey.config), encoding="utf-8")
    assert settings.load(file) == survey.config
    return file


def assert_same(one: Survey, other: Survey) -> None:
    """Every stored number of every layer, and every file of every part."""
    family = one.config.model.family
    for layer in (STACK, probability(family), mask(family)):
        ours, theirs = surveys.whole(one, layer), surveys.whole(other, layer)
        for name, values in theirs.items():
            np.testing.assert_array_equal(ours[name], values, err_msg=f"{layer.name}/{name}")
    ours, theirs = _parts(one), _parts(other)
    assert ours.keys() == theirs.keys()
    assert [name for name, data in theirs.items() if ours[name] != data] == []


def _parts(survey: Survey) -> dict[str, bytes]:
    folder = survey.workspace.root / "parts"
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def assert_goes_on(survey: Survey) -> None:
    """What a run left can be finished here, and without a fault."""
    assert execution.run(with_cluster(survey, kind="serial"), until="thumbnails") == 0
