"""Proxy and certificates of the environment: the same for all libraries, and advice for failed requests.

requests (STAC), curl in GDAL (scenes) and obstore (object storage) read different variables. One that a user has set is
used by all of them.
"""

import re
from collections.abc import MutableMapping

#: Variables that name a file of certificates, the most general first: read by obstore, by curl, by requests.
CERTIFICATES = ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
#: The variable that has priority in GDAL, and the end of what rasterio sets it to, unless it is set.
_OF_GDAL, _BY_RASTERIO = "GDAL_CURL_CA_BUNDLE", "certifi/cacert.pem"

#: What to do, by a pattern in the messages of requests, curl and S3 servers.
_ADVICE = (
    (
        r"(code: |response |failed: |answers )407\b|407 Proxy",
        "correct the user and the password in HTTPS_PROXY or HTTP_PROXY",
    ),
    (
        "CERTIFICATE_VERIFY_FAILED|certificate problem|certificate verify|setting certificate",
        "set SSL_CERT_FILE to a file with the certificates of your network",
    ),
    ("difference between the request time", "set the clock of this machine, for example with timedatectl set-ntp true"),
    ("reduce your request rate", "lower cluster.workers, or wait, then run again"),
    ("ProxyError|CONNECT tunnel| via ", "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY"),
)


def unify(environment: MutableMapping[str, str]) -> None:
    """Set the variables that are missing. A module that uses the network calls it when it is imported."""
    # curl ignores the name in capitals, which CGI programs get from whoever asks them
    if "HTTP_PROXY" in environment:
        environment.setdefault("http_proxy", environment["HTTP_PROXY"])
    file = next((environment[name] for name in CERTIFICATES if environment.get(name)), None)
    if file is None:
        return
    for name in CERTIFICATES:
        environment.setdefault(name, file)
    if environment.get(_OF_GDAL, _BY_RASTERIO).endswith(_BY_RASTERIO):
        environment[_OF_GDAL] = environment["CURL_CA_BUNDLE"]


def advice(message: str) -> str:
    """Return what a user must do about a failed request, by the message of requests or GDAL; empty if unknown."""
    return next((text for pattern, text in _ADVICE if re.search(pattern, message)), "")
