"""Fetch a catalogue document with retries and size limits; any failure becomes a one-sentence error.

A catalogue is an external program. Its answers are limited in bytes, time and depth.
"""

import json
import logging
import os
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
from pystac_client.errors import ClientTypeError
from pystac_client.exceptions import APIError, ParametersError
from pystac_client.stac_api_io import StacApiIO
from pystac_client.warnings import PystacClientWarning
from requests.exceptions import ChunkedEncodingError
from urllib3 import Retry

from lsbatch.errors import CatalogError
from lsbatch.storage import network_environment, objects
from lsbatch.storage.addresses import shown, without_secrets

network_environment.unify(os.environ)

#: Seconds of the first wait between attempts. urllib3 does not wait before the second attempt, then waits twice this
#: and doubles: 15 s in four attempts, enough for a server to restart. A run can repeat a tile later, but a plan cannot.
WAIT_S = 2.5
TIMEOUT_S = (10, 60)
#: Bytes of one answer after decompression. Pages of 100 items have 1 to 6 MB.
LARGEST_BYTES = 100_000_000
LONGEST_S = 600.0


class _TooMuch(requests.RequestException):
    """Error for an answer that is larger or slower than any real catalogue's."""


class Io(StacApiIO):
    """`StacApiIO` with limits of size and time, and retries of answers that broke off."""

    def __init__(self, attempts: int) -> None:
        retry = Retry(
            total=attempts - 1,
            backoff_factor=WAIT_S,
            status_forcelist=(429, 500, 502, 503, 504),
            # None: also POST searches are retried, because they change nothing
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
            # pystac-client wraps the errors of requests
            retry=tenacity.retry_if_exception(lambda error: isinstance(error.__context__, ChunkedEncodingError)),
            reraise=True,
        )
        return str(tries(super().request, *args, **kwargs))


def _bounded(response: requests.Response, **_: Any) -> None:
    """Check size and time after the headers and while the body is read."""
    claimed = response.headers.get("Content-Length", "")
    if claimed.isdigit() and int(claimed) > LARGEST_BYTES:
        response.close()
        raise _TooMuch(f"its answer has {int(claimed) / 1e6:,.0f} MB; allowed are up to {LARGEST_BYTES / 1e6:,.0f} MB")
    whole, until = response.raw.stream, time.monotonic() + LONGEST_S

    def stream(*args: Any, **kwargs: Any) -> Iterator[bytes]:
        size = 0
        for piece in whole(*args, **kwargs):
            size += len(piece)
            if size > LARGEST_BYTES or time.monotonic() > until:
                response.close()
                raise _TooMuch(
                    f"its answer does not end, {size / 1e6:,.0f} MB in {LONGEST_S - until + time.monotonic():,.0f} s"
                )
            yield piece

    response.raw.stream = stream


@contextmanager
def asking(attempts: int) -> Iterator[Io]:
    """Return the HTTP session for one search."""
    io = Io(attempts)
    # urllib3 logs each retry with the whole address, which may contain a key; the last failure is raised anyway
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
        If it is not a STAC document.
    """
    if address.startswith(objects.SCHEME):
        text = objects.get(objects.path_of(address)).decode()
    else:
        if "://" not in address:
            _refuse_endless(address)
        text = io.read_text(address)
    document = json.loads(text)
    if not isinstance(document, dict) or not (document.get("links") or document.get("stac_version")):
        raise CatalogError(f"{shown(address)}: is JSON, but not a STAC document: it has neither links nor stac_version")
    return document


def _refuse_endless(path: str) -> None:
    """Refuse pipes and devices, which have no end."""
    found = Path(path).stat()
    if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST_BYTES:
        raise CatalogError(f"{path}: is not a regular file of up to {LARGEST_BYTES / 1e6:,.0f} MB")


def links(document: Mapping[str, Any], *relations: str) -> list[Any]:
    """Return the targets of the links with these relations. Skip entries that are not links."""
    listed = document.get("links")
    found = listed if isinstance(listed, list) else []
    return [link.get("href") for link in found if isinstance(link, Mapping) and link.get("rel") in relations]


@contextmanager
def in_one_sentence(url: str) -> Iterator[None]:
    """Convert errors of network and parsers to a CatalogError that names the catalogue without secrets."""
    try:
        yield
    except FileNotFoundError as error:
        raise CatalogError(
            f"{shown(str(error.filename or url))}: does not exist; give the address of a STAC API or of a "
            "catalog.json, or make one with 'lsbatch catalog FOLDER'"
        ) from None
    except (APIError, requests.RequestException, OSError) as error:
        raise CatalogError(
            f"{shown(url)}: the catalogue cannot be reached or does not answer: {_short(error)}"
        ) from None
    except (*_NO_STAC, *MALFORMED) as error:
        raise CatalogError(f"{shown(url)}: does not answer like a STAC catalogue: {_short(error)}") from None


#: pystac-client raises one of its warnings for an API that says that it cannot be searched.
_NO_STAC = (STACError, ParametersError, ClientTypeError, PystacClientWarning)
#: Errors of our parser and pystac's for a document whose fields have types that STAC does not allow, or that is nested
#: without end.
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
    text = " ".join(without_secrets(str(error)).split())
    if isinstance(error, APIError) and (status := getattr(error, "status_code", None)):
        # proxies and web servers answer with a page, or with nothing
        text = f"answers {status}" + (f": {text}" if text and not text.startswith("<") else "")
    text = text or type(error).__name__
    if isinstance(error, KeyError):
        text = f"it lacks {text}"
    advice = network_environment.advice(text)
    return (text if len(text) <= 300 else f"{text[:300]} ...") + (f"; {advice}" if advice else "")


def refusal(address: str, seconds: float) -> str | None:
    """Return why a catalogue cannot be read, from one short request; None if it answers."""
    if address.startswith(objects.SCHEME):
        try:
            objects.head(objects.path_of(address))
        except OSError as error:
            return _short(error)
        return None
    if "://" not in address:
        return None if Path(address).is_file() else "does not exist"
    try:
        with requests.get(address, timeout=seconds, stream=True) as response:
            # an archive that asks for a login is there
            return f"answers {response.status_code}" if response.status_code >= 500 else None
    except requests.RequestException as error:
        advice = network_environment.advice(str(error))
        return f"no answer in {seconds:.0f} s ({type(error).__name__})" + (f"; {advice}" if advice else "")
