"""Plans from archives that need an account, and from raw radar products."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from lsbatch import settings
from lsbatch.catalog import plan, planning, search
from lsbatch.errors import ConfigError, NoDataError
from lsbatch.settings import ArchiveSettings, Config
from tests import programs
from tests.catalog import archive_items as archives
from tests.security import hostile

SECRETS = {"CDSE_ACCESS_KEY": "access-51f0", "CDSE_SECRET_KEY": "secret-51f0", "EARTHDATA_TOKEN": "token-51f0"}


@pytest.fixture(autouse=True)
def _no_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without keys and without a ~/.netrc."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in SECRETS:
        monkeypatch.delenv(name, raising=False)


def configured(folder: Path, sensor: str, **source: Any) -> Config:
    bands = {"sentinel2": "s2", "sentinel1": "s1vv"}[sensor]
    return settings.load(hostile.settings(folder, "", bands=bands, archives={sensor: source, "attempts": 1}))


def in_two_years(folder: Path, item: dict[str, Any]) -> str:
    """A catalogue with an item in the window before and in the one after."""
    items = []
    for year in (2019, 2020):
        properties = item["properties"] | {"datetime": f"{year}-07-01T10:40:31Z"}
        items.append(
            item | {"id": item["id"].replace("20240701T104031", f"{year}0701T104031"), "properties": properties}
        )
    return str(hostile.catalogue(folder / "archive", *items))


LACKING = {
    "cdse": (
        "sentinel2",
        "CDSE_SECRET_KEY",
        r"keys of the Copernicus Data Space .* CDSE_ACCESS_KEY and CDSE_SECRET_KEY",
    ),
    "opera-rtc": ("sentinel1", "CDSE_SECRET_KEY", r"an Earthdata token .* EARTHDATA_TOKEN, or a user and password"),
}


@pytest.mark.parametrize("preset", LACKING)
def test_missing_keys_are_told_before_anything_is_asked(
    preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sensor, other, sentence = LACKING[preset]
    monkeypatch.setenv(other, SECRETS[other])
    # an address at which nobody listens
    config = configured(tmp_path, sensor, preset=preset, url="http://127.0.0.1:9")
    with pytest.raises(ConfigError, match=rf"archives.{sensor}: preset {preset} needs {sentence}") as caught:
        planning.make(config)
    assert SECRETS[other] not in str(caught.value)


def test_missing_keys_end_the_command(tmp_path: Path) -> None:
    path = hostile.settings(tmp_path, "", archives={"sentinel2": {"preset": "cdse"}})
    done = programs.run("plan", str(path))
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("lsbatch: archives.sentinel2: preset cdse needs keys")
    assert "Traceback" not in done.stderr


def test_a_plan_holds_no_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, secret in SECRETS.items():
        monkeypatch.setenv(name, secret)
    config = configured(tmp_path, "sentinel2", preset="cdse", url=in_two_years(tmp_path, archives.cdse_sentinel2()))
    plan.save(planning.make(config), config.output)
    files = [path.read_bytes() for path in config.output.rglob("*") if path.is_file()]
    assert any(b"s3://eodata/Sentinel-2/" in data for data in files)
    assert not [secret for secret in SECRETS.values() for data in files if secret.encode() in data]


def test_raw_products_are_refused_with_the_remedy(tmp_path: Path) -> None:
    url = in_two_years(tmp_path, archives.cdse_grd())
    config = configured(tmp_path, "sentinel1", preset="stac", url=url, collections=["sentinel-1-grd"])
    with pytest.raises(NoDataError, match=r"rejected, the first: .*is IW_GRDH_1S, level 1, .*lsbatch geocode"):
        planning.make(config)


def test_the_raw_radar_of_cdse_is_no_preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, secret in SECRETS.items():
        monkeypatch.setenv(name, secret)
    with pytest.raises(search.CatalogError, match=r"cdse has no readable .*use planetary-computer or opera-rtc"):
        planning.make(configured(tmp_path, "sentinel1", preset="cdse"))


def test_the_example_of_the_docs_is_valid() -> None:
    """One archive for each sensor, as docs/archives.md shows it."""
    text = (Path(__file__).parents[2] / "docs" / "archives.md").read_text(encoding="utf-8")
    example = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    sources = ArchiveSettings.model_validate(example["archives"])
    given = {sensor: getattr(sources, sensor).preset for sensor in ("sentinel2", "sentinel1", "dem")}
    assert given == {"sentinel2": "cdse", "sentinel1": "opera-rtc", "dem": "cdse"}
    assert all(sensor in search.PRESETS[preset].collections for sensor, preset in given.items())
