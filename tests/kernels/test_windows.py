"""Window arithmetic: what is kept covers the core once, and every window has what it needs around it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsbatch.kernels import windows


def _covered(cut: tuple[windows.Window, ...], core: tuple[int, int]) -> np.ndarray:
    count = np.zeros(core, int)
    for window in cut:
        count[window.keep] += 1
    return count


@pytest.mark.parametrize(
    ("core_px", "halo_px", "window_px", "lattice_px", "reads"),
    [
        # one window holds all
        (128, 16, 256, 16, [(0, 160)]),
        # an even share, not 224 and a sliver of 32
        (256, 16, 256, 16, [(0, 160), (128, 288)]),
        # three windows of 688 and not of the allowed 832; the last moves back into the block
        (2048, 96, 1024, 16, [(0, 880), (688, 1568), (1360, 2240)]),
        (2048, 96, 2240, 16, [(0, 2240)]),
        (64, 0, 64, 1, [(0, 64)]),
    ],
)
def test_exact_reads(core_px: int, halo_px: int, window_px: int, lattice_px: int, reads: list[tuple[int, int]]) -> None:
    cut = windows.exact((core_px + 2 * halo_px,) * 2, halo_px, window_px, lattice_px)
    assert [(w.read[1].start, w.read[1].stop) for w in cut if w.read[0].start == 0] == reads
    assert len(cut) == len(reads) ** 2


@given(
    lattice=st.sampled_from([1, 4, 16, 64]),
    core=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    halo=st.integers(0, 4),
    room=st.integers(1, 6),
)
def test_exact_keeps_every_pixel_once_far_from_every_border(
    lattice: int, core: tuple[int, int], halo: int, room: int
) -> None:
    core_px, halo_px = (core[0] * lattice, core[1] * lattice), halo * lattice
    window_px = room * lattice + 2 * halo_px
    shape = tuple(size + 2 * halo_px for size in core_px)
    cut = windows.exact(shape, halo_px, window_px, lattice)
    assert (_covered(cut, core_px) == 1).all()
    assert len({tuple(s.stop - s.start for s in w.read) for w in cut}) == 1
    for window in cut:
        for read, inner, keep, size in zip(window.read, window.inner, window.keep, shape, strict=True):
            assert read.start >= 0
            assert read.stop <= size
            assert read.stop - read.start <= window_px
            # starts on the lattice, and what is kept has the whole halo on both sides
            assert read.start % lattice == 0
            assert inner.start >= halo_px
            assert inner.stop <= read.stop - read.start - halo_px
            # the same pixel, seen from the window and from the core
            assert read.start + inner.start == halo_px + keep.start
            assert inner.stop - inner.start == keep.stop - keep.start


@pytest.mark.parametrize(
    ("halo_px", "window_px", "lattice_px"),
    [(10, 128, 16), (96, 200, 16), (16, 32, 16)],
    ids=["halo off the lattice", "window holds no cell", "window holds only halo"],
)
def test_exact_refuses(halo_px: int, window_px: int, lattice_px: int) -> None:
    with pytest.raises(ValueError, match="must"):
        windows.exact((128 + 2 * halo_px,) * 2, halo_px, window_px, lattice_px)


def test_exact_refuses_a_core_off_the_lattice() -> None:
    with pytest.raises(ValueError, match="multiples"):
        windows.exact((120 + 32, 128 + 32), 16, 128, 16)


@pytest.mark.parametrize("core_px", [(64, 64), (128, 256), (192, 64)])
def test_blend_takes_every_window_that_touches_the_core(core_px: tuple[int, int]) -> None:
    halo = windows.blend_px()
    cut = windows.blend((core_px[0] + 2 * halo, core_px[1] + 2 * halo), halo)
    # 128 px windows every 64 px: each pixel lies in two of them along each axis
    assert (_covered(cut, core_px) == 4).all()
    for window in cut:
        for read, inner, keep in zip(window.read, window.inner, window.keep, strict=True):
            assert read.start >= 0
            assert read.stop - read.start == windows.BLEND_WINDOW_PX
            assert (read.start - halo) % windows.BLEND_STRIDE_PX == 0
            assert read.start + inner.start == halo + keep.start


def test_blend_refuses_too_little_around_the_core() -> None:
    with pytest.raises(ValueError, match="at least 64"):
        windows.blend((128 + 64, 128 + 64), 32)


def test_blend_refuses_a_core_off_the_stride() -> None:
    with pytest.raises(ValueError, match="multiple of"):
        windows.blend((100 + 128, 128 + 128), 64)


def test_weights_are_positive_and_share_out_evenly() -> None:
    bell = windows.hann()
    assert bell.min() > 0
    step = windows.BLEND_STRIDE_PX
    # at half overlap the bells add up to one
    total = bell[:step, :step] + bell[step:, :step] + bell[:step, step:] + bell[step:, step:]
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_blend_of_the_identity_is_the_identity() -> None:
    halo = windows.blend_px()
    block = np.random.default_rng(1).random((192 + 2 * halo, 128 + 2 * halo), np.float32)
    np.testing.assert_allclose(_blended(block, halo), block[halo:-halo, halo:-halo], rtol=0, atol=2e-7)


def test_blended_tiles_agree_bit_for_bit_with_the_whole() -> None:
    """Also where the answer of a window depends on where in the window a pixel lies."""
    halo = windows.blend_px()
    block = np.random.default_rng(2).random((256 + 2 * halo, 256 + 2 * halo), np.float32)
    whole = _blended(block, halo)
    for row in (0, 128):
        for col in (0, 128):
            tile = block[row : row + 128 + 2 * halo, col : col + 128 + 2 * halo]
            np.testing.assert_array_equal(_blended(tile, halo), whole[row : row + 128, col : col + 128])


def _blended(block: np.ndarray, halo_px: int) -> np.ndarray:
    """Each window answers its pixels times a pattern that is near 1 and averages to the identity for a flat one."""
    total, weight = (np.zeros((block.shape[0] - 2 * halo_px, block.shape[1] - 2 * halo_px), np.float32) for _ in "ab")
    bell = windows.hann()
    for window in windows.blend(block.shape, halo_px):
        windows.add_into(total, weight, block[window.read], window, bell)
    return total / weight
