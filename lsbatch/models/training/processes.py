"""Processes of a training: one for each GPU, with the gradients averaged (Lightning's DDP)."""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

import torch

from lsbatch.errors import ConfigError
from lsbatch.settings import TrainSettings


def count(settings: TrainSettings) -> int:
    """Return the number of processes of a training.

    Without a GPU the processes share the CPU.

    Raises
    ------
    ConfigError
        If there are fewer GPUs than asked for.
    """
    gpus = torch.cuda.device_count()
    if gpus and settings.devices > gpus:
        raise ConfigError(f"train.devices = {settings.devices}: this machine has {gpus} GPUs; 0 uses all")
    return settings.devices or max(1, gpus)


@contextmanager
def relayed(progress: Callable[[str], None], processes: int) -> Iterator[Callable[[str], None]]:
    """Yield a function that calls `progress` in this process, also if another process calls it."""
    if processes == 1:
        yield progress
        return
    lines = multiprocessing.get_context("spawn").SimpleQueue()

    def relay() -> None:
        for line in iter(lines.get, None):
            progress(line)

    thread = Thread(target=relay)
    thread.start()
    try:
        yield lines.put
    finally:
        lines.put(None)
        thread.join()
