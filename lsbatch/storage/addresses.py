"""Rules for addresses in catalogues, and how addresses are shown without their secrets.

A catalogue comes from outside. A catalogue on disk may name files inside its own folder and addresses on the network. A
catalogue on the network may name addresses on the network only. Everything else (``..``, other files, GDAL's virtual
file systems) is refused before a file is opened.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from lsbatch.errors import CatalogError, printable

REMOTE = ("http", "https", "s3", "gs", "az")

#: Characters of an address in a message about a catalogue.
LONGEST = 300
#: Hosts whose files the Planetary Computer signs.
AZURE = ".blob.core.windows.net"

#: Query parameters that hold credentials: signatures of Azure, S3 and CloudFront, tokens and keys.
_KEYS = re.compile(
    r"sig|expires|policy|key|key-pair-id|x-(amz|goog)-.*|.*(signature|token|secret|passw|auth|credential|api.?key|access.?key|subscription.?key).*",
    re.IGNORECASE,
)
# urllib3 reports addresses in parts
_QUERY = re.compile(r"\?[^\s'\"<>,;)]+=[^\s'\"<>,;)]*")
_ADDRESS = re.compile(r"(?:https?|s3|gs|az)://[^\s'\"<>,;)]+|/vsi\w+/[^\s'\"<>,;)]+")


@dataclass(frozen=True)
class Fence:
    """Resolver of the addresses in the documents of a catalogue.

    Attributes
    ----------
    folder : Path or None
        Folder of a catalogue on disk, resolved; None for one on the network.
    """

    folder: Path | None

    def resolve(self, href: str, document: str) -> str:
        """Return the absolute address of `href` as written in `document`.

        Raises
        ------
        CatalogError
            If the catalogue may not name this address.
        """
        if not isinstance(href, str) or not href or not href.isprintable() or _scheme(href) is None:
            raise CatalogError(
                f"{shown(document)}: names {without_secrets(repr(href))[:LONGEST]}, which is not an address"
            )
        scheme = urlsplit(href).scheme.lower()
        if scheme in REMOTE:
            return href
        if self.folder is None:
            return self._on_network(href, document)
        if scheme not in ("", "file") or (scheme == "file" and urlsplit(href).netloc not in ("", "localhost")):
            raise CatalogError(self._refusal(href, document))
        path = unquote(urlsplit(href).path) if scheme == "file" else href
        # follow symbolic links first: a link inside the folder may lead anywhere
        target = os.path.realpath(os.path.join(os.path.dirname(document), path))
        if not Path(target).is_relative_to(self.folder):
            raise CatalogError(self._refusal(href, document))
        return target

    def item(self, item: Mapping[str, Any], document: str) -> dict[str, Any]:
        """Return a STAC item with absolute, checked addresses and without credentials, for the plan."""
        assets = item.get("assets") or {}
        hrefs = {key: _without_keys(self.resolve(asset.get("href"), document)) for key, asset in assets.items()}
        return {**item, "assets": {key: asset | {"href": hrefs[key]} for key, asset in assets.items()}}

    def _on_network(self, href: str, document: str) -> str:
        scheme, _, rest = document.partition("://")
        # urljoin resolves paths of http addresses only
        target = urljoin(f"http://{rest}", href).replace("http", scheme, 1) if "://" not in href else href
        if href.startswith("/vsi") or urlsplit(target).scheme.lower() not in REMOTE:
            raise CatalogError(self._refusal(href, document))
        return target

    def _refusal(self, href: str, document: str) -> str:
        inside = "a path inside the catalogue's folder, or " if self.folder else ""
        return (
            f"{shown(document)}: names {shown(href)[:LONGEST]!r}; allowed is {inside}an address that begins with "
            f"{', '.join(REMOTE)}"
        )


def _scheme(href: str) -> str | None:
    """Return the scheme of an address; None if it cannot be parsed."""
    try:
        return urlsplit(href).scheme.lower()
    except ValueError:
        return None


def _without_keys(href: str) -> str:
    """Return an address without user, password, signature and token; Azure signatures are renewed when it is read."""
    parts = urlsplit(href)
    if not parts.netloc:
        return href
    pairs = [] if (parts.hostname or "").endswith(AZURE) else parts.query.split("&")
    kept = [pair for pair in pairs if not _KEYS.fullmatch(unquote(pair.partition("=")[0]))]
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="&".join(kept), fragment=""))


def shown(address: str) -> str:
    """Return an address without user, password, query, fragment and control characters."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return printable(address.split("?")[0].rpartition("@")[2])
    if not parts.scheme or not parts.netloc:
        path = address.split("?")[0]
        # with a slash too few or too many, user and password are in the path
        return printable(path.rpartition("@")[2] if parts.scheme.lower() in REMOTE else path)
    return printable(urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")))


def without_secrets(text: str) -> str:
    """Return a message with every address in it reduced by `shown`."""
    return _QUERY.sub("", _ADDRESS.sub(lambda found: shown(found[0]), text))
