"""What a command of lsbatch imports and loads before it does anything; see `tests.programs`."""

import numpy as np

from lsbatch import cli, review, synthetic  # noqa: F401
from lsbatch.accuracy import assess, draw  # noqa: F401
from lsbatch.catalog import planning  # noqa: F401
from lsbatch.cli import terminal  # noqa: F401
from lsbatch.commands import link, run, train  # noqa: F401
from lsbatch.engine import execution  # noqa: F401
from lsbatch.inventory import evaluation  # noqa: F401
from lsbatch.kernels import connected_regions
from lsbatch.models import base, tiled_inference  # noqa: F401

# numba takes 2 s for its own tables when a process calls its first kernel
connected_regions.label(np.zeros((2, 2), bool))
