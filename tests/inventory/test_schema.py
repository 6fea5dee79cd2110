"""The inventory's schema: one place, from which documentation and checks come."""

import math
from pathlib import Path

import pandas as pd
import pyogrio
import pytest

from lsbatch.catalog.survey import Survey
from lsbatch.errors import LsbatchError
from lsbatch.inventory import exports, inventory_files, schema

DOCS = Path(__file__).parents[2] / "docs" / "inventory.md"


def test_the_documentation_has_these_tables() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for table in (schema.table(), *(exports.markdown_table(one.fields) for one in exports.EXPORTS.values())):
        assert table in text


def test_all_files_keep_to_it(done_survey: Survey) -> None:
    folder = done_survey.workspace.inventory
    frame = inventory_files.read(done_survey.workspace)
    assert len(frame) > 0
    schema.check(frame.drop(columns="geometry").to_dict("list"))
    assert [*frame.columns] == [*schema.dtypes(), "geometry"]
    stored = pyogrio.read_info(folder / "landslides.gpkg", layer="landslides")
    assert [*stored["fields"]] == [*schema.dtypes()]
    kinds = {"str": "OFTString", "date": "OFTDate", "float64": "OFTReal", "int64": "OFTInteger64"}
    assert stored["ogr_types"] == [kinds[field.dtype] for field in schema.FIELDS]
    table = pd.read_csv(folder / "landslides.csv", keep_default_na=False, na_values={
        field.name: "" for field in schema.FIELDS if field.dtype in ("int64", "float64")
    })  # fmt: skip
    attributes = frame.drop(columns="geometry")
    # a column of whole numbers has no decimal point in the file
    pd.testing.assert_frame_equal(table.astype(attributes.dtypes), attributes, check_exact=True)


OTHERS = {"date": "2020-02-29", "int64": 1, "float64": 0.5}


def _record() -> dict[str, list[object]]:
    texts = {
        "status": "new",
        "observation": "found",
        "outline": "pixels",
        "confidence": "low",
        "review_state": "unreviewed",
    }
    values: dict[str, list[object]] = {}
    for field in schema.FIELDS:
        values[field.name] = [texts.get(field.name, "x") if field.dtype == "str" else OTHERS[field.dtype]]
    return values


def test_a_record_that_keeps_to_it_passes() -> None:
    schema.check(_record())
    schema.check(_record() | {"dndvi_mean": [math.nan], "comment": [""]})
    schema.check(_record() | {"on_farmland_share": [0.25]}, ("farmland",))


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("status", "moved", "status = 'moved' of record 1: is none of new, persisting"),
        ("survey_id", "", "is empty"),
        ("area_m2", math.nan, "is not known"),
        ("area_m2", -1.0, "is too small or too large"),
        ("probability_mean", 1.5, "is outside 0 to 1"),
        ("comment", 3, "is no text"),
        ("date_latest", "2021-02-29", "is no day such as 2026-07-01"),
        ("date_latest", "20210228", "is no day such as 2026-07-01"),
        ("date_latest", "", "is empty"),
        ("relief_m", "high", "is no number"),
    ],
)
def test_a_record_that_does_not_is_refused(column: str, value: object, said: str) -> None:
    with pytest.raises(LsbatchError, match=said):
        schema.check(_record() | {column: [value]})


def test_other_columns_and_ids_that_are_there_twice_are_refused() -> None:
    with pytest.raises(LsbatchError, match="missing: on_farmland_share; unknown: none"):
        schema.check(_record(), ("farmland",))
    twice = {name: values * 2 for name, values in _record().items()}
    with pytest.raises(LsbatchError, match="landslide_id 'x' occurs twice"):
        schema.check(twice)
