"""The decision tree: learned by scikit-learn, walked by us."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

from lsbatch.errors import ModelError, NoDataError
from lsbatch.kernels import decision_trees
from lsbatch.models import base, cards, cart
from lsbatch.settings import PredictSettings

NAMES = np.array(["landslide", "forest", "water", "farmland", "snow", "built", "bare rock", "scrub"])
BANDS = ("preVV", "postVV", "dNDVI")


def _points(seed: int, count: int = 130) -> tuple[np.ndarray, np.ndarray]:
    dice = np.random.default_rng(seed)
    classes = NAMES[np.arange(count) % len(NAMES)]
    # rounded, so that many values are equal to a threshold or to each other
    samples = dice.normal(0, 1, (count, len(BANDS))).round(1)
    samples[classes == "landslide", 2] -= 2
    return samples.astype(np.float32), classes


@pytest.mark.parametrize("seed", range(5))
def test_walk_equals_scikit_learn(seed: int) -> None:
    samples, classes = _points(seed)
    tree = DecisionTreeClassifier(random_state=seed).fit(samples, classes)
    dice = np.random.default_rng(seed + 100)
    # thresholds lie half way between rounded values: on them, beside them by one step of float32, and between
    edge = np.float32(tree.tree_.threshold[tree.tree_.feature >= 0])
    near = np.concatenate(
        [edge, np.nextafter(edge, np.float32(9)), np.nextafter(edge, np.float32(-9)), samples.ravel()]
    )
    pixels = dice.choice(near, (5000, len(BANDS)))
    found = decision_trees.walk(np.ascontiguousarray(pixels.T), **cart.as_arrays(tree))
    np.testing.assert_array_equal(found == 1, tree.predict(pixels) == "landslide")


def test_fit_is_the_default_tree_on_whole_points() -> None:
    samples, classes = _points(1)
    samples[3] = np.nan
    samples[5, 1] = np.inf
    whole = np.isfinite(samples).all(axis=1)
    expected = cart.as_arrays(DecisionTreeClassifier(random_state=7).fit(samples[whole], classes[whole]))
    for name, value in cart.fit(samples, classes, seed=7).items():
        np.testing.assert_array_equal(value, expected[name])


def test_points_that_say_nothing_are_refused() -> None:
    samples, classes = _points(2)
    for chosen in (classes == "landslide", classes != "landslide", np.arange(len(classes)) < 10):
        with pytest.raises(NoDataError, match="cart needs"):
            cart.fit(samples[chosen], classes[chosen], seed=0)
    with pytest.raises(NoDataError, match="there are 0 of 130"):
        cart.fit(np.full_like(samples, np.nan), classes, seed=0)


def test_a_file_answers_as_the_tree(tmp_path: Path) -> None:
    samples, classes = _points(3)
    path = tmp_path / "cart.safetensors"
    cards.save(path, cart.fit(samples, classes, seed=0), cart.card(BANDS, settings={"seed": 0}))
    dice = np.random.default_rng(4)
    bands = {name: dice.normal(0, 1.5, (40, 30)).astype(np.float32) for name in BANDS}
    bands["postVV"][:5] = np.nan
    found = base.answer(path, bands, 0, PredictSettings())
    tree = DecisionTreeClassifier(random_state=0).fit(samples, classes)
    pixels = np.stack([bands[name][5:] for name in BANDS], axis=-1).reshape(-1, 3)
    expected = (tree.predict(pixels) == "landslide").reshape(35, 30)
    assert np.isnan(found[:5]).all()
    np.testing.assert_array_equal(found[5:] == 1, expected)
    assert set(np.unique(found[5:])) == {0.0, 1.0}


TREE: dict[str, np.ndarray] = {
    "feature": np.array([0, -2, -2], np.int32),
    "threshold": np.array([0.5, -2.0, -2.0]),
    "left": np.array([1, -1, -1], np.int32),
    "right": np.array([2, -1, -1], np.int32),
    "answer": np.array([0, 0, 1], np.float32),
}
NO_TREES: dict[str, dict[str, np.ndarray]] = {
    "a node that is its own child": {"left": np.array([0, -1, -1], np.int32)},
    "a circle": {"left": np.array([1, 0, -1], np.int32), "right": np.array([2, 0, -1], np.int32)},
    "a child beyond the arrays": {"right": np.array([10**9, -1, -1], np.int32)},
    "a child before the arrays": {"right": np.array([-7, -1, -1], np.int32)},
    "a band beyond those of the card": {"feature": np.array([1, -2, -2], np.int32)},
    "a band before them": {"feature": np.array([-2, -2, -2], np.int32)},
    "arrays of other lengths": {"answer": np.zeros(2, np.float32)},
    "no node": {name: value[:0] for name, value in TREE.items()},
    "fractions as children": {"left": np.array([1.0, -1.0, -1.0])},
    "more arrays": {"more": np.zeros(3, np.float32)},
}


@pytest.mark.parametrize("changes", NO_TREES.values(), ids=NO_TREES)
def test_arrays_that_are_no_tree_are_refused(changes: dict[str, np.ndarray], tmp_path: Path) -> None:
    """Walking them would read memory of others, or never end."""
    path = tmp_path / "cart.safetensors"
    block = np.array([[[0.0, 1.0]]], np.float32)
    cards.save(path, TREE, cart.card(("dNDVI",)))
    assert cart.answer(path, block).tolist() == [[0.0, 1.0]]
    cards.save(path, {**TREE, **changes}, cart.card(("dNDVI",)))
    with pytest.raises(ModelError, match="are no decision tree"):
        cart.answer(path, block)
