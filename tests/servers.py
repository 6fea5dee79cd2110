"""Servers on 127.0.0.1 for tests: files with byte ranges, that can be told to fail; a real STAC API.

An S3 API, and trouble on the way to it.
"""

import atexit
import functools
import http.client
import json
import random
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any

RUSTAC = Path(sys.executable).with_name("rustac")


@dataclass
class Outage:
    """Some seconds without service, from a certain request on.

    Attributes
    ----------
    after : int
        Requests that are answered before.
    seconds : float
    requests, missed : int
        How many came, and how many of them in the outage.
    """

    after: int
    seconds: float
    requests: int = 0
    missed: int = 0
    until: float = float("inf")

    def on(self) -> bool:
        """Count a request; whether it comes in the outage."""
        self.requests += 1
        if self.requests == self.after + 1:
            self.until = time.monotonic() + self.seconds
        off = self.requests > self.after and time.monotonic() < self.until
        self.missed += off
        return off


@dataclass
class Served:
    """A folder under an address.

    Attributes
    ----------
    url : str
    faults : dict of path to list of status
        Answers that a path gives before it gives the file; taken from the front.
    asked, ranged : Counter of path
        Requests, and those of them for a range.
    outage : Outage or None
        When the whole server answers 503.
    """

    url: str
    faults: dict[str, list[int]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    ranged: Counter[str] = field(default_factory=Counter)
    outage: "Outage | None" = None
    lock: Lock = field(default_factory=Lock)

    def next_fault(self, path: str) -> int | None:
        """Count a request, and what to answer instead of the file."""
        with self.lock:
            self.asked[path] += 1
            if self.outage is not None and self.outage.on():
                return 503
            waiting = self.faults.get(path)
            return waiting.pop(0) if waiting else None


class FileHandler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # without both, each range waits 40 ms for the other side's acknowledgement
    disable_nagle_algorithm = True
    wbufsize = 65536

    def __init__(self, *args: Any, served: Served, **kwargs: Any) -> None:
        self._served = served
        super().__init__(*args, **kwargs)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        path = self.path.split("?")[0]
        fault = self._served.next_fault(path)
        file = Path(self.translate_path(path))
        if fault or not file.is_file():
            self.send_response(fault or 404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        size = file.stat().st_size
        first, last, status = 0, size - 1, 200
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range") or "")
        if asked and any(asked.groups()):
            self._served.ranged[path] += 1
            first, last = _span(asked, size)
            status = 206 if first <= last else 416
        self.send_response(status)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Type", self.guess_type(file))
        self.send_header("Content-Length", str(max(0, last - first + 1)))
        if status != 200:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}" if status == 206 else f"bytes */{size}")
        self.end_headers()
        if body and status != 416:
            with file.open("rb") as handle:
                handle.seek(first)
                self.wfile.write(handle.read(last - first + 1))


def _span(asked: re.Match[str], size: int) -> tuple[int, int]:
    if not asked[1]:
        return max(0, size - int(asked[2])), size - 1
    return int(asked[1]), min(int(asked[2]) if asked[2] else size - 1, size - 1)


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is what many of these tests are about; anything else is told."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def answering(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    """A server that makes one of these a request, a thread each; gives its address."""
    server = _Server(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def serve(folder: Path) -> Iterator[Served]:
    """Serve a folder over HTTP/1.1 with ranges."""
    served = Served("")
    with answering(functools.partial(FileHandler, served=served, directory=str(folder))) as served.url:
        yield served


@contextmanager
def stac_api(items: Sequence[dict[str, Any]], folder: Path) -> Iterator[str]:
    """A STAC API (rustac, in memory) that holds these items; gives its address."""
    file = folder / "items.json"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": list(items)}), encoding="utf-8")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        str(RUSTAC),
        "serve",
        str(file),
        "--create-collections",
        "--use-duckdb",
        "false",
        "--addr",
        f"127.0.0.1:{port}",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        _wait_for(url, process)
        yield url
    finally:
        process.terminate()
        process.communicate(timeout=10)


def free_port() -> int:
    """A port on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if process.poll() is not None:
            said = process.communicate()[0] or b""
            raise RuntimeError(f"{process.args[0]} ended: {said.decode()}")  # type: ignore[index]
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.02)
    raise RuntimeError(f"nobody answers at {url}")


#: Of the object storage that tests start; a test looks for it in everything that a run wrote.
S3_SECRET = "hush-7f3a9c51e0"


@dataclass
class Bucket:
    """An S3 server with one empty bucket.

    Attributes
    ----------
    name : str
    environment : dict
        What a process needs in order to use it.
    """

    name: str
    environment: dict[str, str]

    def store(self) -> Any:
        """Its objects, for looking at them; not by way of lsbatch."""
        from obstore.store import S3Store

        env = self.environment
        return S3Store(
            self.name, endpoint=env["AWS_ENDPOINT_URL"], access_key_id=env["AWS_ACCESS_KEY_ID"],
            secret_access_key=S3_SECRET, region=env["AWS_REGION"], client_options={"allow_http": True},
        )  # fmt: skip

    def names(self) -> list[str]:
        """The keys of all of its objects; for a test that looks while somebody writes and removes them."""
        import obstore

        return [meta["path"] for batch in obstore.list(self.store()) for meta in batch]

    def objects(self) -> dict[str, bytes]:
        """All of them by key, when nobody writes."""
        import obstore

        store = self.store()
        return {key: bytes(obstore.get(store, key).bytes()) for key in self.names()}


@contextmanager
def s3(name: str = "surveys", address: str = "127.0.0.1") -> Iterator[Bucket]:
    """A server of the S3 API (moto), with conditional writes and multipart uploads; for one test at a time."""
    url = _moto(address)
    for method, path in (("POST", "moto-api/reset"), ("PUT", name)):
        with urllib.request.urlopen(urllib.request.Request(f"{url}/{path}", method=method), timeout=60):
            pass
    keys = {"AWS_ACCESS_KEY_ID": "lsbatch-test", "AWS_SECRET_ACCESS_KEY": S3_SECRET, "AWS_REGION": "us-east-1"}
    yield Bucket(name, keys | {"AWS_ENDPOINT_URL": url, "AWS_ALLOW_HTTP": "true"})


#: A server that ends with its input: also if the process that started it is killed.
_MOTO = """
import os, sys, threading
from moto.server import main
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
main()
"""


@functools.cache
def _moto(address: str) -> str:
    """Start the server that all tests of this process use, since it takes 4 s; its URL."""
    port = free_port()
    url = f"http://{address}:{port}"
    process = subprocess.Popen(
        [sys.executable, "-c", _MOTO, "-H", address, "-p", str(port)],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    atexit.register(process.communicate)
    _wait_for(f"{url}/moto-api/", process)
    return url


#: What S3 says with 503.
SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


@dataclass
class Trouble:
    """What a proxy does to requests, drawn with a seed; shares add up.

    Attributes
    ----------
    refused, slow, cut : float
        Shares of requests that get 503, that wait for `wait_s`, whose connection ends in the middle of the answer.
    first : list of str
        What becomes of the first requests, taken from the front: ``refused``, ``slow``, ``cut``, ``passed``, ``lost``
        (it is carried out, and no answer comes) or ``trickle`` (its answer takes `wait_s` in all, piece by piece).
    outage : Outage or None
        When nobody is answered at all: the connection is closed.
    told : Counter
        What was done.
    """

    refused: float = 0.0
    slow: float = 0.0
    cut: float = 0.0
    wait_s: float = 0.3
    seed: int = 0
    first: list[str] = field(default_factory=list)
    outage: Outage | None = None
    told: Counter[str] = field(default_factory=Counter)
    lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)

    def draw(self) -> str:
        """What becomes of the next request."""
        with self.lock:
            if self.outage is not None and self.outage.on():
                self.told["dropped"] += 1
                return "dropped"
            shares = (self.refused, self.slow, self.cut)
            if self.first:
                found = self.first.pop(0)
                self.told[found] += 1
                return found
            (found,) = self._dice.choices(("refused", "slow", "cut", "passed"), (*shares, 1 - sum(shares)))
            self.told[found] += 1
            return found


class _Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, *args: Any, target: str, trouble: Trouble, **kwargs: Any) -> None:
        self._target, self._trouble = target, trouble
        super().__init__(*args, **kwargs)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fate = self._trouble.draw()
        if fate == "refused":
            self.send_response(503, "Slow Down")
            self.send_header("Content-Length", str(len(SLOW_DOWN)))
            self.end_headers()
            self.wfile.write(SLOW_DOWN if self.command != "HEAD" else b"")
            return
        if fate == "dropped":
            self.close_connection = True
            return
        if fate == "slow":
            time.sleep(self._trouble.wait_s)
        line = http.client.HTTPConnection(self._target, timeout=60)
        line.request(self.command, self.path, body, dict(self.headers))
        answer = line.getresponse()
        data = answer.read()
        line.close()
        if fate == "lost":
            self.close_connection = True
            return
        self.send_response(answer.status, answer.reason)
        for key, value in answer.getheaders():
            if key.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(key, value)
        # of HEAD, and of 204, the length is told and nothing comes
        self.send_header("Content-Length", answer.getheader("Content-Length") or str(len(data)))
        self.end_headers()
        if fate == "cut":
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if fate == "trickle":
            for start in range(0, len(data), len(data) // 20 + 1):
                self.wfile.write(data[start : start + len(data) // 20 + 1])
                self.wfile.flush()
                time.sleep(self._trouble.wait_s / 20)
            return
        self.wfile.write(data)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass


@contextmanager
def troubled(bucket: Bucket, trouble: Trouble) -> Iterator[Bucket]:
    """The same server behind a proxy that makes trouble."""
    with between(bucket.environment["AWS_ENDPOINT_URL"], trouble) as url:
        yield Bucket(bucket.name, bucket.environment | {"AWS_ENDPOINT_URL": url})


@contextmanager
def between(url: str, trouble: Trouble) -> Iterator[str]:
    """A proxy that makes trouble on the way to a server; gives its address."""
    target = url.partition("://")[2]
    with answering(functools.partial(_Proxy, target=target, trouble=trouble)) as address:
        yield address
