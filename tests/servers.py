"""Servers on 127.0.0.1 for tests: files with byte ranges, that can be told to fail; and a real STAC API."""

import functools
import json
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any

RUSTAC = Path(sys.executable).with_name("rustac")


@dataclass
class Served:
    """A folder under an address.

    Attributes
    ----------
    url : str
    faults : dict of path to list of status
        Answers that a path gives before it gives the file; taken from the front.
    asked : Counter of path
    """

    url: str
    faults: dict[str, list[int]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    lock: Lock = field(default_factory=Lock)

    def next_fault(self, path: str) -> int | None:
        """Count a request, and what to answer instead of the file."""
        with self.lock:
            self.asked[path] += 1
            waiting = self.faults.get(path)
            return waiting.pop(0) if waiting else None


class _Handler(SimpleHTTPRequestHandler):
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


@contextmanager
def serve(folder: Path) -> Iterator[Served]:
    """Serve a folder over HTTP/1.1 with ranges."""
    served = Served("")
    handler = functools.partial(_Handler, served=served, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def stac_api(items: Sequence[dict[str, Any]], folder: Path) -> Iterator[str]:
    """A STAC API (rustac, in memory) that holds these items; gives its address."""
    file = folder / "items.json"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": list(items)}), encoding="utf-8")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [str(RUSTAC), "serve", str(file), "--create-collections", "--use-duckdb", "false", "--addr", f"127.0.0.1:{port}"]
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
    for _ in range(200):
        if process.poll() is not None:
            raise RuntimeError(f"rustac ended: {process.communicate()[0].decode()}")
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.02)
    raise RuntimeError(f"rustac does not answer at {url}")
