"""Real inventories of consecutive years, as a model of somebody else drew them: every outline is accounted for.

Nepal 2013 to 2019 and Papua New Guinea 2017 to 2020, see ../shared/data/README.md.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import shapely
from geopandas.testing import assert_geodataframe_equal

from lsbatch.commands import link
from lsbatch.inventory import identity, inventory_files, previous_inventory, year_matching
from tests.surveys import Heard

ID = "landslide_id"


class Quiet(Heard):
    def together(self) -> list[int]:
        """The sums of both accounts."""
        return [int(line.split()[1]) for line in self.lines if line.startswith("together ")]


@pytest.fixture(params=["Nepal", pytest.param("PNG", marks=pytest.mark.slow)])
def shapefiles(request: pytest.FixtureRequest, shared_data: Path, tmp_path: Path) -> list[Path]:
    """One a year, in order."""
    with zipfile.ZipFile(shared_data / "inventories" / f"{request.param}.zip") as archive:
        archive.extractall(tmp_path)
    return sorted(tmp_path.rglob("*.shp"))


def _first(file: Path, to: Path) -> Path:
    """The first year with ids of its own: its files have none that is there once each."""
    frame = gpd.read_file(file)
    frame[ID] = [f"{file.stem}-{i:05}" for i in range(len(frame))]
    pyogrio.write_dataframe(frame, to, promote_to_multi=True)
    return to


def _chain(files: list[Path], folder: Path) -> Iterator[tuple[Path, Path, Quiet, gpd.GeoDataFrame]]:
    last = _first(files[0], folder / "first.gpkg")
    for file in files[1:]:
        out, heard = folder / f"linked-{file.stem}", Quiet()
        link.inventory_file(file, last, heard, out=out)
        yield file, last, heard, inventory_files.with_texts(gpd.read_parquet(out / "landslides.parquet"))
        last = out / "landslides.gpkg"


def test_years_in_a_row_with_every_outline_accounted_for(shapefiles: list[Path], tmp_path: Path) -> None:
    """Counts by geopandas alone; ground by unions.

    What is in neither year is in no record, and nothing of either is lost.
    """
    ids: set[str] = set()
    for file, last, heard, linked in _chain(shapefiles, tmp_path):
        before, this = gpd.read_file(last, layer=0), gpd.read_file(file)
        assert heard.together() == [len(before), len(this)]
        broken = int((~this.geometry.is_valid).sum())
        assert any(line.startswith(f"  {broken} outlines") for line in heard.lines) == bool(broken)
        assert linked.geometry.is_valid.all()
        assert linked[ID].is_unique
        here = identity.found(linked)
        assert len(here) == len(this)
        whole = [shapely.union_all(shapely.make_valid(frame.geometry.values)) for frame in (here, this)]
        assert shapely.symmetric_difference(*whole).area < 1e-3
        parents = {one for text in linked["parent_ids"] for one in year_matching.split(text)}
        assert set(before[ID]) <= set(linked[ID]) | parents
        assert ids <= set(linked[ID]) | parents | ids
        ids |= set(linked[ID])
        # what touches nothing of last year is new; what is new shares less than a quarter with anything
        tree = shapely.STRtree(shapely.make_valid(before.geometry.values))
        alone = [tree.query(shape, predicate="intersects").size == 0 for shape in here.geometry]
        assert (here["status"][alone] == "new").all()
    assert len(ids) > 100


def test_a_year_with_itself_changes_nothing(shapefiles: list[Path], tmp_path: Path) -> None:
    """Also with the rows of both in another order."""
    rng = np.random.default_rng(1)
    for _, _, _, linked in _chain(shapefiles, tmp_path):
        again = year_matching.link(
            linked.iloc[rng.permutation(len(linked))], linked.iloc[rng.permutation(len(linked))], link.PIXEL_M
        )
        assert_geodataframe_equal(again.frame, linked)
        assert sum(again.last.values()) == len(linked)


def test_another_crs_gives_the_same_names(shapefiles: list[Path], tmp_path: Path) -> None:
    """Last year's file in degrees: transformed, said so, and everybody keeps the name."""
    file = max(shapefiles[:-1], key=lambda one: len(gpd.read_file(one)))
    last = _first(file, tmp_path / "last.gpkg")
    there = gpd.read_file(last, layer=0).to_crs("EPSG:4326")
    pyogrio.write_dataframe(there, tmp_path / "degrees.gpkg")
    found = {}
    for name in ("last", "degrees"):
        heard = Quiet()
        link.inventory_file(file, tmp_path / f"{name}.gpkg", heard, out=tmp_path / f"out-{name}")
        found[name] = gpd.read_parquet(tmp_path / f"out-{name}" / "landslides.parquet").sort_values(ID)
        assert ("  transformed from EPSG:4326" in heard.lines) == (name == "degrees")
        assert f"kept, same outline {len(there)}" in heard.lines
    assert found["last"][ID].tolist() == found["degrees"][ID].tolist()
    assert found["last"]["version"].tolist() == found["degrees"]["version"].tolist()


def test_repairs_keep_the_ground(shapefiles: list[Path]) -> None:
    """Against GEOS' own buffer by nothing, for outlines that only touch themselves."""
    for file in shapefiles:
        raw = gpd.read_file(file)
        frame, repaired, _ = previous_inventory.sound(raw)
        assert len(frame) == len(raw)
        assert repaired == (~raw.geometry.is_valid).sum()
        assert frame.geometry.is_valid.all()
        np.testing.assert_allclose(frame.area, shapely.area(shapely.buffer(raw.geometry.values, 0)), rtol=1e-9)
