"""The review server: loopback only, with a random token in every address."""

import json
import secrets
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from lsbatch.errors import LsbatchError
from lsbatch.review.answers import Case, RefusedError

LOOPBACK = "127.0.0.1"
#: Largest size of an answer in bytes.
LONGEST_BODY = 32_768
#: Timeout of a connection in seconds.
TIMEOUT_S = 10.0
#: Allow only content from this server and images inside the page; no frames and no forms to other addresses.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HERE = Path(__file__).parent
_PAGE = {
    "": ("page.html", "text/html"),
    "page.js": ("page.js", "text/javascript"),
    "page.css": ("page.css", "text/css"),
}


class Server(ThreadingHTTPServer):
    """Web server for one survey; the reviewer opens `address`."""

    # when the server stops, an answer that is being written is still completed
    daemon_threads = False

    def __init__(self, case: Case, port: int = 0) -> None:
        self.case = case
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


def serve(case: Case, port: int, tell: Any) -> None:
    """Serve until the process is stopped.

    Raises
    ------
    LsbatchError
        If the server cannot listen at the port.
    """
    with Server(case, port) as server:
        tell(f"Review of {case.survey.config.survey.id}: {len(case.frame)} landslides at {server.address}")
        tell("Only this machine can open the address. Every answer is saved at once. Press Ctrl-C to stop.")
        server.serve_forever()


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = TIMEOUT_S
    server_version, sys_version = "lsbatch", ""

    def do_GET(self) -> None:
        """Send the page, the list or images."""
        name = self._requested_name()
        if name is None:
            return
        case = self.server.case
        if name in _PAGE:
            file, kind = _PAGE[name]
            self._send(HTTPStatus.OK, (_HERE / file).read_bytes(), kind)
        elif name == "landslides":
            found = {"survey": case.survey.config.survey.id, "uncertain_first": case.uncertain_first}
            self._json(HTTPStatus.OK, {**found, "landslides": case.landslides()})
        elif (
            name.startswith("pictures/")
            and (number := name.removeprefix("pictures/")).isdecimal()
            and int(number) < len(case.frame)
        ):
            self._json(HTTPStatus.OK, case.pictures(int(number)))
        else:
            self._json(HTTPStatus.NOT_FOUND, {"error": "not found"})

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
            added, answer = self.server.case.keep(json.loads(self.rfile.read(int(length))))
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
        self._send(status, json.dumps(value).encode(), "application/json")

    def _send(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": f"{kind}; charset=utf-8",
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
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: the address in the log would hold the token."""
