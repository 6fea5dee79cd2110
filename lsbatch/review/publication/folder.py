"""The folder of a published survey: written aside, and renamed when it is complete."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lsbatch
from lsbatch.errors import ConfigError
from lsbatch.storage import objects
from lsbatch.storage.file_system import writing

#: Says whose publication a folder is; written first.
MARKER = "publication.json"
#: Checksums of all other files, as `sha256sum -c` reads them; written last.
SUMS = "SHA256SUMS"


@contextmanager
def replaced(folder: Path, survey: str) -> Iterator[Path]:
    """Yield an empty folder that takes the place of `folder` if the block succeeds.

    It may be stopped at any time: the next call removes what is left, or puts the earlier publication back.

    Parameters
    ----------
    folder : Path
    survey : str
        Id of the survey.

    Raises
    ------
    ConfigError
        If the folder is in object storage, or holds anything but an earlier publication of this survey.
    """
    if objects.is_remote(folder):
        raise ConfigError(
            f"{folder}: a survey is published into a folder on disk; copy the folder to the bucket afterwards, for "
            "example with rclone sync"
        )
    folder = folder.expanduser().resolve()
    partial, former = (folder.with_name(f"{folder.name}.{ending}") for ending in ("partial", "former"))
    with writing(folder):
        for one in (folder, partial, former):
            _check(one, survey, is_complete=one is not partial)
        if former.exists() and not folder.exists():
            # stopped between the two renames
            former.rename(folder)
        for left in (partial, former):
            shutil.rmtree(left, ignore_errors=not left.exists())
        partial.mkdir(parents=True)
        told = {"survey": survey, "software": f"lsbatch {lsbatch.__version__}"}
        (partial / MARKER).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        yield partial
        _write_sums(partial)
        if folder.exists():
            folder.rename(former)
        partial.rename(folder)
        shutil.rmtree(former, ignore_errors=not former.exists())


def _check(folder: Path, survey: str, *, is_complete: bool) -> None:
    """Refuse a folder whose content would be lost."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ConfigError(f"{folder}: is no folder; choose another name")
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    if not present:
        return
    if _survey_of(folder) != survey:
        raise ConfigError(
            f"{folder}: is not empty, and holds no earlier publication of the survey {survey}; choose another folder"
        )
    if is_complete and (foreign := sorted(present - _published(folder))):
        raise ConfigError(
            f"{folder}: {foreign[0]} was not written by lsbatch publish and would be lost; publish into another folder "
            "and copy the files from there"
        )


def _survey_of(folder: Path) -> str | None:
    try:
        return str(json.loads((folder / MARKER).read_text(encoding="utf-8"))["survey"])
    except (OSError, ValueError, KeyError, TypeError):
        # any other folder
        return None


def _published(folder: Path) -> set[str]:
    """Return the files of a complete publication."""
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except OSError:
        return {MARKER}
    return {SUMS, *(line.partition("  ")[2] for line in lines)}


def _write_sums(folder: Path) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [f"{checksum(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file as hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
