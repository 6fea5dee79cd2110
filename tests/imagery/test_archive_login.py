"""Archives that need an account: their keys are sent to them and to nobody else.

The servers are on loopback. What the real ones answer is known from documents only (docs/archives.md).
"""

import base64
import functools
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from email.message import Message
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox
from odc.geo.geom import BoundingBox
from rasterio.env import get_gdal_config
from rasterio.transform import from_origin

from lsbatch.catalog.items.scenes import Scene, describe
from lsbatch.errors import ConfigError, SceneError
from lsbatch.imagery import scene_reading
from lsbatch.storage import archive_login
from tests import servers
from tests.catalog import archive_items as archives
from tests.small_archive import CRS, LEFT, TOP, write_tif

BOX = GeoBox.from_bbox(BoundingBox(LEFT, TOP - 2560, LEFT + 2560, TOP, crs=CRS), shape=(256, 256), tight=True)
SECRET, TOKEN, PASSWORD = "cdse-secret-51f0", "earthdata-token-51f0", "netrc-password-51f0"
REFUSED = b"""<?xml version="1.0"?><Error><Code>InvalidAccessKeyId</Code>
<Message>The AWS Access Key Id you provided does not exist in our records.</Message></Error>"""


@dataclass
class Guarded(servers.Served):
    """A folder whose files are given to some requests only.

    Attributes
    ----------
    answer : callable
        Path and headers to status and headers of an answer without a file; None for the file.
    seen : list of (method, headers)
    keys : set
        What GDAL's options with keys are in a thread that reads nothing, while another reads.
    """

    answer: Callable[[str, Message], tuple[int, dict[str, str]] | None] = lambda *_: None
    seen: list[tuple[str, Message]] = field(default_factory=list)
    keys: set[Any] = field(default_factory=set)

    def sent(self, name: str) -> set[str | None]:
        """Values of a header in all requests."""
        return {headers.get(name) for _, headers in self.seen}


class _GuardedHandler(servers.FileHandler):
    _served: Guarded

    def _answer(self, body: bool) -> None:
        self._served.seen.append((self.command, self.headers))
        self._served.keys |= {get_gdal_config("AWS_SECRET_ACCESS_KEY"), get_gdal_config("GDAL_HTTP_BEARER")}
        other = self._served.answer(self.path, self.headers)
        if other is None:
            super()._answer(body)
            return
        status, headers = other
        text = REFUSED if status == 403 and self.command == "GET" else b""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@contextmanager
def guarded(folder: Path, answer: Any = lambda *_: None) -> Iterator[Guarded]:
    served = Guarded("", answer=answer)
    with servers.answering(functools.partial(_GuardedHandler, served=served, directory=str(folder))) as served.url:
        yield served


def write_jp2(path: Path, values: np.ndarray, resolution_m: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, "w", driver="JP2OpenJPEG", height=values.shape[0], width=values.shape[1], count=1, dtype=values.dtype,
        crs=CRS, transform=from_origin(LEFT, TOP, resolution_m, resolution_m), QUALITY="100", REVERSIBLE="YES",
    ) as file:  # fmt: skip
        file.write(values, 1)


@pytest.fixture
def eodata(tmp_path: Path) -> tuple[Path, Scene, np.ndarray]:
    """The bucket of CDSE as a folder, with one scene of JPEG 2000; its red."""
    scene = describe(archives.cdse_sentinel2(), "sentinel2")
    red = np.random.default_rng(5).integers(2000, 6000, (256, 256), dtype=np.uint16)
    for band, values, metres in (("R", red, 10.0), ("SCL", np.full((128, 128), 4, np.uint8), 20.0)):
        href = scene.item["assets"][scene.assets[band]]["href"]
        write_jp2(tmp_path / href.removeprefix("s3://"), values, metres)
    return tmp_path, scene, red


@pytest.fixture
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of CDSE, and others of the storage of the survey."""
    for name, value in {
        "CDSE_ACCESS_KEY": "cdse-key",
        "CDSE_SECRET_KEY": SECRET,
        "AWS_ACCESS_KEY_ID": "survey-key",
        "AWS_SECRET_ACCESS_KEY": "survey-secret",
        "AWS_SESSION_TOKEN": "survey-session",
        "AWS_S3_ENDPOINT": "127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)


def by_key(access: str) -> Callable[[str, Message], tuple[int, dict[str, str]] | None]:
    """Refuse requests that are not signed with this key."""

    def answer(path: str, headers: Message) -> tuple[int, dict[str, str]] | None:
        good = f"Credential={access}/" in headers.get("Authorization", "")
        return None if good else (403, {"Content-Type": "application/xml"})

    return answer


@pytest.mark.usefixtures("_keys")
def test_jpeg_2000_of_cdse_with_its_own_keys(
    eodata: tuple[Path, Scene, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, scene, red = eodata
    with guarded(folder, by_key("cdse-key")) as served:
        monkeypatch.setattr(archive_login, "CDSE_ENDPOINT", served.url)
        found = scene_reading.read(scene, ("R", "SCL"), BOX)
    np.testing.assert_array_equal(found["R"], red)
    assert (found["SCL"] == 4).all()
    assert served.seen
    assert served.sent("x-amz-security-token") == {None}
    assert not any("survey" in str(headers) for _, headers in served.seen)
    # the server runs in this process: its threads saw no key of CDSE, and none remains
    assert SECRET not in served.keys
    assert get_gdal_config("AWS_SECRET_ACCESS_KEY") == "survey-secret"


@pytest.mark.usefixtures("_keys")
def test_wrong_keys_of_cdse_are_told_in_one_sentence(
    eodata: tuple[Path, Scene, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, scene, _ = eodata
    with guarded(folder, by_key("another-key")) as served:
        monkeypatch.setattr(archive_login, "CDSE_ENDPOINT", served.url)
        with pytest.raises(SceneError, match=r"needs keys of the Copernicus Data Space.*CDSE_ACCESS_KEY") as caught:
            scene_reading.read(scene, ("R",), BOX)
    assert "does not exist in our records" in str(caught.value)
    assert not caught.value.may_pass
    assert SECRET not in str(caught.value)
    assert "cdse-key" not in str(caught.value)


@pytest.mark.usefixtures("_keys")
def test_other_buckets_do_not_get_the_keys_of_cdse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    item = archives.cdse_dem()
    write_tif(tmp_path / "other" / "dem.tif", np.full((256, 256), 7, np.float32), nodata=None)
    item["assets"]["data"]["href"] = "s3://other/dem.tif"
    with guarded(tmp_path, by_key("survey-key")) as served:
        for name in ("AWS_S3_ENDPOINT", "AWS_SESSION_TOKEN"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_ENDPOINT_URL", served.url)
        found = scene_reading.read(describe(item, "dem"), ("elevation",), BOX)
    assert (found["elevation"] == 7).all()
    assert not any("cdse" in str(headers) for _, headers in served.seen)


def test_a_scene_of_several_archives_gets_no_keys() -> None:
    item = archives.cdse_sentinel2()
    assert scene_reading._login(describe(item, "sentinel2")) is archive_login.LOGINS["cdse"]
    item["assets"]["B04_10m"]["href"] = "https://example.org/B04.jp2"
    assert scene_reading._login(describe(item, "sentinel2")) is None


ADDRESSES = {
    "s3://eodata/Sentinel-2/x.jp2": "cdse",
    "s3://eodata2/x.jp2": None,
    "s3://user@eodata/x.jp2": None,
    "https://eodata.dataspace.copernicus.eu/x.jp2": None,
    "https://datapool.asf.alaska.edu/RTC/x.tif": "earthdata",
    "https://cumulus.asf.earthdatacloud.nasa.gov/OPERA/x.tif": "earthdata",
    "http://datapool.asf.alaska.edu/RTC/x.tif": None,
    "https://asf.alaska.edu.example.org/x.tif": None,
    "https://datapool.asf.alaska.edu@example.org/x.tif": None,
    "https://notasf.alaska.edu/x.tif": None,
    "s3://asf-cumulus-prod-opera-products/x.tif": None,
    "/data/x.tif": None,
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_which_account_an_address_needs(address: str) -> None:
    name = ADDRESSES[address]
    assert archive_login.of_address(address) is (archive_login.LOGINS[name] if name else None)


@pytest.fixture
def burst(tmp_path: Path) -> Path:
    """A folder with VV of an OPERA product."""
    write_tif(tmp_path / "files" / "burst_VV.tif", np.full((256, 256), 0.1, np.float32), nodata=np.nan)
    return tmp_path / "files"


def opera_at(url: str, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """An OPERA scene at an address that counts as one of ASF."""
    login = replace(archive_login.LOGINS["earthdata"], serves=lambda address: address.startswith(f"{url}/"))
    monkeypatch.setattr(archive_login, "LOGINS", {"earthdata": login})
    item = archives.opera()
    item["assets"] = {"0_VV": {"href": f"{url}/burst_VV.tif", "roles": ["data"]}}
    return describe(item, "sentinel1")


@pytest.mark.parametrize("status", [302, 303, 307])
def test_the_token_stays_at_its_host(burst: Path, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """ASF redirects to another host, whose signed address is valid for GET only."""
    monkeypatch.setenv("EARTHDATA_TOKEN", TOKEN)

    def elsewhere(path: str, headers: Message) -> tuple[int, dict[str, str]] | None:
        if headers.get("Authorization") != f"Bearer {TOKEN}":
            return 401, {}
        return status, {"Location": f"{signed.url.replace('127.0.0.1', 'localhost')}{path}?Signature=x"}

    with guarded(burst) as signed, guarded(burst, elsewhere) as archive:
        found = scene_reading.read(opera_at(archive.url, monkeypatch), ("VV",), BOX, attempts=1)
    assert np.isclose(found["VV"], 0.1).all()
    assert archive.sent("Authorization") == {f"Bearer {TOKEN}"}
    assert signed.sent("Authorization") == {None}
    assert {method for method, _ in signed.seen} == {"GET"}
    assert archive.keys | signed.keys == {None}
    assert get_gdal_config("GDAL_HTTP_BEARER") is None


def test_a_refused_token_is_told_in_one_sentence(burst: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARTHDATA_TOKEN", TOKEN)
    with guarded(burst, lambda *_: (401, {})) as archive:
        scene = opera_at(archive.url, monkeypatch)
        with pytest.raises(SceneError, match=r"code: 401; this archive needs an Earthdata token") as caught:
            scene_reading.read(scene, ("VV",), BOX)
    assert TOKEN not in str(caught.value)
    assert not caught.value.may_pass
    assert len(archive.seen) < 4


def test_a_worker_without_keys_is_told_what_it_lacks(
    burst: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without keys the archive leads to a page for people, which is no raster."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("EARTHDATA_TOKEN", raising=False)
    (burst / "burst_VV.tif").write_text("<html>Log in</html>")
    with guarded(burst) as archive:
        scene = opera_at(archive.url, monkeypatch)
        with pytest.raises(SceneError, match=r"cannot be read: .*; this archive needs an Earthdata token"):
            scene_reading.read(scene, ("VV",), BOX, attempts=1)


def test_a_login_by_netrc_goes_to_the_login_host_alone(
    burst: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The archive redirects to the login, which redirects back with a cookie."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("EARTHDATA_TOKEN", raising=False)
    monkeypatch.setattr(archive_login, "EARTHDATA_LOGIN", "localhost")
    netrc = tmp_path / ".netrc"
    netrc.write_text(f"machine localhost login somebody password {PASSWORD}\n")
    netrc.chmod(0o600)
    basic = f"Basic {base64.b64encode(f'somebody:{PASSWORD}'.encode()).decode()}"

    def login(path: str, headers: Message) -> tuple[int, dict[str, str]]:
        good = headers.get("Authorization") == basic
        return (302, {"Location": f"{archive.url}/login{path}"}) if good else (401, {"WWW-Authenticate": "Basic"})

    def answer(path: str, headers: Message) -> tuple[int, dict[str, str]] | None:
        if path.startswith("/login"):
            return 302, {"Location": path.removeprefix("/login"), "Set-Cookie": "session=good; Path=/"}
        if "session=good" in (headers.get("Cookie") or ""):
            return None
        return 302, {"Location": f"{users.url.replace('127.0.0.1', 'localhost')}{path}"}

    with guarded(burst, login) as users, guarded(burst, answer) as archive:
        found = scene_reading.read(opera_at(archive.url, monkeypatch), ("VV",), BOX, attempts=1)
    assert np.isclose(found["VV"], 0.1).all()
    assert basic in users.sent("Authorization")
    assert archive.sent("Authorization") == {None}
    folder = Path(archive_login._cookie_file()).parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_broken_netrc_is_not_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("EARTHDATA_TOKEN", raising=False)
    login = archive_login.LOGINS["earthdata"]
    assert login.options() is None
    (tmp_path / ".netrc").write_text(f"machine urs.earthdata.nasa.gov {PASSWORD}\n")
    with pytest.raises(ConfigError, match=r"~/.netrc: cannot be read \(NetrcParseError\)") as caught:
        login.options()
    assert PASSWORD not in str(caught.value)
    assert caught.value.__suppress_context__
    (tmp_path / ".netrc").write_text("machine example.org login a password b\n")
    (tmp_path / ".netrc").chmod(0o600)
    assert login.options() is None


def test_no_second_thread_for_a_reading_thread(
    eodata: tuple[Path, Scene, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker's threads read as they are; only the main thread hands the work to another."""
    ran: list[str] = []
    monkeypatch.setattr(scene_reading, "_read_bands", lambda *_: ran.append(threading.current_thread().name) or {})
    scene_reading.read(eodata[1], (), BOX)
    thread = threading.Thread(target=scene_reading.read, args=(eodata[1], (), BOX), name="reader")
    thread.start()
    thread.join()
    assert ran[0] != "MainThread"
    assert ran[1] == "reader"
