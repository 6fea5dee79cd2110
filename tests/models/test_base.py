"""Which weights answer, and whether they fit."""

from pathlib import Path

import numpy as np
import pytest

from lsbatch import settings
from lsbatch.errors import ModelError
from lsbatch.models import base, cards, cart, unet
from tests.models.conftest import make_card, make_network


def _config(output: Path, **changes: object) -> settings.Config:
    config = settings.example()
    model = config.model.model_copy(update={key: changes.pop(key) for key in ("family", "weights") if key in changes})
    return config.model_copy(update={"output": output, "model": model, **changes})


def test_without_a_name_it_is_what_train_writes(tmp_path: Path) -> None:
    config = _config(tmp_path)
    with pytest.raises(ModelError, match="run 'lsbatch train' first"):
        base.resolve(config)
    path = base.default_path(config)
    assert path == tmp_path / "model" / "unet-s1vv_s2.safetensors"
    cards.save(path, unet.state(make_network(1, 4)), make_card(1, 4))
    assert base.resolve(config) == path


def test_a_file_by_name(tmp_path: Path, weights: Path) -> None:
    assert base.resolve(_config(tmp_path, weights=str(weights))) == weights
    with pytest.raises(ModelError, match="does not exist"):
        base.resolve(_config(tmp_path, weights=str(tmp_path / "x.safetensors")))


def test_packaged_weights_by_name(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "PACKAGED", weights.parent)
    assert base.resolve(_config(tmp_path, weights="package:unet")) == weights
    with pytest.raises(ModelError, match=r"the packaged weights are package:unet$"):
        base.resolve(_config(tmp_path, weights="package:other"))


def test_a_packaged_name_leads_nowhere_else(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "PACKAGED", tmp_path / "empty")
    with pytest.raises(ModelError, match="no weights"):
        base.resolve(_config(tmp_path, weights=f"package:{weights.with_suffix('')}"))


def test_weights_for_other_bands_are_refused_naming_both() -> None:
    with pytest.raises(ModelError) as caught:
        base.check(make_card(3, 4, ("preVV", "postVV")), settings.example())
    assert "s1vv_s2" in str(caught.value)
    assert "preVV, postVV, dNDVI" in str(caught.value)
    assert "trained for preVV, postVV;" in str(caught.value)


def test_bands_in_another_order_are_refused() -> None:
    with pytest.raises(ModelError, match="were trained for"):
        base.check(make_card(3, 4, ("postVV", "preVV", "dNDVI")), settings.example())


def test_weights_of_another_family_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="of family 'unet'"):
        base.check(make_card(3, 4), _config(tmp_path, family="cart"))


def test_fitting_weights_pass() -> None:
    base.check(make_card(3, 4), settings.example())


def test_bands_are_taken_by_name(weights: Path, country: dict[str, np.ndarray]) -> None:
    block = {name: band[:224, :224] for name, band in country.items()}
    predict = settings.PredictSettings(device="cpu")
    more = {"elevation": np.zeros((224, 224), np.float32), **dict(reversed(block.items()))}
    np.testing.assert_array_equal(base.answer(weights, block, 48, predict), base.answer(weights, more, 48, predict))


def test_halo_of_each_way() -> None:
    exact, blend = (settings.PredictSettings(tiling=tiling) for tiling in ("exact", "blend"))
    assert base.halo_px(make_card(4, 4), exact) == 96
    assert base.halo_px(make_card(4, 4), blend) == 64
    assert base.halo_px(cart.card(("preVV",)), exact) == 0


def test_weights_of_a_list_of_bands(tmp_path: Path) -> None:
    """They have a file of their own, and without it one sentence says what to do."""
    listed = ("postVV", "dNDVI")
    config = _config(tmp_path, bands=listed)
    path = base.default_path(config)
    assert path.name.startswith("unet-bands-")
    assert path != base.default_path(_config(tmp_path, bands=listed[::-1]))
    with pytest.raises(ModelError, match=r"no weights yet; run 'lsbatch train' first, or set model\.weights"):
        base.resolve(config)
    cards.save(path, unet.state(make_network(2, 4)), make_card(2, 4, listed))
    assert base.resolve(config) == path
    base.check(base.card(path), config)
    with pytest.raises(ModelError, match=r"bands = \[dNDVI, postVV\]: the weights were trained for postVV, dNDVI;"):
        base.check(base.card(path), _config(tmp_path, bands=listed[::-1]))


def test_a_list_like_a_named_setting_takes_its_weights() -> None:
    config = settings.example()
    base.check(make_card(3, 4), config.model_copy(update={"bands": config.inputs}))


def test_overview_names_every_band_of_a_list() -> None:
    (rows,) = (rows for heads, rows in base.overview() if heads[0] == "composite.bands")
    listed = {name: needs for needs, names in rows for name in names.split(", ")}
    assert listed["dBSI"] == "SWIR1"
    assert listed["dNDVI"] == listed["slope"] == "any"
    assert "pre_date" not in listed
