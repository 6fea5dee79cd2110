"""dask_jobqueue, without what it does to Ctrl-C: imported, it takes SIGINT for itself, and a run would end with code 0."""

import signal

_ours = signal.getsignal(signal.SIGINT)

from dask_jobqueue.slurm import SLURMCluster, SLURMJob, SLURMRunner  # noqa: E402

signal.signal(signal.SIGINT, _ours)

__all__ = ["SLURMCluster", "SLURMJob", "SLURMRunner"]
