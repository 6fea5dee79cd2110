"""Retries of requests beside those of obstore, which does not retry when an answer breaks off."""

import errno
from collections.abc import Callable
from typing import Any

from obstore import exceptions
from tenacity import Retrying, retry, retry_if_exception, stop_after_attempt, stop_after_delay, wait_exponential

from lsbatch.storage.s3 import error_sentences


def _may_pass(error: BaseException) -> bool:
    final = (exceptions.PreconditionError, exceptions.AlreadyExistsError)
    if isinstance(error, FileNotFoundError):
        # an upload in parts was finished, the answer was lost, and obstore could not cancel it
        return "NoSuchUpload" in str(error)
    if not isinstance(error, exceptions.BaseError) or isinstance(error, final):
        return False
    return error_sentences.of_error(error, "").errno != errno.EACCES


#: Four attempts, unless obstore has repeated the request for more than 5 s.
_OPTIONS: dict[str, Any] = {
    "retry": retry_if_exception(_may_pass), "wait": wait_exponential(0.1, max=2), "reraise": True,
    "stop": stop_after_attempt(4) | stop_after_delay(5),
}  # fmt: skip

#: Decorator of an asynchronous function that may be called again.
repeated: Callable[[Any], Any] = retry(**_OPTIONS)


def again(call: Callable[[], Any]) -> Any:
    """Call `call`, and again after a failure that may pass. Raises its last error."""
    return Retrying(**_OPTIONS)(call)
