"""A page of a Dask worker that tells whether the worker has joined its scheduler.

A worker serves it with the setting `distributed.worker.http.routes`. Kubernetes reads it (`readinessProbe` of the
chart), so that an update replaces the next worker only after the new one can compute tiles. Dask's own page /health
answers as soon as the process listens, also without a scheduler.
"""

from typing import Any

from distributed import Status, Worker
from distributed.http.utils import RequestHandler


class ReadyHandler(RequestHandler):
    """Answer 200 if the worker can get tiles, else 503 with the reason."""

    def get(self) -> None:
        """Answer a request. The name is required by Tornado."""
        reason = obstacle(self.server)
        self.set_status(503 if reason else 200)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.write(reason or "ready")


def obstacle(worker: Worker) -> str:
    """Return the reason why a worker gets no tiles; empty if it gets tiles."""
    if worker.status is not Status.running:
        return f"the worker is {worker.status.name}"
    if worker.batched_stream.closed():
        return f"no connection to the scheduler at {worker.scheduler.address}"
    return ""


#: Pages by path, in the form that Dask asks for.
routes: list[tuple[str, type, dict[str, Any]]] = [("/ready", ReadyHandler, {})]
