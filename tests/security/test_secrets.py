"""A run that uses secrets of every kind leaves none of them anywhere; texts with HTML stay texts.

Nobody listens but on loopback.
"""

import base64
import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from odc.geo.geobox import GeoBox

from lsbatch.catalog.items.scenes import describe
from lsbatch.errors import SceneError
from lsbatch.imagery import scene_reading
from tests import programs, servers
from tests.security.hostile import SCRIPT
from tests.servers import S3_SECRET, FileHandler, Served, answering
from tests.stac import archives

USER, PASSWORD, TOKEN, KEY, GDAL_PASSWORD, SIGNATURE = (
    "surveyor",
    "hush-password",
    "hush-token",
    "hush-key",
    "hush-gdal",
    "hush-signature",
)
SECRETS = (
    PASSWORD,
    TOKEN,
    KEY,
    GDAL_PASSWORD,
    SIGNATURE,
    S3_SECRET,
    base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode(),
)


class _Guarded(FileHandler):
    """Server of documents and rasters for two different users; requests without credentials get 401."""

    def _answer(self, body: bool) -> None:
        user = f"{USER}:{PASSWORD}" if self.path.partition("?")[0].endswith(".json") else f"gdal:{GDAL_PASSWORD}"
        if self.headers.get("Authorization") == f"Basic {base64.b64encode(user.encode()).decode()}":
            super()._answer(body)
            return
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="archive"')
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def guarded(folder: Path) -> Iterator[Served]:
    served = Served("")
    with answering(functools.partial(_Guarded, served=served, directory=str(folder))) as served.url:
        yield served


def publish(country: Path, folder: Path) -> None:
    """Write the catalogue with secrets in its addresses, a missing scene, and texts with scripts."""
    catalog = country.parent / "catalog"
    folder.mkdir()
    gone = ""
    for path in sorted(path for path in catalog.rglob("*") if path.is_file()):
        copy = folder / path.relative_to(catalog)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix != ".json":
            copy.symlink_to(path)
            continue
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["type"] == "Feature":
            document["id"] = f"{document['id']}{SCRIPT}"
            for asset in document["assets"].values():
                asset |= {
                    "title": SCRIPT,
                    "href": href(asset["href"], copy.parent.relative_to(folder), document["collection"]),
                }
            if document["collection"] == "sentinel-1-rtc" and not gone:
                gone = document["id"]
                for asset in document["assets"].values():
                    asset["href"] = asset["href"].replace(".tif", "-gone.tif")
        document |= {"title": SCRIPT, "description": SCRIPT} if document["type"] != "Feature" else {}
        copy.write_text(json.dumps(document), encoding="utf-8")


def href(name: str, folder: Path, collection: str) -> str:
    """Sentinel-2 at the Planetary Computer, signed by somebody.

    Sentinel-1 and the DEM beside the catalogue, with keys.
    """
    if collection.startswith("sentinel-2"):
        return f"{archives.AZURE_URL}/{os.path.normpath(folder / name)}?se=2020&sig={SIGNATURE}"
    return f"{name}?token={TOKEN}&X-Amz-Signature={SIGNATURE}"


@contextmanager
def world(country: Path, folder: Path) -> Iterator[tuple[dict[str, str], dict[str, Any], archives.Signed]]:
    """Catalogue, rasters and storage that all want to know who asks.

    Environment and settings of a run that tells them.
    """
    publish(country, folder / "archive")
    with ExitStack() as stack:
        served = stack.enter_context(guarded(folder / "archive"))
        azure = stack.enter_context(archives.signed(country.parent / "catalog", valid_s=5.0))
        bucket = stack.enter_context(servers.s3())
        (folder / "tmp").mkdir()
        secret = {
            "PC_SDK_SUBSCRIPTION_KEY": KEY,
            "GDAL_HTTP_USERPWD": f"gdal:{GDAL_PASSWORD}",
            "GDAL_HTTP_AUTH": "BASIC",
        }
        environment = (
            os.environ
            | azure.environment
            | bucket.environment
            | secret
            | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "TMPDIR": str(folder / "tmp")}
        )
        url = f"{served.url.replace('://', f'://{USER}:{PASSWORD}@')}/catalog.json?api_key={TOKEN}"
        raw = yaml.safe_load(country.read_text(encoding="utf-8"))
        raw |= {"archives": archives.sources(url), "output": "s3://surveys/secret", "region": raw["region"]}
        raw["grid"]["tile_px"] = 256
        for name in ("file", "points", "plots"):
            raw["truth"][name] = str(country.parent / raw["truth"][name])
        yield environment, raw | {"bucket": bucket}, azure


def run(
    folder: Path, environment: dict[str, str], raw: dict[str, Any], *words: str
) -> "subprocess.CompletedProcess[str]":
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in raw.items() if key != "bucket"}), encoding="utf-8")
    return programs.run(words[0], str(path), *words[1:], env=environment, cwd=folder)


def found_in(data: bytes) -> list[str]:
    """Secrets in some bytes, also as they would be in an address."""
    return [secret for secret in SECRETS if secret.encode() in data or secret.replace("-", "%2D").encode() in data]


def leaks(folder: Path, raw: dict[str, Any]) -> dict[str, list[str]]:
    """Files and objects that hold a secret.

    The settings and the archive's own documents, which hold them from the start, apart.
    """
    files = {
        str(path): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "config.yaml" and "archive" not in path.relative_to(folder).parts
    }
    found = {name: found_in(data) for name, data in (files | raw["bucket"].objects()).items()}
    return {name: secrets for name, secrets in found.items() if secrets}


def test_a_tile_read_with_secrets(country: Path, tmp_path: Path) -> None:
    with world(country, tmp_path) as (environment, raw, azure):
        raw |= {"cluster": {"kind": "serial"}}
        done = run(tmp_path, environment, raw, "run", "--until", "stack", "--part", "1/4")
        assert done.returncode == 0, done.stdout + done.stderr
        objects = raw["bucket"].objects()
        leaked = leaks(tmp_path, raw)
    assert leaked == {}
    assert found_in((done.stdout + done.stderr).encode()) == []
    # every secret was needed
    assert azure.keys == {KEY}
    assert azure.answers["given"] > 50
    assert "-gone.tif" in done.stdout
    assert any(name.endswith("plan/plan.json") for name in objects)
    # and what was signed by somebody is not asked for with that signature, but with one of our own
    assert not any(signature.encode() in data for data in objects.values() for signature in azure.issued)


def test_a_refusal_tells_no_secret(country: Path, tmp_path: Path) -> None:
    """A catalogue that does not take the password: the message names it without."""
    with world(country, tmp_path) as (environment, raw, _):
        wrong = json.loads(json.dumps(archives.sources(raw["archives"]["dem"]["url"].replace(USER, f"not-{USER}"))))
        done = run(tmp_path, environment, raw | {"archives": wrong}, "run")
        leaked = leaks(tmp_path, raw)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "the catalogue cannot be reached or does not answer" in done.stderr
    assert found_in((done.stdout + done.stderr).encode()) == []
    assert leaked == {}


def test_who_lacks_a_key_is_told_that_it_was_not_kept(country: Path, tmp_path: Path) -> None:
    item = {
        "type": "Feature",
        "id": "dem",
        "bbox": [-180, -90, 180, 90],
        "properties": {},
        "assets": {"data": {"href": ""}},
    }
    box = GeoBox.from_bbox((337920, 6824960, 340480, 6827520), "EPSG:25833", resolution=10)
    with guarded(country.parent / "catalog") as served:
        item["assets"]["data"]["href"] = f"{served.url}/cop-dem-glo-30/dem/dem.tif"  # type: ignore[index]
        with pytest.raises(SceneError, match=r"HTTP response code: 401; keys in a catalogue's addresses are not kept"):
            scene_reading.read(describe(item, "dem"), ("elevation",), box, attempts=1)


@pytest.mark.slow(ci=True)
def test_a_survey_with_secrets_and_scripts(country: Path, tmp_path: Path) -> None:
    """With workers, to the report; then every command that shows something."""
    with world(country, tmp_path) as (environment, raw, azure):
        raw |= {"cluster": {"kind": "local", "workers": 1, "memory_gb": 2.0}}
        runs = [
            run(tmp_path, environment, raw, *words)
            for words in (["run"], ["status", "--failed"], ["verify"], ["evaluate", "--json"], ["config"])
        ]
        objects = raw["bucket"].objects()
        leaked = leaks(tmp_path, raw)
    assert [done.returncode for done in runs] == [0] * 5, [done.stdout + done.stderr for done in runs]
    assert leaked == {}
    # config prints the settings of its file, and those hold the password that somebody wrote there
    assert found_in("".join(done.stdout + done.stderr for done in runs[:-1]).encode()) == []
    assert azure.keys == {KEY}
    page = objects["secret/report/report.html"].decode()
    assert SCRIPT not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    # one that may run, the others are data
    data = page.count('<script type="application/json" id="') + page.count('<script type="text/plain" id="records">')
    assert page.count("<script") == 1 + data
    assert SCRIPT in objects["secret/receipts/stack/r000c000.json"].decode()
    print(f"{len(objects)} objects and the output of {len(runs)} commands hold none of {len(SECRETS)} secrets")


def listening(process: psutil.Process) -> set[tuple[str, int]]:
    """Addresses on which a process and its children listen."""
    found = set()
    for one in (process, *process.children(recursive=True)):
        try:
            found |= {
                (at.laddr.ip, at.laddr.port)
                for at in one.net_connections(kind="inet")
                if at.status == psutil.CONN_LISTEN
            }
        except psutil.NoSuchProcess:
            # ended since it was listed
            continue
    return found


def test_a_local_run_listens_on_loopback_alone(country: Path, tmp_path: Path) -> None:
    raw = yaml.safe_load(country.read_text(encoding="utf-8"))
    raw |= {"output": str(tmp_path / "survey"), "cluster": {"kind": "local", "workers": 2, "memory_gb": 2.0}}
    raw["grid"]["tile_px"] = 256
    for name in ("file", "points", "plots"):
        raw["truth"][name] = str(country.parent / raw["truth"][name])
    for source in ("sentinel2", "sentinel1", "dem"):
        raw["archives"][source]["url"] = str(country.parent / "catalog" / "catalog.json")
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "lsbatch.cli", "run", str(path), "--until", "stack"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    seen: set[tuple[str, int]] = set()
    most, child = 0, psutil.Process(process.pid)
    try:
        # all are there before the first tile; a few more looks, for one that comes late
        looks = 0
        while process.poll() is None and looks < 8:
            now = listening(child)
            most, seen = max(most, len(now)), seen | now
            looks += len(now) >= 6
            time.sleep(0.25)
    finally:
        process.terminate()
        said = process.communicate(timeout=60)[0]
    # scheduler, its page, and of each of two workers its nanny and itself
    assert most >= 6, (seen, said)
    assert {address for address, _ in seen} <= {"127.0.0.1", "::1"}, seen
