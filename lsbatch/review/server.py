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
#: Bytes of an answer.
LONGEST_BODY = 32_768
#: Seconds that a silent browser is waited for.
PATIENCE_S = 10.0
#: Nothing but what this server sends, and pictures inside it; no frame around it, no form that goes elsewhere.
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

    # an answer that is being kept when the server ends is kept
    daemon_threads = False

    def __init__(self, case: Case, port: int = 0) -> None:
        self.case = case
        self.token = secrets.token_urlsafe(24)
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except OSError as error:
            raise LsbatchError(
                f"port {port} of {LOOPBACK}: nothing can listen there: {error.strerror or error}"
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
    """Serve until the process is told to stop.

    Raises
    ------
    LsbatchError
        If nothing can listen at the port.
    """
    with Server(case, port) as server:
        tell(f"Review of {case.survey.config.survey.id}: {len(case.frame)} landslides at {server.address}")
        tell("Only this machine and who knows the address can use it. Ctrl-C ends it; every answer is kept at once.")
        server.serve_forever()


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = PATIENCE_S
    server_version, sys_version = "lsbatch", ""

    def do_GET(self) -> None:
        """Send the page, the list or images."""
        name = self._asked()
        if name is None:
            return
        case = self.server.case
        if name in _PAGE:
            file, kind = _PAGE[name]
            self._send(HTTPStatus.OK, (_HERE / file).read_bytes(), kind)
        elif name == "landslides":
            self._json(HTTPStatus.OK, {"survey": case.survey.config.survey.id, "landslides": case.landslides()})
        elif (
            name.startswith("pictures/")
            and (number := name.removeprefix("pictures/")).isdecimal()
            and int(number) < len(case.frame)
        ):
            self._json(HTTPStatus.OK, case.pictures(int(number)))
        else:
            self._json(HTTPStatus.NOT_FOUND, {"error": "not here"})

    def do_POST(self) -> None:
        """Store an answer."""
        name = self._asked()
        if name is None:
            return
        # a page of somebody else can post a form here, but not with this type, nor with our origin
        own = self.headers.get("Origin", "").removeprefix("http://") in self.server.origins
        if not own or self.headers.get_content_type() != "application/json":
            self._json(HTTPStatus.FORBIDDEN, {"error": "answers come from the page of this server"})
            return
        length = self.headers.get("Content-Length", "")
        if name != "answers" or not length.isdecimal() or int(length) > LONGEST_BODY:
            self._json(HTTPStatus.BAD_REQUEST, {"error": f"an answer is at most {LONGEST_BODY} bytes"})
            return
        try:
            added, answer = self.server.case.keep(json.loads(self.rfile.read(int(length))))
        except (RefusedError, ValueError, RecursionError) as error:
            self._json(
                HTTPStatus.BAD_REQUEST,
                {"error": str(error) if isinstance(error, RefusedError) else "an answer is JSON"},
            )
            return
        except OSError as error:
            self._json(
                HTTPStatus.INSUFFICIENT_STORAGE, {"error": f"the answer could not be kept: {error.strerror or error}"}
            )
            return
        self._json(HTTPStatus.OK if added else HTTPStatus.CONFLICT, {"answer": answer})

    def _asked(self) -> str | None:
        """Return the request of a client with token and allowed host, else send a refusal without details."""
        token, _, name = self.path.removeprefix("/").partition("/")
        known = secrets.compare_digest(token.encode(), self.server.token.encode())
        if known and self.headers.get("Host") in self.server.origins:
            return name
        self._json(HTTPStatus.NOT_FOUND, {"error": "not here"})
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
