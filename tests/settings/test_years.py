"""Settings of a series: each year has its own dates, id and folder, and nothing that belongs to another year."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from lsbatch import settings
from lsbatch.errors import ConfigError

PLAIN: dict[str, Any] = {
    "survey": {"id": "norway-2020", "year": 2020},
    "region": {"bounds": [0, 0, 10_000, 10_000]},
    "archives": {name: {"preset": "planetary-computer"} for name in ("sentinel2", "sentinel1", "dem")},
}


def written(folder: Path, **changes: Any) -> Path:
    """A settings file with changed sections."""
    path = folder / "survey.yaml"
    raw = {name: PLAIN.get(name, {}) | value if isinstance(value, dict) else value for name, value in changes.items()}
    path.write_text(yaml.safe_dump(PLAIN | raw), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("2018-2020", (2018, 2019, 2020)),
        ("2018", (2018,)),
        ("2024,2018, 2020", (2018, 2020, 2024)),
        ("2018-2019,2019,2022-2023", (2018, 2019, 2022, 2023)),
    ],
)
def test_years_of_a_text(text: str, years: tuple[int, ...]) -> None:
    assert settings.parse_years(text) == years


@pytest.mark.parametrize(
    "text", ["", "2020-2018", "18-20", "2018-", "2018;2019", "2018--2020", "all", "2018-2019-2020"]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--years .*2018-2026"):
        settings.parse_years(text)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("norway-2020", "norway-2018"),
        ("norway-{year}", "norway-2018"),
        ("norway", "norway-2018"),
        ("a2020b2020", "a2018b2018"),
        ("tile-120200", "tile-120200-2018"),
        ("norway-2018", "norway-2018"),
    ],
)
def test_id_of_a_year(tmp_path: Path, name: str, found: str) -> None:
    assert settings.load(written(tmp_path, survey={"id": name}), 2018).survey.id == found


@pytest.mark.parametrize(
    ("output", "found"), [("survey", "survey/2018"), ("surveys/n-{year}/", "surveys/n-2018"), ("{year}", "2018")]
)
def test_folder_of_a_year(tmp_path: Path, output: str, found: str) -> None:
    assert settings.load(written(tmp_path, output=output), 2018).output == tmp_path / found


def test_folder_in_a_bucket(tmp_path: Path) -> None:
    found = settings.load(written(tmp_path, output="s3://bucket/norway"), 2018).output
    assert str(found) == "s3://bucket/norway/2018"


@pytest.mark.parametrize(
    ("season", "year", "pre", "post"),
    [
        (("06-15", "09-15"), 2019, ("2018-06-15", "2018-09-15"), ("2019-06-15", "2019-09-15")),
        # across the new year: it belongs to the year in which it ends
        (("12-15", "03-15"), 2019, ("2017-12-15", "2018-03-15"), ("2018-12-15", "2019-03-15")),
        # 29 February in a year without one
        (("02-29", "06-15"), 2019, ("2018-03-01", "2018-06-15"), ("2019-03-01", "2019-06-15")),
        (("12-01", "02-29"), 2020, ("2018-12-01", "2019-02-28"), ("2019-12-01", "2020-02-29")),
    ],
)
def test_windows_follow_the_year(
    tmp_path: Path, season: tuple[str, str], year: int, pre: tuple[str, str], post: tuple[str, str]
) -> None:
    path = written(tmp_path, survey={"season": list(season)})
    windows = settings.load(path, year).survey.windows
    assert windows.pre == tuple(map(date.fromisoformat, pre))
    assert windows.post == tuple(map(date.fromisoformat, post))
    # so that composites can be shared
    assert settings.load(path, year + 1).survey.windows.pre == windows.post


def test_placeholder_is_filled_in_every_text(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        survey={"id": "n-{year}"},
        truth={"file": "mapped-{year}.gpkg"},
        inventory={"others": {"hand": "hand/{year}/a.gpkg"}},
        output="n-{year}",
    )
    for year, config in ((2020, settings.load(path)), (2018, settings.load(path, 2018))):
        assert config.survey.id == f"n-{year}"
        assert config.truth is not None
        assert config.truth.file == tmp_path / f"mapped-{year}.gpkg"
        assert config.inventory.others["hand"] == tmp_path / f"hand/{year}/a.gpkg"
        assert config.output == tmp_path / f"n-{year}"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"survey": {"kind": "event", "event_date": date(2020, 6, 3)}}, "survey.kind = 'event'"),
        ({"truth": {"file": "mapped.gpkg"}}, "truth.file = 'mapped.gpkg'"),
        ({"inventory": {"others": {"cart": "cart.gpkg"}}}, "inventory.others.cart = 'cart.gpkg'"),
        ({"output": "a/{year}/b"}, "output = 'a/{year}/b'"),
        ({"survey": {"kind": "weekly"}}, "survey.kind"),
        ({"survey": 3}, "survey"),
    ],
)
def test_what_belongs_to_one_year_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings.load(written(tmp_path, **changes), 2018)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_truth_with_dates_is_of_all_years(tmp_path: Path) -> None:
    found = settings.load(written(tmp_path, truth={"file": "mapped.gpkg", "date_field": "day"}), 2018)
    assert found.truth is not None
    assert found.truth.file == tmp_path / "mapped.gpkg"


@pytest.mark.parametrize("year", [2014, 2101])
def test_years_without_sentinel_are_refused(tmp_path: Path, year: int) -> None:
    with pytest.raises(ConfigError, match=r"survey\.year"):
        settings.load(written(tmp_path), year)


@pytest.mark.parametrize(
    "text",
    [
        "survey: &a {year: 2020, id: *a}",
        "survey: {year: 2020}\ntruth: &t [*t, *t, *t, *t, *t, *t, *t, *t]",
        "survey: &a {year: 2020, season: &b [*a, *b]}\noutput: *b",
        "survey: {year: 2020}\ninventory: {others: &o {cart: *o}}",
    ],
)
@pytest.mark.parametrize("year", [None, 2018])
def test_values_that_contain_themselves_get_one_sentence(tmp_path: Path, text: str, year: int | None) -> None:
    path = tmp_path / "survey.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        settings.load(path, year)
    assert "\n" not in str(caught.value)
