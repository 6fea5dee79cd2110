"""Programs on rough file systems: a library that makes them, and programs that meet them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def library(folder: Path) -> Path:
    """Compile `faults.c`; a test that needs it is skipped without a compiler."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc, which compiles the faults")
    made = folder / "faults.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", made, Path(__file__).with_name("faults.c"), "-ldl"], check=True)
    return made


def python(library: Path, folder: Path, faults: str, *words: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """Run Python with faults below a folder."""
    environment = os.environ | {
        "LD_PRELOAD": str(library),
        "FAULT_DIR": str(folder),
        "FAULTS": faults,
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.run(
        [sys.executable, *words], env=environment | more, cwd=folder, capture_output=True, text=True, timeout=600
    )
