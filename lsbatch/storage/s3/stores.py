"""The client of a bucket: its address, time limits and retries."""

import os
from datetime import timedelta
from functools import cache

from obstore.store import S3Store

from lsbatch.storage import network_environment
from lsbatch.storage.s3 import endpoint

network_environment.unify(os.environ)

#: Seconds in which a connection must be made, and in which something of an answer must come. A request as a whole has
#: no such limit: on a slow line an object takes as long as it takes (obstore's own limit is 30 s for all of it).
CONNECT_S, READ_S = 10.0, 60.0
#: The same for a first look, for which a person waits.
SOON_S = 10.0
#: Seconds of a whole request; a server that sends a byte now and then does not hold a run for ever.
WHOLE_S = 1800.0
#: How often obstore repeats a request after 429, 5xx and failed connections: for about a minute.
TRIES = 10


def store(bucket: str, prefix: str = "", *, soon: bool = False) -> S3Store:
    """Return the client of a bucket at the endpoint of the environment; with `soon` one that gives up early."""
    tries, read_s = (3, SOON_S) if soon else (TRIES, READ_S)
    return _store_at(endpoint.of_bucket(bucket), bucket, prefix, tries, read_s)


@cache
def _store_at(address: str, bucket: str, prefix: str, tries: int, read_s: float) -> S3Store:
    options = {"endpoint": address, "virtual_hosted_style_request": endpoint.is_virtual()} if address else {}
    return S3Store(
        bucket, prefix=prefix or None,
        client_options={
            "allow_http": address.startswith("http://"), "connect_timeout": timedelta(seconds=CONNECT_S),
            "read_timeout": timedelta(seconds=read_s), "timeout": timedelta(seconds=WHOLE_S),
        },
        retry_config={"max_retries": tries}, **options,  # type: ignore[arg-type]
    )  # fmt: skip
