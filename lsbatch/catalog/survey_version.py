"""The release of lsbatch that last wrote a survey. An older release refuses the survey of a newer one.

Within one release (0.2.x) the files of a survey keep their meaning, so only the first two numbers are compared.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from packaging.version import InvalidVersion, Version
from pydantic import Field, TypeAdapter

from lsbatch import __version__
from lsbatch.errors import StaleStoreError
from lsbatch.storage import documents
from lsbatch.storage.files import exists, write_json

#: Characters of the name of a release.
LONGEST_NAME = 100


@dataclass(frozen=True)
class _Record:
    lsbatch: Annotated[str, Field(max_length=LONGEST_NAME)]


_RECORD = TypeAdapter(_Record)


def file(root: Path) -> Path:
    """Return the file in a survey's folder that names the release. Surveys that older versions made have none."""
    return root / "version.json"


def check(root: Path) -> None:
    """Refuse a survey that a newer release wrote.

    Raises
    ------
    StaleStoreError
        If a newer release wrote it, or the file is damaged.
    """
    found = _recorded(root)
    if found is not None and found.release[:2] > Version(__version__).release[:2]:
        raise StaleStoreError(
            f"{root}: was written by lsbatch {found}, which is newer than this one ({__version__}); use lsbatch "
            f"{found.major}.{found.minor} or later, or another folder in the setting output"
        )


def record(root: Path) -> None:
    """Write the name of this release, after `check` and before anything else is written."""
    check(root)
    if _recorded(root) != Version(__version__):
        write_json(file(root), {"lsbatch": __version__})


def _recorded(root: Path) -> Version | None:
    path = file(root)
    if not exists(path):
        return None
    remedy = (
        "it names the release of lsbatch that wrote the survey. If that is not newer than "
        f"{__version__}, delete the file"
    )
    try:
        return Version(documents.read(path, _RECORD, remedy).lsbatch)
    except InvalidVersion as error:
        raise StaleStoreError(f"{path}: is damaged ({str(error)[:200]}); {remedy}") from None
