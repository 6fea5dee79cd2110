"""GPUs that torch sees on this machine."""

import os


def visible() -> tuple[str, ...]:
    """Return values for CUDA_VISIBLE_DEVICES, one a GPU."""
    import torch

    count = torch.cuda.device_count()
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return tuple(named[:count]) if named else tuple(map(str, range(count)))


def names() -> tuple[str, ...]:
    """Return the names of the GPUs."""
    import torch

    return tuple(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
