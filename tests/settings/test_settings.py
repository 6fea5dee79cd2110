"""Settings: what is in configs/ is sound, and what is wrong is answered by one sentence, never a traceback."""

import copy
import itertools
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lsbatch import settings
from lsbatch.errors import ConfigError

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
FOLDER = Path("/surveys")

GOOD: dict[str, Any] = {
    "survey": {"id": "x", "kind": "annual", "year": 2024},
    "region": {"bounds": [0, 0, 10_000, 10_000]},
    "archives": {
        "sentinel2": {"preset": "earth-search"},
        "sentinel1": {"preset": "planetary-computer"},
        "dem": {"preset": "planetary-computer"},
    },
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """GOOD with one field set, by its dotted path."""
    raw = copy.deepcopy(GOOD)
    *sections, name = path.split(".")
    place = raw
    for section in sections:
        place = place.setdefault(section, {})
    place[name] = value
    return raw


def refusal(raw: Any) -> str:
    """The one line with which these settings are refused."""
    with pytest.raises(ConfigError) as caught:
        settings.parse(raw, FOLDER, "my.yaml")
    text = str(caught.value)
    assert text.startswith("my.yaml: ")
    assert "\n" not in text
    return text


def back(made: settings.Config) -> settings.Config:
    """Through YAML and back."""
    return settings.parse(yaml.safe_load(settings.to_yaml(made)), Path("/elsewhere"))


# What ships


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_settings_are_sound_and_survive_the_way_back(path: Path) -> None:
    made = settings.load(path)
    assert back(made) == made
    # a note on what to change comes first
    assert path.read_text(encoding="utf-8").startswith("# ")
    assert "To change" in path.read_text(encoding="utf-8")


def test_shipped_settings_are_all_there() -> None:
    assert {path.stem for path in CONFIGS} == {"norway-annual", "jolster-2019", "emergency-sar", "synthetic"}


def test_synthetic_settings_are_those_that_simulate_writes(tmp_path: Path) -> None:
    from lsbatch import synthetic

    rows = cols = 256
    folder = tmp_path / "synthetic"
    folder.mkdir()
    written = settings.load(synthetic.simulate(folder, seed=1, rows=rows, cols=cols))
    raw = yaml.safe_load(next(p for p in CONFIGS if p.stem == "synthetic").read_text(encoding="utf-8"))
    (tmp_path / "configs").mkdir()
    shipped = settings.parse(raw, tmp_path / "configs")

    def plain(made: settings.Config) -> Any:
        """As plain values, with .. in paths resolved."""
        text = made.model_dump_json(exclude={"region"})
        return text.replace(f"{tmp_path}/configs/../", f"{tmp_path}/")

    assert plain(shipped) == plain(written)
    # the same corner; the shipped one is larger
    left, _, _, top = shipped.region.bounds
    assert (left, top) == (written.region.bounds[0], written.region.bounds[3])
    assert (shipped.region.bounds[2] - left, top - shipped.region.bounds[1]) == (10_240, 10_240)


def test_shipped_windows_are_what_their_notes_say() -> None:
    windows = {path.stem: settings.load(path).survey.windows for path in CONFIGS}
    day = date.fromisoformat
    assert windows["norway-annual"] == settings.Windows(
        pre=(day("2023-06-15"), day("2023-09-15")), post=(day("2024-06-15"), day("2024-09-15"))
    )
    assert windows["jolster-2019"] == settings.Windows(
        pre=(day("2019-06-30"), day("2019-07-29")), post=(day("2019-07-31"), day("2019-08-29"))
    )


def test_emergency_waits_for_no_clear_sky() -> None:
    made = settings.load(next(path for path in CONFIGS if path.stem == "emergency-sar"))
    assert made.model.family == "disturbance"
    assert made.archives.sensors == {"sentinel1"}
    assert made.survey.newest_passes


def test_jolster_bounds_hold_the_lake() -> None:
    from pyproj import Transformer

    made = settings.load(next(path for path in CONFIGS if path.stem == "jolster-2019"))
    left, bottom, right, top = made.region.bounds
    transformer = Transformer.from_crs("EPSG:4326", made.grid.crs, always_xy=True)
    for lon in (6.0, 6.3, 6.6):
        for lat in (61.4, 61.5, 61.6):
            x, y = transformer.transform(lon, lat)
            assert left <= x <= right
            assert bottom <= y <= top
    assert (right - left) * (top - bottom) < 1000e6


def test_example_is_sound_and_explains_every_field() -> None:
    text = settings.to_yaml(settings.example())
    assert back(settings.example()) == settings.parse(settings.example().model_dump(), Path("/elsewhere"))
    lines = text.splitlines()
    for above, line in itertools.pairwise(lines):
        if ":" in line and not line.lstrip().startswith("#"):
            assert above.lstrip().startswith("# "), line


# What is refused: the field, its value, and what is allowed instead


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        # unknown keys
        ("thresold", 0.5, ["thresold: is not a setting", "allowed: survey, region, grid"]),
        ("clean.thresold", 0.5, ["clean.thresold: is not a setting", "allowed: threshold, mode_radius_px, min_slope"]),
        ("archives.sentinel2.colection", "x", ["archives.sentinel2.colection", "allowed: preset, url, collections"]),
        # the lattice
        ("grid.crs", "EPSG:4326", ["grid.crs = 'EPSG:4326'", "WGS 84", "degree", "projected CRS in metres"]),
        ("grid.crs", "EPSG:2263", ["grid.crs", "foot", "EPSG:25833"]),
        ("grid.crs", "EPSG:5773", ["grid.crs", "projected CRS in metres"]),
        ("grid.crs", "EPSG:999999", ["grid.crs = 'EPSG:999999'", "not a known CRS"]),
        ("grid.crs", "Norway", ["grid.crs = 'Norway'", "not a known CRS"]),
        ("grid.crs", 25833, ["grid.crs = 25833", "string"]),
        ("grid.tile_px", 1000, ["grid.tile_px = 1000", "multiple of 128"]),
        ("grid.tile_px", 64, ["grid.tile_px = 64", "128"]),
        ("grid.tile_px", 16384, ["grid.tile_px = 16384", "8192"]),
        ("grid.resolution_m", 0, ["grid.resolution_m = 0", "greater than or equal to 0.1"]),
        ("grid.resolution_m", float("nan"), ["grid.resolution_m = nan"]),
        # when
        ("survey.year", None, ["survey", "needs year"]),
        ("survey.year", 1999, ["survey.year = 1999", "2015"]),
        ("survey.year", "next", ["survey.year = 'next'", "integer"]),
        ("survey.kind", "event", ["survey", "needs event_date"]),
        ("survey.kind", "monthly", ["survey.kind = 'monthly'", "annual", "event"]),
        ("survey.event_date", "30.7.2019", ["survey.event_date = '30.7.2019'", "date"]),
        ("survey.event_date", date(2001, 1, 1), ["survey.event_date = 2001-01-01", "2014-04-03"]),
        ("survey.season", ["09-15", "09-15"], ["survey.season", "another day"]),
        ("survey.season", ["06-31", "09-15"], ["survey.season", "MM-DD"]),
        ("survey.season", ["06-15", "13-15"], ["survey.season", "MM-DD"]),
        ("survey.season", ["W10-1", "W20-1"], ["survey.season", "MM-DD"]),
        ("survey.season", ["06-15"], ["survey.season.1", "missing"]),
        ("survey.season", "summer", ["survey.season = 'summer'"]),
        ("survey.window_days", 0, ["survey.window_days = 0", "1"]),
        ("survey.newest_passes", 0, ["survey.newest_passes = 0", "1"]),
        ("survey.id", "../x", ["survey.id = '../x'"]),
        ("survey.id", "", ["survey.id = ''"]),
        # where
        ("region.bounds", None, ["region", "exactly one of bounds and file"]),
        ("region.file", "x.gpkg", ["region", "exactly one of bounds and file"]),
        ("region.bounds", [10, 0, 0, 10], ["region", "left < right"]),
        ("region.bounds", [0, 0, 10], ["region.bounds.3", "missing"]),
        ("region.bounds", [0, 0, float("inf"), 10], ["region.bounds.2 = inf", "finite"]),
        ("region.bounds", ["a", 0, 10, 10], ["region.bounds.0 = 'a'", "number"]),
        # archives
        ("archives.sentinel1", None, ["bands s1vv_s2 needs archives.sentinel1"]),
        ("archives.sentinel1", {"preset": "local"}, ["archives.sentinel1", "needs url and collections"]),
        ("archives.sentinel1", {"preset": "stac", "url": "http://x"}, ["needs url and collections"]),
        ("archives.sentinel1", {"preset": "esa"}, ["archives.sentinel1.preset = 'esa'", "planetary-computer"]),
        ("archives.sentinel1", {}, ["archives.sentinel1.preset: is missing"]),
        ("archives.max_cloud_percent", 101, ["archives.max_cloud_percent = 101", "100"]),
        ("archives.attempts", 0, ["archives.attempts = 0"]),
        # method
        ("bands", "s3", ["bands = 's3'", "s1_s2_dem", "s1vv_s2"]),
        ("bands", ["preVV", "dNDVI", "postNIR"], None),
        ("bands", [], ["bands = []", "at least one band"]),
        ("bands", ["preVV", "NDVI"], ["bands = ['preVV', 'NDVI']", "'NDVI' is not a band", "allowed: preVV, postVV"]),
        ("bands", ["preVV", None], ["bands", "'None' is not a band"]),
        ("bands", ["preVV", "pre_date"], ["bands", "'pre_date' is not a band that a model can read"]),
        ("bands", ["observed"], ["bands", "'observed' is not a band that a model can read"]),
        ("bands", ["post_clear_looks"], ["bands", "'post_clear_looks' is not a band that a model can read"]),
        ("bands", ["preVV", "postVV", "preVV"], ["bands", "names preVV twice"]),
        ("bands", ["dNBR"], ["bands: dNBR needs SWIR2 in composite.bands"]),
        ("bands", ["dBSI", "preRE1"], ["bands: dBSI needs SWIR1 in composite.bands"]),
        ("bands", 5, ["bands = 5", "s1_s2_dem", "a list of STACK bands"]),
        ("composite.bands", ["SWIR1", "RE3", "NIRn"], None),
        ("composite.bands", ["SWIR"], ["composite.bands.0 = 'SWIR'", "SWIR1", "NIRn"]),
        ("composite.bands", ["RE1", "RE1"], ["composite.bands", "names RE1 twice"]),
        ("composite.speckle_size_px", 8, ["composite.speckle_size_px = 8", "odd"]),
        ("composite.speckle", "gamma-map", ["composite.speckle = 'gamma-map'", "lee"]),
        ("model.family", "transformer", ["model.family = 'transformer'", "unet"]),
        ("predict.memory_gb", 0.01, ["predict.memory_gb = 0.01", "0.1"]),
        ("predict.tiling", "overlap", ["predict.tiling = 'overlap'", "exact"]),
        ("predict.device", "tpu", ["predict.device = 'tpu'", "cuda"]),
        ("clean.threshold", 0, ["clean.threshold = 0", "greater than 0"]),
        ("clean.threshold", 1.0, ["clean.threshold = 1.0", "less than 1"]),
        ("clean.mode_radius_px", -1, ["clean.mode_radius_px = -1"]),
        ("inventory.min_area_m2", -1, ["inventory.min_area_m2 = -1"]),
        ("train.chip_px", 100, ["train.chip_px = 100", "2^train.depth = 16"]),
        ("train.block_px", 128, None),
        ("train", {"block_px": 128, "chip_px": 256}, ["train.block_px = 128", "train.chip_px = 256"]),
        ("train.stride_px", 48, ["grid.tile_px = 2048", "train.stride_px = 48"]),
        ("train", {"validation_share": 0.45, "test_share": 0.45}, ["train.validation_share", "fifth"]),
        ("train.depth", 7, ["train.depth = 7", "6"]),
        ("cluster.kind", "address", ["cluster", "needs address"]),
        ("cluster.kind", "cloud", ["cluster.kind = 'cloud'", "local"]),
        ("cluster.workers", 0, ["cluster.workers = 0"]),
        ("cluster.memory_gb", 0.1, ["cluster.memory_gb = 0.1"]),
        ("truth", {}, ["truth.file: is missing"]),
        # shapes
        ("survey", 5, ["survey = 5"]),
        ("survey", None, ["survey"]),
        ("region", [], ["region"]),
        ("output", 5, ["output = 5"]),
        ("output", "~nobody-of-this-name/x", ["home folder"]),
    ],
)  # fmt: skip
def test_wrong_setting_is_named_with_its_value_and_what_is_allowed(
    path: str, value: Any, said: list[str] | None
) -> None:
    if said is None:
        settings.parse(changed(path, value), FOLDER)
        return
    text = refusal(changed(path, value))
    for part in said:
        assert part in text


@pytest.mark.parametrize("section", ["survey", "region", "archives"])
def test_missing_section_is_named(section: str) -> None:
    raw = copy.deepcopy(GOOD)
    del raw[section]
    assert f"{section}: is missing" in refusal(raw)


def test_every_fault_is_told_at_once() -> None:
    raw = changed("clean.threshold", 7) | {"bandz": 1}
    assert "clean.threshold = 7" in refusal(raw)
    assert "bandz: is not a setting" in refusal(raw)


def test_of_many_faults_the_first_are_told() -> None:
    raw = copy.deepcopy(GOOD) | {"train": {f"name{number}": 1 for number in range(40)}}
    text = refusal(raw)
    assert len(text) < 2000
    assert "train.name0: is not a setting; allowed: chip_px, " in text
    told = text.count("is not a setting")
    assert text.endswith(f"; and {40 - told} more")


@pytest.mark.parametrize("text", [f"{'x' * 9000}: 1", f"a: *{'x' * 9000}", f"a: !!int {'x' * 9000}"])
def test_a_long_name_or_value_is_shortened(tmp_path: Path, text: str) -> None:
    path = tmp_path / "long.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        settings.load(path)
    assert len(str(caught.value)) < 2000


def test_huge_wrong_value_does_not_flood_the_screen() -> None:
    assert len(refusal(changed("grid.crs", "x" * 100_000))) < 400
    assert len(refusal(changed("survey.season", list(range(100_000))))) < 1000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must hold settings by name"),
        ("- a\n- b\n", "must hold settings by name"),
        ("just text", "must hold settings by name"),
        ("a: [1, 2", "is not YAML"),
        ("a: !!python/object/apply:os.system [ls]", "is not YAML that may be loaded"),
        ("survey: {year: 2024}\nregion: {}\nsurvey: {year: 2023}\n", "'survey' is given twice"),
        ("survey: {event_date: 2019-13-45}", "is not YAML that may be loaded"),
        ("a: !!int ''", "is not YAML that may be loaded"),
        ("[" * 5000, "is not YAML that may be loaded"),
        ("a: &a [*a]", "a: is not a setting"),
        ("survey: &a {year: *a}", "survey"),
        ("{[1, 2]: 3}", "my.yaml"),
        ("{1: 2}", "my.yaml"),
        ("\x00", "is not YAML"),
    ],
)
def test_file_that_holds_no_settings_gets_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        settings.load(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_file_that_cannot_be_read_gets_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read: No such file"):
        settings.load(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match=r"cannot be read: Is a directory"):
        settings.load(tmp_path)
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"survey: {id: J\xf8lster}")
    with pytest.raises(ConfigError, match="is not YAML"):
        settings.load(path)


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def leaves(raw: dict[str, Any], prefix: str = "") -> list[str]:
    """Dotted paths of every field and section."""
    found = []
    for key, value in raw.items():
        found.append(prefix + key)
        if isinstance(value, dict):
            found += leaves(value, f"{prefix}{key}.")
    return found


@given(st.sampled_from(leaves(settings.example().model_dump())), junk)
def test_whatever_a_field_holds_it_is_taken_or_refused_in_words(path: str, value: Any) -> None:
    try:
        made = settings.parse(changed(path, value), FOLDER)
    except ConfigError as error:
        assert str(error)
        return
    # what is taken can be used and written down
    made.survey.windows  # noqa: B018
    assert back(made) == made


# The way back


names = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=12)


@given(names, st.floats(0.001, 0.999), st.integers(1, 30), st.booleans())
def test_settings_survive_yaml_to_the_last_digit(name: str, threshold: float, days: int, orbits: bool) -> None:
    raw = changed("output", f"/surveys/{name}")
    raw["clean"] = {"threshold": threshold}
    raw["survey"] |= {"window_days": days, "event_date": date(2019, 7, 30)}
    raw["composite"] = {"same_orbits": orbits}
    made = settings.parse(raw, FOLDER)
    assert back(made) == made


def test_relative_paths_start_at_the_settings_file(tmp_path: Path) -> None:
    raw = changed("archives.sentinel1", {"preset": "local", "url": "s1", "collections": ["rtc"]})
    raw["region"] = {"file": "country.gpkg"}
    raw["truth"] = {"file": "truth.gpkg"}
    raw["model"] = {"weights": "w.safetensors"}
    raw["output"] = "out"
    path = tmp_path / "deep" / "my.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    made = settings.load(path)
    assert made.region.file == path.parent / "country.gpkg"
    assert made.truth.file == path.parent / "truth.gpkg"
    assert made.truth.points is None
    assert made.output == path.parent / "out"
    assert made.model.weights == str(path.parent / "w.safetensors")
    assert made.archives.sentinel1.url == str(path.parent / "s1")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/catalog.json", "https://x.org/stac", "/data/catalog.json"])
def test_addresses_and_absolute_paths_stay(url: str) -> None:
    raw = changed("archives.sentinel1", {"preset": "stac", "url": url, "collections": ["rtc"]})
    assert settings.parse(raw, FOLDER).archives.sentinel1.url == url


def test_packaged_weights_are_no_path() -> None:
    assert settings.parse(changed("model.weights", "package:unet"), FOLDER).model.weights == "package:unet"


def test_settings_are_frozen() -> None:
    made = settings.parse(GOOD, FOLDER)
    with pytest.raises(ValueError, match="frozen"):
        made.clean.threshold = 0.9  # type: ignore[misc]


def test_digest_depends_on_values_not_on_order() -> None:
    assert settings.digest({"a": 1, "b": [0.1]}) == settings.digest({"b": [0.1], "a": 1})
    assert settings.digest({"a": 1}) != settings.digest({"a": 2})
    assert settings.digest(0.1 + 0.2) != settings.digest(0.3)
    assert len(settings.digest(None)) == 16


SEASONS = {
    "summer in the north": (2020, ["06-15", "09-15"], ("2019-06-15", "2019-09-15"), ("2020-06-15", "2020-09-15")),
    "summer in the south": (2020, ["12-01", "03-15"], ("2018-12-01", "2019-03-15"), ("2019-12-01", "2020-03-15")),
    "new year's eve alone": (2020, ["12-31", "01-01"], ("2018-12-31", "2019-01-01"), ("2019-12-31", "2020-01-01")),
    "to 29 February": (2020, ["01-10", "02-29"], ("2019-01-10", "2019-02-28"), ("2020-01-10", "2020-02-29")),
    "from 29 February": (2021, ["02-29", "04-01"], ("2020-02-29", "2020-04-01"), ("2021-03-01", "2021-04-01")),
}


@pytest.mark.parametrize("case", SEASONS)
def test_seasons_of_both_hemispheres_and_of_leap_years(case: str) -> None:
    year, season, *expected = SEASONS[case]
    raw = changed("survey", {"kind": "annual", "year": year, "season": season})
    windows = settings.parse(raw, FOLDER).survey.windows
    assert [tuple(day.isoformat() for day in window) for window in (windows.pre, windows.post)] == expected


@given(st.dates(date(2014, 4, 3), date(2100, 12, 31)), st.integers(1, 366))
def test_event_windows_leave_out_the_day_and_last_as_long_as_asked(day: date, span: int) -> None:
    raw = changed("survey", {"kind": "event", "event_date": day, "window_days": span})
    windows = settings.parse(raw, FOLDER).survey.windows
    for first, last in (windows.pre, windows.post):
        assert (last - first).days == span - 1
        assert not first <= day <= last
    assert windows.pre[1] < day < windows.post[0]


# Further bands, and bands as a list


def test_a_list_of_bands_is_the_inputs_and_survives_the_way_back() -> None:
    names = ["postSWIR2", "dNBR", "slope"]
    made = settings.parse(changed("bands", names) | {"composite": {"bands": ["SWIR2"]}}, FOLDER)
    assert made.inputs == tuple(names)
    assert made.bands_text == "postSWIR2, dNBR, slope"
    assert back(made) == made
    assert settings.parse(made.model_dump(mode="json"), Path("/elsewhere")) == made


def test_a_list_needs_the_archives_of_its_bands() -> None:
    raw = changed("bands", ["preVV", "dNDVI"])
    del raw["archives"]["sentinel1"]
    assert "bands preVV, dNDVI needs archives.sentinel1" in refusal(raw)


def test_further_bands_need_their_archive() -> None:
    raw = changed("bands", "s1vv") | {"composite": {"bands": ["RE1"]}}
    del raw["archives"]["sentinel2"]
    assert "composite.bands needs archives.sentinel2" in refusal(raw)


def test_a_list_with_look_directions_is_not_mirrored() -> None:
    raw = changed("bands", ["preVV_asc", "dNDVI"]) | {"predict": {"flips": True}}
    assert "predict.flips: bands preVV_asc, dNDVI depend on the look direction" in refusal(raw)


def test_a_family_with_bands_of_its_own_ignores_the_list() -> None:
    made = settings.parse(changed("bands", ["dNDVI"]) | {"model": {"family": "tehrani"}}, FOLDER)
    assert len(made.inputs) == 10


def test_digests_do_not_change_for_a_survey_that_does_not_ask() -> None:
    """Values before `composite.bands` was added."""
    composite = settings.parse(GOOD, FOLDER).composite
    assert "bands" not in composite.model_dump()
    assert settings.digest(composite.model_dump()) == "06939e8c5bad839b"
    assert settings.parse(changed("composite.bands", ["RE1"]), FOLDER).composite.model_dump()["bands"] == ("RE1",)
