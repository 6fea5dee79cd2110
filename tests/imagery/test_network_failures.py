"""A scene on the network after a failure: the same process reads it, in the same pixels, as soon as it is there."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from lsbatch.catalog.items.scenes import Scene
from lsbatch.errors import SceneError
from lsbatch.imagery import scene_reading
from tests import servers
from tests.imagery.test_scene_reading import HOME, scene
from tests.servers import Trouble
from tests.storage.buckets import refusing

NAME = "S2A_20190701_N0211"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene_reading, "FIRST_WAIT_S", 0.01)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)


def on(kind: str, port: int, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """The scene of the archive at a port, over HTTP or in object storage."""
    if kind == "http":
        return scene(f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    # a bucket of its own for each port: GDAL keeps what it knows by the name
    return scene(f"s3://archive-{port}")


@contextmanager
def opened(archive: Path, kind: str, port: int) -> Iterator[servers.Served]:
    """Serve the archive at a port."""
    served = servers.Served("")
    folder = archive
    if kind == "s3":
        folder = archive / "buckets"
        folder.mkdir(exist_ok=True)
        (folder / f"archive-{port}").symlink_to(archive)
    handler = functools.partial(servers.FileHandler, served=served, directory=str(folder))
    server = servers.ThreadingHTTPServer(("127.0.0.1", port), handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def red(one: Scene, attempts: int = 2) -> np.ndarray:
    return scene_reading.read(one, ("R",), HOME, attempts=attempts)["R"]


@pytest.mark.parametrize("kind", ["http", "s3"])
def test_a_server_that_was_down_is_asked_again(archive: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """GDAL itself would answer for ever that the file does not exist."""
    port = servers.free_port()
    one = on(kind, port, monkeypatch)
    for _ in range(2):
        with pytest.raises(SceneError, match="Failed to connect") as caught:
            red(one)
        assert caught.value.may_pass
    with opened(archive, kind, port):
        found = red(one)
    np.testing.assert_array_equal(found, red(scene(str(archive))))


@pytest.mark.parametrize("kind", ["http", "s3"])
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_was_busy_is_asked_again(
    archive: Path, monkeypatch: pytest.MonkeyPatch, kind: str, status: int
) -> None:
    port = servers.free_port()
    one = on(kind, port, monkeypatch)
    with opened(archive, kind, port) as served:
        path = f"/{NAME}/{NAME}_B04.tif" if kind == "http" else f"/archive-{port}/{NAME}/{NAME}_B04.tif"
        served.faults[path] = [status] * 20
        with pytest.raises(SceneError) as caught:
            red(one)
        assert caught.value.may_pass
        assert served.faults[path]
        served.faults.clear()
        found = red(one)
    np.testing.assert_array_equal(found, red(scene(str(archive))))


@pytest.mark.parametrize("fate", ["dropped", "cut", "lost"])
def test_each_answer_may_break_off(archive: Path, monkeypatch: pytest.MonkeyPatch, fate: str) -> None:
    """Whichever request it is, with attempts or by a later one."""
    expected = red(scene(str(archive)))
    trouble = Trouble()
    with servers.serve(archive) as served:
        for number in range(6):
            # an address of its own: GDAL keeps what it has read
            with servers.between(served.url, trouble) as url:
                trouble.first = ["passed"] * number + [fate]
                np.testing.assert_array_equal(red(scene(url), attempts=3), expected)
                trouble.first = ["passed"] * number + [fate] * 4
    assert trouble.told[fate] >= 2


REFUSED = {
    "set the clock of this machine": (
        403,
        "RequestTimeTooSkewed",
        "The difference between the request time and the current time is too large.",
    ),
    "lower cluster.workers": (503, "SlowDown", "Please reduce your request rate."),
    "GDAL takes them from the environment": (403, "AccessDenied", "Access Denied"),
}


@pytest.mark.parametrize("advice", REFUSED)
def test_a_refusal_of_object_storage_says_what_to_do(monkeypatch: pytest.MonkeyPatch, advice: str) -> None:
    with servers.answering(refusing(*REFUSED[advice])) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
        with pytest.raises(SceneError) as caught:
            red(scene(f"s3://archive-{url.rpartition(':')[2]}"))
    assert advice in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "hush" not in str(caught.value)
