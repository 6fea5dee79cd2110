"""Options of a training: steps, number format, weight of the classes, logs, learning rate finder, and digests."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lsbatch import settings
from lsbatch.errors import ConfigError, NoDataError
from lsbatch.models.training import chips, preparation, processes, rate_finder, trainer
from lsbatch.models.training.spatial_split import Source
from tests.models import discs


@pytest.mark.parametrize("accumulate", [1, 3])
def test_the_schedule_has_as_many_steps_as_the_training(disc_source: Source, tmp_path: Path, accumulate: int) -> None:
    """40 chips are 10 batches of 4: 10 or 4 steps an epoch."""
    out = tmp_path / "unet.safetensors"
    config = discs.config(accumulate=accumulate, epochs=2)
    lines: list[str] = []
    discs.fit(disc_source, config, out, lines.append)
    assert lines[0].startswith("Chips: 40 train")
    taken = torch.load(tmp_path / "unet-training" / "last.ckpt", weights_only=True)["global_step"]
    assert taken == {1: 20, 3: 8}[accumulate]
    # the learning rate would be 0 after one step more
    assert preparation.optimiser_steps(40, config.train) == taken + 1


@given(st.integers(1, 200), st.integers(1, 16), st.integers(1, 9), st.integers(1, 4))
def test_steps_of_an_epoch_are_counted(many: int, batch: int, accumulate: int, devices: int) -> None:
    of = discs.TRAIN.model_copy(update={"batch": batch, "accumulate": accumulate, "devices": devices, "epochs": 1})
    # the first device has the most chips
    own = list(range(many))[::devices]
    batches = [own[at : at + batch] for at in range(0, len(own), batch)]
    steps = len(range(0, len(batches), accumulate))
    assert preparation.optimiser_steps(many, of) == steps + 1


def test_the_number_format_is_that_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"float32": "32-true", "bfloat16": "bf16-mixed"}
    for name, theirs in names.items():
        assert trainer.precision(discs.TRAIN.model_copy(update={"precision": name})) == theirs
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for has_amx, name in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda has_amx=has_amx: has_amx)
        assert trainer.precision(discs.TRAIN) == names[name]


@pytest.mark.parametrize("weight", [None, 2.5])
def test_the_weight_of_landslides_is_told(disc_source: Source, tmp_path: Path, weight: float | None) -> None:
    lines: list[str] = []
    config = discs.config(epochs=1, positive_weight=weight)
    card = discs.fit(disc_source, config, tmp_path / "unet.safetensors", lines.append)
    cut = chips.collect([disc_source], config.inputs, config.train, tmp_path / "chips", 24)
    share = (cut.truth[cut.of("train")] == 1).mean()
    expected = np.sqrt((1 - share) / share) if weight is None else weight
    assert card.made_by["positive_weight"] == pytest.approx(expected)
    assert f"landslide {share:.2%} of the training pixels, weight {expected:.1f}" in lines[0]


@given(st.floats(0, 1))
def test_the_measured_weight_is_bounded(share: float) -> None:
    assert 1 <= preparation.positive_weight(discs.TRAIN, share) <= preparation.LARGEST_WEIGHT


def test_more_devices_than_there_are_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def of(devices: int) -> settings.TrainSettings:
        return discs.TRAIN.model_copy(update={"devices": devices})

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert [processes.count(of(devices)) for devices in (0, 1, 2)] == [1, 1, 2]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [processes.count(of(devices)) for devices in (0, 1, 2)] == [2, 1, 2]
    with pytest.raises(ConfigError, match=r"train\.devices = 3: this machine has 2 GPUs"):
        processes.count(of(3))


def test_defaults_do_not_change_digests() -> None:
    """The digest that version 0.1.0 had before these settings."""
    assert settings.digest([settings.TrainSettings()]) == "c4d082528290759b"
    changed = {"accumulate": 2, "devices": 0, "precision": "float32", "positive_weight": 2.0, "log": "tensorboard"}
    digests = {settings.digest([settings.TrainSettings(**{name: value})]) for name, value in changed.items()}
    assert len(digests) == len(changed)
    assert settings.digest([settings.TrainSettings()]) not in digests


def test_a_log_for_tensorboard_needs_its_package(
    disc_source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"train\.log = tensorboard: needs the package tensorboard"):
        discs.fit(disc_source, discs.config(log="tensorboard"), tmp_path / "unet.safetensors")


def test_tensorboard_shows_what_the_csv_has(disc_source: Source, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra lsbatch[tensorboard] is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = tmp_path / "unet.safetensors"
    discs.fit(disc_source, discs.config(log="tensorboard", epochs=2), out)
    found = EventAccumulator(str(tmp_path / "unet-training" / "tensorboard")).Reload()
    rows = discs.log(out)
    assert len(rows) == 2
    for name in ("train_loss", "validation_loss", "validation_mcc", "validation_f1"):
        ours = [(int(row["epoch"]), float(row[name])) for row in rows if row[name]]
        # TensorBoard keeps float32; Lightning logs the score for early stopping too, by step
        theirs = {(each.step, round(each.value, 4)) for each in found.Scalars(name)}
        assert ours
        assert {(epoch, round(value, 4)) for epoch, value in ours} <= theirs


def test_a_learning_rate_is_found(disc_source: Source, tmp_path: Path) -> None:
    out = tmp_path / "model" / "unet.safetensors"
    rate = rate_finder.find_rate(discs.job(disc_source, discs.config(), out))
    assert 1e-4 < rate < 0.5
    assert list(out.parent.iterdir()) == []


@given(st.floats(-4, -1), st.floats(0.1, 2))
def test_the_rate_is_where_the_loss_falls_fastest(middle: float, height: float) -> None:
    rates = np.logspace(-6, 0, 200)
    losses = height / (1 + np.exp(4 * (np.log10(rates) - middle)))
    # beyond, the training diverges
    found = rate_finder.steepest(np.append(rates, [2.0, 3.0]), np.append(losses, [50.0, np.nan]))
    assert np.log10(found) == pytest.approx(middle, abs=0.04)


@pytest.mark.parametrize("losses", [[1.0, 1.0, 1.0], [1.0, 2.0, 3.0], [1.0], []])
def test_no_rate_is_suggested_where_the_loss_never_falls(losses: list[float]) -> None:
    with pytest.raises(NoDataError, match="the loss falls at no learning rate"):
        rate_finder.steepest(np.logspace(-3, -2, 3)[: len(losses)], np.array(losses))
