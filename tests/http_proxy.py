"""An HTTP proxy for tests, behind which hosts have names of their own that no other way leads to."""

import base64
import functools
import http.client
import select
import shutil
import socket
import ssl
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import pytest

from tests.servers import answering

USER, PASSWORD = "surveyor", "hush-proxy-51e0"


@dataclass
class Proxy:
    """A proxy that asks for `USER` and `PASSWORD`.

    Attributes
    ----------
    hosts : mapping of str to int
        Port on loopback of each host that it knows; a name that begins with a dot holds for all hosts below it.
    url : str
        With user and password.
    asked : Counter of str
        Requests by host.
    refused : int
        Requests without the password.
    """

    hosts: Mapping[str, int]
    url: str = ""
    asked: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    lock: Lock = field(default_factory=Lock)

    def port(self, host: str) -> int | None:
        """Return the port of a host."""
        return self.hosts.get(host) or self.hosts.get(f".{host.partition('.')[2]}")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, *args: Any, proxy: Proxy, **kwargs: Any) -> None:
        self._proxy = proxy
        super().__init__(*args, **kwargs)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_CONNECT(self) -> None:
        port = self._allowed(self.path.rpartition(":")[0])
        if port is None:
            return
        with socket.create_connection(("127.0.0.1", port)) as other:
            self.send_response(200, "Connection established")
            self.end_headers()
            self.close_connection = True
            with suppress(ConnectionError):
                _join(self.connection, other)

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        host, _, path = self.path.removeprefix("http://").partition("/")
        port = self._allowed(host.partition(":")[0])
        if port is None:
            return
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        headers = {name.lower(): value for name, value in self.headers.items() if not name.lower().startswith("proxy-")}
        if host.partition(":")[0] in self._proxy.hosts:
            # else moto takes the first part of the name for a bucket
            headers["host"] = f"127.0.0.1:{port}"
        line.request(self.command, f"/{path}", body, headers)
        answer = line.getresponse()
        data = answer.read()
        line.close()
        self.send_response(answer.status, answer.reason)
        for key, value in answer.getheaders():
            if key.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(key, value)
        self.send_header("Content-Length", answer.getheader("Content-Length") or str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass

    def _allowed(self, host: str) -> int | None:
        """Return the port of a host; answer the client if it has no right, or there is no such host."""
        given = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers.get("Proxy-Authorization") != f"Basic {given}":
            self._proxy.refused += 1
            self._answer(407, "Proxy Authentication Required")
            return None
        with self._proxy.lock:
            self._proxy.asked[host] += 1
        port = self._proxy.port(host)
        if port is None:
            self._answer(502, "Bad Gateway")
        return port

    def _answer(self, status: int, reason: str) -> None:
        self.send_response(status, reason)
        if status == 407:
            self.send_header("Proxy-Authenticate", 'Basic realm="tests"')
        self.send_header("Content-Length", "0")
        self.end_headers()


def _join(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes both ways until one side ends."""
    pairs = {one: other, other: one}
    while True:
        for ready in select.select(list(pairs), [], [])[0]:
            data = ready.recv(65536)
            if not data:
                return
            pairs[ready].sendall(data)


@contextmanager
def running(hosts: Mapping[str, int]) -> Iterator[Proxy]:
    """Run a proxy."""
    proxy = Proxy(hosts)
    with answering(functools.partial(_Handler, proxy=proxy)) as url:
        proxy.url = url.replace("://", f"://{USER}:{PASSWORD}@")
        yield proxy


def certificate(folder: Path, *hosts: str) -> tuple[Path, Path]:
    """Make a certificate that nobody has signed; the files of certificate and key. Skip the test without openssl."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl, which makes certificates")
    names = ",".join(f"DNS:{host}" for host in hosts)
    words = f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={hosts[0]} -addext subjectAltName={names}"
    made = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", *words.split(), "-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run([*command, "-out", made[0], "-keyout", made[1]], check=True, capture_output=True)
    return made


@contextmanager
def encrypted(port: int, files: tuple[Path, Path]) -> Iterator[int]:
    """Put TLS before a server on loopback; gives the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)

    def speak(connection: socket.socket) -> None:
        with (
            connection,
            suppress(OSError),
            context.wrap_socket(connection, server_side=True) as plain,
            socket.create_connection(("127.0.0.1", port)) as other,
        ):
            _join_tls(plain, other)

    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    Thread(target=speak, args=(server.accept()[0],), daemon=True).start()

        Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def _join_tls(plain: ssl.SSLSocket, other: socket.socket) -> None:
    """Carry bytes both ways, from a socket that may have read more than select knows of."""
    while True:
        ready = [plain] if plain.pending() else select.select([plain, other], [], [])[0]
        for one in ready:
            data = one.recv(65536)
            if not data:
                return
            (other if one is plain else plain).sendall(data)
