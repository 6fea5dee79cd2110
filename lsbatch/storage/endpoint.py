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
    """Return GDAL's options for a server at an address; buckets are in the path, not in the host name."""
    return {
        "AWS_S3_ENDPOINT": url.partition("://")[2].rstrip("/"),
        "AWS_HTTPS": "NO" if url.startswith("http://") else "YES",
        "AWS_VIRTUAL_HOSTING": "FALSE",
    }


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
