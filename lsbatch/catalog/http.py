"""Fetch a catalogue document with retries and size limits; any failure becomes a one-sentence error.

A catalogue is somebody else's program. What it may cost is bounded here: bytes, time, depth.
"""

import json
import logging
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import shapely
import tenacity
from pystac.errors import STACError
from pystac_client.exceptions import APIError, ParametersError
from pystac_client.stac_api_io import StacApiIO
from requests.exceptions import ChunkedEncodingError
from urllib3 import Retry

from lsbatch.errors import CatalogError
from lsbatch.storage import objects
from lsbatch.storage.addresses import shown, without_secrets

#: Of waits before a request is sent again: urllib3 waits not at all, then twice this, then four times: 15 s in four
#: tries, in which a server is started anew. A run can take a tile again later; a plan has nothing but these.
WAIT_S = 2.5
TIMEOUT_S = (10, 60)
#: Of one answer, unpacked. Pages of 100 items have 1 to 6 MB.
LARGEST_BYTES = 100_000_000
LONGEST_S = 600.0


class _TooMuch(requests.RequestException):
    """An answer that is larger or slower than that of any real catalogue."""


class Io(StacApiIO):
    """The StacApiIO of pystac-client with limits of size and time, and retries of answers that broke off."""

    def __init__(self, attempts: int) -> None:
        retry = Retry(
            total=attempts - 1,
            backoff_factor=WAIT_S,
            status_forcelist=(429, 500, 502, 503, 504),
            # None: a POST search changes nothing, so it may be sent again
            allowed_methods=None,
            retry_after_max=120,
        )
        super().__init__(timeout=TIMEOUT_S, max_retries=retry)
        self._attempts = attempts
        self.session.hooks["response"].append(_bounded)

    def request(self, *args: Any, **kwargs: Any) -> str:
        """Send the request with the limits of this class."""
        tries = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self._attempts),
            wait=tenacity.wait_exponential(multiplier=WAIT_S / 2, max=60),
            # pystac-client wraps what requests raised
            retry=tenacity.retry_if_exception(lambda error: isinstance(error.__context__, ChunkedEncodingError)),
            reraise=True,
        )
        return str(tries(super().request, *args, **kwargs))


def _bounded(response: requests.Response, **_: Any) -> None:
    """Check size and time between the head of an answer and its body."""
    claimed = response.headers.get("Content-Length", "")
    if claimed.isdigit() and int(claimed) > LARGEST_BYTES:
        response.close()
        raise _TooMuch(
            f"its answer is said to have {int(claimed) / 1e6:,.0f} MB; up to {LARGEST_BYTES / 1e6:,.0f} are read"
        )
    whole, until = response.raw.stream, time.monotonic() + LONGEST_S

    def stream(*args: Any, **kwargs: Any) -> Iterator[bytes]:
        size = 0
        for piece in whole(*args, **kwargs):
            size += len(piece)
            if size > LARGEST_BYTES or time.monotonic() > until:
                response.close()
                raise _TooMuch(
                    f"its answer does not end: {size / 1e6:,.0f} MB in {LONGEST_S - until + time.monotonic():,.0f} s"
                )
            yield piece

    response.raw.stream = stream


@contextmanager
def asking(attempts: int) -> Iterator[Io]:
    """Return the HTTP session for one search."""
    io = Io(attempts)
    # each retry would be logged with the whole address, and a key may stand in it; the last failure is raised anyway
    logger = logging.getLogger("urllib3.connectionpool")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield io
    finally:
        logger.setLevel(before)
        io.session.close()


def read(address: str, io: Io) -> dict[str, Any]:
    """Read a document of a catalogue from disk, object storage or HTTP.

    Raises
    ------
    CatalogError
        If it is no STAC.
    """
    if address.startswith(objects.SCHEME):
        text = objects.get(objects.path_of(address)).decode()
    else:
        if "://" not in address:
            _refuse_endless(address)
        text = io.read_text(address)
    document = json.loads(text)
    if not isinstance(document, dict) or not (document.get("links") or document.get("stac_version")):
        raise CatalogError(f"{shown(address)}: is JSON, but no STAC document: it has neither links nor stac_version")
    return document


def _refuse_endless(path: str) -> None:
    """Refuse a pipe or a device, which could be read without end."""
    found = Path(path).stat()
    if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST_BYTES:
        raise CatalogError(f"{path}: is no file of up to {LARGEST_BYTES / 1e6:,.0f} MB, as a catalogue's documents are")


def links(document: Mapping[str, Any], *relations: str) -> list[Any]:
    """Return the targets of the links of these relations; skip entries that are not links."""
    listed = document.get("links")
    found = listed if isinstance(listed, list) else []
    return [link.get("href") for link in found if isinstance(link, Mapping) and link.get("rel") in relations]


@contextmanager
def in_one_sentence(url: str) -> Iterator[None]:
    """Convert errors of network and parsers to a CatalogError that names the catalogue but no secret."""
    try:
        yield
    except FileNotFoundError as error:
        raise CatalogError(
            f"{error.filename or shown(url)}: there is no such file; a catalogue is the address of a STAC API or of a "
            "catalog.json, and 'lsbatch catalog FOLDER' makes one"
        ) from None
    except (APIError, requests.RequestException, OSError) as error:
        raise CatalogError(
            f"{shown(url)}: the catalogue cannot be reached or does not answer: {_short(error)}"
        ) from None
    except (*_NO_STAC, *MALFORMED) as error:
        raise CatalogError(f"{shown(url)}: does not answer as a STAC catalogue: {_short(error)}") from None


_NO_STAC = (STACError, ParametersError)
#: What parsers, ours and pystac's, make of a document whose fields are of other kinds than STAC says, or nested without
#: end.
MALFORMED = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    RecursionError,
    shapely.errors.ShapelyError,
)


def _short(error: Exception) -> str:
    text = " ".join(without_secrets(str(error)).split()) or type(error).__name__
    if isinstance(error, KeyError):
        text = f"it lacks {text}"
    return text if len(text) <= 300 else f"{text[:300]} ..."
