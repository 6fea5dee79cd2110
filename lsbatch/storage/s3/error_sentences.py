"""One sentence for an error of object storage: what went wrong, and what to do.

obstore's own texts have some forty lines: each attempt, the answer of the server as XML, and a dump of the error.
"""

import errno
import os
import re
from dataclasses import dataclass

from lsbatch.errors import StaleStoreError, printable
from lsbatch.storage.addresses import without_secrets

_LIMITED = "the server limits requests; lower cluster.workers, or wait, then run again"
_REGION = "set AWS_REGION to the region of the bucket"

#: What to do, by the code in the answer of an S3 server.
ADVICE = {
    "AccessDenied": "give these credentials the rights to list, read, write and delete in the bucket",
    "AuthorizationHeaderMalformed": _REGION,
    "ExpiredToken": "get new credentials, then run again",
    "IllegalLocationConstraintException": _REGION,
    "InvalidAccessKeyId": "correct AWS_ACCESS_KEY_ID",
    "InvalidToken": "correct AWS_SESSION_TOKEN",
    "NoSuchBucket": "correct the name of the bucket, or make it",
    "PermanentRedirect": _REGION,
    "RequestTimeTooSkewed": "set the clock of this machine, for example with timedatectl set-ntp true, then run again",
    "ServiceUnavailable": _LIMITED,
    "SignatureDoesNotMatch": "correct AWS_SECRET_ACCESS_KEY",
    "SlowDown": _LIMITED,
    "TooManyRequests": _LIMITED,
}
#: Codes after which the same request can succeed later, without a change of the settings.
PASSING = ("ExpiredToken", "RequestTimeTooSkewed", "ServiceUnavailable", "SlowDown", "TooManyRequests")

_TIMES = "wait and run again; if it lasts, check the network"
_REACH = "check the network and AWS_ENDPOINT_URL"


@dataclass(frozen=True)
class _Break:
    """A failure without an answer of the server.

    Attributes
    ----------
    pattern : str
        Part of obstore's dump of the error.
    cause, advice : str
    """

    pattern: str
    cause: str
    advice: str


#: The first that matches counts.
_BREAKS = (
    _Break("ProxyAuthRequired", "the proxy asks for a user and a password", "correct HTTPS_PROXY or HTTP_PROXY"),
    _Break("Tunnel", "the proxy refuses this address", "add the host to NO_PROXY, or ask who runs the proxy"),
    _Break(
        "InvalidCertificate",
        "its certificate is not trusted",
        "set SSL_CERT_FILE to the certificates of your network, and check AWS_ENDPOINT_URL",
    ),
    _Break("InvalidContentType|CorruptMessage", "it does not speak TLS", "begin AWS_ENDPOINT_URL with http://"),
    _Break("dns error", "the name of its host is not known", _REACH),
    _Break("ConnectionRefused", "it refuses the connection", _REACH),
    _Break("NetworkUnreachable|HostUnreachable", "there is no way to it", _REACH),
    _Break("TimedOut|Timeout", "it does not answer in time", _TIMES),
    _Break("IncompleteMessage|ConnectionReset|BrokenPipe|UnexpectedEof", "the connection broke off", _TIMES),
    _Break("NoContentRange|kind: Decode|kind: Body", "its answers break off", _TIMES),
    _Break("Parse", "it does not answer like an S3 server", "check AWS_ENDPOINT_URL"),
)
_STATUS = re.compile(r"status code: (\d{3})[ \w-]*")
_REDIRECT = "redirect without LOCATION"
_HOST = re.compile(r"https?://[^/\s?,]+")


class ObjectError(StaleStoreError, OSError):
    """Error of object storage. As an `OSError` it is retried; its text is one sentence for the user.

    Attributes
    ----------
    gives_reason : bool
        False for a refusal whose answer has no text, as of any HEAD request.
    """

    gives_reason: bool = True

    def __str__(self) -> str:
        return printable(f"{self.filename}: {self.strerror}")


def of_error(error: Exception, where: str) -> ObjectError:
    """Return the error for the user.

    Parameters
    ----------
    error : Exception
        Of obstore.
    where : str
        Path of the object.
    """
    text, _, dump = str(error).partition("Debug source")
    code = _element("Code", text)
    status = _STATUS.search(text)
    number = errno.EIO
    if code is None and _REDIRECT in text:
        code = "PermanentRedirect"
    if code not in PASSING and (code in ADVICE or (status is not None and status[1] in ("401", "403"))):
        number = errno.EACCES
    found = ObjectError(number, _sentence(text, dump, code, status), where)
    found.gives_reason = code is not None or status is None or status[1] >= "500"
    return found


def _sentence(text: str, dump: str, code: str | None, status: re.Match[str] | None) -> str:
    if code is not None:
        return f"{_reason(text, code)}; {_advice(text, code)}"
    if status is not None:
        return f"{_server(text)} answers {status[0].removeprefix('status code: ').strip()}; {_after(status[1])}"
    for known in _BREAKS:
        if re.search(known.pattern, dump):
            return f"{_server(text)}: {known.cause}; {known.advice}{_proxy(known.advice)}"
    return f"{' '.join(without_secrets(text).split())[:300]}; check AWS_ENDPOINT_URL"


def _reason(text: str, code: str) -> str:
    message = " ".join(without_secrets(_element("Message", text) or "").split())
    if _REDIRECT in text:
        message = "the bucket is not in the region that AWS_REGION gives"
    return f"{code}: {message[:200].rstrip('.')}" if message else code


def _advice(text: str, code: str) -> str:
    region = _element("Region", text)
    if region and ADVICE.get(code) == _REGION:
        return f"set AWS_REGION={region}"
    return ADVICE.get(code, "check the bucket, AWS_ENDPOINT_URL and the credentials in the environment")


def _after(status: str) -> str:
    if status == "407":
        return "correct the user and the password in HTTPS_PROXY or HTTP_PROXY"
    if status in ("429", "503"):
        return _LIMITED
    return "check the bucket, AWS_ENDPOINT_URL, AWS_REGION, the clock and the credentials" if status < "500" else _TIMES


def _server(text: str) -> str:
    found = _HOST.search(without_secrets(text))
    return found[0] if found else "object storage"


def _proxy(advice: str) -> str:
    """Return a reminder of the proxy, through which the request may have gone."""
    is_set = any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"))
    return ", also HTTPS_PROXY, HTTP_PROXY and NO_PROXY" if is_set and advice in (_REACH, _TIMES) else ""


def _element(name: str, text: str) -> str | None:
    found = re.search(rf"<{name}>([^<]*)</{name}>", text)
    return found[1].strip() if found else None
