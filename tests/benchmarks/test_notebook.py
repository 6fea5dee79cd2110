"""The benchmark of a whole tile, small: ours and the notebooks find the same landslides."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("monai")

from benchmarks import landslide_scenes, notebook, stack_tile

Outlines = Mapping[str, np.ndarray]
#: Of each geometry: least and most planted landslides that ours observes; least share in common of an inventory with
#: the planted, and of two inventories. Resampling blurs outlines, and GDAL's differs from ours.
EXPECTED = {"same": (36, 36, 0.95, 0.99), "nation": (24, 35, 0.85, 0.95)}


# the benchmark itself is run by one of the two
@pytest.fixture(scope="module", params=["same", pytest.param("nation", marks=pytest.mark.slow)])
def geometry(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, geometry: str) -> Path:
    found = tmp_path_factory.mktemp("notebook")
    notebook.prepare(found, 256, 6, geometry)
    return found


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, dict[str, Any]]:
    return {who: notebook.twice(who, folder) for who in notebook.PROGRAMS}


@pytest.fixture(scope="module")
def outlines(folder: Path, found: object) -> Outlines:
    del found  # made first
    return notebook.inventories(folder)


@pytest.mark.parametrize("who", notebook.PROGRAMS)
def test_the_planted_landslides_are_found(outlines: Outlines, who: str, geometry: str) -> None:
    least, most, overlap, _ = EXPECTED[geometry]
    assert least <= len(outlines["planted"]) <= most <= landslide_scenes.CELLS**2
    assert notebook.met(outlines["planted"], outlines[who]) == len(outlines["planted"])
    assert notebook.overlap(outlines["planted"], outlines[who]) > overlap


@pytest.mark.parametrize("who", notebook.PEERS)
def test_the_inventories_are_the_same(outlines: Outlines, who: str, geometry: str) -> None:
    mine, theirs = outlines["ours"], outlines[who]
    assert notebook.met(mine, theirs) == len(mine) == len(theirs) == notebook.met(theirs, mine)
    assert notebook.overlap(mine, theirs) > EXPECTED[geometry][3]


def test_what_is_hidden_is_left_out_of_all(folder: Path, outlines: Outlines, geometry: str) -> None:
    hidden = notebook.unobserved(folder)
    assert hidden.is_empty == (geometry == "same")
    for found in outlines.values():
        assert notebook.met(found, np.array([hidden])) == 0


def test_the_lean_notebook_makes_the_same_bands(folder: Path) -> None:
    whole = stack_tile.peer(folder)
    for name, values in notebook.inputs_only(folder).items():
        np.testing.assert_allclose(values, whole[name], atol=1e-5, err_msg=name)


def test_the_tables_are_whole(found: dict[str, dict[str, Any]], outlines: Outlines) -> None:
    text = "\n".join(notebook.report(found, outlines))
    assert all(word in text for word in ("| ours | stack |", "| lean notebook | network |"))
    tables = [table.splitlines() for table in text.split("\n\n")]
    assert [len({line.count("|") for line in table}) for table in tables] == [1, 1, 1]
