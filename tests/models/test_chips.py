"""Chips: what is cut, what is dealt to whom, and that nothing leaks."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lsbatch.bands import STACK, knows_look_direction, mirrored
from lsbatch.errors import NoDataError
from lsbatch.grid import Grid, Tile
from lsbatch.models.training import chip_dataset, chips, spatial_split
from lsbatch.settings import TrainSettings
from lsbatch.storage import cube

SIDE, TILE = 512, 256
NAMES = ("preVV", "postVV", "dNDVI")
SETTINGS = TrainSettings(chip_px=64, stride_px=32, block_px=128, depth=2, width=4, empty_share=0.5, seed=3)


def _truth() -> np.ndarray:
    dice, (rows, cols) = np.random.default_rng(1), np.mgrid[:SIDE, :SIDE]
    found = np.zeros((SIDE, SIDE), bool)
    for row, col in dice.integers(0, SIDE, (25, 2)):
        found |= (rows - row) ** 2 + (cols - col) ** 2 < 36
    return found


TRUTH = _truth()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> spatial_split.Source:
    """Two by two tiles whose preVV is the pixel's row and whose postVV is its column, in dB of the store's range."""
    grid = Grid.snapped("EPSG:25833", 10, TILE, (0, 0, SIDE * 10, SIDE * 10))
    store = tmp_path_factory.mktemp("cube") / "cube.zarr"
    store.mkdir()
    cube.create(store, grid, STACK)
    rows, cols = (a.astype(np.float32) / 4 for a in np.mgrid[:SIDE, :SIDE])
    bands = {"preVV": rows, "postVV": cols, "dNDVI": -0.5 * TRUTH.astype(np.float32)}
    bands["preVV"][300:330, 300:330] = np.nan
    for tile in grid.tiles():
        empty = {band.name: np.full((TILE, TILE), np.nan if band.scale else 0) for band in STACK.bands}
        cube.write(store, STACK, tile, empty | {name: band[tile.region] for name, band in bands.items()})
    return spatial_split.Source("toy", store, grid, grid.tiles(), truth_of(grid))


def truth_of(grid: Grid) -> Callable[[Tile], np.ndarray]:
    """Truth of any geobox of the lattice, as `runs.source` gives it."""

    def truth(tile: Tile) -> np.ndarray:
        box, whole = tile.geobox.boundingbox, grid.geobox.boundingbox
        row, col = (round(d / grid.resolution_m) + SIDE for d in (whole.top - box.top, box.left - whole.left))
        rows, cols = tile.geobox.shape
        return np.pad(TRUTH, SIDE)[row : row + rows, col : col + cols]

    return truth


@pytest.fixture(scope="module")
def cut(source: spatial_split.Source, tmp_path_factory: pytest.TempPathFactory) -> chips.Chips:
    """Chips of the country."""
    return chips.collect([source], NAMES, SETTINGS, tmp_path_factory.mktemp("chips"))


def _places(cut: chips.Chips, split: str) -> list[tuple[int, int]]:
    """First row and column of each chip, read from its own pixels."""
    found = []
    for k in cut.of(split):
        rows, cols = cut.values[k, 0] * 4, cut.values[k, 1] * 4
        found.append((round(float(np.nanmin(rows - np.arange(64)[:, None]))), round(float(np.nanmin(cols[:, 0])))))
    return found


def test_no_pixel_of_a_held_out_block_is_in_a_training_chip(cut: chips.Chips) -> None:
    owner = np.full((SIDE, SIDE), -1)
    for number, split in enumerate(spatial_split.SPLITS):
        for row, col in _places(cut, split):
            piece = owner[row : row + 64, col : col + 64]
            assert ((piece == -1) | (piece == number)).all()
            piece[:] = number
    # blocks are dealt whole: each has one owner, and all three have some
    blocks = owner.reshape(4, 128, 4, 128).swapaxes(1, 2).reshape(16, -1)
    owners = [set(block[block >= 0].tolist()) for block in blocks]
    assert all(len(found) <= 1 for found in owners)
    assert set.union(*owners) == {0, 1, 2}


def test_chips_hold_their_own_pixels_also_across_tiles(cut: chips.Chips) -> None:
    crossing = 0
    for split in spatial_split.SPLITS:
        for k, (row, col) in zip(cut.of(split), _places(cut, split), strict=True):
            assert row % 32 == 0
            assert col % 32 == 0
            seen = np.isfinite(cut.values[k]).all(axis=0)
            expected = TRUTH[row : row + 64, col : col + 64] & seen
            np.testing.assert_array_equal(cut.truth[k] == 1, expected)
            crossing += row < TILE < row + 64 or col < TILE < col + 64
    assert crossing > 0


def test_held_out_chips_count_each_pixel_once(cut: chips.Chips) -> None:
    for split in ("validation", "test"):
        places = _places(cut, split)
        assert all(row % 64 == 0 and col % 64 == 0 for row, col in places)
        assert len(set(places)) == len(places)
        # also the empty ones: a score on chips with landslides alone knows no false alarm
        assert any(not cut.truth[k].any() for k in cut.of(split))


def test_empty_chips_are_as_many_as_asked_for(cut: chips.Chips) -> None:
    train = cut.of("train")
    full = sum(bool(cut.truth[k].any()) for k in train)
    assert len(train) - full == pytest.approx(SETTINGS.empty_share * full, abs=1)


def test_normalisation_knows_training_blocks_alone(source: spatial_split.Source, cut: chips.Chips) -> None:
    shares = spatial_split.split_blocks([source], SETTINGS).shares[0]
    train = np.kron(shares, np.ones((128, 128))) == spatial_split.TRAIN
    rows, cols = (a.astype(np.float64) / 4 for a in np.mgrid[:SIDE, :SIDE])
    rows[300:330, 300:330] = np.nan
    means, stds = chips.statistics(cut)
    np.testing.assert_allclose(means[:2], [np.nanmean(rows[train]), np.nanmean(cols[train])], atol=0.006)
    np.testing.assert_allclose(stds[:2], [np.nanstd(rows[train]), np.nanstd(cols[train])], atol=0.006)


def test_a_band_that_never_changes_does_not_become_infinite(cut: chips.Chips) -> None:
    sums = cut.sums.copy()
    sums[1:, 2] = 0
    assert chips.statistics(replace(cut, sums=sums))[1][2] == 1


def test_chips_are_found_again(source: spatial_split.Source, tmp_path: Path) -> None:
    def written() -> int:
        chips.collect([source], NAMES, SETTINGS, tmp_path)
        return (tmp_path / "values.npy").stat().st_mtime_ns

    first = written()
    assert written() == first
    chips.collect([source], NAMES, SETTINGS.model_copy(update={"seed": 4}), tmp_path)
    assert (tmp_path / "values.npy").stat().st_mtime_ns != first


def test_the_deal_follows_the_seed(source: spatial_split.Source) -> None:
    def dealt(seed: int) -> list[int]:
        return (
            spatial_split.split_blocks([source], SETTINGS.model_copy(update={"seed": seed})).shares[0].ravel().tolist()
        )

    assert dealt(1) == dealt(1)
    assert any(dealt(seed) != dealt(1) for seed in range(2, 6))
    assert all(
        dealt(seed).count(share) == 3 for seed in range(5) for share in (spatial_split.VALIDATION, spatial_split.TEST)
    )


def test_blocks_of_several_surveys_are_dealt_together(source: spatial_split.Source) -> None:
    # one block each: alone, no survey could be split
    wide = SETTINGS.model_copy(update={"block_px": 512})
    shares = spatial_split.split_blocks([source] * 5, wide).shares
    assert sorted(int(s[0, 0]) for s in shares) == [0, 0, 0, 1, 2]
    with pytest.raises(NoDataError, match=r"train\.block_px = 512: the surveys have 1 blocks, too few"):
        spatial_split.split_blocks([source], wide)


def test_blocks_of_reviewed_surveys_are_for_training(source: spatial_split.Source) -> None:
    reviewed = replace(source, is_reviewed=True)
    first, mapped, last = spatial_split.split_blocks([reviewed, source, reviewed], SETTINGS).shares
    assert not first.any()
    assert not last.any()
    # the mapped blocks are dealt as they are without the reviewed ones, so a year of reviews changes no held-out block
    np.testing.assert_array_equal(mapped, spatial_split.split_blocks([source], SETTINGS).shares[0])
    assert {*mapped.ravel().tolist()} == {0, 1, 2}


@pytest.mark.parametrize("mapped", [0, 1, 2])
def test_blocks_of_reviewed_surveys_are_held_out_if_too_few_are_mapped(
    source: spatial_split.Source, mapped: int
) -> None:
    wide = SETTINGS.model_copy(update={"block_px": 512})
    sources = [source] * mapped + [replace(source, is_reviewed=True)] * (5 - mapped)
    assert sorted(int(s[0, 0]) for s in spatial_split.split_blocks(sources, wide).shares) == [0, 0, 0, 1, 2]


def test_tiles_outside_the_survey_have_no_block(source: spatial_split.Source) -> None:
    share = spatial_split.split_blocks([replace(source, tiles=source.tiles[:1])], SETTINGS).shares[0]
    assert (share[:2, :2] >= 0).all()
    assert (share[2:] == -1).all()
    assert (share[:, 2:] == -1).all()


def test_no_landslide_to_learn_from_is_said(source: spatial_split.Source, tmp_path: Path) -> None:
    barren = replace(source, truth=lambda tile: np.zeros(tile.geobox.shape, bool))
    with pytest.raises(NoDataError, match="no train chip of 64 px contains an observed landslide"):
        chips.collect([barren], NAMES, SETTINGS, tmp_path)


def test_eight_symmetries_are_eight(cut: chips.Chips) -> None:
    picture = np.arange(12).reshape(1, 3, 4)
    square = np.arange(18).reshape(2, 3, 3)
    assert len({chips.turned(square, s).tobytes() for s in range(8)}) == 8
    for symmetry in range(8):
        turned = chips.turned(picture, symmetry)
        assert sorted(turned.ravel().tolist()) == list(range(12))
        # bands and truth turn together
        np.testing.assert_array_equal(chips.turned(square, symmetry)[1], chips.turned(square[1], symmetry))


@pytest.mark.parametrize(("names", "known"), [(NAMES, False), (("preVV_asc", "dNDVI"), True), (("postVH_desc",), True)])
def test_bands_that_know_the_look_direction(names: tuple[str, ...], known: bool) -> None:
    assert knows_look_direction(names) is known


def test_a_mirror_exchanges_the_look_directions() -> None:
    names = ("preVV_asc", "postVV_asc", "preVV_desc", "postVV_desc", "dNDVI")
    assert [names[i] for i in mirrored(names)] == ["preVV_desc", "postVV_desc", "preVV_asc", "postVV_asc", "dNDVI"]
    assert chip_dataset.turns(names) == [(0, (0, 1, 2, 3, 4)), (4, (2, 3, 0, 1, 4))]
    assert chip_dataset.turns(NAMES) == [(k, tuple(range(len(NAMES)))) for k in range(8)]
    # a list without the other direction has no mirror image
    assert chip_dataset.turns(("postVV_asc", "dNBR")) == [(0, (0, 1))]


def test_a_turned_chip_is_one_of_its_turns(cut: chips.Chips) -> None:
    """Bands and truth of a chip together; a mirrored one has its bands exchanged."""
    order = (1, 0, *range(2, len(NAMES)))
    stats = np.zeros(len(NAMES)), np.ones(len(NAMES))
    fed = chip_dataset.ChipSet(cut, "train", stats, [(0, tuple(range(len(NAMES)))), (4, order)], 0, lambda raw: raw)
    k = fed.index[0]
    plain, mirror = cut.values[k], cut.values[k][list(order), :, ::-1]
    found = set()
    for epoch in range(20):
        values, truth, _ = (part.numpy() for part in fed[epoch * len(fed)])
        turned = np.array_equal(values, np.nan_to_num(mirror))
        assert turned or np.array_equal(values, np.nan_to_num(plain))
        np.testing.assert_array_equal(truth, cut.truth[k][:, ::-1] if turned else cut.truth[k])
        found.add(turned)
    assert found == {False, True}


def test_hard_negatives_are_all_kept(source: spatial_split.Source, tmp_path: Path) -> None:
    """Also if no other chip without a landslide is; on disk they are ordinary ground without a landslide."""
    hard = {(40, 440), (300, 90), (460, 300), (200, 200)}

    def doubtful(tile: Tile) -> np.ndarray:
        truth = source.truth(tile).astype(np.uint8)
        box, whole = tile.geobox.boundingbox, source.grid.geobox.boundingbox
        for row, col in hard:
            at = row - round((whole.top - box.top) / 10), col - round((box.left - whole.left) / 10)
            if all(0 <= place < size for place, size in zip(at, truth.shape, strict=True)) and not truth[at]:
                truth[at] = spatial_split.HARD
        return truth

    strict = SETTINGS.model_copy(update={"empty_share": 0.0})
    plain = chips.collect([source], NAMES, strict, tmp_path / "plain")
    found = chips.collect([replace(source, truth=doubtful)], NAMES, strict, tmp_path / "hard")
    assert set(np.unique(found.truth)) == {0, 1}
    before, after = (_places(one, "train") for one in (plain, found))
    assert set(before) < set(after)
    for row, col in set(after) - set(before):
        assert any(row <= r < row + 64 and col <= c < col + 64 for r, c in hard)
    split = spatial_split.split_blocks([source], strict)
    for r, c in hard:
        around = [(row, col) for row in range(0, 449, 32) for col in range(0, 449, 32)]
        for row, col in around:
            if row <= r < row + 64 and col <= c < col + 64:
                share = split.of(0, slice(row, row + 64), slice(col, col + 64))
                assert ((row, col) in after) == (share == spatial_split.TRAIN) or TRUTH[r, c]


def test_weights_follow_their_pixels(source: spatial_split.Source, tmp_path: Path) -> None:
    """In each chip, and turned with it; a source without weights beside it has 1."""

    def weight(tile: Tile) -> np.ndarray:
        box, whole = tile.geobox.boundingbox, source.grid.geobox.boundingbox
        row, col = round((whole.top - box.top) / 10), round((box.left - whole.left) / 10)
        rows, cols = np.mgrid[row : row + tile.geobox.shape[0], col : col + tile.geobox.shape[1]]
        return (1 + rows + 1000 * cols).astype(np.float32)

    pair = [replace(source, weight=weight), replace(source, name="plain")]
    found = chips.collect(pair, NAMES, SETTINGS, tmp_path)
    assert found.weight is not None
    for split in spatial_split.SPLITS:
        for k, (row, col) in zip(found.of(split), _places(found, split), strict=True):
            rows, cols = np.mgrid[row : row + 64, col : col + 64]
            np.testing.assert_array_equal(found.weight[k], 1 + rows + 1000 * cols if found.blocks[k, 0] == 0 else 1)
    mirror = [(4, tuple(range(len(NAMES))))]
    fed = chip_dataset.ChipSet(found, "train", (np.zeros(3), np.ones(3)), mirror, 0, lambda raw: raw)
    for i, k in enumerate(fed.index[:20]):
        seen = np.isfinite(found.values[k]).all(axis=0)
        np.testing.assert_array_equal(fed[i][2].numpy(), (found.weight[k] * seen)[:, ::-1])
    # the chips of a later training without weights have none
    assert chips.collect([source], NAMES, SETTINGS, tmp_path).weight is None


def test_ground_of_unknown_truth_is_left_out(source: spatial_split.Source, tmp_path: Path) -> None:
    """The west of the country is unknown: no chip lies wholly in it, and in the others it has no weight in the loss."""
    west = 140

    def doubtful(tile: Tile) -> np.ndarray:
        truth = source.truth(tile).astype(np.uint8)
        left = round((tile.geobox.boundingbox.left - source.grid.geobox.boundingbox.left) / 10)
        truth[:, : max(0, west - left)] = spatial_split.UNKNOWN
        return truth

    doubted = chips.collect([replace(source, truth=doubtful)], NAMES, SETTINGS, tmp_path)
    seen, slid = [], []
    for split in spatial_split.SPLITS:
        feed = chip_dataset.ChipSet(doubted, split, (np.zeros(3), np.ones(3)), (), 0, lambda raw: raw)
        for k, (row, col) in enumerate(_places(doubted, split)):
            _, truth, weight = (a.numpy() for a in feed[k])
            known = np.arange(col, col + 64) >= west
            assert known.any()
            assert not weight[:, ~known].any()
            assert not truth[:, ~known].any()
            np.testing.assert_array_equal(
                truth[:, known] > 0,
                TRUTH[row : row + 64, col : col + 64][:, known]
                & (np.isfinite(doubted.values[doubted.of(split)[k]]).all(axis=0)[:, known]),
            )
            if split == "train":
                seen.append(known.sum() * 64)
                slid.append((doubted.truth[doubted.of(split)[k]] == 1).sum())
    assert chips.landslide_share(doubted, "train") == pytest.approx(sum(slid) / sum(seen))
