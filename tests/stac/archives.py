"""The synthetic country as archives on the network show it.

Its items, and its rasters behind signatures that expire.
"""

import functools
import json
import os
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.servers import FileHandler, Served, answering

#: A host whose files the SDK of the Planetary Computer signs. Nobody asks the real one: GDAL is told of a proxy on
#: loopback, which answers in its place, and the SDK of a token endpoint there.
ACCOUNT, CONTAINER = "sentinelcountry", "scenes"
AZURE_URL = f"http://{ACCOUNT}.blob.core.windows.net/{CONTAINER}"


def documents(country: Path, rasters: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Collections and items of a country's catalogue, their rasters below the address `rasters`."""
    catalog = country.parent / "catalog"
    collections, items = [], []
    for path in sorted(catalog.rglob("*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["type"] == "Collection":
            collections.append(document | {"links": []})
        elif document["type"] == "Feature":
            folder = path.parent.relative_to(catalog)
            assets = {
                key: asset | {"href": f"{rasters}/{os.path.normpath(folder / asset['href'])}"}
                for key, asset in document["assets"].items()
            }
            items.append(document | {"assets": assets, "links": []})
    return collections, items


def sources(url: str, **more: Any) -> dict[str, Any]:
    """`archives` of the settings, for an API that has a country's items."""
    names = {
        "sentinel2": ("sentinel-2-l2a", "sentinel-2-l2a-pc"),
        "sentinel1": ("sentinel-1-rtc",),
        "dem": ("cop-dem-glo-30",),
    }
    return {
        sensor: {"preset": "stac", "url": url, "collections": list(found)} for sensor, found in names.items()
    } | more


@dataclass
class Signed(Served):
    """A folder whose files are given only against a signature that was made less than `valid_s` ago.

    Attributes
    ----------
    valid_s : float
    told_s : float
        How long a signature is said to be valid: longer, where a clock is wrong or a key was withdrawn.
    issued : dict of signature to time
    answers : Counter of str
        Files given, signatures refused, tokens made.
    keys : set of str
        Subscription keys that came with requests for a token.
    """

    valid_s: float = 60.0
    told_s: float = 3600.0
    issued: dict[str, float] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)
    keys: set[str] = field(default_factory=set)

    @property
    def environment(self) -> dict[str, str]:
        """What makes GDAL and the SDK come here."""
        return {"GDAL_HTTP_PROXY": self.url.partition("://")[2], "PC_SDK_SAS_URL": f"{self.url}/sas"}

    def token(self, key: str | None) -> dict[str, str]:
        """As the token endpoint answers."""
        signature = uuid.uuid4().hex
        with self.lock:
            self.issued[signature] = time.monotonic()
            self.answers["token"] += 1
            self.keys |= {key} if key else set()
        expiry = datetime.now(UTC) + timedelta(seconds=self.told_s)
        return {"msft:expiry": expiry.isoformat(), "token": f"se={expiry:%Y-%m-%d}&sp=rl&sig={signature}"}

    def accepts(self, query: str) -> bool:
        """Whether an address with this query is answered."""
        made = self.issued.get(parse_qs(query).get("sig", [""])[0])
        good = made is not None and time.monotonic() - made < self.valid_s
        with self.lock:
            self.answers["given" if good else "refused"] += 1
        return good


class _SignedHandler(FileHandler):
    _served: Signed

    def _answer(self, body: bool) -> None:
        parts = urlsplit(self.path)
        if parts.path.startswith("/sas/"):
            self._send(200, json.dumps(self._served.token(self.headers.get("Ocp-Apim-Subscription-Key"))).encode())
        elif not self._served.accepts(parts.query):
            self._send(403, b"")
        else:
            # a proxy is asked for the whole address
            self.path = parts.path.removeprefix(f"/{CONTAINER}")
            super()._answer(body)

    def _send(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def signed(folder: Path, **times: float) -> Iterator[Signed]:
    """Serve a folder to those who can sign."""
    served = Signed("", **times)  # type: ignore[arg-type]
    with answering(functools.partial(_SignedHandler, served=served, directory=str(folder))) as served.url:
        yield served
