"""Accounts of archives: their addresses, their keys in the environment, and GDAL's options with these keys.

Keys go to their own archive only. No key is in settings, plans, receipts or messages.
"""

import atexit
import netrc
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from lsbatch.errors import ConfigError
from lsbatch.storage.s3 import endpoint

#: Object storage of the Copernicus Data Space, and its bucket, which no other endpoint has.
CDSE_ENDPOINT, CDSE_BUCKET = "https://eodata.dataspace.copernicus.eu", "eodata"
CDSE_NAMES = ("CDSE_ACCESS_KEY", "CDSE_SECRET_KEY")

#: Host of Earthdata Login, and the domains of the Alaska Satellite Facility.
EARTHDATA_LOGIN = "urs.earthdata.nasa.gov"
EARTHDATA_DOMAINS = (".asf.alaska.edu", ".asf.earthdatacloud.nasa.gov")
EARTHDATA_TOKEN = "EARTHDATA_TOKEN"


@dataclass(frozen=True)
class Login:
    """An account of an archive.

    Attributes
    ----------
    needs : str
        What a user must provide, for messages.
    serves : callable
        Whether an address is a file of the archive.
    options : callable
        GDAL's options with the keys; None if the environment has none.
    """

    needs: str
    serves: Callable[[str], bool]
    options: Callable[[], dict[str, str] | None]


def of_address(address: str) -> Login | None:
    """Return the account of the archive that has a file; None if no account is known for the address."""
    return next((login for login in LOGINS.values() if login.serves(address)), None)


def _is_cdse(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme == "s3" and parts.netloc == CDSE_BUCKET


def _cdse_options() -> dict[str, str] | None:
    """Return options for the bucket. They replace those of a survey's own storage, also its session token."""
    access, secret = (os.environ.get(name, "").strip() for name in CDSE_NAMES)
    if not (access and secret):
        return None
    return endpoint.gdal_options_at(CDSE_ENDPOINT) | {
        "AWS_REGION": "default",
        "AWS_ACCESS_KEY_ID": access,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_SESSION_TOKEN": "",
        "AWS_NO_SIGN_REQUEST": "NO",
    }


def _is_earthdata(address: str) -> bool:
    parts = urlsplit(address)
    # https only: a token must not cross the network in the clear
    return parts.scheme == "https" and (parts.hostname or "").endswith(EARTHDATA_DOMAINS)


def _earthdata_options() -> dict[str, str] | None:
    """Return options with the token of the environment, else with the user of ``~/.netrc``.

    curl sends neither of them to another host that an answer redirects to. ASF redirects to a signed address, which is
    valid for GET only, and a login by ``~/.netrc`` is kept in a cookie.
    """
    token = os.environ.get(EARTHDATA_TOKEN, "").strip()
    if not token and not _in_netrc():
        return None
    cookies = _cookie_file()
    options = {"CPL_VSIL_CURL_USE_HEAD": "NO", "GDAL_HTTP_COOKIEFILE": cookies, "GDAL_HTTP_COOKIEJAR": cookies}
    if token:
        return options | {"GDAL_HTTP_AUTH": "BEARER", "GDAL_HTTP_BEARER": token, "GDAL_HTTP_NETRC": "NO"}
    return options | {"GDAL_HTTP_NETRC": "YES"}


def _in_netrc() -> bool:
    """Return whether ``~/.netrc`` has a user of Earthdata Login.

    Raises
    ------
    ConfigError
        If it cannot be parsed. The message does not quote it, because it holds passwords.
    """
    try:
        return netrc.netrc().authenticators(EARTHDATA_LOGIN) is not None
    except FileNotFoundError:
        return False
    except (netrc.NetrcParseError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"~/.netrc: cannot be read ({type(error).__name__}); it must be a netrc file that only you can read "
            f"(chmod 600), or set {EARTHDATA_TOKEN}"
        ) from None


@cache
def _cookie_file() -> str:
    """Return a file for session cookies in a folder that only this user can read, removed at exit."""
    folder = Path(tempfile.mkdtemp(prefix="lsbatch-cookies-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return str(folder / "cookies")


#: Accounts by name; an archive preset names its own.
LOGINS: Mapping[str, Login] = {
    "cdse": Login(
        f"keys of the Copernicus Data Space in the environment variables {' and '.join(CDSE_NAMES)}",
        _is_cdse,
        _cdse_options,
    ),
    "earthdata": Login(
        f"an Earthdata token in the environment variable {EARTHDATA_TOKEN}, or a user and password for "
        f"{EARTHDATA_LOGIN} in ~/.netrc",
        _is_earthdata,
        _earthdata_options,
    ),
}
