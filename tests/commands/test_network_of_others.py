"""Our own export, read back as a network of others, against the survey that the U-Net made."""

from pathlib import Path

import numpy as np
import pytest

from lsbatch import settings
from lsbatch.bands import mask, probability
from lsbatch.catalog.survey import Survey
from lsbatch.commands import compare
from lsbatch.models import base
from lsbatch.models.export import onnx
from lsbatch.settings import to_yaml
from tests import programs, surveys


@pytest.mark.slow
def test_an_exported_network_gives_the_same_map(stacked_survey: Survey, done_survey: Survey, tmp_path: Path) -> None:
    """On several tiles, with the command line."""
    onnx.to_onnx(base.resolve(done_survey.config), tmp_path / "unet.onnx")
    survey = surveys.copy_survey(stacked_survey, tmp_path / "s")
    chosen = survey.config.model.model_copy(update={"family": "onnx", "weights": str(tmp_path / "unet.json")})
    survey = Survey(survey.config.model_copy(update={"model": chosen}), survey.grid, survey.positions)
    file = tmp_path / "survey.yaml"
    file.write_text(to_yaml(survey.config), encoding="utf-8")
    done = programs.run("run", str(file))
    assert done.returncode == 0, done.stderr
    assert len(survey.positions) == 4
    for layer, name, apart in ((probability, "probability", 1e-4 * 65534), (mask, "landslide", 0)):
        ours, theirs = (
            surveys.whole(each, layer(each.config.model.family))[name].astype(np.int64)
            for each in (survey, done_survey)
        )
        np.testing.assert_allclose(ours, theirs, atol=apart)
    assert (theirs == 1).any()
    report = (survey.workspace.report / "report.html").read_text(encoding="utf-8")
    assert base.card(tmp_path / "unet.json").checksum in report
    assert "synthetic-1" in report, "the surveys of the training are those of the U-Net"


def test_a_comparison_uses_the_network_of_its_survey(tmp_path: Path) -> None:
    """It is not trained; other families get no weights of the survey."""
    config = settings.example()
    chosen = config.model.model_copy(update={"family": "onnx", "weights": str(tmp_path / "unet.json")})
    config = config.model_copy(update={"model": chosen})
    kept, other = (compare._variant(config, name, "s1vv_s2", tmp_path, None) for name in ("onnx", "disturbance"))
    assert kept.model.weights == str(tmp_path / "unet.json")
    assert other.model.weights is None
    trained = compare._variant(config, "unet", "s1vv_s2", tmp_path, tmp_path / "u.safetensors")
    assert trained.model.weights == str(tmp_path / "u.safetensors")
