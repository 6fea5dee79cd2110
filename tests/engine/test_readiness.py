"""The page with which a worker tells Kubernetes whether it has joined its scheduler."""

import asyncio

import dask
from distributed import Scheduler, Status, Worker
from tornado.httpclient import AsyncHTTPClient

from lsbatch.engine.cluster import readiness


async def answers(worker: Worker) -> dict[str, tuple[int, str]]:
    """Status and text of both pages of probes."""
    found = {}
    for page in ("health", "ready"):
        url = f"http://127.0.0.1:{worker.http_server.port}/{page}"
        answer = await AsyncHTTPClient().fetch(url, raise_error=False)
        found[page] = (answer.code, answer.body.decode())
    return found


async def look() -> None:
    """Ask a worker before, while and after it can get tiles."""
    here = {"host": "127.0.0.1", "port": 0, "dashboard_address": "127.0.0.1:0"}
    async with Scheduler(**here) as scheduler:
        # no limit: Dask would end the pause
        worker = Worker(scheduler.address, nthreads=1, memory_limit=0, **here)
        assert readiness.obstacle(worker) == f"the worker is {Status.init.name}"
        async with worker:
            assert await answers(worker) == {"health": (200, "ok"), "ready": (200, "ready")}
            worker.status = Status.paused
            assert await answers(worker) == {"health": (200, "ok"), "ready": (503, "the worker is paused")}
            worker.status = Status.running
            worker.batched_stream.comm.abort()
            assert readiness.obstacle(worker) == f"no connection to the scheduler at {scheduler.address}"


def test_worker_is_ready_when_it_can_get_tiles() -> None:
    routes = ["distributed.http.health", "lsbatch.engine.cluster.readiness"]
    with dask.config.set({"distributed.worker.http.routes": routes}):
        asyncio.run(look())
