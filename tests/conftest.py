"""Settings that hold for every test."""

import os

# before numpy or torch is imported: two test processes with two threads each on two cores are slower than one
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Dask sets it to 1 in this process too while a nanny starts a worker. numba fails in all later compilations if it
    # started its threads in that moment ("Cannot set NUMBA_NUM_THREADS to a different value")
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")

# as our own clusters have it: Dask's profiler can stop a process of Python 3.11 while a thread starts or ends
# (dask/distributed#8616); tests also start workers of their own
os.environ.setdefault("DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED", "False")

from hypothesis import HealthCheck, settings

# no deadline: the first call of a numba kernel compiles it, and a machine may be shared
settings.register_profile("dev", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# the same examples on every run: a failure in CI is this change's, and can be had again
settings.register_profile("ci", parent=settings.get_profile("dev"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import pytest

from lsbatch.catalog.folder_catalog import make_catalog
from tests import programs, servers, small_archive, surveys

#: The longest first, as far as they are known: else one process may begin a long file when the other has none left.
ORDER = (
    "chaos", "laws/test_failures.py", "benchmarks", "models", "slurm", "pipeline", "commands", "real", "security",
    "test_notebook.py", "storage", "laws", "inventory", "report", "review", "deploy", "synthetic", "cli",
)  # fmt: skip


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files for xdist, which starts them in this order (option --no-loadscope-reorder)."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: next((i for i, part in enumerate(ORDER) if f"tests/{part}" in item.nodeid), 99))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With --dist loadfile, tests/chaos is one file: its nursery takes half a minute in each process that has some."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Files(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "tests/chaos" if file.startswith("tests/chaos/") else file

    return Files(config, log)


@pytest.fixture(scope="session")
def country(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Settings file of a synthetic country of 512 x 512 pixels."""
    return surveys.shared_country(tmp_path_factory)


@pytest.fixture(scope="session")
def planned_survey(country: Path, tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """A survey of four tiles whose scenes are planned; copy it before changing it."""
    return surveys.shared_survey(country, tmp_path_factory, "planned")


@pytest.fixture(scope="session")
def stacked_survey(country: Path, tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """The same with its STACK."""
    return surveys.shared_survey(country, tmp_path_factory, "stacked")


@pytest.fixture(scope="session")
def one_tile_survey(country: Path, tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """The whole country as one tile, with its STACK."""
    return surveys.shared_survey(country, tmp_path_factory, "one-tile")


@pytest.fixture(scope="session")
def done_survey(country: Path, tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """The same, run to its report."""
    return surveys.shared_survey(country, tmp_path_factory, "done")


@pytest.fixture
def forked_workers() -> Iterator[None]:
    """Dask starts workers that have imported everything, as `tests.programs` does; a fresh one imports for 6 s."""
    programs.ready()
    with dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}):
        yield


@pytest.fixture
def shared_data() -> Path:
    """Real scenes beside the project; a test that needs them is skipped where they are absent."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is absent")
    return folder


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the archive and its catalogue."""
    folder = small_archive.fill(tmp_path_factory.mktemp("archive"))
    make_catalog(folder)
    return folder


@pytest.fixture
def served(archive: Path) -> Iterator[servers.Served]:
    """The archive over HTTP."""
    with servers.serve(archive) as running:
        yield running
