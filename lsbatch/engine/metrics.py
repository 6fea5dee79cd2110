"""Progress of a run as Prometheus metrics. Dask processes serve their own at ``/metrics``."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from lsbatch.engine.execution import Progress
from lsbatch.engine.todo import Todo
from lsbatch.errors import LsbatchError
from lsbatch.storage.receipts import Receipt

#: Histogram bounds in seconds a tile: some seconds for a network, minutes for STACK, an hour for a history.
BUCKETS = (1, 3, 10, 30, 60, 120, 300, 600, 1800, 3600)


@contextmanager
def served(address: str | None, progress: Progress) -> Iterator[Progress]:
    """Serve the progress at ``http://HOST:PORT/metrics`` during the block.

    Parameters
    ----------
    address : str or None
        HOST:PORT; None disables it.
    progress : Progress

    Raises
    ------
    LsbatchError
        If the address cannot be used.
    """
    if address is None:
        yield progress
        return
    host, _, port = address.rpartition(":")
    registry = CollectorRegistry()
    try:
        server, thread = start_http_server(int(port), host, registry)
    except OSError as error:
        raise LsbatchError(
            f"cluster.metrics = {address!r}: cannot listen at this address: {error.strerror or error}"
        ) from None
    try:
        yield _counting(registry, progress)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _counting(registry: CollectorRegistry, progress: Progress) -> Progress:
    ended = Counter(
        "lsbatch_tiles", "tiles and reductions that this run has finished", ("stage", "result"), registry=registry
    )
    pixels = Counter("lsbatch_pixels", "pixels of tiles that succeeded", ("stage",), registry=registry)
    seconds = Histogram(
        "lsbatch_tile_seconds", "seconds of a tile or reduction", ("stage",), registry=registry, buckets=BUCKETS
    )
    left = Gauge("lsbatch_tiles_pending", "tiles that this run has not done yet", ("stage",), registry=registry)
    alone = Gauge(
        "lsbatch_tiles_quarantined",
        "failed tiles that wait for lsbatch retry",
        ("stage",),
        registry=registry,
    )

    def begins(name: str, todo: Todo | None) -> None:
        left.labels(name).set(1 if todo is None else len(todo.digests) + len(todo.waiting))
        alone.labels(name).set(0 if todo is None else len(todo.quarantined))
        progress.begins(name, todo)

    def done(receipt: Receipt) -> None:
        ended.labels(receipt.stage, "done" if receipt else "failed").inc()
        seconds.labels(receipt.stage).observe(receipt.seconds)
        left.labels(receipt.stage).dec()
        if receipt:
            pixels.labels(receipt.stage).inc(receipt.pixels)
        progress.done(receipt)

    def ends(name: str, todo: Todo | None) -> None:
        left.labels(name).set(0 if todo is None else len(todo.digests) + len(todo.waiting))
        alone.labels(name).set(0 if todo is None else len(todo.quarantined))
        progress.ends(name, todo)

    return replace(progress, begins=begins, done=done, ends=ends)
