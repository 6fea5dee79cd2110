"""Training, on a country of discs in noise that is learned in seconds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lsbatch.bands import STACK
from lsbatch.errors import ModelError
from lsbatch.models import base, cards
from lsbatch.models.family import TrainingJob
from lsbatch.models.training import trainer
from lsbatch.models.training.spatial_split import Source
from lsbatch.storage import cube
from tests.models import discs

TRAIN, _config, _fit, _log = discs.TRAIN, discs.config, discs.fit, discs.log


@pytest.fixture(scope="module")
def source(disc_source: Source) -> Source:
    """The country of discs."""
    return disc_source


@pytest.fixture(scope="module")
def trained(source: Source, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of one training."""
    out = tmp_path_factory.mktemp("trained") / "unet-s1vv_s2.safetensors"
    _fit(source, _config(), out)
    return out


def test_it_learns(trained: Path, source: Source) -> None:
    """On blocks that it never saw: a threshold on dNDVI alone reaches an MCC of 0.3."""
    card = base.card(trained)
    assert card.scores["test"]["mcc"] > 0.5
    counts = [card.scores["test"][name] for name in ("tp", "fp", "fn", "tn")]
    assert np.sum(card.scores["test"]["blocks"], axis=0).tolist() == counts
    assert 0 < sum(counts) <= 3 * 128 * 128


def test_the_best_epoch_is_kept(trained: Path) -> None:
    best = max(float(row["validation_mcc"]) for row in _log(trained))
    # float16 weights and float32 sums against bfloat16 sums
    assert base.card(trained).scores["validation"]["mcc"] == pytest.approx(best, abs=0.03)


def test_the_weights_answer_where_they_were_trained(trained: Path, source: Source) -> None:
    """Through the same path as a survey: a tile of the cube, exact tiling."""
    config, tile = _config(), source.tiles[3]
    card = base.card(trained)
    base.check(card, config)
    halo = base.halo_px(card, config.predict)
    bands = cube.read(source.store, source.grid, STACK, tile, halo, config.inputs)
    found = base.answer(trained, bands, halo, config.predict)
    truth = source.truth(tile)
    assert np.nanmean(found[truth]) > np.nanmean(found[~truth]) + 0.3


def test_the_card_says_how_it_came_about(trained: Path) -> None:
    card = base.card(trained)
    assert card.settings == TRAIN.model_dump()
    assert {k: card.network[k] for k in ("depth", "width", "dropout")} == {
        "depth": 2,
        "width": 8,
        "dropout": TRAIN.dropout,
    }
    assert 0.05 <= card.network["temperature"] <= 20
    assert "discs" in card.made_by["surveys"]
    assert card.stds[2] == pytest.approx(0.1, abs=0.03)
    assert set(card.scores) >= {"chips", "validation", "test"}


def test_a_log_and_a_picture_are_left_and_no_chips(trained: Path) -> None:
    folder = trained.with_name(f"{trained.stem}-training")
    assert [int(row["epoch"]) for row in _log(trained)] == [0, 1, 2, 3]
    assert (folder / "log.png").read_bytes().startswith(b"\x89PNG")
    assert not list(folder.glob("*.npy"))


def test_a_training_that_was_killed_goes_on(source: Source, tmp_path: Path) -> None:
    out = tmp_path / "unet.safetensors"

    def kill(line: str) -> None:
        if line.startswith("epoch   2"):
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        _fit(source, _config(), out, progress=kill)
    assert not out.exists()
    lines: list[str] = []
    _fit(source, _config(), out, progress=lines.append)
    epochs = [line.split()[1] for line in lines if line.startswith("epoch")]
    assert epochs == ["2", "3"]
    assert base.card(out).scores["test"]["mcc"] > 0.5


def test_the_same_seed_gives_the_same_weights(source: Source, tmp_path: Path) -> None:
    """Chips, their turns and order, the network's first weights and its dropout.

    On one kind of machine, bit for bit.
    """
    sums = [
        _fit(source, _config(epochs=2, seed=seed), tmp_path / f"{k}.safetensors").checksum
        for k, seed in enumerate((3, 3, 4))
    ]
    assert sums[0] == sums[1] != sums[2]


def test_another_setting_starts_anew(source: Source, tmp_path: Path) -> None:
    out = tmp_path / "unet.safetensors"

    def kill(line: str) -> None:
        if line.startswith("epoch   1"):
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        _fit(source, _config(epochs=2), out, progress=kill)
    lines: list[str] = []
    _fit(source, _config(epochs=1), out, progress=lines.append)
    assert [line.split()[1] for line in lines if line.startswith("epoch")] == ["0"]


def test_other_truth_starts_anew(source: Source, tmp_path: Path) -> None:
    """Answers of reviewers may come in between; the chips that were cut before do not have them."""
    out, config = tmp_path / "unet.safetensors", _config(epochs=2)

    def kill(line: str) -> None:
        if line.startswith("epoch   1"):
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        trainer.fit(TrainingJob((source,), config, out, "before", True), progress=kill)
    lines: list[str] = []
    job = TrainingJob((source,), config, out, "after", True, made_by={"reviewed": [{"survey": "a", "confirmed": 2}]})
    card = trainer.fit(job, progress=lines.append)
    assert [line.split()[1] for line in lines if line.startswith("epoch")] == ["0", "1"]
    assert card.made_by["learned"] == "after"
    assert card.made_by["reviewed"] == [{"survey": "a", "confirmed": 2}]


def test_what_train_says_is_its_own(source: Source, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """No advert, no hint on loader workers, no line about GPUs that are not there."""
    _fit(source, _config(epochs=1), tmp_path / "unet.safetensors")
    assert capfd.readouterr() == ("", "")


def test_trained_weights_for_other_bands_are_refused(trained: Path) -> None:
    other = _config().model_copy(update={"bands": "s1vv"})
    with pytest.raises(ModelError, match="trained for preVV, postVV, dNDVI"):
        base.check(base.card(trained), other)
    assert replace(base.card(trained), checksum="") == replace(cards.card(trained), checksum="")
