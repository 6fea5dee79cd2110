"""SLURM for the time of a test session."""

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.slurm import node


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[node.Slurm]:
    """SLURM with two partitions, `main` and `accelerated`, and GPUs that are files; jobs cost nothing real."""
    missing = [name for name in node.COMMANDS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"no SLURM here: {', '.join(missing)} missing; make system-packages installs slurm-wlm and munge")
    if os.getuid() != 0:
        pytest.skip("slurmd needs root to start jobs")
    folder = tmp_path_factory.mktemp("slurm")
    node.configure(folder)
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    try:
        node.start(folder)
        yield node.Slurm(folder)
    finally:
        subprocess.run(["scancel", "--user=root"], capture_output=True, timeout=60)
        for file in (folder / "slurmd.pid", folder / "slurmctld.pid", folder / "munge" / "pid"):
            node.stop(file)
        if before is None:
            del os.environ["SLURM_CONF"]
        else:
            os.environ["SLURM_CONF"] = before
