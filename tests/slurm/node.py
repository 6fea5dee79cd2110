"""A real SLURM of one node on loopback, without systemd and without cgroups."""

import os
import signal
import socket
import stat
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.servers import free_port

#: Cores, MB and GPUs that the node claims to have.
CPUS, MEMORY_MB, GPUS = 16, 64_000, 2
#: What the tests need.
COMMANDS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel")

# no cgroups and no systemd, for tests run in containers; what jobs ask for is counted, not enforced
_CONF = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
SlurmdParameters=config_overrides
JobRequeue=1
KillWait=10
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 NodeHostname={host} CPUs={cpus} RealMemory={memory} Gres=gpu:{gpus} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
PartitionName=accelerated Nodes={host} MaxTime=INFINITE State=UP
"""


@dataclass(frozen=True)
class Slurm:
    """A SLURM that runs."""

    folder: Path

    def ask(self, *command: str) -> str:
        """What a command of SLURM prints."""
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    def queue(self) -> dict[str, str]:
        """State of each job, or array task, in the queue."""
        lines = self.ask("squeue", "--noheader", "--array", "--format=%i %T").splitlines()
        return dict(line.split() for line in lines)

    def jobs(self, name: str = "", state: str = "RUNNING") -> list[str]:
        """Ids of jobs in a state, by the beginning of their name."""
        lines = self.ask("squeue", "--noheader", "--array", f"--states={state}", "--format=%i %j").splitlines()
        return [line.split()[0] for line in lines if line.split()[1].startswith(name)]

    def wait_until_empty(self, seconds: float = 60.0) -> None:
        """Until no job is left; fails if some stay."""
        limit = time.monotonic() + seconds
        while left := self.queue():
            assert time.monotonic() < limit, f"jobs left: {left}"
            time.sleep(0.2)

    def wait_for(self, state: str, count: int = 1, name: str = "", seconds: float = 60.0) -> list[str]:
        """Until so many jobs whose name begins so are in a state; their ids."""
        limit = time.monotonic() + seconds
        while len(found := self.jobs(name, state)) < count:
            assert time.monotonic() < limit, f"{found} of {count} jobs {state} within {seconds:.0f} s: {self.queue()}"
            time.sleep(0.2)
        return found

    def ended_as(self, job: str) -> dict[str, str]:
        """What the controller remembers of a job."""
        pairs = [word.partition("=") for word in self.ask("scontrol", "show", "job", job).split()]
        return {key: value for key, _, value in pairs}


def configure(folder: Path) -> None:
    """Write its settings and its key."""
    host = socket.gethostname().partition(".")[0]
    for name in ("munge", "state", "spool"):
        (folder / name).mkdir()
    # pytest's own folders are for their owner alone; munged insists that others reach its socket
    (folder / "munge").chmod(0o711)
    key = folder / "munge" / "key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    text = _CONF.format(
        host=host,
        folder=folder,
        controller_port=free_port(),
        node_port=free_port(),
        cpus=CPUS,
        memory=MEMORY_MB,
        gpus=GPUS,
    )
    (folder / "slurm.conf").write_text(text, encoding="utf-8")
    (folder / "cgroup.conf").write_text(
        "CgroupAutomount=no\nConstrainCores=no\nConstrainRAMSpace=no\n", encoding="utf-8"
    )
    for i in range(GPUS):
        # like /dev/null; slurmd insists on a device, and only then names a job's GPUs in CUDA_VISIBLE_DEVICES
        os.mknod(folder / f"gpu{i}", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    gpus = f"NodeName={host} Name=gpu File={folder}/gpu[0-{GPUS - 1}] Flags=nvidia_gpu_env\n"
    (folder / "gres.conf").write_text(gpus, encoding="utf-8")


def start(folder: Path) -> None:
    """Start its daemons, until the node is idle; SLURM_CONF has to name its settings."""
    munge = folder / "munge"
    options = {"key-file": "key", "socket": "socket", "pid-file": "pid", "seed-file": "seed", "log-file": "log"}
    subprocess.run(
        ["munged", "--force", *(f"--{option}={munge / name}" for option, name in options.items())],
        check=True,
        timeout=60,
    )
    for daemon in (["slurmctld", "-i", "-c"], ["slurmd", "-c"]):
        subprocess.run(daemon, check=True, timeout=60)
    limit = time.monotonic() + 30
    while (state := _node_state()) != "idle":
        if time.monotonic() > limit:
            logs = "\n".join(file.read_text(encoding="utf-8")[-2000:] for file in folder.glob("*.log"))
            raise RuntimeError(f"SLURM's node is {state!r}, not idle:\n{logs}")
        time.sleep(0.1)


def _node_state() -> str:
    return subprocess.run(
        ["sinfo", "--noheader", "--partition=main", "--format=%t"], capture_output=True, text=True, timeout=60
    ).stdout.strip()


def stop(file: Path) -> None:
    """End a daemon by its own number.

    Politely, and after ten seconds in any case. slurmd waits for jobs that will not end.
    """
    if not file.exists():
        return
    pid = int(file.read_text(encoding="ascii"))
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            os.kill(pid, number)
            limit = time.monotonic() + 10
            while time.monotonic() < limit:
                time.sleep(0.1)
                os.kill(pid, 0)
    except ProcessLookupError:
        return
    raise RuntimeError(f"{file.parent}: process {pid} did not end")
