"""A small finished survey with values that must not be published, or not as they are."""

import json
from pathlib import Path

import geopandas as gpd
import shapely

from lsbatch.catalog.survey import Survey
from lsbatch.pipeline import national_maps
from lsbatch.settings import PublishSettings
from lsbatch.storage import receipts, vectors
from lsbatch.storage.receipts import Receipt
from tests import fake_survey
from tests.fake_survey import Fake

REVIEWER, REMARK = "Kari Nordmann-Hemmelig", "hidden remark of a reviewer"
HOSTILE = '"><script>document.title="owned"</script><img src=x onerror=alert(1)>'
#: A password in the address of an archive, of `fake_survey`, and a signature in an error message.
SECRET, SIGNED = "user:secret@", "sig=Zm9vYmFyc2VjcmV0"
ID = "landslide_id"


def make(folder: Path, landslides: int = 12, publish: PublishSettings = PublishSettings()) -> Survey:
    """Write a finished survey with counties; the second landslide has hostile texts."""
    survey = fake_survey.make(folder, Fake(landslides=landslides, truth=False))
    national_maps.apply(survey, survey.config)
    _counties(folder / "counties.gpkg", survey)
    receipt = Receipt("rasters", "all", "d", 0.4, 0, 310.0, "host:1", "2020-10-01T00:00:00+00:00")
    receipts.write(survey.workspace.receipts, receipt)
    file = survey.workspace.inventory / "landslides.parquet"
    frame = gpd.read_parquet(file)
    if len(frame) > 1:
        frame.loc[1, ["status", "parent_ids"]] = HOSTILE
        frame["reviewer"], frame["comment"] = REVIEWER, f"{REMARK} {HOSTILE}"
        frame["internal"] = str(folder)
    vectors.write_parquet(file, frame)
    scenes = f"tile,scene,looks,used,reason\nr000c000,S2A_1,pre_s2,no,S2A_1: https://a.b/c?{SIGNED} in {folder}\n"
    (survey.workspace.inventory / "scenes.csv").write_text(scenes, encoding="utf-8")
    answer = {
        "version": 1,
        ID: str(frame[ID].iat[0]) if len(frame) else "",
        "state": "rejected",
        "reviewer": REVIEWER,
        "comment": REMARK,
    }
    survey.workspace.answers.parent.mkdir(parents=True, exist_ok=True)
    survey.workspace.answers.write_text(json.dumps(answer) + "\n", encoding="utf-8")
    inventory = survey.config.inventory.model_copy(update={"areas": folder / "counties.gpkg"})
    config = survey.config.model_copy(update={"inventory": inventory, "publish": publish})
    return Survey(config, survey.grid, survey.positions)


def _counties(path: Path, survey: Survey) -> None:
    left, bottom, right, top = survey.grid.bounds
    middle = (left + right) / 2
    frame = gpd.GeoDataFrame(
        {"name": [f"West {HOSTILE}"[:80], "East"]},
        geometry=[shapely.box(left, bottom, middle, top), shapely.box(middle, bottom, right, top)],
        crs=survey.grid.crs,
    )
    vectors.write_geopackage(path, frame, "counties")
