"""Dask preload for GPU jobs: assign the GPUs of a job to its workers.

It imports nothing heavy, because the nanny process needs little memory.
"""

import os
from itertools import count
from typing import Any

_turns = count()


def dask_setup(nanny: Any) -> None:
    """Set the GPU of a worker before its process is started. The name is required by Dask."""
    # SLURM lists the job's GPUs in this variable
    found = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    # with more workers than GPUs, workers share them: one reads or writes while the other computes
    nanny.env["CUDA_VISIBLE_DEVICES"] = found[next(_turns) % len(found)] if found else ""
