"""Segments against slow forms, and tile by tile against the whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from lsbatch.kernels import segments

CENTRES = np.array([-0.2, 0.0, 0.1, 0.4])


def classes(rows: int, cols: int, seed: int, holes: float = 0.05) -> np.ndarray:
    """Patches of four classes, with holes."""
    dice = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(dice.standard_normal((rows, cols)), 1.5)
    kinds = np.searchsorted(np.quantile(field, [0.5, 0.8, 0.95]), field) + 1
    return np.where(dice.random((rows, cols)) < holes, 0, kinds).astype(np.uint8)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 9999))
def test_regions_are_those_of_each_class_alone(rows: int, cols: int, seed: int) -> None:
    kinds = classes(rows, cols, seed, 0.2)
    labels, count = segments.regions(kinds)
    np.testing.assert_array_equal(labels == 0, kinds == 0)
    expected = 0
    for kind in range(1, 5):
        parts, n = ndimage.label(kinds == kind, np.ones((3, 3)))
        expected += n
        for part in range(1, n + 1):
            assert len(np.unique(labels[parts == part])) == 1
    assert count == expected == len(np.unique(labels[labels > 0]))
    # numbered in order of the first pixel
    firsts = [int(np.flatnonzero(labels.ravel() == k)[0]) for k in range(1, count + 1)]
    assert firsts == sorted(firsts)


def merged_slowly(labels: np.ndarray, kinds: np.ndarray, smallest_px: int, rounds: int) -> np.ndarray:
    """Sets of regions, joined one round after another."""
    members = {k: labels == k for k in range(1, labels.max() + 1)}
    kind = {k: int(kinds[m][0]) for k, m in members.items()}
    for _ in range(rounds):
        links = []
        for k, mask in members.items():
            if mask.sum() >= smallest_px:
                continue
            near = [
                (abs(CENTRES[kind[k] - 1] - CENTRES[kind[j] - 1]), -touches(mask, other), j)
                for j, other in members.items() if j != k and touches(mask, other)
            ]  # fmt: skip
            if near:
                links.append((k, min(near)[2]))
        groups = {k: {k} for k in members}
        for a, b in links:
            both = groups[a] | groups[b]
            for k in both:
                groups[k] = both
        joined, kinds_now = {}, {}
        for group in {frozenset(g) for g in groups.values()}:
            largest = max(sorted(group), key=lambda k: (members[k].sum(), -k))
            joined[min(group)] = np.logical_or.reduce([members[k] for k in group])
            kinds_now[min(group)] = kind[largest]
        members, kind = joined, kinds_now
    out = np.zeros(labels.shape, np.int32)
    large = [m for m in members.values() if m.sum() >= smallest_px]
    for number, mask in enumerate(sorted(large, key=lambda m: int(np.flatnonzero(m.ravel())[0])), 1):
        out[mask] = number
    return out


def touches(one: np.ndarray, other: np.ndarray) -> int:
    """Pairs of pixels of the two that touch, also by a corner."""
    total = 0
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            if down or right:
                moved = np.zeros_like(other)
                rows, cols = other.shape
                moved[max(0, down) : rows + min(0, down), max(0, right) : cols + min(0, right)] = other[
                    max(0, -down) : rows + min(0, -down), max(0, -right) : cols + min(0, -right)
                ]
                total += int((one & moved).sum())
    return total


@pytest.mark.parametrize("rounds", [1, 2, 3])
@given(seed=st.integers(0, 9999), smallest_px=st.integers(1, 12))
def test_merged_as_the_slow_one(rounds: int, seed: int, smallest_px: int) -> None:
    kinds = classes(9, 11, seed, 0.1)
    labels, count = segments.regions(kinds)
    found = segments.merged(labels, count, kinds, CENTRES, smallest_px, rounds)
    np.testing.assert_array_equal(found, merged_slowly(labels, kinds, smallest_px, rounds))


def test_nothing_to_see() -> None:
    empty = np.zeros((5, 7), np.uint8)
    labels, count = segments.regions(empty)
    assert count == 0
    assert not segments.merged(labels, count, empty, CENTRES, 4).any()


def test_short_segments_do_not_know_of_tiles() -> None:
    """A block with the halo has the same segments, up to the longest, in its core as the whole."""
    smallest, longest, core = 8, 16, 32
    halo = segments.reach_px(longest, smallest)
    kinds = classes(160, 170, 5)
    whole = segments.merged(*segments.regions(kinds), kinds, CENTRES, smallest)
    for top, left in ((64, 64), (50, 90), (0, 64), (64, 170 - core)):
        rows, cols = (slice(max(0, s - halo), s + core + halo) for s in (top, left))
        part = segments.merged(*segments.regions(kinds[rows, cols]), kinds[rows, cols], CENTRES, smallest)
        here = np.s_[top : top + core, left : left + core]
        there = np.s_[top - rows.start : top - rows.start + core, left - cols.start : left - cols.start + core]
        compared = 0
        for number in np.unique(whole[here]):
            mask = whole == number
            if number and all(np.ptp(axis) < longest for axis in np.nonzero(mask)):
                mine = np.unique(part[there][mask[here]])
                assert len(mine) == 1
                np.testing.assert_array_equal(part == mine[0], mask[rows, cols])
                compared += 1
        assert compared > 3
