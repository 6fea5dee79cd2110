"""Settings of the workers: this process, local processes, SLURM jobs or a running scheduler."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from lsbatch.settings.survey import Place, Section


class TlsSettings(Section):
    """PEM files for encrypted and authenticated connections between Dask's processes."""

    ca_file: Place = Field(description="certificate of the authority that signs")
    cert_file: Place = Field(description="certificate of this survey's processes")
    key_file: Place = Field(description="our own key")


class JobSettings(Section):
    """SLURM jobs of one kind; each has `workers` processes of cluster.threads and cluster.memory_gb."""

    jobs: int = Field(
        4, ge=1, le=10000, description="jobs at the same time; a job that ends or is cancelled is replaced"
    )
    workers: int = Field(1, ge=1, le=256, description="worker processes in a job")
    partition: str | None = Field(None, description="empty: the cluster's default")
    account: str | None = Field(None, description="who is charged")
    gres: str | None = Field(
        None,
        description="further resources of a job, e.g. gpu:1; each worker then gets one GPU; with more workers than "
        "GPUs they share them, so that one reads while the other computes",
    )
    walltime: str = Field(
        "04:00:00",
        description="HH:MM:SS; workers stop before it ends, and tiles that they have not started go to other workers",
    )
    directives: tuple[str, ...] = Field((), description="more lines for sbatch, e.g. --constraint=rome")
    prologue: tuple[str, ...] = Field(
        (), description="shell lines before the worker starts, e.g. module load Python/3.12"
    )

    @field_validator("walltime")
    @classmethod
    def _is_time(cls, text: str) -> str:
        parts = text.split(":")
        if len(parts) != 3 or not all(part.isdigit() for part in parts) or max(map(int, parts[1:])) > 59:
            raise ValueError("must be HH:MM:SS, for example 04:00:00")
        if int(parts[0]) * 3600 + int(parts[1]) * 60 + int(parts[2]) < 120:
            raise ValueError("must be at least two minutes")
        return text

    @field_validator("directives", "prologue")
    @classmethod
    def _is_one_line(cls, lines: tuple[str, ...]) -> tuple[str, ...]:
        if any("\n" in line for line in lines):
            raise ValueError("must be single lines")
        return lines


class SlurmSettings(Section):
    """Jobs on a SLURM cluster."""

    cpu: JobSettings = Field(JobSettings(), description="jobs for every stage that needs no GPU")
    gpu: JobSettings | None = Field(
        None, description="predictions with predict.device cuda; started when the first is due"
    )


class ClusterSettings(Section):
    """Where the tiles are computed."""

    kind: Literal["local", "serial", "slurm", "allocation", "address"] = Field(
        "local",
        description="local: processes on this machine; serial: this process; slurm: jobs that are submitted; "
        "allocation: the tasks of the SLURM allocation in which srun started lsbatch; address: a running "
        "Dask scheduler",
    )
    workers: int | None = Field(
        None, ge=1, le=10000, description="local: processes; empty: as many as cores and memory allow"
    )
    threads: int = Field(1, ge=1, le=256, description="threads of a worker, used inside a tile")
    memory_gb: float = Field(4.0, gt=0.2, le=10000, description="memory of a worker")
    address: str | None = Field(None, description="address: the scheduler, e.g. tcp://127.0.0.1:8786")
    interface: str | None = Field(
        None,
        description="slurm, allocation: network interface on which Dask listens, e.g. ib0; empty: loopback, for a "
        "cluster of one node",
    )
    tls: TlsSettings | None = Field(
        None, description="empty: Dask's connections are neither encrypted nor authenticated"
    )
    slurm: SlurmSettings = Field(SlurmSettings(), description="slurm: which jobs")
    metrics: str | None = Field(
        None,
        description="HOST:PORT at which a run serves its progress to Prometheus, e.g. 127.0.0.1:9464; empty: none",
    )
    # here, because they change no result: the settings of the cluster are in no digest
    season_before: Place | None = Field(
        None,
        exclude_if=lambda folder: folder is None,
        description="folder with composites of the season before, which the survey of the year before left; they are "
        "taken instead of reading scenes if settings and scenes are the same; lsbatch run --years sets it",
    )
    season_after: Place | None = Field(
        None,
        exclude_if=lambda folder: folder is None,
        description="folder in which the composites of the season after are left for the survey of the next year; "
        "lsbatch run --years sets it; empty: none are left",
    )
    in_flight: int = Field(512, ge=1, le=100000, description="tiles handed to the scheduler at once")
    attempts: int = Field(
        3,
        ge=1,
        le=20,
        description="attempts for a tile with a transient failure (network, storage, lost worker); after that it is "
        "not tried again until lsbatch retry",
    )
    wait_s: float = Field(
        5.0, ge=0, le=3600, description="seconds before the second attempt of a tile; doubles with each attempt"
    )

    @field_validator("metrics")
    @classmethod
    def _is_host_and_port(cls, text: str | None) -> str | None:
        host, _, port = (text or "h:1").rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise ValueError("must be HOST:PORT, for example 127.0.0.1:9464")
        return text

    @model_validator(mode="after")
    def _has_address(self) -> Self:
        if self.kind == "address" and not self.address:
            raise ValueError("kind address needs address")
        if self.kind == "address" and (self.address or "").startswith("tls://") and self.tls is None:
            raise ValueError("address tls://... needs tls")
        if self.kind == "address" and self.tls is not None and not (self.address or "").startswith("tls://"):
            raise ValueError("with tls the address begins with tls://")
        return self


class BenchSettings(Section):
    """Assumptions of the projection of lsbatch bench; no other command reads them."""

    area_km2: float = Field(
        385000.0, gt=0, le=2e7, description="land area of the country in the projection; default Norway"
    )
    workers: int = Field(64, ge=1, le=100000, description="number of workers in the projection")
    euro_core_hour: float = Field(0.04, ge=0, description="price of a core for an hour")
    euro_gpu_hour: float = Field(2.0, ge=0, description="price of a GPU for an hour")
    euro_gb: float = Field(0.0, ge=0, description="price of a gigabyte from the network")
