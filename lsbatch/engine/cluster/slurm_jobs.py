"""Workers in SLURM jobs, which are submitted, replaced if lost, and cancelled at the end.

GPU jobs are submitted when the first prediction is ready. From then on CPU jobs and GPU jobs work at the same time.
"""

import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from distributed import Client

from lsbatch.engine.cluster import jobqueue, network
from lsbatch.engine.distribute import ClientFor
from lsbatch.errors import LsbatchError
from lsbatch.settings import ClusterSettings, Config, JobSettings
from lsbatch.storage import objects

#: Seconds between two queries of the queue. Computing centres ask for at most a few queries a minute.
LOOK_S = 15.0


@contextmanager
def client_for(config: Config, say: Callable[[str], None]) -> Iterator[ClientFor]:
    """Yield a function that starts the jobs of a group when a task first needs it.

    Raises
    ------
    LsbatchError
        If SLURM is missing, or would refuse a job of either group.
    """
    interface = network.interface(config.cluster)
    groups = {"cpu": config.cluster.slurm.cpu} | ({"gpu": gpu} if (gpu := config.cluster.slurm.gpu) else {})
    for name, jobs in groups.items():
        _insist(name, _job(config, name, jobs))
    with ExitStack() as held:
        clients: dict[str, Client] = {}

        def ask(resources: Mapping[str, float]) -> Client:
            name = "gpu" if resources.get("GPU") else "cpu"
            if name not in clients:
                clients[name] = held.enter_context(_group(config, interface, name, groups[name]))
                say(network.dashboard(clients[name]))
            return clients[name]

        yield ask


@contextmanager
def _group(config: Config, interface: str, name: str, jobs: JobSettings) -> Iterator[Client]:
    with (
        jobqueue.SLURMCluster(
            **_job(config, name, jobs),
            name=f"lsbatch-{name}-{os.getpid()}",
            interface=interface,
            security=network.security(config.cluster),
            scheduler_options={"interface": interface, "dashboard_address": network.DASHBOARD},
        ) as cluster,
        _kept_up(cluster, jobs.jobs),
        Client(cluster) as client,
    ):
        yield client


def _job(config: Config, name: str, jobs: JobSettings) -> dict[str, Any]:
    """Return the options of dask-jobqueue for a job."""
    settings = config.cluster
    return {
        "job_name": f"lsbatch-{name}",
        "queue": jobs.partition,
        "account": jobs.account,
        "walltime": jobs.walltime,
        # one Dask thread a worker; the other cores are for the threads inside a tile (network.threads)
        "cores": jobs.workers,
        "processes": jobs.workers,
        "job_cpu": jobs.workers * settings.threads,
        "memory": f"{jobs.workers * settings.memory_gb}GB",
        "job_extra_directives": [*([f"--gres={jobs.gres}"] if jobs.gres else []), *jobs.directives],
        "job_script_prologue": [*_environ(settings), *jobs.prologue],
        "worker_extra_args": [*_lifetime(jobs.walltime), "--no-dashboard", *(_gpu_options() if name == "gpu" else [])],
        "log_directory": str(_logs(config)) if _logs(config) else None,
    }  # fmt: skip


def _logs(config: Config) -> Path | None:
    """Return the folder for the output of jobs; the working directory if the survey is in object storage."""
    return None if objects.is_remote(config.output) else config.output / "slurm"


def _environ(settings: ClusterSettings) -> list[str]:
    values = network.variables(settings)
    if settings.tls is not None:
        values["DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION"] = "True"
    return [f"export {name}={value}" for name, value in values.items()]


def _gpu_options() -> list[str]:
    return ["--resources", "GPU=1", "--preload-nanny", "lsbatch.engine.cluster.gpu_preload"]


def _lifetime(walltime: str) -> list[str]:
    """Return worker options that make it stop before the walltime, at varied times, after its current tile."""
    hours, minutes, seconds = map(int, walltime.split(":"))
    total = hours * 3600 + minutes * 60 + seconds
    margin = min(300, total // 4)
    stagger = margin // 2
    # Dask adds or subtracts up to the stagger
    return ["--lifetime", f"{total - margin - stagger}s", "--lifetime-stagger", f"{stagger}s"]


def _insist(name: str, job: dict[str, Any]) -> None:
    """Ask SLURM whether it accepts such a job. dask-jobqueue would only log a refusal, and the run would wait."""
    script = jobqueue.SLURMJob("tcp://127.0.0.1:0", name="check", **job).job_script()
    try:
        done = subprocess.run(["sbatch", "--test-only"], input=script, capture_output=True, text=True, timeout=120)
    except FileNotFoundError:
        raise LsbatchError(
            "cluster.kind = 'slurm': the command sbatch is missing; run lsbatch on a machine with SLURM's commands"
        ) from None
    except subprocess.TimeoutExpired:
        raise LsbatchError("cluster.kind = 'slurm': SLURM does not answer; check it with sinfo") from None
    if done.returncode:
        messages = [line.split("error: ")[-1] for line in done.stderr.splitlines() if "error: " in line]
        raise LsbatchError(
            f"cluster.slurm.{name}: SLURM refuses such a job: {'; '.join(messages) or done.stderr.strip()}"
        )


@contextmanager
def _kept_up(cluster: Any, count: int) -> Iterator[None]:
    """Keep `count` jobs in the queue: resubmit jobs that were cancelled, preempted or refused.

    `scale` never replaces a job (dask-jobqueue#122), and `adapt` notices only jobs whose workers had connected.
    """
    stop = threading.Event()

    def keep() -> None:
        while not stop.wait(LOOK_S):
            # first our list, then the queue: a job submitted in between must not count as lost
            known = list(cluster.workers.items())
            queued = _queued()
            if queued is not None:
                lost = {worker: job for worker, job in known if job.job_id not in queued}
                cluster.loop.add_callback(_replace, cluster, lost, count)

    watch = threading.Thread(target=keep, name="slurm", daemon=True)
    cluster.scale(jobs=count)
    watch.start()
    try:
        yield
    finally:
        stop.set()
        watch.join()


async def _replace(cluster: Any, lost: Mapping[Any, Any], count: int) -> None:
    for worker, job in lost.items():
        if cluster.workers.get(worker) is job:
            del cluster.workers[worker]
            await job.close()
    if lost:
        cluster.scale(jobs=count)


def _queued() -> set[str] | None:
    """Return the ids of this user's jobs; None if SLURM does not answer."""
    try:
        done = subprocess.run(
            ["squeue", "--noheader", f"--user={os.getuid()}", "--format=%A"], capture_output=True, text=True, timeout=60
        )
    except subprocess.TimeoutExpired:
        return None
    return None if done.returncode else set(done.stdout.split())
