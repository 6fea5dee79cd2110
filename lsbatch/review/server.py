"""The review server: loopback only, with a random token in every address."""

import json
import secrets
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from lsbatch.errors import LsbatchError
from lsbatch.review.answers import RefusedError
from lsbatch.review.site import JSON, Site

LOOPBACK = "127.0.0.1"
#: Largest size of an answer in bytes.
LONGEST_BODY = 131_072
#: Timeout of a connection in seconds.
TIMEOUT_S = 10.0
#: Allow only content from this server and what the page made itself (MapLibre makes its workers from a blob); no frames
#: and no forms to other addresses.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Server(ThreadingHTTPServer):
    """Web server for one survey; the reviewer opens `address`."""

    # when the server stops, an answer that is being written is still completed
    daemon_threads = False

    def __init__(self, site: Site, port: int = 0) -> None:
        self.site = site
        self.token = secrets.token_urlsafe(24)
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except OSError as error:
            raise LsbatchError(
                f"port {port} of {LOOPBACK}: cannot listen: {error.strerror or error}; choose another port"
            ) from None

    @property
    def origins(self) -> tuple[str, ...]:
        """Return the allowed host names of requests; others may be DNS rebinding."""
        return tuple(f"{host}:{self.server_port}" for host in (LOOPBACK, "localhost"))

    @property
    def address(self) -> str:
        """Return the address with the token that gives access."""
        return f"http://{self.origins[0]}/{self.token}/"


def serve(site: Site, port: int, tell: Any) -> None:
    """Serve until the process is stopped.

    Raises
    ------
    LsbatchError
        If the server cannot listen at the port.
    """
    with Server(site, port) as server:
        site.prepare()
        case, name = site.case, "Review" if site.is_review else "View"
        tell(f"{name} of {case.survey.config.survey.id}: {len(case.frame)} landslides at {server.address}")
        tell("Only this machine can open the address. Every answer is saved at once. Press Ctrl-C to stop.")
        server.serve_forever()


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = TIMEOUT_S
    server_version, sys_version = "lsbatch", ""

    def do_GET(self) -> None:
        """Send the page, the list, records, images or tiles."""
        name = self._requested_name()
        if name is None:
            return
        try:
            found = self.server.site.get(name)
        except LsbatchError as error:
            self._json(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": str(error)})
        except OSError as error:
            self._json(
                HTTPStatus.INTERNAL_SERVER_ERROR, {"error": f"the survey cannot be read: {error.strerror or error}"}
            )
        else:
            if found is None:
                self._json(HTTPStatus.NOT_FOUND, {"error": "not found"})
            else:
                self._send(HTTPStatus.OK, *found)

    def do_POST(self) -> None:
        """Store an answer."""
        name = self._requested_name()
        if name is None:
            return
        # another page can post a form to this server, but not with this content type and this origin
        own = self.headers.get("Origin", "").removeprefix("http://") in self.server.origins
        if not own or self.headers.get_content_type() != "application/json":
            self._json(HTTPStatus.FORBIDDEN, {"error": "an answer must come from the page of this server"})
            return
        length = self.headers.get("Content-Length", "")
        if name != "answers" or not length.isdecimal() or int(length) > LONGEST_BODY:
            self._json(HTTPStatus.BAD_REQUEST, {"error": f"an answer must be at most {LONGEST_BODY} bytes"})
            return
        try:
            added, answer = self.server.site.case.keep(json.loads(self.rfile.read(int(length))))
        except (RefusedError, ValueError, RecursionError) as error:
            self._json(
                HTTPStatus.BAD_REQUEST,
                {"error": str(error) if isinstance(error, RefusedError) else "an answer must be JSON"},
            )
            return
        except OSError as error:
            self._json(
                HTTPStatus.INSUFFICIENT_STORAGE, {"error": f"the answer could not be saved: {error.strerror or error}"}
            )
            return
        self._json(HTTPStatus.OK if added else HTTPStatus.CONFLICT, {"answer": answer})

    def _requested_name(self) -> str | None:
        """Return the request of a client with token and allowed host, else send a refusal without details."""
        token, _, name = self.path.removeprefix("/").partition("/")
        known = secrets.compare_digest(token.encode(), self.server.token.encode())
        if known and self.headers.get("Host") in self.server.origins:
            return name
        self._json(HTTPStatus.NOT_FOUND, {"error": "not found"})
        return None

    def _json(self, status: HTTPStatus, value: Any) -> None:
        self._send(status, json.dumps(value).encode(), JSON)

    def _send(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": f"{kind}; charset=utf-8" if kind.startswith("text/") or kind == JSON else kind,
            "Content-Length": str(len(body)),
            "Content-Security-Policy": POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cache-Control": "no-store",
        }
        for name, value in headers.items():
            self.send_header(name, value)
        # a browser gives up the tiles of a view that it has left
        with suppress(ConnectionError):
            self.end_headers()
            self.wfile.write(body)

    def send_response_only(self, code: int, message: str | None = None) -> None:
        """Begin an answer with a status line, also to HTTP/0.9, which would get neither that nor the headers."""
        if self.request_version == "HTTP/0.9":
            self.request_version = "HTTP/1.0"
        super().send_response_only(code, message)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: the address in the log would hold the token."""
