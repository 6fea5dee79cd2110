"""Window arithmetic: what is kept covers the core once, and every window has what it needs around it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsbatch.kernels import inference_windows


def _covered(cut: tuple[inference_windows.Window, ...], core: tuple[int, int]) -> np.ndarray:
    count = np.zeros(core, int)
    for window in cut:
        count[window.keep] += 1
    return count


@pytest.mark.parametrize(
    ("core_px", "halo_px", "side_px", "lattice_px", "reads"),
    [
        # one window holds all
        (128, 16, 160, 16, [(0, 160)]),
        # an even share, not 224 and a sliver of 32
        (256, 16, 256, 16, [(0, 160), (128, 288)]),
        (2048, 96, 2240, 16, [(0, 2240)]),
        (64, 0, 64, 1, [(0, 64)]),
    ],
)
def test_exact_reads(core_px: int, halo_px: int, side_px: int, lattice_px: int, reads: list[tuple[int, int]]) -> None:
    cut = inference_windows.exact((core_px, core_px), halo_px, lattice_px, side_px**2)
    assert [(w.read[1].start, w.read[1].stop) for w in cut if w.read[0].start == 0] == reads


def test_exact_takes_strips_where_they_carry_less_halo() -> None:
    """Two windows of 1216 x 2240 px are less to compute than the four squares of 1216 px that fit, too."""
    cut = inference_windows.exact((2048, 2048), 96, 16, 1216 * 2240)
    assert {tuple(span.stop - span.start for span in w.read) for w in cut} in ({(1216, 2240)}, {(2240, 1216)})
    assert len(cut) == 2


@pytest.mark.parametrize(
    "where", [(slice(0, 1), slice(0, 1)), (slice(2000, 2048), slice(0, 2048)), (slice(500, 600), slice(700, 701))]
)
def test_exact_reads_little_where_little_is_seen(where: tuple[slice, slice]) -> None:
    seen = np.zeros((2048, 2048), bool)
    seen[where] = True
    cut = inference_windows.exact(seen.shape, 96, 16, 2240**2, seen)
    assert (_covered(cut, seen.shape)[seen] == 1).all()
    work = sum(np.prod([span.stop - span.start for span in w.read]) for w in cut)
    least = np.prod([span.stop - span.start + 192 for span in where])
    assert work < 1.5 * least


def test_exact_of_nothing_seen_is_nothing() -> None:
    assert inference_windows.exact((256, 256), 16, 16, 10**6, np.zeros((256, 256), bool)) == ()
    assert inference_windows.blend((256, 256), seen=np.zeros((256, 256), bool)) == ()


@given(
    lattice=st.sampled_from([1, 4, 16]),
    core=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    halo=st.integers(0, 4),
    room=st.integers(1, 6),
    seed=st.integers(0, 3),
)
def test_exact_keeps_every_pixel_once_far_from_every_border(
    lattice: int, core: tuple[int, int], halo: int, room: int, seed: int
) -> None:
    core_px, halo_px = (core[0] * lattice, core[1] * lattice), halo * lattice
    most_px = (room * lattice + 2 * halo_px) ** 2
    shape = tuple(size + 2 * halo_px for size in core_px)
    # seed 0: all of it is seen
    seen = np.random.default_rng(seed).random(core_px) < (0.01 if seed else 1)
    cut = inference_windows.exact(core_px, halo_px, lattice, most_px, seen)
    count = _covered(cut, core_px)
    assert (count[seen] == 1).all()
    assert count.max(initial=0) <= 1
    assert len({tuple(s.stop - s.start for s in w.read) for w in cut}) <= 1
    for window in cut:
        assert np.prod([s.stop - s.start for s in window.read]) <= most_px
        for read, inner, keep, size in zip(window.read, window.inner, window.keep, shape, strict=True):
            assert read.start >= 0
            assert read.stop <= size
            # starts on the lattice, and what is kept is of the answer, which lacks the whole halo on both sides
            assert read.start % lattice == 0
            assert inner.start >= 0
            assert inner.stop <= read.stop - read.start - 2 * halo_px
            # the same pixel, seen from the window and from the core
            assert read.start + inner.start == keep.start
            assert inner.stop - inner.start == keep.stop - keep.start


@pytest.mark.parametrize(
    ("halo_px", "side_px", "lattice_px"),
    [(10, 128, 16), (16, 47, 16)],
    ids=["halo off the lattice", "window holds no cell"],
)
def test_exact_refuses(halo_px: int, side_px: int, lattice_px: int) -> None:
    with pytest.raises(ValueError, match="must"):
        inference_windows.exact((128, 128), halo_px, lattice_px, side_px**2)


def test_exact_refuses_a_core_off_the_lattice() -> None:
    with pytest.raises(ValueError, match="multiples"):
        inference_windows.exact((120, 128), 16, 16, 10**6)


@pytest.mark.parametrize("core_px", [(64, 64), (128, 256), (192, 64)])
def test_blend_takes_every_window_that_touches_the_core(core_px: tuple[int, int]) -> None:
    halo = inference_windows.blend_px()
    cut = inference_windows.blend(core_px)
    # 128 px windows every 64 px: each pixel lies in two of them along each axis
    assert (_covered(cut, core_px) == 4).all()
    for window in cut:
        for read, inner, keep in zip(window.read, window.inner, window.keep, strict=True):
            assert read.start >= 0
            assert read.stop - read.start == inference_windows.BLEND_WINDOW_PX
            assert (read.start - halo) % inference_windows.BLEND_STRIDE_PX == 0
            assert read.start + inner.start == halo + keep.start


def test_blend_refuses_a_core_off_the_stride() -> None:
    with pytest.raises(ValueError, match="multiples of"):
        inference_windows.blend((100, 128))


def test_weights_are_positive_and_share_out_evenly() -> None:
    bell = inference_windows.hann()
    assert bell.min() > inference_windows.LEAST > 0
    step = inference_windows.BLEND_STRIDE_PX
    # at half overlap the bells add up to one
    total = bell[:step, :step] + bell[step:, :step] + bell[:step, step:] + bell[step:, step:]
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_blend_of_the_identity_is_the_identity() -> None:
    halo = inference_windows.blend_px()
    block = np.random.default_rng(1).random((192 + 2 * halo, 128 + 2 * halo), np.float32)
    np.testing.assert_allclose(_blended(block, halo), block[halo:-halo, halo:-halo], rtol=0, atol=2e-7)


def test_blended_tiles_agree_bit_for_bit_with_the_whole() -> None:
    """Also where the answer of a window depends on where in the window a pixel lies."""
    halo = inference_windows.blend_px()
    block = np.random.default_rng(2).random((256 + 2 * halo, 256 + 2 * halo), np.float32)
    whole = _blended(block, halo)
    for row in (0, 128):
        for col in (0, 128):
            tile = block[row : row + 128 + 2 * halo, col : col + 128 + 2 * halo]
            np.testing.assert_array_equal(_blended(tile, halo), whole[row : row + 128, col : col + 128])


def _blended(block: np.ndarray, halo_px: int) -> np.ndarray:
    """Each window answers its pixels times a pattern that is near 1 and averages to the identity for a flat one."""
    total, weight = (np.zeros((block.shape[0] - 2 * halo_px, block.shape[1] - 2 * halo_px), np.float32) for _ in "ab")
    bell = inference_windows.hann()
    for window in inference_windows.blend(total.shape):
        inference_windows.add_into(total, weight, block[window.read], window, bell)
    return total / weight
