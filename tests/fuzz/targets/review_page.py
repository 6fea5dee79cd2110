"""Requests to the page of `lsbatch review`: any bytes on its port, and answers of reviewers."""

import errno
import http.client
import json
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from lsbatch.review import Case, Site
from lsbatch.review.server import Server
from tests import fake_survey
from tests.fake_survey import Fake
from tests.fuzz.judging import LONGEST_S
from tests.fuzz.mutation import TOKENS, damaged_bytes, damaged_values
from tests.fuzz.targets.target import Target

#: In the place of the token and the port, which differ in each process.
TOKEN, PORT = "TOKEN", 8000


class _Server(Server):
    """The real server; it keeps the errors that it would print as tracebacks."""

    daemon_threads = True

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.errors: list[BaseException] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exception()
        assert error is not None
        # a client that is gone is no fault
        if not isinstance(error, ConnectionError):
            self.errors.append(error)

    def address_of(self, data: bytes) -> bytes:
        """Return a request with the token and the port of this server."""
        return data.replace(TOKEN.encode(), self.token.encode()).replace(
            str(PORT).encode(), str(self.server_port).encode()
        )

    def raise_errors(self) -> None:
        """Raise what a request caused."""
        if self.errors:
            error = self.errors[0]
            self.errors.clear()
            raise error


def _serving(folder: Path) -> _Server:
    server = _Server(Site(Case(fake_survey.make(folder, Fake(landslides=3, truth=False))), is_review=True))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server


def requests(folder: Path) -> Target:
    """Bytes on the port: request lines, headers, paths, bodies."""
    server = _serving(folder)
    host = f"Host: 127.0.0.1:{PORT}\r\n"
    paths = ("", "survey", "landslides", "records/0", "images/after/9/266/147", "outlines/0/9/266/147", "page.js")
    body = json.dumps(_answer(server)).encode()
    head = f"Origin: http://127.0.0.1:{PORT}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    seeds = (
        *(f"GET /{TOKEN}/{path} HTTP/1.1\r\n{host}\r\n".encode() for path in paths),
        f"POST /{TOKEN}/answers HTTP/1.1\r\n{host}{head}\r\n".encode() + body,
    )

    def feed(data: bytes) -> None:
        received = _exchange(server, server.address_of(data))
        server.raise_errors()
        assert not received or received.startswith(b"HTTP/1."), received[:200]
        assert TOKEN.encode() in data or server.token.encode() not in received
        assert b"Traceback" not in received

    return Target(damaged_bytes(seeds, (*TOKENS, b"9" * 30, b"\xd9\xa3", b"a" * 70_000)), seeds, feed)


def answers(folder: Path) -> Target:
    """Answers of a reviewer: confirmations and outlines."""
    server = _serving(folder)
    journal = server.site.case.survey.workspace.answers
    square = [[14.0, 61.3], [14.001, 61.3], [14.001, 61.301], [14.0, 61.301]]
    given = _answer(server)
    missed = given | {"landslide_id": "", "corners": square}
    seeds = tuple(json.dumps(one).encode() for one in (given, missed))

    def feed(data: bytes) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=2 * LONGEST_S)
        headers = {"Origin": f"http://127.0.0.1:{server.server_port}", "Content-Type": "application/json"}
        connection.request("POST", f"/{server.token}/answers", data, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        server.raise_errors()
        assert answer.status in (200, 400, 409), (answer.status, text)
        json.loads(text)
        # what was kept can be read and shown again
        for name in ("landslides", "survey"):
            assert server.site.get(name) is not None
        journal.unlink(missing_ok=True)

    return Target(
        damaged_values([json.loads(one) for one in seeds]).map(lambda value: json.dumps(value).encode()), seeds, feed
    )


def _answer(server: _Server) -> dict[str, Any]:
    known = server.site.case.frame["landslide_id"].iat[0]
    return {"landslide_id": known, "state": "confirmed", "reviewer": "A", "comment": "", "count": 0}


def _exchange(server: _Server, data: bytes) -> bytes:
    """Send bytes, end, and return all that comes back."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=2 * LONGEST_S) as client:
        received = b""
        try:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            while piece := client.recv(65536):
                received += piece
        except OSError as error:
            # it refused the rest
            if error.errno not in (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN):
                raise
    return received
