"""ONNX against torch in ONNX Runtime, and the metadata of the model against stac-model."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pystac
import pytest
import torch
from typer.testing import CliRunner

from lsbatch.cli.program import app
from lsbatch.errors import ModelError
from lsbatch.models import base, cards, cart
from lsbatch.models.export import onnx
from lsbatch.settings import PredictSettings
from tests import programs
from tests.models.conftest import make_card

WEIGHTS = base.named("package:unet-s1vv")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("onnx") / "unet.onnx"
    assert onnx.to_onnx(WEIGHTS, out) <= onnx.TOLERANCE
    return out


def test_onnx_answers_as_a_survey_does(written: Path) -> None:
    """The middle of a window with the halo, NaN inside."""
    import onnxruntime

    card = base.card(WEIGHTS)
    halo, side = card.halo_px, 64
    dice = np.random.default_rng(3)
    block = dice.normal(-11, 3, (2, side + 2 * halo, side + 2 * halo)).astype(np.float32)
    block[0, 100:110, 90:99] = np.nan
    expected = base.answer(WEIGHTS, dict(zip(card.bands, block, strict=True)), halo, PredictSettings(device="cpu"))
    session = onnxruntime.InferenceSession(written, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"bands": block[None]})
    core = found[0, halo:-halo, halo:-halo]
    seen = np.isfinite(expected)
    assert not seen.all()
    np.testing.assert_allclose(core[seen], expected[seen], atol=onnx.TOLERANCE)


def test_one_file_holds_all(written: Path) -> None:
    assert {path.name for path in written.parent.iterdir()} == {"unet.onnx", "unet.json"}


def test_stac_model_reads_the_metadata(written: Path) -> None:
    from stac_model.schema import MLModelProperties

    raw = json.loads(written.with_suffix(".json").read_text(encoding="utf-8"))
    item = pystac.Item.from_dict(raw)
    assert onnx.MLM in item.stac_extensions
    told = MLModelProperties.model_validate(
        {k.removeprefix("mlm:"): v for k, v in raw["properties"].items() if k.startswith("mlm:")}
    )
    assert [band.name for band in told.input[0].bands] == list(base.card(WEIGHTS).bands)
    assert told.input[0].input.shape[1] == 2
    assert item.assets["model"].roles == ["mlm:model"]
    assert (written.parent / item.assets["model"].href).exists()


def test_further_bands_have_their_units() -> None:
    told = onnx.item(make_card(2, 4, ("preVV", "dNBR")), Path("x.onnx"), datetime(2026, 1, 1, tzinfo=UTC))
    assert told["properties"]["lsbatch:units"] == {"preVV": "dB", "dNBR": "1"}


def test_what_cannot_be_written(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tmp_path / "tree.safetensors"
    dice = np.random.default_rng(0)
    classes = np.array(["landslide", "forest"] * 20)
    cards.save(tree, cart.fit(dice.normal(size=(40, 2)), classes, 0), cart.card(("preVV", "postVV")))
    with pytest.raises(ModelError, match="only a unet can be written"):
        onnx.to_onnx(tree, tmp_path / "t.onnx")
    monkeypatch.setattr(onnx, "_difference", lambda *_: 0.5)
    with pytest.raises(ModelError, match=r"differs from torch by 5\.0e-01"):
        onnx.to_onnx(weights, tmp_path / "u.onnx")
    assert not list(tmp_path.glob("*.onnx")), "a file that is wrong is not left"


def test_commands(tmp_path: Path) -> None:
    listed = CliRunner().invoke(app, ["models"])
    assert listed.exit_code == 0, listed.output
    for name in ("unet", "cart", "tehrani", "prakash", "s1vv_apart_s2", "package:unet-s1vv_s2"):
        assert name in listed.stdout
    done = programs.run("export", "package:unet-s1vv", str(tmp_path / "u.onnx"))
    assert done.returncode == 0, done.stderr
    assert "differ by" in done.stdout
    # in this process, which has the exporter already
    package = CliRunner().invoke(app, ["export", "package:unet-s1vv", str(tmp_path / "u.dlpk")])
    assert package.exit_code == 0, package.output
    assert (tmp_path / "u.dlpk").is_file()
    other = programs.run("export", "package:unet-s1vv", str(tmp_path / "u.tif"))
    assert other.returncode == 2
    assert other.stderr == f"lsbatch: {tmp_path / 'u.tif'}: the name of the output must end in .onnx or .dlpk\n"
    wrong = programs.run("export", "package:none", str(tmp_path / "v.onnx"))
    assert wrong.returncode == 2
    assert "the packaged weights are package:" in wrong.stderr
    assert "package:unet-s1vv_s2" in wrong.stderr


def test_temperature_moves_probabilities_and_no_decision(tmp_path: Path) -> None:
    of = base.card(WEIGHTS)
    warm = tmp_path / "warm.safetensors"
    cards.save(warm, cards.arrays(WEIGHTS), cards.replace(of, network={**of.network, "temperature": 2.0}))
    block = np.random.default_rng(1).normal(-11, 3, (2, 32 + 2 * of.halo_px, 32 + 2 * of.halo_px)).astype(np.float32)
    bands = dict(zip(of.bands, block, strict=True))
    cold, found = (base.answer(path, bands, of.halo_px, PredictSettings(device="cpu")) for path in (WEIGHTS, warm))
    unsure = (cold > 1e-3) & (cold < 1 - 1e-3)
    assert unsure.mean() > 0.3
    raw = [torch.logit(torch.from_numpy(values[unsure])) for values in (found, cold)]
    np.testing.assert_allclose(raw[0] * 2, raw[1], atol=2e-3)
    np.testing.assert_array_equal(found >= 0.5, cold >= 0.5)
