"""The survey's own STAC: valid, and saying what each tile was made from."""

import pystac
import xarray as xr

from lsbatch.bands import STACK
from lsbatch.catalog import plan
from lsbatch.catalog.survey import Survey
from lsbatch.engine import execution
from lsbatch.engine.todo import step_named
from lsbatch.grid import tile_id
from lsbatch.storage import receipts


def test_tiles_as_items(done_survey: Survey) -> None:
    root = done_survey.workspace.catalog / "catalog.json"
    catalog = pystac.Catalog.from_file(root)
    items = {item.id: item for item in catalog.get_items() if not item.id.endswith("-inventory")}
    done = receipts.read_stage(done_survey.workspace.receipts, "stack")
    assert sorted(items) == sorted(f"{done_survey.config.survey.id}-{tile_id(*p)}" for p in done_survey.positions)
    for position in done_survey.positions:
        tile = tile_id(*position)
        item, receipt = items[f"{done_survey.config.survey.id}-{tile}"], done[tile]
        # the schemas of the core lie in pystac; those of extensions are on the network
        item.stac_extensions = []
        assert item.validate() != []
        planned = plan.tile_scenes(done_survey.workspace.root, tile)
        used = {
            f"{s.orbit_state} {s.relative_orbit} {s.platform}"
            for key in ("pre_s1", "post_s1")
            for s in planned[key]
            if s.id in receipt.scenes
        }
        assert item.properties["lsbatch:orbits"] == sorted(used)
        # four relative orbits in both years; the fifth flew only after, and is in neither
        assert 0 < len(used) <= 4
        assert not any(" 117 " in orbit for orbit in used)
        assert item.properties["lsbatch:scenes"] == list(receipt.scenes)
        assert set(xr.open_zarr(item.assets["stack"].get_absolute_href(), consolidated=False).data_vars) >= set(
            STACK.names
        )
        assert tuple(item.properties["proj:shape"]) == done_survey.tile(position).geobox.shape


def test_written_again_it_is_whole(done_survey: Survey) -> None:
    folder = done_survey.workspace.catalog
    before = sorted(path.relative_to(folder) for path in folder.rglob("*"))
    step_named("catalog").apply(done_survey, done_survey.config)
    assert sorted(path.relative_to(folder) for path in folder.rglob("*")) == before
    assert not [path for path in folder.parent.iterdir() if path.name.startswith(".stac")]
    assert execution.run(done_survey) == 0
