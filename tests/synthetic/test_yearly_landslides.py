"""A country of several years: each landslide keeps to its course, in the truth and in the images."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from lsbatch import synthetic
from lsbatch.synthetic import country, yearly_landslides
from lsbatch.synthetic.country import YEAR
from tests import programs


@pytest.mark.parametrize("years", [1, 2, 3, 6])
def test_courses_are_as_described(years: int) -> None:
    bare = yearly_landslides.courses(40, years)
    assert bare.shape == (40, years)
    assert (bare.max(axis=1) > 0).all(), "a landslide never slides"
    for number, row in enumerate(bare):
        begin = int(np.argmax(row > 0))
        later = row[begin + 1 :]
        first, then = {0: (1.0, 1.0), 1: (yearly_landslides.UPPER, 1.0), 2: (1.0, 1.0), 3: (1.0, 0.0)}[number % 4]
        assert row[begin] == first
        if number % 4 == 2 and later.size:
            assert later[0] == 0
            later = later[1:]
        assert (later == then).all()
    if years >= 3:
        # each year has new ones
        assert {int(np.argmax(row > 0)) for row in bare} == set(range(years))


def test_events_are_the_changes_between_the_grounds_of_two_years() -> None:
    ground, years = country.make(3, 256, 256), 3
    events = yearly_landslides.events(ground, years)
    grounds = [yearly_landslides.ground_of(ground, YEAR + offset, years) for offset in range(years)]
    for offset in range(years):
        bare = grounds[offset].slides.labels
        rows = events[events["date"].str[:4] == str(YEAR + offset)]
        for number in range(1, ground.slides.count + 1):
            before = np.count_nonzero(grounds[offset - 1].slides.labels == number) if offset else 0
            now = np.count_nonzero(bare == number)
            mine = rows[rows["landslide_id"] == f"true-{number:04d}"]
            # it slid if, and only if, more of it is bare
            assert len(mine) == int(now > before)
            if now > before:
                assert mine["area_m2"].item() == 100 * now
                ever = any((one.slides.labels == number).any() for one in grounds[:offset])
                expected = "enlarged" if before else "reactivated" if ever else "new"
                assert mine["event"].item() == expected
                green = [YEAR + k for k in range(offset, years) if not (grounds[k].slides.labels == number).any()]
                assert mine["green"].item() == (green[0] if green else 0)


def test_one_year_has_the_bytes_that_it_always_had(tmp_path: Path) -> None:
    """Two years change neither the ground before nor what is not a landslide."""
    for name in "12":
        (tmp_path / name).mkdir()
    one = synthetic.simulate(tmp_path / "1", seed=3, rows=256, cols=256).parent
    two = synthetic.simulate(tmp_path / "2", seed=3, rows=256, cols=256, years=2).parent
    ours, theirs = (
        {path.relative_to(root / "catalog"): path for path in (root / "catalog").rglob("*.tif")} for root in (one, two)
    )
    assert ours.keys() < theirs.keys()
    assert {name for name in theirs.keys() - ours.keys() if "2021" not in str(name)} == set()
    before = [name for name in ours if "2019" in str(name)]
    assert before
    for name in before:
        assert ours[name].read_bytes() == theirs[name].read_bytes(), name
    # in the first year only pixels of landslides differ
    labels = country.make(3, 256, 256).slides.labels
    name = next(name for name in ours if name.name == "vv.tif" and "2020" in str(name))
    with rasterio.open(ours[name]) as first, rasterio.open(theirs[name]) as second:
        changed = first.read(1) != second.read(1)
    assert 0 < changed.sum() <= np.count_nonzero(labels)


@pytest.mark.parametrize("words", [["--varied"], ["--history", "2"], ["--radar-days", "12"], ["--repeat", "2x2"]])
def test_what_has_one_year_only_is_refused(tmp_path: Path, words: list[str]) -> None:
    done = programs.run("simulate", str(tmp_path / "c"), "--size", "256x256", "--years", "2", *words)
    assert done.returncode == 2
    assert "cannot be combined" in done.stderr
    assert not (tmp_path / "c").exists()
