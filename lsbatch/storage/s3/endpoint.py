"""Endpoint and credentials of object storage from the environment, and GDAL's options for them."""

import os
from pathlib import Path


def gdal_options() -> dict[str, str]:
    """Return GDAL's options for a server other than AWS; the environment has priority."""
    url = endpoint()
    if not url or "AWS_S3_ENDPOINT" in os.environ:
        return {}
    return gdal_options_at(url)


def gdal_options_at(url: str) -> dict[str, str]:
    """Return GDAL's options for a server at an address."""
    return {
        "AWS_S3_ENDPOINT": url.partition("://")[2].rstrip("/"),
        "AWS_HTTPS": "NO" if url.startswith("http://") else "YES",
        "AWS_VIRTUAL_HOSTING": "TRUE" if is_virtual() else "FALSE",
    }


def is_virtual() -> bool:
    """Return whether the bucket is in the host name (https://bucket.host/key), not in the path; the path is usual."""
    names = ("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "AWS_VIRTUAL_HOSTING")
    return any(os.environ.get(name, "").lower() in ("true", "yes", "1", "on") for name in names)


def of_bucket(bucket: str) -> str:
    """Return the address of a bucket's server as obstore needs it; empty for AWS."""
    url = endpoint()
    scheme, separator, host = url.partition("://")
    if not (url and is_virtual()) or host.startswith(f"{bucket}."):
        return url
    return f"{scheme}{separator}{bucket}.{host}"


def has_credentials() -> bool:
    """Return whether credentials are configured. Public buckets are read without credentials."""
    names = (
        "AWS_ACCESS_KEY_ID",
        "AWS_PROFILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    )
    return any(name in os.environ for name in names) or _has_file()


def _has_file() -> bool:
    try:
        return (Path.home() / ".aws" / "credentials").exists()
    except (RuntimeError, PermissionError):
        # a user without a home, as in a container, or with one that is closed
        return False


def endpoint() -> str:
    return (
        os.environ.get("AWS_ENDPOINT_URL_S3")
        or os.environ.get("AWS_ENDPOINT_URL")
        or os.environ.get("AWS_ENDPOINT", "")
    )
