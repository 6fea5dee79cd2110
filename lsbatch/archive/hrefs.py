"""Which addresses a catalogue may name, and how addresses are shown: never with their secrets.

A catalogue is text from somewhere else. One on disk may name files inside its own folder and things on the network;
one on the network may name things on the network. Everything else - ``..``, files elsewhere, GDAL's virtual file
systems - is refused before anything is opened.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from lsbatch.errors import CatalogError

REMOTE = ("http", "https", "s3", "gs", "az")

#: Hosts whose files the Planetary Computer signs.
AZURE = ".blob.core.windows.net"

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# urllib3 shows addresses in pieces
_QUERY = re.compile(r"\?[^\s'\"<>,;)]+=[^\s'\"<>,;)]*")
_ADDRESS = re.compile(r"(?:https?|s3|gs|az)://[^\s'\"<>,;)]+|/vsi\w+/[^\s'\"<>,;)]+")


@dataclass(frozen=True)
class Fence:
    """Resolves the addresses in a catalogue's documents.

    Attributes
    ----------
    folder : Path or None
        Folder of a catalogue on disk, resolved; None for one on the network.
    """

    folder: Path | None

    def resolve(self, href: str, document: str) -> str:
        """Absolute address of `href` as written in `document`.

        Raises
        ------
        CatalogError
            If it leads out of what the catalogue may name.
        """
        if not isinstance(href, str) or not href or _CONTROL.search(href):
            raise CatalogError(f"{shown(document)}: names {href!r}, which is no address")
        scheme = urlsplit(href).scheme.lower()
        if scheme in REMOTE:
            return href
        if self.folder is None:
            return self._on_network(href, document)
        if scheme not in ("", "file") or (scheme == "file" and urlsplit(href).netloc not in ("", "localhost")):
            raise CatalogError(self._refusal(href, document))
        path = unquote(urlsplit(href).path) if scheme == "file" else href
        # symbolic links are followed first: a link that came with the folder may point anywhere
        target = os.path.realpath(os.path.join(os.path.dirname(document), path))
        if not Path(target).is_relative_to(self.folder):
            raise CatalogError(self._refusal(href, document))
        return target

    def item(self, item: Mapping[str, Any], document: str) -> dict[str, Any]:
        """A STAC item with absolute, checked addresses; signatures of Azure are dropped, they are made when read."""
        assets = {}
        for key, asset in (item.get("assets") or {}).items():
            href = self.resolve(asset.get("href"), document)
            parts = urlsplit(href)
            if (parts.hostname or "").endswith(AZURE):
                href = urlunsplit(parts._replace(query=""))
            assets[key] = asset | {"href": href}
        return {**item, "assets": assets}

    def _on_network(self, href: str, document: str) -> str:
        target = urljoin(document, href)
        if href.startswith("/vsi") or urlsplit(target).scheme.lower() not in REMOTE:
            raise CatalogError(self._refusal(href, document))
        return target

    def _refusal(self, href: str, document: str) -> str:
        inside = "a path inside the catalogue's folder, or " if self.folder else ""
        return f"{shown(document)}: names {shown(href)!r}; allowed is {inside}an address that begins with {', '.join(REMOTE)}"


def shown(address: str) -> str:
    """An address without user, password, query and fragment."""
    parts = urlsplit(address)
    if not parts.scheme or not parts.netloc:
        return address.split("?")[0]
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def without_secrets(text: str) -> str:
    """A message with every address in it reduced as by `shown`."""
    return _QUERY.sub("", _ADDRESS.sub(lambda found: shown(found[0]), text))
