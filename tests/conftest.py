"""Settings that hold for every test."""

import os

# before numpy or torch is imported: two test processes with two threads each on two cores are slower than one
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import HealthCheck, settings

# no deadline: the first call of a numba kernel compiles it, and a machine may be shared
settings.register_profile("dev", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# the same examples on every run: a failure in CI is this change's, and can be had again
settings.register_profile("ci", parent=settings.get_profile("dev"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")
