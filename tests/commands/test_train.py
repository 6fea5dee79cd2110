"""From surveys to weights: CART through the whole pipeline, and what cannot be learned from is refused in words."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import xarray as xr
import yaml

from lsbatch import settings
from lsbatch.bands import OWN_BANDS, probability
from lsbatch.catalog.survey import Survey
from lsbatch.commands import train
from lsbatch.engine import execution
from lsbatch.errors import ConfigError, ModelError, NoDataError
from lsbatch.inventory.evaluation import summary
from lsbatch.models import base
from lsbatch.models.families import cart
from lsbatch.settings import ModelSettings
from tests import surveys


class Lines:
    """A screen that keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def text(self, line: str) -> None:
        self.said.append(line)

    def plan(self, made: Any) -> None:
        pass

    def begins(self, name: str, todo: Any) -> None:
        pass

    def done(self, receipt: Any) -> None:
        pass

    def ends(self, name: str, todo: Any) -> None:
        pass

    def finished(self, survey: Survey, faults: int) -> None:
        pass

    def status(self, rows: Sequence[Any], failed: Sequence[Any]) -> None:
        pass


def test_cart_is_trained_and_surveys(stacked_survey: Survey, tmp_path: Path) -> None:
    """On its own training country, so this shows the path and not how good it is."""
    survey = surveys.copy_survey(stacked_survey, tmp_path / "s")
    model = survey.config.model.model_copy(update={"family": "cart", "weights": None})
    config = survey.config.model_copy(update={"model": model})
    screen = Lines()
    train.train([config], screen, out=None, fresh=False)
    weights = config.output / "model" / "cart-s1vv_s2.safetensors"
    assert screen.said[-1].startswith(f"Weights: {weights}")
    card = base.card(weights)
    assert card.family == "cart"
    assert 100 <= card.settings["points"] <= 130
    ready = Survey(config, survey.grid, survey.positions)
    assert execution.run(ready, until="score") == 0
    found = summary(ready)
    assert found["mcc"] > 0.3
    answers = surveys.whole(ready, probability("cart"))["probability"]
    assert len(np.unique(answers)) == 3


@pytest.mark.parametrize("family", ["prakash", "tehrani"])
def test_models_with_bands_of_their_own_are_trained_and_survey(
    country: Path, one_tile_survey: Survey, tmp_path: Path, family: str
) -> None:
    """On its own training country, and hardly trained: this shows the path and not how good it is."""
    raw = yaml.safe_load(country.read_text(encoding="utf-8"))
    raw |= {"output": str(tmp_path / "s"), "cluster": {"kind": "serial"}, "bands": "s1vv"}
    surveys.copy_survey(one_tile_survey, tmp_path / "s")
    # tehrani looks 512 px beyond a tile
    raw["grid"]["tile_px"] = 512
    raw["model"] = {"family": family}
    raw["train"] = {"width": 4, "epochs": 1, "block_px": 128, "chip_px": 64}
    ready = surveys.ready(settings.parse(raw, country.parent))
    train.train([ready.config], Lines(), out=None, fresh=False)
    card = base.card(ready.config.output / "model" / f"{family}.safetensors")
    assert (card.family, card.bands) == (family, OWN_BANDS[family])
    assert execution.run(ready, until="score") == 0
    stored = surveys.whole(ready, probability(family))["probability"]
    assert 0.5 < (stored != probability(family)["probability"].fill).mean() < 1
    if family == "tehrani":
        assert summary(ready)["mcc"] > 0.3


def test_impossible_training_is_told_before_stack(planned_survey: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that is missing, and an ensemble of a family that makes none."""
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    monkeypatch.setattr(train.run, "survey", lambda *_, **__: pytest.fail("STACK was made"))
    config = planned_survey.config
    smp = config.model_copy(update={"model": ModelSettings(family="smp")})
    with pytest.raises(ModelError, match=r"pip install 'lsbatch\[smp\]'"):
        train.train([smp], Lines(), out=None, fresh=False)
    ensemble = config.train.model_copy(update={"members": 2})
    prakash = config.model_copy(update={"model": ModelSettings(family="prakash"), "train": ensemble})
    with pytest.raises(ConfigError, match=r"train\.members = 2: model\.family prakash"):
        train.train([prakash], Lines(), out=None, fresh=False)


def test_pretrained_encoder_is_part_of_what_was_learned_from(stacked_survey: Survey, tmp_path: Path) -> None:
    config, path = stacked_survey.config, tmp_path / "encoder.pth"
    with_encoder = config.model_copy(update={"train": config.train.model_copy(update={"encoder_weights": path})})
    with pytest.raises(ConfigError, match=r"encoder\.pth': this file does not exist"):
        train.learned([with_encoder], False)
    digests = [train.learned([config], False)]
    for content in (b"one", b"two"):
        path.write_bytes(content)
        digests.append(train.learned([with_encoder], False))
    assert len(set(digests)) == 3


def test_samples_are_the_pixels_under_the_points(stacked_survey: Survey) -> None:
    """Each point's bands, looked up by xarray's nearest pixel."""
    samples, classes = cart.samples(train.source(stacked_survey.config), stacked_survey.config.inputs, None, 0)
    points = gpd.read_file(stacked_survey.config.truth.points)
    cube = xr.open_zarr(stacked_survey.workspace.store, group="stack")
    x, y = (xr.DataArray(values.to_numpy(), dims="point") for values in (points.geometry.x, points.geometry.y))
    expected = np.stack(
        [cube[name].sel(x=x, y=y, method="nearest").to_numpy() for name in stacked_survey.config.inputs], axis=1
    )
    assert len(samples) == len(points)
    order, theirs = np.lexsort((*samples.T, classes)), np.lexsort((*expected.T, points["class"]))
    np.testing.assert_allclose(samples[order], expected[theirs], rtol=1e-6)
    np.testing.assert_array_equal(classes[order], points["class"].to_numpy()[theirs])


@pytest.mark.parametrize(
    ("family", "truth", "says"),
    [
        ("unet", None, "truth.file"),
        ("cart", {"points": None}, "truth.points"),
        ("cart", {"class_field": "kind"}, "truth.class_field"),
    ],
)
def test_what_cannot_be_learned_from(
    stacked_survey: Survey, tmp_path: Path, family: str, truth: dict[str, Any] | None, says: str
) -> None:
    survey = surveys.copy_survey(stacked_survey, tmp_path / "s")
    model = survey.config.model.model_copy(update={"family": family, "weights": None})
    known = None if truth is None else survey.config.truth.model_copy(update=truth)
    config = survey.config.model_copy(update={"model": model, "truth": known})
    with pytest.raises(ConfigError, match=says):
        train.train([config], Lines(), out=None, fresh=False)


def test_surveys_of_other_bands_are_not_mixed(stacked_survey: Survey) -> None:
    other = stacked_survey.config.model_copy(update={"bands": "s2"})
    with pytest.raises(ConfigError, match="train on the same bands"):
        train.train([stacked_survey.config, other], Lines(), out=None, fresh=False)


def test_points_elsewhere(stacked_survey: Survey, tmp_path: Path) -> None:
    survey = surveys.copy_survey(stacked_survey, tmp_path / "s")
    points = gpd.read_file(survey.config.truth.points)
    points.geometry = points.translate(xoff=1e6)
    points.to_file(tmp_path / "far.gpkg")
    model = survey.config.model.model_copy(update={"family": "cart", "weights": None})
    truth = survey.config.truth.model_copy(update={"points": tmp_path / "far.gpkg"})
    with pytest.raises(NoDataError, match=r"none of its truth.points"):
        train.train([survey.config.model_copy(update={"model": model, "truth": truth})], Lines(), out=None, fresh=False)
