"""A training that is stopped and resumed gives the same weights, bit for bit, as one in a single run."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from lsbatch.models.training import chip_dataset, chips, trainer
from lsbatch.models.training.learner import Learner
from lsbatch.models.training.spatial_split import Source
from tests.models import discs


class _KilledError(Exception):
    """The process would end here."""


def _killer(epoch: int) -> Callable[[str], None]:
    """Fail when an epoch is reported, which is before its checkpoint."""

    def kill(line: str) -> None:
        if line.startswith(f"epoch {epoch:3d}"):
            raise RuntimeError("killed")

    return kill


def _has_same_end(out: Path, other: Path) -> bool:
    """Whether two trainings have the same network after their last epoch. The weights are those of the best epoch."""
    ours, theirs = (
        torch.load(each.with_name(f"{each.stem}-training") / "last.ckpt", weights_only=True)["state_dict"]
        for each in (out, other)
    )
    return set(ours) == set(theirs) and all(torch.equal(value, theirs[name]) for name, value in ours.items())


def _epochs(out: Path) -> list[int]:
    return [int(row["epoch"]) for row in discs.log(out)]


@pytest.mark.parametrize("changes", [{}, {"accumulate": 3}], ids=str)
def test_killed_in_each_epoch(disc_source: Source, tmp_path: Path, changes: dict[str, object]) -> None:
    config = discs.config(epochs=3, **changes)
    whole = discs.fit(disc_source, config, tmp_path / "whole.safetensors")
    out = tmp_path / "parts.safetensors"
    for epoch in range(config.train.epochs):
        with pytest.raises(RuntimeError, match="killed"):
            discs.fit(disc_source, config, out, _killer(epoch))
    lines: list[str] = []
    assert discs.fit(disc_source, config, out, lines.append).checksum == whole.checksum
    assert _has_same_end(out, tmp_path / "whole.safetensors")
    # only the last epoch was repeated, and the log has each of them once
    assert [line[:9] for line in lines if line.startswith("epoch")] == ["epoch   2"]
    assert _epochs(out) == _epochs(tmp_path / "whole.safetensors") == [0, 1, 2]
    for ours, theirs in zip(discs.log(out), discs.log(tmp_path / "whole.safetensors"), strict=True):
        assert {**ours, "seconds": ""} == {**theirs, "seconds": ""}


def test_killed_in_the_middle_of_epochs(disc_source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = discs.config(accumulate=2, epochs=3)
    whole = discs.fit(disc_source, config, tmp_path / "whole.safetensors")
    step, calls = Learner.training_step, iter(range(1000))

    def failing(self: Learner, batch: object, index: int) -> torch.Tensor:
        # in the first, the second and the third epoch, of ten batches each; a resumed run repeats the epoch
        if next(calls) in (3, 17, 33):
            raise _KilledError
        return step(self, batch, index)

    monkeypatch.setattr(Learner, "training_step", failing)
    out, killed = tmp_path / "parts.safetensors", 0
    while not out.exists():
        try:
            found = discs.fit(disc_source, config, out)
        except _KilledError:
            killed += 1
    assert killed == 3
    assert found.checksum == whole.checksum
    assert _has_same_end(out, tmp_path / "whole.safetensors")


def test_killed_after_it_stopped_early(disc_source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resumed, it must not train another epoch, which could be a better one."""
    # its first epoch is the best: the learning rate is too high for a better one
    config = discs.config(epochs=12, patience=1, learning_rate=1.0)
    whole = discs.fit(disc_source, config, tmp_path / "whole.safetensors")
    epochs = _epochs(tmp_path / "whole.safetensors")
    assert len(epochs) < 12
    finished, out = trainer._finished, tmp_path / "parts.safetensors"

    def failing(*_: object) -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr(trainer, "_finished", failing)
    with pytest.raises(RuntimeError, match="killed"):
        discs.fit(disc_source, config, out)
    monkeypatch.setattr(trainer, "_finished", finished)
    lines: list[str] = []
    assert discs.fit(disc_source, config, out, lines.append).checksum == whole.checksum
    assert _epochs(out) == epochs
    assert not [line for line in lines if line.startswith("epoch")]


@pytest.fixture
def cut(disc_source: Source, tmp_path: Path) -> chips.Chips:
    """Chips of the country."""
    return chips.collect([disc_source], ("preVV", "postVV", "dNDVI"), discs.TRAIN, tmp_path)


def _loader(cut: chips.Chips, seed: int) -> DataLoader[tuple[torch.Tensor, ...]]:
    names = ("preVV", "postVV", "dNDVI")
    settings = discs.TRAIN.model_copy(update={"seed": seed})
    stats = np.zeros(3), np.ones(3)
    return chip_dataset.loaders(cut, stats, chip_dataset.turns(names), settings, lambda raw: raw)["train"]


def _epoch(loader: DataLoader[tuple[torch.Tensor, ...]], epoch: int) -> torch.Tensor:
    assert isinstance(loader.sampler, chip_dataset.EpochOrder)
    loader.sampler.set_epoch(epoch)
    return torch.cat([values for values, _, _ in loader])


def test_an_epoch_depends_on_seed_and_number_alone(cut: chips.Chips) -> None:
    loader = _loader(cut, 0)
    first, second = _epoch(loader, 0), _epoch(loader, 1)
    assert not torch.equal(first, second)
    assert torch.equal(_epoch(_loader(cut, 0), 1), second)
    assert torch.equal(_epoch(loader, 0), first)
    assert not torch.equal(_epoch(_loader(cut, 1), 0), first)


def test_an_epoch_has_each_chip_once(cut: chips.Chips) -> None:
    """Turns keep the sum of a chip."""
    expected = np.sort(np.nan_to_num(cut.values[cut.of("train")]).astype(np.float64).sum(axis=(1, 2, 3)))
    for epoch in (0, 1):
        found = _epoch(_loader(cut, 0), epoch).double().sum(dim=(1, 2, 3)).numpy()
        np.testing.assert_allclose(np.sort(found), expected, rtol=1e-5)


def test_workers_of_the_loader_change_nothing(cut: chips.Chips) -> None:
    loader = _loader(cut, 0)
    other = DataLoader(loader.dataset, batch_size=loader.batch_size, sampler=loader.sampler, num_workers=2)
    assert torch.equal(_epoch(other, 1), _epoch(loader, 1))
