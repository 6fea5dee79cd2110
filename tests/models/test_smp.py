"""The family smp, in a process that has its library, and what is said where it is missing.

`make` installs segmentation-models-pytorch into a folder of its own (`.venv/smp`), since pytorch-lightning would import
torchvision in every test. `smp_cases.py` has the tests.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lsbatch.errors import ModelError
from lsbatch.models.cards import Card
from lsbatch.models.families import FAMILIES
from lsbatch.settings import PredictSettings
from tests.models import discs

ROOT = Path(__file__).parents[2]
#: Folder of the library; another one may be named for a single run.
LIBRARY = Path(os.environ.get("LSBATCH_SMP", ROOT / ".venv" / "smp"))


@pytest.mark.skipif(not LIBRARY.is_dir(), reason=f"{LIBRARY} is not there; make .venv/smp.stamp installs it")
@pytest.mark.parametrize(
    "marked", [pytest.param("not slow", marks=pytest.mark.slow(ci=True)), pytest.param("slow", marks=pytest.mark.slow)]
)
def test_cases_in_a_process_with_the_library(marked: str) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "tests.models.torchvision_operators", "-p", "no:cacheprovider",
         "tests/models/smp_cases.py", "-m", marked, "--durations", "5"],
        cwd=ROOT,
        env={"OMP_NUM_THREADS": "1"} | os.environ | {"PYTHONPATH": os.pathsep.join((str(LIBRARY), str(ROOT)))},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    print(found.stdout)
    assert found.returncode == 0, found.stdout + found.stderr
    assert " passed" in found.stdout


def test_missing_library_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before STACK is made for a training, and before a survey runs."""
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    family, sentence = FAMILIES["smp"], r"model\.family smp: needs segmentation-models-pytorch .*'lsbatch\[smp\]'"
    with pytest.raises(ModelError, match=sentence):
        family.training.check(discs.config())  # type: ignore[union-attr]
    with pytest.raises(ModelError, match=sentence):
        family.check(Card("smp", ("preVV",), (0.0,), (1.0,), {}, 64, 64), PredictSettings())
