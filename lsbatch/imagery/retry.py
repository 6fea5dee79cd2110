"""Retry remote reads and sign Planetary Computer URLs."""

import logging
import os
import re
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import rasterio
import tenacity
from rasterio.errors import RasterioError

from lsbatch.storage import network_environment
from lsbatch.storage.addresses import AZURE, REMOTE

network_environment.unify(os.environ)

#: Pattern of the HTTP status in messages of GDAL.
_ANSWER = re.compile(r"HTTP response code: (\d{3})")
#: Names of GDAL's errors for an S3 server that refuses the keys; it gives no status for them.
_REFUSALS = ("CPLE_AWSAccessDeniedError", "CPLE_AWSInvalidCredentialsError", "CPLE_AWSSignatureDoesNotMatchError")

#: GDAL's options for opening a file without keeping what is learned of it, with a single request.
_ONCE = {
    "CPL_VSIL_CURL_NON_CACHED": "/vsicurl/:/vsis3/:/vsigs/:/vsiaz/",
    "GDAL_HTTP_MAX_RETRY": "0",
    "GDAL_HTTP_CONNECTTIMEOUT": "2",
    "GDAL_HTTP_TIMEOUT": "2",
}


def with_retries(uri: str, attempts: int, first_wait_s: float, work: Callable[[str], None]) -> None:
    """Call `work` with the signed address. Retry transient failures and double the wait each time.

    A file on disk is read once, without retries.

    Raises
    ------
    RasterioError, OSError
        The error of the last attempt.
    """

    def once() -> None:
        address = signed(uri)
        try:
            work(address)
        except RasterioError as error:
            if address != uri:
                # for any error: a signature that expires between two blocks breaks a read without a clear message
                # the next one has another address, of which GDAL knows nothing
                _forget(address)
            elif is_transient(uri, error):
                _forget_failure(address)
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
    """Return whether a failure is transient: no connection, broken transfer, 408, 429, 5xx, expired signature."""
    if urlsplit(uri).scheme not in REMOTE:
        return False
    status = _status(error)
    return status is None or status in (408, 429) or status >= 500 or (status == 403 and _is_azure(uri))


def needs_key(uri: str, error: BaseException) -> bool:
    """Return whether a server other than the Planetary Computer's requires credentials."""
    return urlsplit(uri).scheme in REMOTE and _status(error) in (401, 403) and not _is_azure(uri)


def hint(uri: str, error: BaseException, cause: str) -> str:
    """Return what a user must do about a failed read, to be added to the sentence of its cause; empty if unknown."""
    if needs_key(uri, error):
        return "; keys in a catalogue's addresses are not kept, GDAL takes them from the environment (docs/security.md)"
    advice = network_environment.advice(cause)
    return f"; {advice}" if advice else ""


def signed(uri: str) -> str:
    """Return an address with a valid signature if it is the Planetary Computer's, else unchanged."""
    return _planetary_computer().sign_url(uri) if _is_azure(uri) else uri


def _forget(address: str) -> None:
    """Discard the cached signature, so that the next address is signed again."""
    cache = _planetary_computer().sas.TOKEN_CACHE
    for key, token in list(cache.items()):
        if address.endswith(token.token):
            cache.pop(key, None)


def _forget_failure(address: str) -> None:
    """Let GDAL ask again for a file that it could not open.

    Otherwise it answers that the file does not exist, unasked and for as long as the process lives. What it knows of a
    file is removed when the file is opened with `_ONCE`.
    """
    with rasterio.Env(**_ONCE), suppress(RasterioError):
        rasterio.open(address, driver="GTiff", sharing=False).close()


def _may_pass(uri: str, error: BaseException) -> bool:
    """Return whether another attempt at once can succeed. GDAL has already repeated requests that got an HTTP error."""
    if not isinstance(error, (RasterioError, OSError)):
        return False
    status = _status(error)
    return status is None or (status == 403 and _is_azure(uri))


def _status(error: BaseException) -> int | None:
    """Return the HTTP status of the server's answer, if GDAL reports it; 403 if S3 refuses the keys."""
    # by its text too: GDAL has no error of its own for a key that does not exist
    if type(error.__context__).__name__ in _REFUSALS or "Access Key Id" in str(error):
        return 403
    found = _ANSWER.search(f"{error} {error.__cause__}")
    return int(found[1]) if found else None


def _is_azure(uri: str) -> bool:
    return (urlsplit(uri).hostname or "").endswith(AZURE)


def _planetary_computer() -> Any:
    with warnings.catch_warnings():
        # planetary-computer 1.0 uses a deprecated form of pydantic models; imported here because it takes 0.4 s and
        # only one archive needs it
        warnings.filterwarnings("ignore", "Support for class-based `config`", DeprecationWarning)
        import planetary_computer.sas
    return planetary_computer
