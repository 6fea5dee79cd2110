"""Dask preload for GPU jobs: share the GPUs of a job among its workers.

It imports nothing heavy, because a nanny's memory is not the worker's.
"""

import os
from itertools import count
from typing import Any

_turns = count()


def dask_setup(nanny: Any) -> None:
    """Set the GPU of a worker before its process is started; Dask calls this name."""
    # SLURM names the job's GPUs here
    found = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    # workers beyond the GPUs share them: one reads or writes while the other computes
    nanny.env["CUDA_VISIBLE_DEVICES"] = found[next(_turns) % len(found)] if found else ""
