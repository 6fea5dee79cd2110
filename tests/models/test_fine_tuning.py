"""Fine-tuning: what is taken from the weights, what is frozen, and what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lsbatch import settings
from lsbatch.errors import ConfigError, LsbatchError, ModelError
from lsbatch.models import cards, ensembles, families, prakash, unet
from lsbatch.models.family import NetworkRecipe
from lsbatch.models.training import fine_tuning
from lsbatch.models.training.chips import Chips
from lsbatch.models.training.learner import Learner
from lsbatch.models.training.public_sets.chip_folder import PHYSICAL, STANDARDISED
from lsbatch.models.training.spatial_split import Source
from tests.models import discs
from tests.models.conftest import make_card, make_network


@pytest.fixture(scope="module")
def start(disc_source: Source, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of depth 2 and width 8."""
    out = tmp_path_factory.mktemp("start") / "start.safetensors"
    discs.fit(disc_source, discs.config(), out)
    return out


def test_frozen_levels_keep_their_weights(disc_source: Source, start: Path, tmp_path: Path) -> None:
    """Bit for bit, with the statistics of their batch norm; all other levels learn."""
    out = tmp_path / "tuned.safetensors"
    card = discs.fit(disc_source, discs.config(epochs=1, freeze_levels=2), out, start=start)
    before, after = cards.arrays(start), cards.arrays(out)
    assert set(before) == set(after)
    frozen = {name for name in before if name.startswith(("down.0.", "down.1."))}
    assert {name for name in before if np.array_equal(before[name], after[name])} == frozen
    assert any("running_mean" in name for name in frozen)
    assert card.made_by["frozen_levels"] == 2
    assert card.made_by["started_from"] == {"file": "start.safetensors", "checksum": cards.card(start).checksum}


def test_it_begins_where_the_weights_ended(disc_source: Source, start: Path, tmp_path: Path) -> None:
    """With one epoch, at a low rate, it is as good as its start; from random weights it is not."""
    changes = {"epochs": 1, "learning_rate": 1e-4}
    card = discs.fit(disc_source, discs.config(**changes), tmp_path / "tuned.safetensors", start=start)
    other = discs.fit(disc_source, discs.config(**changes), tmp_path / "random.safetensors")
    before = cards.card(start).scores["validation"]["mcc"]
    assert card.scores["validation"]["mcc"] == pytest.approx(before, abs=0.05)
    assert (other.scores["validation"]["mcc"] or 0) < before - 0.2
    assert "started_from" not in other.made_by


def test_the_structure_is_that_of_the_weights(start: Path) -> None:
    config, lines = discs.config(depth=3, width=4, dropout=0.3), []
    found = fine_tuning.adopted(config, start, lines.append)
    assert (found.train.depth, found.train.width, found.train.dropout) == (2, 8, 0.3)
    assert lines == ["start.safetensors has depth 2 and width 8; the settings have depth 3 and width 4, not used"]
    assert found.model_copy(update={"train": config.train}) == config
    # nothing to tell
    assert fine_tuning.adopted(discs.config(), start, lines.append) == discs.config()
    assert len(lines) == 1


@pytest.mark.parametrize(("made_by", "kept"), [({}, True), ({"units": "standardised"}, False)])
def test_the_normalisation_is_that_of_the_weights(
    disc_source: Source, start: Path, tmp_path: Path, made_by: dict[str, str], kept: bool
) -> None:
    """Unless they learned from standardised values."""
    other = tmp_path / "other.safetensors"
    unlike = replace(cards.card(start), means=(1.0, 2.0, 3.0), stds=(4.0, 5.0, 6.0), made_by=made_by)
    cards.save(other, cards.arrays(start), replace(unlike, applicability=None))
    card = discs.fit(disc_source, discs.config(epochs=1), tmp_path / "tuned.safetensors", start=other)
    expected = unlike if kept else cards.card(start)
    assert (card.means, card.stds) == (expected.means, expected.stds)


def test_a_training_from_other_weights_is_not_resumed(disc_source: Source, start: Path, tmp_path: Path) -> None:
    other, out = tmp_path / "other.safetensors", tmp_path / "tuned.safetensors"
    arrays = {name: value * np.float16(1.5) for name, value in cards.arrays(start).items()}
    cards.save(other, arrays, replace(cards.card(start), applicability=None))

    def kill(line: str) -> None:
        if line.startswith("epoch   1"):
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        discs.fit(disc_source, discs.config(epochs=2), out, kill, start=start)
    lines: list[str] = []
    discs.fit(disc_source, discs.config(epochs=2), out, lines.append, start=other)
    assert [line[:9] for line in lines if line.startswith("epoch")] == ["epoch   0", "epoch   1"]


def _family(name: str) -> settings.Config:
    config = discs.config()
    return config.model_copy(update={"model": config.model.model_copy(update={"family": name})})


@pytest.mark.parametrize(
    ("config", "error", "says"),
    [
        (
            discs.config().model_copy(update={"bands": "s2"}),
            ModelError,
            "bands preVV, postVV, dNDVI, the settings have",
        ),
        (_family("prakash"), ModelError, "are of family 'unet' and cannot start a training of 'prakash'"),
        (_family("cart"), ConfigError, "--from is for networks"),
        (discs.config(freeze_levels=4), ConfigError, r"freeze_levels = 4: the encoder of this network has 3 levels"),
        (discs.config(chip_px=66), ConfigError, r"train.chip_px = 66 must be a multiple of 2\^train.depth = 4"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    start: Path, config: settings.Config, error: type[LsbatchError], says: str
) -> None:
    with pytest.raises(error, match=says):
        fine_tuning.adopted(config, start)


def test_freezing_random_weights_is_refused() -> None:
    with pytest.raises(ConfigError, match="name the weights with --from"):
        fine_tuning.adopted(discs.config(freeze_levels=1), None)
    assert fine_tuning.adopted(discs.config(), None) == discs.config()


@pytest.mark.parametrize("network", [{}, {"depth": 2, "width": "wide"}, {"depth": 99, "width": 8}])
def test_a_card_without_a_sound_structure_is_refused(start: Path, tmp_path: Path, network: dict[str, object]) -> None:
    path = tmp_path / "odd.safetensors"
    odd = replace(cards.card(start), network=network, applicability=None)
    cards.save(path, cards.arrays(start), odd)
    with pytest.raises(LsbatchError, match=r"odd\.safetensors"):
        fine_tuning.adopted(discs.config(), path)


def test_arrays_of_another_structure_are_refused(disc_source: Source, start: Path, tmp_path: Path) -> None:
    path = tmp_path / "odd.safetensors"
    cards.save(path, cards.arrays(start), replace(cards.card(start), network={"depth": 2, "width": 4, "dropout": 0}))
    with pytest.raises(ModelError, match="do not fit their card"):
        discs.fit(disc_source, discs.config(epochs=1), tmp_path / "tuned.safetensors", start=path)


@pytest.mark.parametrize(("name", "count"), [("unet", 5), ("prakash", 5)])
def test_every_parameter_of_the_encoder_is_in_one_level(name: str, count: int) -> None:
    recipe = families.FAMILIES[name].training
    assert isinstance(recipe, NetworkRecipe)
    network = recipe.build(len(prakash.BANDS), settings.TrainSettings(width=4))
    levels = recipe.levels(network)
    found = [id(each) for level in levels for each in level.parameters()]
    assert len(levels) == count
    assert len(found) == len(set(found))
    decoder = ("up", "rise", "last", "heads")
    expected = [id(each) for key, each in network.named_parameters() if key.split(".")[0] not in decoder]
    assert set(found) == set(expected)


def test_a_frozen_level_is_left_alone_by_a_step() -> None:
    """Of the three streams: weights and statistics of the first level stay, those of the others change."""
    recipe = families.FAMILIES["prakash"].training
    assert isinstance(recipe, NetworkRecipe)
    of = settings.TrainSettings(width=4)
    torch.manual_seed(0)
    network = recipe.build(len(prakash.BANDS), of)
    learner = Learner(network, of, 2.0, 10, frozen=recipe.levels(network)[:1]).train()
    optimizer = torch.optim.AdamW(learner.parameters(), lr=0.1, weight_decay=0.1)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    values = torch.randn(2, len(prakash.BANDS), 64, 64)
    batch = values, (values[:, 0] > 0).float(), torch.ones(2, 64, 64)
    learner.on_train_batch_start(batch, 0)
    learner.training_step(batch, 0).backward()
    optimizer.step()
    after = network.state_dict()
    same = {name for name, value in before.items() if torch.equal(value, after[name])}
    assert same == {name for name in before if name.startswith(("stems.", "fine."))}


def test_members_start_from_the_members_of_an_ensemble(tmp_path: Path) -> None:
    """Of the same number; where there are fewer, from the first again."""
    networks = [make_network(2, 4, seed) for seed in (1, 2)]
    path = tmp_path / "ensemble.safetensors"
    arrays = ensembles.joined([unet.state(network, np.float32) for network in networks])
    cards.save(path, arrays, ensembles.described(make_card(2, 4), 2))
    for number in range(3):
        begun = make_network(2, 4, seed=9)
        fine_tuning.restore(begun, path, number)
        expected = networks[number % 2].state_dict()
        assert all(torch.equal(value, expected[name]) for name, value in begun.state_dict().items())


def test_values_of_other_units_need_their_own_statistics(tmp_path: Path) -> None:
    """A set without physical units teaches weights of such sets only, with the statistics of its chips."""
    recipe = families.FAMILIES["unet"].training
    assert isinstance(recipe, NetworkRecipe)
    empty = np.empty(0)
    sums = np.array([[10.0] * 3, [20.0] * 3, [130.0] * 3])
    paths = {}
    for units in (PHYSICAL, STANDARDISED):
        paths[units] = tmp_path / f"{units}.safetensors"
        card = replace(make_card(2, 4), made_by={"units": units})
        cards.save(paths[units], unet.state(make_network(2, 4)), card)
    of_surveys, of_a_set = (
        Chips(empty, empty, empty, sums, empty, ({"name": "Landslide4Sense"},), units)
        for units in (PHYSICAL, STANDARDISED)
    )
    means, stds = fine_tuning.statistics(paths[PHYSICAL], recipe, of_surveys)
    assert (tuple(means), tuple(stds)) == (make_card(2, 4).means, make_card(2, 4).stds)
    for chips in (of_surveys, of_a_set):
        means, stds = fine_tuning.statistics(paths[STANDARDISED], recipe, chips)
        np.testing.assert_allclose((means, stds), ([2.0] * 3, [3.0] * 3))
    with pytest.raises(ConfigError, match="values in physical units, which the set Landslide4Sense does not have"):
        fine_tuning.statistics(paths[PHYSICAL], recipe, of_a_set)
