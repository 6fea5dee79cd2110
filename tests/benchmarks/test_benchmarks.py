"""The benchmarks, small: what is timed side by side does the same."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from benchmarks import inference, kernels, stack_tile, starts, tile_memory
from lsbatch import settings
from lsbatch.catalog import plan, planning

SIZE = 96
#: Away from the border, where each program pads in its own way.
INNER = (slice(4, -4), slice(4, -4))
#: Relative: scipy's running sums and ours round differently; gamma_map's rule has a step, where that tells.
ALLOWED = {"lee 7 x 7": 1e-4, "kuan 7 x 7": 1e-4, "gamma_map 7 x 7": 1e-3}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, kernels.Case]:
    return {case.name: case for case in kernels.cases(SIZE, tmp_path_factory.mktemp("raster"))}


def test_every_kernel_of_the_issue_is_timed(cases: dict[str, kernels.Case]) -> None:
    wanted = ("lee", "kuan", "gamma_map", "focal.mode", "slope + aspect + hillshade", "greenest", "masked_median")
    for word in wanted:
        assert any(name.startswith(word) for name in cases), word


@pytest.mark.parametrize(
    "name",
    [
        "lee 7 x 7",
        "kuan 7 x 7",
        "gamma_map 7 x 7",
        "focal.mode 1.5 px",
        "greenest of 24 dates",
        "masked_median of 24 dates",
    ],
)
def test_peers_do_the_same(cases: dict[str, kernels.Case], name: str) -> None:
    case = cases[name]
    assert case.peers
    ours = np.asarray(case.ours())
    for peer, program in case.peers.items():
        with warnings.catch_warnings():
            # numpy says so where no date was seen
            warnings.filterwarnings("ignore", "All-NaN slice|invalid value|divide by zero", RuntimeWarning)
            theirs = np.asarray(program())
        np.testing.assert_allclose(
            ours[(..., *INNER)], theirs[(..., *INNER)], rtol=ALLOWED.get(name, 1e-6), err_msg=peer
        )


def test_gdaldem_makes_the_same_slope(cases: dict[str, kernels.Case]) -> None:
    case = cases["slope + aspect + hillshade"]
    if not case.peers:
        pytest.skip("gdaldem is not here")
    slope, _, _ = case.ours()  # type: ignore[misc]
    np.testing.assert_allclose(slope[1, 1:-1], np.asarray(case.peers["gdaldem slope"]())[0, 1:-1], rtol=1e-4)


def test_the_table_has_a_line_for_every_peer(cases: dict[str, kernels.Case], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "ENOUGH_S", 1e-9)
    case = cases["focal.mode 1.5 px"]
    lines = list(kernels.report(case, SIZE, kernels.copy_limit(SIZE)))
    assert len(lines) == len(case.peers)
    assert all(line.count("|") == 8 for line in lines)


def test_the_notebook_makes_the_same_stack(tmp_path: Path) -> None:
    config = settings.load(tile_memory.build(tmp_path, 256, 6, "same"))
    plan.save(planning.make(config), config.output)
    for who, make in (("ours", stack_tile.ours), ("peer", stack_tile.peer)):
        bands = make(tmp_path)
        np.savez(tmp_path / f"{who}.npz", **{name: bands[name] for name in stack_tile.COMPARED})
    assert max(stack_tile.agree(tmp_path).values()) < 1e-5
    # it compares the pixels itself
    assert set(stack_tile.one_scene(tmp_path, 128)) == {"ours", "odc.stac.load"}


@pytest.fixture(scope="module")
def inferred() -> dict[str, tuple[float, float, float]]:
    """Seconds, largest and mean difference from the whole picture, of a tile of 256 px."""
    with warnings.catch_warnings():
        # of MONAI about torch
        warnings.simplefilter("ignore")
        return inference.measure(inference.programs(256, "cpu"), 1)


def test_ours_is_the_whole_picture(inferred: dict[str, tuple[float, float, float]]) -> None:
    assert inferred["ours, exact"][1] < 1e-5
    assert inferred["ONNX Runtime, our windows"][1] < 1e-5
    assert 1e-5 < inferred["ours, exact, bfloat16"][1] < 0.2
    assert inferred["ours, exact, bfloat16"][2] < 1e-3


def test_peers_answer_as_ours_does_but_for_their_windows(inferred: dict[str, tuple[float, float, float]]) -> None:
    """Their windows end where the network still looks, so a few pixels are another answer.

    On average it is the same one.
    """
    assert len(inferred) == 9
    for name, (seconds, most, mean) in inferred.items():
        assert seconds > 0, name
        assert mean < 2e-3, name
        assert name.startswith(("ours, exact", "ONNX")) or name == "whole tile with halo" or most > 1e-3, name


@pytest.mark.slow
def test_machine_code_is_loaded_by_the_second_process_and_the_pixels_are_the_same(tmp_path: Path) -> None:
    """The quick sibling, with small kernels, is `tests/kernels/test_compilation.py`."""
    found = starts.measure(tile_memory.build(tmp_path, 256, 2, "same"), tmp_path)
    assert len({start.pixels for start in found.values()}) == 1
    # 13 against 72 s of the processor with the kernels of `everything`
    assert found["loads"].processor_s < 0.7 * found["compiles and keeps"].processor_s
