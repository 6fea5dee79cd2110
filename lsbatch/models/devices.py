"""Device, precision and memory settings for inference."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch

from lsbatch.errors import ModelError


def device(name: str) -> torch.device:
    """Return the device; auto is the GPU if there is one.

    Raises
    ------
    ModelError
        If cuda was asked for and there is none.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ModelError("predict.device = 'cuda': torch sees no GPU here; set it to auto or cpu")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


#: mallopt's parameters, and how many arrays glibc usually takes from the system each by itself.
_TRIM_THRESHOLD, _MMAP_MAX, _USUAL_MMAPS = -1, -4, 65536


@lru_cache(maxsize=1)
def _libc() -> Any:
    """Return the C library if its memory options can be set, else None."""
    found = ctypes.CDLL(None)
    return found if hasattr(found, "mallopt") else None


@contextmanager
def kept_memory(where: torch.device) -> Iterator[None]:
    """Keep memory that a layer frees for the next layer and the next tile, on the CPU.

    glibc asks the system for every array of 32 MB and more, and returns it when it is freed. The pages of a window's
    hundred or so are then made, and emptied, again and again: 1.22 Mpx/s with that, 1.70 without, 1.52 where they go
    back after each tile (width 16, depth 4, two cores of an EPYC). The process keeps them, at most as much as a window
    takes; other arrays come and go as ever. In a thread it holds only if all threads share one pool: see
    `cluster.links.threads`.
    """
    libc = _libc() if where.type == "cpu" else None
    if libc is None:
        yield
        return
    libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    libc.mallopt(_MMAP_MAX, 0)
    try:
        yield
    finally:
        libc.mallopt(_MMAP_MAX, _USUAL_MMAPS)


@contextmanager
def numbers(where: torch.device, precision: str) -> Iterator[None]:
    """Set float32 or bfloat16 convolutions that give the same result in every run.

    A GPU rounds factors of float32 to ten bits of mantissa unless it is told not to, and cuDNN's search for the fastest
    algorithm may choose another one tomorrow, with other last bits.
    """
    with (
        torch.inference_mode(),
        torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False),
        torch.autocast(where.type, torch.bfloat16, enabled=precision == "bfloat16"),
    ):
        yield
