"""A training in two processes on a CPU: the same network in both, all chips used, one log, one set of weights."""

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st

from lsbatch.models import base
from lsbatch.models.training import chip_dataset, chips, processes
from lsbatch.models.training.spatial_split import Source
from tests.models import discs


@pytest.mark.slow
def test_two_processes_learn_together(disc_source: Source, tmp_path: Path) -> None:
    """It learns, and twice gives the same bits."""
    config = discs.config(devices=2, batch=2, epochs=4)
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    lines: list[str] = []
    card = discs.fit(disc_source, config, first, lines.append)
    assert card.scores["test"]["mcc"] > 0.5
    # the lines come from another process, each once
    assert [line[:9] for line in lines if line.startswith("epoch")] == [f"epoch   {k}" for k in range(4)]
    assert [int(row["epoch"]) for row in discs.log(first)] == [0, 1, 2, 3]
    state = torch.load(tmp_path / "first-training" / "last.ckpt", weights_only=True)
    # 40 chips, 20 a process, 2 a batch
    assert state["global_step"] == 4 * 10
    again = discs.fit(disc_source, config, second)
    assert again.checksum == card.checksum
    assert base.card(first).settings["devices"] == 2


class _Group:
    """A group of processes for `torch.distributed`, as one of them sees it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, rank: int, size: int) -> None:
        monkeypatch.setattr(dist, "is_initialized", lambda: True)
        monkeypatch.setattr(dist, "get_rank", lambda: rank)
        monkeypatch.setattr(dist, "get_world_size", lambda: size)


@given(st.integers(1, 50), st.integers(1, 7), st.integers(0, 3))
def test_processes_share_an_epoch(many: int, size: int, epoch: int) -> None:
    """Parts of equal length; all chips are used; at most one less than the number of processes is used twice."""
    order = chip_dataset.EpochOrder(many, 5)
    order.set_epoch(epoch)
    parts = []
    with pytest.MonkeyPatch.context() as patch:
        for rank in range(size):
            _Group(patch, rank, size)
            parts.append(list(order))
            assert len(parts[-1]) == len(order)
    used = np.concatenate(parts)
    assert set(used.tolist()) == set(range(epoch * many, (epoch + 1) * many))
    assert len(used) - many < size


def test_chips_are_sent_as_the_name_of_their_folder(disc_source: Source, tmp_path: Path) -> None:
    cut = chips.collect([disc_source], ("preVV", "postVV", "dNDVI"), discs.TRAIN, tmp_path)
    text = pickle.dumps(cut)
    assert len(text) < 1000
    again = pickle.loads(text)
    assert isinstance(again.values, np.memmap)
    for name in ("values", "truth", "share", "sums", "blocks"):
        np.testing.assert_array_equal(getattr(again, name), getattr(cut, name))
    assert copy.copy(cut).of("train").tolist() == cut.of("train").tolist()


def test_lines_of_other_processes_are_passed_on() -> None:
    lines: list[str] = []
    with processes.relayed(lines.append, 2) as report:
        assert report != lines.append
        report("one")
        report("two")
    assert lines == ["one", "two"]
    with processes.relayed(lines.append, 1) as report:
        assert report == lines.append
