"""Retry remote reads and sign Planetary Computer URLs."""

import logging
import re
import warnings
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import tenacity
from rasterio.errors import RasterioError

from lsbatch.storage.addresses import AZURE, REMOTE

#: How GDAL tells what a server answered.
_ANSWER = re.compile(r"HTTP response code: (\d{3})")


def with_retries(uri: str, attempts: int, first_wait_s: float, work: Callable[[str], None]) -> None:
    """Give the signed address to `work`, and again after waits that double if it fails in a way that may pass.

    A file on disk is read once.

    Raises
    ------
    RasterioError, OSError
        Of the last try.
    """

    def once() -> None:
        address = signed(uri)
        try:
            work(address)
        except RasterioError:
            if address != uri:
                # whatever it says: a signature that expires between two blocks breaks a read without telling why
                _forget(address)
            raise

    tries = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(attempts if urlsplit(uri).scheme in REMOTE else 1),
        wait=tenacity.wait_exponential(multiplier=first_wait_s, max=60),
        retry=tenacity.retry_if_exception(lambda error: _may_pass(uri, error)),
        before_sleep=tenacity.before_sleep_log(logging.getLogger(__name__), logging.INFO),
        reraise=True,
    )
    tries(once)


def is_transient(uri: str, error: BaseException) -> bool:
    """Whether the archive, and not the scene, is to blame: no connection, a broken transfer, 408, 429, 5xx, an old signature."""
    if urlsplit(uri).scheme not in REMOTE:
        return False
    status = _status(error)
    return status is None or status in (408, 429) or status >= 500 or (status == 403 and _is_azure(uri))


def needs_key(uri: str, error: BaseException) -> bool:
    """Whether a server other than the Planetary Computer's wants to know who asks."""
    return urlsplit(uri).scheme in REMOTE and _status(error) in (401, 403) and not _is_azure(uri)


def signed(uri: str) -> str:
    """An address of the Planetary Computer with a signature that is good now; any other as it is."""
    return _planetary_computer().sign_url(uri) if _is_azure(uri) else uri  # type: ignore[no-any-return]


def _forget(address: str) -> None:
    """Have the next address signed anew: the SDK keeps a signature as long as it was told, also one that is refused by then."""
    cache = _planetary_computer().sas.TOKEN_CACHE
    for key, token in list(cache.items()):
        if address.endswith(token.token):
            cache.pop(key, None)


def _may_pass(uri: str, error: BaseException) -> bool:
    """Whether another try at once may help; what a server answered was tried again by GDAL, but for a signature that expired."""
    if not isinstance(error, (RasterioError, OSError)):
        return False
    status = _status(error)
    return status is None or (status == 403 and _is_azure(uri))


def _status(error: BaseException) -> int | None:
    """What the server answered, where it answered and GDAL tells."""
    found = _ANSWER.search(f"{error} {error.__cause__}")
    return int(found[1]) if found else None


def _is_azure(uri: str) -> bool:
    return (urlsplit(uri).hostname or "").endswith(AZURE)


def _planetary_computer() -> Any:
    with warnings.catch_warnings():
        # planetary-computer 1.0 declares its models in pydantic's old way; 0.4 s to import, for one archive of several
        warnings.filterwarnings("ignore", "Support for class-based `config`", DeprecationWarning)
        import planetary_computer.sas
    return planetary_computer
