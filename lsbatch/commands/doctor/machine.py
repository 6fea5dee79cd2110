"""Check a machine: libraries, memory, threads, GPU, temporary files, compiled kernels."""

import importlib.metadata
import os
import resource
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

from lsbatch import __version__
from lsbatch.commands.doctor.check import FAIL, OK, WARN, Check, gigabytes
from lsbatch.engine.cluster import local
from lsbatch.kernels.compilation import files as machine_code
from lsbatch.models import gpus
from lsbatch.settings import Config
from lsbatch.storage import file_system

#: Free bytes for temporary files below which a warning is given.
SCRATCH_BYTES = 2e9
#: Bytes of memory below which one worker with the default settings does not fit.
LEAST_MEMORY = 4e9
OPEN_FILES = 1024


def checks(config: Config | None) -> Iterator[Check]:
    """Check the machine for a survey, or for any if there are no settings."""
    yield _versions()
    yield _memory(config)
    yield _threads(config)
    yield _gpu(config)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = 0 <= soft < OPEN_FILES
    yield Check(
        "open files",
        f"at most {'any number' if soft < 0 else soft}",
        WARN if few else OK,
        f"raise the limit: ulimit -n {OPEN_FILES if hard < 0 else min(hard, OPEN_FILES)}" if few else "",
    )
    yield from _scratch()


def _versions() -> Check:
    """Compare the installed libraries with those that lsbatch asks for."""
    wrong, count = [], 0
    try:
        wanted = importlib.metadata.requires("lsbatch") or []
    except importlib.metadata.PackageNotFoundError:
        return Check(
            "versions", f"lsbatch {__version__} is not installed", WARN, "install it with pip, so that versions fit"
        )
    for text in wanted:
        need = Requirement(text)
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        count += 1
        try:
            found = importlib.metadata.version(need.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{need.name} is missing")
            continue
        if not need.specifier.contains(found, prereleases=True):
            wrong.append(f"{need.name} {found} is not {need.specifier}")
    found = f"lsbatch {__version__}, Python {sys.version.split()[0]}, {count} libraries"
    if wrong:
        return Check("versions", f"{found}: {'; '.join(wrong)}", FAIL, "install lsbatch again in a new environment")
    return Check("versions", found)


def _memory(config: Config | None) -> Check:
    """Compare the memory that this process may use with that of the workers."""
    there = local.memory_bytes()
    found = f"{there / 1e9:.1f} GB"
    if config is None or config.cluster.kind != "local":
        small = there < LEAST_MEMORY
        return Check("memory", found, WARN if small else OK, "set cluster.memory_gb to less than this" if small else "")
    each, count = config.cluster.memory_gb, local.workers(config.cluster)
    found += f"; {count} workers of {each:g} GB"
    if each * 1e9 > there:
        return Check("memory", found, FAIL, f"set cluster.memory_gb to at most {there * 0.9 / 1e9:.1f}")
    if each * count * 1e9 > there:
        return Check("memory", found, FAIL, f"set cluster.workers to at most {int(there * 0.9 / (each * 1e9)) or 1}")
    return Check("memory", found)


def _threads(config: Config | None) -> Check:
    cores = local.cores()
    limits = {name: os.environ[name] for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS") if name in os.environ}
    found = ", ".join([f"{cores} cores", *(f"{name}={value}" for name, value in limits.items())])
    if any(value.isdigit() and int(value) > cores for value in limits.values()):
        return Check("threads", found, WARN, f"set {' and '.join(limits)} to at most {cores}")
    if config is not None and config.cluster.kind == "local":
        wanted = config.cluster.threads * local.workers(config.cluster)
        found += f"; {wanted} threads of workers"
        if wanted > cores:
            return Check("threads", found, WARN, "lower cluster.workers or cluster.threads")
    return Check("threads", found)


def _gpu(config: Config | None) -> Check:
    names = gpus.names()
    if names:
        return Check("GPU", ", ".join(names))
    if config is not None and config.predict.device == "cuda" and config.cluster.kind in ("local", "serial"):
        return Check("GPU", "torch sees none", FAIL, "set predict.device to auto or cpu")
    if Path("/proc/driver/nvidia").exists():
        return Check("GPU", "torch sees none, but there is a driver", WARN, "install a build of torch for CUDA")
    return Check("GPU", "none; the CPU predicts")


def _is_same(one: Path, other: Path) -> bool:
    return other.exists() and one.samefile(other)


def _scratch() -> Iterator[Check]:
    """Check the folders for temporary files and for machine code."""
    try:
        folder = Path(tempfile.gettempdir())
    except FileNotFoundError:
        yield Check("temporary files", "no folder can be written", FAIL, "set TMPDIR to a folder with free space")
        return
    found = file_system.probe(folder)
    advice = f"set TMPDIR to a folder with more than {SCRATCH_BYTES / 1e9:.0f} GB"
    named = os.environ.get("TMPDIR")
    if found.refusal:
        yield Check("temporary files", f"{folder}: {found.refusal}", FAIL, advice)
    elif named and not _is_same(folder, Path(named)):
        # Python takes the next of its list without a word, libraries in C do not
        yield Check("temporary files", f"{folder}, because TMPDIR = {named} cannot be written", WARN, advice)
    else:
        small = found.free_bytes < SCRATCH_BYTES
        yield Check(
            "temporary files",
            f"{folder}: {gigabytes(found.free_bytes)} free",
            WARN if small else OK,
            advice if small else "",
        )
    kept = machine_code.path()
    yield Check(
        "compiled kernels",
        f"kept in {kept}" if kept else "not kept: each process compiles for about 12 s",
        OK if kept else WARN,
        "" if kept else "set XDG_CACHE_HOME to a folder that only you can write",
    )
