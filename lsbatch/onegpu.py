"""Loaded by ``dask worker --preload-nanny`` in GPU jobs: each worker of a job sees a GPU of its own.

It imports nothing heavy, because a nanny's memory is not the worker's.
"""

import os
from itertools import count
from typing import Any

_turns = count()


def dask_setup(nanny: Any) -> None:
    """Before a worker's process is started; Dask looks for this name."""
    # SLURM names the job's GPUs here
    found = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    turn = next(_turns)
    # a worker too many sees none, and its tiles say so
    nanny.env["CUDA_VISIBLE_DEVICES"] = found[turn] if turn < len(found) else ""
