"""Import dask_jobqueue without its SIGINT handler, which would end a run with code 0."""

import signal

_ours = signal.getsignal(signal.SIGINT)

from dask_jobqueue.slurm import SLURMCluster, SLURMJob, SLURMRunner  # noqa: E402

signal.signal(signal.SIGINT, _ours)

__all__ = ["SLURMCluster", "SLURMJob", "SLURMRunner"]
