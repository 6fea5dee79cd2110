"""A country behind an HTTP proxy: STAC, scenes and storage have names that only the proxy knows."""

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lsbatch.catalog.survey import Survey
from lsbatch.settings import to_yaml
from tests import http_proxy, programs, servers, surveys
from tests.http_proxy import PASSWORD, Proxy
from tests.stac import archives
from tests.storage.buckets import in_bucket, on_disk

CLUSTER = {"kind": "serial", "wait_s": 0.0}
API, SCENES, STORAGE = "api.test", "scenes.test", "storage.test"


@dataclass
class Site:
    """A network that is left through a proxy only."""

    proxy: Proxy
    certificate: Path
    bucket: servers.Bucket

    def environment(self, **changes: str) -> dict[str, str]:
        """What a user of this network sets; the names in capitals only."""
        return (
            _without_network(dict(os.environ))
            | self.bucket.environment
            | {"AWS_ENDPOINT_URL": f"http://{STORAGE}", "SSL_CERT_FILE": str(self.certificate)}
            | {"HTTP_PROXY": self.proxy.url, "HTTPS_PROXY": self.proxy.url}
            | changes
        )


def _without_network(environment: dict[str, str]) -> dict[str, str]:
    words = ("PROXY", "CA_BUNDLE", "SSL_CERT")
    return {name: value for name, value in environment.items() if not any(word in name.upper() for word in words)}


@pytest.fixture
def site(country: Path, tmp_path: Path) -> Iterator[Site]:
    """Scenes over HTTPS with a certificate of their own, a STAC API and object storage over HTTP."""
    with ExitStack() as stack:
        served = stack.enter_context(servers.serve(country.parent / "catalog"))
        folder = tmp_path / "site"
        folder.mkdir()
        certificate = http_proxy.certificate(folder, SCENES)
        scenes = stack.enter_context(http_proxy.encrypted(_port(served.url), certificate))
        _, items = archives.documents(country, f"https://{SCENES}")
        api = _port(stack.enter_context(servers.stac_api(items, folder)))
        bucket = stack.enter_context(servers.s3())
        storage = _port(bucket.environment["AWS_ENDPOINT_URL"])
        # the API names itself by its address
        hosts = {API: api, "127.0.0.1": api, SCENES: scenes, STORAGE: storage, f".{STORAGE}": storage}
        proxy = stack.enter_context(http_proxy.running(hosts))
        yield Site(proxy, certificate[0], bucket)


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])


def _settings(country: Path, folder: Path, output: str, cluster: Mapping[str, Any] = CLUSTER) -> Path:
    config = surveys.configured(
        country, folder / "s", archives=archives.sources(f"http://{API}", attempts=1), cluster=dict(cluster)
    )
    path = folder / "config.yaml"
    path.write_text(to_yaml(config).replace(str(folder / "s"), output), encoding="utf-8")
    return path


@pytest.mark.slow(ci=True)
@pytest.mark.parametrize("style", ["path", "virtual"])
def test_a_tile_through_a_proxy(country: Path, stacked_survey: Survey, site: Site, tmp_path: Path, style: str) -> None:
    path = _settings(country, tmp_path, "s3://surveys/s")
    more = {"AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true"} if style == "virtual" else {}
    words = ("run", str(path), "--until", "stack", "--part", "1/4")
    done = programs.run(*words, env=site.environment(**more))
    assert done.returncode == 0, done.stdout + done.stderr
    storage = f"surveys.{STORAGE}" if style == "virtual" else STORAGE
    assert {API, SCENES, storage} <= site.proxy.asked.keys()
    assert PASSWORD not in done.stdout + done.stderr
    assert [key for key, data in site.bucket.objects().items() if PASSWORD.encode() in data] == []
    ours, theirs = in_bucket(site.bucket, "s"), on_disk(stacked_survey)
    stack = [name for name in ours if name.startswith("cube.zarr/stack/")]
    assert len(stack) > 20
    assert [name for name in stack if ours[name] != theirs[name]] == []


@pytest.mark.slow(ci=True)
def test_a_survey_through_a_proxy(country: Path, done_survey: Survey, site: Site, tmp_path: Path) -> None:
    """From the search to the report, by two workers; the connections of Dask use no proxy."""
    path = _settings(country, tmp_path, "s3://surveys/s", {"kind": "local", "workers": 2, "memory_gb": 2.0})
    done = programs.run("run", str(path), env=site.environment())
    assert done.returncode == 0, done.stdout + done.stderr
    ours, theirs = in_bucket(site.bucket, "s"), on_disk(done_survey)
    assert ours.keys() == theirs.keys()
    # the archives have other addresses, so each record names other settings
    records = {name for name in theirs if name.startswith("inventory/landslides.")}
    assert {name for name in theirs if ours[name] != theirs[name]} <= records
    tables = (pd.read_csv(io.BytesIO(found["inventory/landslides.csv"])) for found in (ours, theirs))
    pd.testing.assert_frame_equal(*(table.drop(columns="settings") for table in tables))
    assert [key for key, data in site.bucket.objects().items() if PASSWORD.encode() in data] == []


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        ({"HTTP_PROXY": "http://user:{password}@127.0.0.1:9"}, "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY"),
        ({"HTTP_PROXY": "{url}x"}, "correct the user and the password in HTTPS_PROXY or HTTP_PROXY"),
    ],
    ids=["nobody there", "wrong password"],
)
def test_a_run_behind_a_wrong_proxy_says_so(
    country: Path, site: Site, tmp_path: Path, change: dict[str, str], advice: str
) -> None:
    wrong = site.proxy.url.replace(PASSWORD, f"{PASSWORD}-old")
    change = {name: wrong if "{url}" in value else value.format(password=PASSWORD) for name, value in change.items()}
    path = _settings(country, tmp_path, str(tmp_path / "s"))
    done = programs.run("run", str(path), env=site.environment(**change))
    assert done.returncode == 2, done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"lsbatch: http://{API}")
    assert advice in done.stderr
    assert PASSWORD not in done.stderr


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        ({"HTTPS_PROXY": "http://127.0.0.1:9"}, "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY"),
        ({"HTTPS_PROXY": "{url}x"}, "correct the user and the password in HTTPS_PROXY or HTTP_PROXY"),
        ({"SSL_CERT_FILE": ""}, "set SSL_CERT_FILE to a file with the certificates of your network"),
    ],
    ids=["nobody there", "wrong password", "unknown certificate"],
)
def test_scenes_behind_a_wrong_proxy_say_so(
    country: Path, site: Site, tmp_path: Path, change: dict[str, str], advice: str
) -> None:
    wrong = site.proxy.url.replace(PASSWORD, f"{PASSWORD}-old")
    change = {name: wrong if "{url}" in value else value for name, value in change.items()}
    path = _settings(country, tmp_path, str(tmp_path / "s"))
    done = programs.run("run", str(path), "--until", "stack", "--part", "1/4", env=site.environment(**change))
    assert done.returncode == 1, done.stdout + done.stderr
    assert advice in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert PASSWORD not in done.stdout + done.stderr
