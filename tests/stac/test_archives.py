"""A survey from STAC APIs and rasters behind signatures, through outages.

The same bytes as from the catalogue on disk.
"""

import subprocess
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from odc.geo.geobox import GeoBox
from pystac_client.stac_api_io import StacApiIO

from lsbatch.catalog import http, plan, planning, search
from lsbatch.catalog.items.scenes import Scene, describe
from lsbatch.catalog.survey import Survey, open_survey
from lsbatch.cli import terminal
from lsbatch.commands import run
from lsbatch.engine import execution
from lsbatch.imagery import scene_reading
from lsbatch.settings import Config
from lsbatch.storage import receipts
from tests import servers, surveys
from tests.stac import archives, pgstac

#: Items of a page, so that every search of the country needs several.
PAGE = 5


@pytest.fixture(autouse=True)
def _sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK reads its environment once a process, and keeps signatures."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from planetary_computer import sas, settings
    monkeypatch.setattr(sas, "TOKEN_CACHE", {})
    settings.Settings.get.cache_clear()
    monkeypatch.setattr(search, "PAGE", PAGE)


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses that are asked for while scenes are searched."""
    asked: list[str] = []
    request = StacApiIO.request

    def counting(self: StacApiIO, href: str, *args: Any, **kwargs: Any) -> str:
        asked.append(href)
        return request(self, href, *args, **kwargs)

    monkeypatch.setattr(StacApiIO, "request", counting)
    return asked


def use(served: archives.Signed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have GDAL and the SDK come to this server."""
    for name, value in served.environment.items():
        monkeypatch.setenv(name, value)


def settings(country: Path, output: Path, url: str, **changes: Any) -> Config:
    return surveys.configured(country, output, **{"archives": archives.sources(url)} | changes)


def scenes(root: Path) -> dict[str, dict[str, list[str]]]:
    """Ids of scenes by tile and window."""
    found = plan.load(root)
    names = [Survey(None, found.grid, found.tiles).tile(position).id for position in found.tiles]  # type: ignore[arg-type]
    return {
        name: {key: [scene.id for scene in group] for key, group in plan.tile_scenes(root, name).items()}
        for name in names
    }


def sums(survey: Survey, stage: str) -> dict[str, dict[str, str]]:
    """Checksums of what a stage wrote, of the tiles that it has done."""
    return {
        tile: dict(found.sums) for tile, found in receipts.read_stage(survey.workspace.receipts, stage).items() if found
    }


def left_out(survey: Survey) -> list[str]:
    return [
        reason for found in receipts.read_stage(survey.workspace.receipts, "stack").values() for reason in found.dropped
    ]


def test_a_tile_through_an_api_with_pages_an_outage_and_signatures_that_expire(
    country: Path, stacked_survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pages: list[str]
) -> None:
    monkeypatch.setattr(http, "WAIT_S", 0.3)
    _, items = archives.documents(country, archives.AZURE_URL)
    trouble = servers.Trouble(outage=servers.Outage(after=4, seconds=0.5))
    with (
        servers.stac_api(items, tmp_path) as api,
        servers.between(api, trouble) as url,
        archives.signed(country.parent / "catalog", valid_s=1.0) as served,
    ):
        use(served, monkeypatch)
        survey = surveys.ready(settings(country, tmp_path / "s", url))
        served.outage = servers.Outage(after=40, seconds=0.5)
        assert execution.run(survey, until="stack", part=(1, 4)) == 0
    assert scenes(tmp_path / "s") == scenes(stacked_survey.workspace.root)
    assert trouble.outage is not None
    assert trouble.outage.missed
    assert len(pages) > 15
    assert served.outage.missed
    assert served.answers["refused"] >= 1
    assert served.answers["token"] == len(served.issued) >= 2
    (ours,) = sums(survey, "stack").items()
    assert ours[1] == sums(stacked_survey, "stack")[ours[0]]
    assert ours[1]
    assert not left_out(survey)


def test_answers_that_break_off_are_asked_for_again(
    country: Path, planned_survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "WAIT_S", 0.01)
    _, items = archives.documents(country, archives.AZURE_URL)
    trouble = servers.Trouble(cut=0.3, refused=0.1, seed=3)
    with servers.stac_api(items, tmp_path) as api, servers.between(api, trouble) as url:
        surveys.ready(settings(country, tmp_path / "s", url, archives=archives.sources(url, attempts=8)))
    assert scenes(tmp_path / "s") == scenes(planned_survey.workspace.root)
    assert trouble.told["cut"] >= 4


@pytest.fixture
def radar(country: Path) -> tuple[Scene, GeoBox]:
    """A scene behind signatures, and where it is read."""
    _, items = archives.documents(country, archives.AZURE_URL)
    one = describe(
        next(item for item in items if item["collection"] == "sentinel-1-rtc" and "_139_" in item["id"]), "sentinel1"
    )
    return one, GeoBox.from_bbox((337920, 6824960, 340480, 6827520), "EPSG:25833", resolution=10)


@pytest.mark.parametrize(
    ("told_s", "refused"), [(3600.0, 1), (61.0, 0)], ids=["the SDK does not know", "the SDK knows"]
)
def test_a_signature_that_expired_is_made_anew(
    country: Path, radar: tuple[Scene, GeoBox], monkeypatch: pytest.MonkeyPatch, told_s: float, refused: int
) -> None:
    monkeypatch.setattr(scene_reading, "FIRST_WAIT_S", 0.01)
    with archives.signed(country.parent / "catalog", valid_s=1.5, told_s=told_s) as served:
        use(served, monkeypatch)
        first = scene_reading.read(radar[0], ("VV",), radar[1])["VV"]
        time.sleep(1.6)
        second = scene_reading.read(radar[0], ("VH",), radar[1])["VH"]
    assert first.shape == second.shape
    assert (served.answers["token"], served.answers["refused"]) == (2, refused)


def test_a_signature_that_is_never_good_is_not_asked_for_without_end(
    country: Path, radar: tuple[Scene, GeoBox], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scene_reading, "FIRST_WAIT_S", 0.01)
    with archives.signed(country.parent / "catalog", valid_s=-1.0) as served:
        use(served, monkeypatch)
        with pytest.raises(
            scene_reading.SceneError, match=r"asset vv .* cannot be read: HTTP response code: 403$"
        ) as caught:
            scene_reading.read(radar[0], ("VV",), radar[1], attempts=3)
    # of the archive, so that the tile is tried again later
    assert caught.value.may_pass
    assert (served.answers["token"], served.answers["refused"]) == (3, 3)
    assert not any(signature in str(caught.value) for signature in served.issued)


@pytest.fixture(scope="module")
def commands() -> Path:
    """Where pypgstac and uvicorn are."""
    if reason := pgstac.missing():
        pytest.skip(reason)
    try:
        return pgstac.environment()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"pgstac cannot be installed: {error.stderr}")


@pytest.fixture
def api(commands: Path, country: Path, tmp_path: Path) -> Iterator[pgstac.Api]:
    """pgstac with the country's scenes."""
    with pgstac.database(commands, tmp_path, *archives.documents(country, archives.AZURE_URL)) as names:
        running = pgstac.Api(commands, names, tmp_path / "api.log")
        running.start()
        try:
            yield running
        finally:
            running.kill()


def dies(api: pgstac.Api, monkeypatch: pytest.MonkeyPatch, *, after: int, seconds: float) -> threading.Timer:
    """Kill the API before a certain request, and start it again some seconds later."""
    again = threading.Timer(seconds, api.start)
    request, count = StacApiIO.request, 0

    def deadly(self: StacApiIO, *args: Any, **kwargs: Any) -> str:
        nonlocal count
        count += 1
        if count == after:
            api.kill()
            again.start()
        return request(self, *args, **kwargs)

    monkeypatch.setattr(StacApiIO, "request", deadly)
    return again


@pytest.mark.slow(ci=True)
def test_a_survey_through_pgstac_that_dies_for_ten_seconds(
    api: pgstac.Api,
    country: Path,
    done_survey: Survey,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pages: list[str],
) -> None:
    again = dies(api, monkeypatch, after=12, seconds=10)
    with archives.signed(country.parent / "catalog", valid_s=4.0) as served:
        served.outage = servers.Outage(after=300, seconds=10)
        use(served, monkeypatch)
        config = settings(country, tmp_path / "s", api.url)
        began = time.monotonic()
        assert run.survey(config, terminal.Screen(), until="inventory") == 0
        seconds = time.monotonic() - began
    again.join()
    ours = open_survey(config)
    print(
        f"{len(pages)} requests to pgstac, which was dead for 10 s; {served.answers['given']} answers of the rasters' "
        f"server, {served.outage.missed} in its outage of 10 s, {served.answers['refused']} refused for an old "
        f"signature, {served.answers['token']} signatures; {seconds:.0f} s"
    )
    assert seconds > 20
    assert served.outage.missed
    assert served.answers["refused"] >= 1
    assert served.answers["token"] >= 3
    assert not left_out(ours)
    assert scenes(tmp_path / "s") == scenes(done_survey.workspace.root)
    for stage in ("stack", "predict", "clean", "outline"):
        assert sums(ours, stage) == sums(done_survey, stage) != {}
    same_files(ours, done_survey)


def same_files(ours: Survey, theirs: Survey) -> None:
    """Every byte of the cube and of the parts.

    Of the inventory all but the digest of the settings, which name the catalogue.
    """
    for folder in ("cube.zarr", "parts"):
        one, other = (
            {path.relative_to(root): path.read_bytes() for path in (root / folder).rglob("*") if path.is_file()}
            for root in (ours.workspace.root, theirs.workspace.root)
        )
        assert one.keys() == other.keys()
        assert [name for name in one if one[name] != other[name]] == []
    tables = [
        pd.read_csv(survey.workspace.inventory / "landslides.csv").drop(columns="settings") for survey in (ours, theirs)
    ]
    pd.testing.assert_frame_equal(*tables)
    assert len(tables[0])


@pytest.mark.slow(ci=True)
def test_without_the_longer_waits_the_outage_is_fatal(
    api: pgstac.Api, country: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above would pass with an outage that nobody notices."""
    monkeypatch.setattr(http, "WAIT_S", 0.5)
    again = dies(api, monkeypatch, after=12, seconds=10)
    with pytest.raises(search.CatalogError, match="cannot be reached or does not answer"):
        planning.make(settings(country, tmp_path / "s", api.url))
    again.join()
