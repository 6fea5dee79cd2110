"""Check the folder of a survey: what its file system can do, space, names, the group; or its bucket."""

from collections.abc import Iterator
from pathlib import Path

import psutil

from lsbatch.commands.doctor.check import FAIL, OK, WARN, Check, gigabytes
from lsbatch.errors import LsbatchError
from lsbatch.settings import Config
from lsbatch.storage import file_system, geometries, objects
from lsbatch.storage.addresses import shown, without_secrets
from lsbatch.storage.files import UMASK

#: Bytes of a survey for each pixel of its region: cube, maps, parts and images.
PIXEL_BYTES = 24
#: Free bytes of a folder without settings below which a warning is given.
FREE_BYTES = 20e9
#: Options of NFS with which new files of other machines are seen at once.
CURRENT = frozenset(("lookupcache=positive", "lookupcache=none", "lookupcache=pos", "noac", "acdirmax=0"))
#: The longest name of a file that a survey writes aside: a STAC item of a survey with the longest id.
LONGEST_NAME = 143


def checks(folder: Path, config: Config | None) -> Iterator[Check]:
    """Check the folder, on disk or in object storage."""
    return _bucket(folder) if objects.is_remote(folder) else _folder(folder, config)


def _bucket(folder: Path) -> Iterator[Check]:
    try:
        objects.probe(folder)
    except OSError as error:
        cause, _, advice = without_secrets(error.strerror or str(error)).rpartition("; ")
        yield Check("folder", f"{shown(str(folder))}: {cause}", FAIL, advice)
        return
    yield Check("folder", f"{shown(str(folder))}: can be written")


def _folder(folder: Path, config: Config | None) -> Iterator[Check]:
    """Check the file system of a survey, by the nearest folder that exists."""
    there = folder
    while not there.is_dir() and there != there.parent:
        there = there.parent
    found = file_system.probe(there)
    if found.refusal:
        yield Check("folder", f"{there}: {found.refusal}", FAIL, "mount it writable, free space, or set another output")
        return
    yield Check("folder", f"{there}: can be written")
    yield _mount(there, config)
    yield _space(found.free_bytes, config)
    yield Check(
        "rename",
        "a file takes the name of another" if found.renames else "a file cannot take the name of another",
        OK if found.renames else FAIL,
        "" if found.renames else "set output to another file system",
    )
    yield from _locks(found)
    yield from _names(found)
    yield _group(there)


def _mount(folder: Path, config: Config | None) -> Check:
    """Tell the kind of file system; warn of caches by which workers of several machines may miss each other's files."""
    place = folder.resolve()
    mounts = [one for one in psutil.disk_partitions(all=True) if place.is_relative_to(one.mountpoint)]
    if not mounts:
        return Check("file system", "unknown")
    # of two mounts at one place the later one counts
    one = max(reversed(mounts), key=lambda mount: len(mount.mountpoint))
    alone = config is None or config.cluster.kind in ("serial", "local")
    if one.fstype.startswith("nfs") and not alone and not CURRENT.intersection(one.opts.split(",")):
        return Check(
            "file system", f"{one.fstype} at {one.mountpoint}", WARN, "mount it with lookupcache=positive, see "
            "docs/failures.md",
        )  # fmt: skip
    return Check("file system", f"{one.fstype} at {one.mountpoint}")


def _space(free: int, config: Config | None) -> Check:
    text = f"{gigabytes(free)} free, unless a quota is lower"
    if config is None:
        needed = FREE_BYTES
    else:
        try:
            needed = geometries.read_region(config).area / config.grid.resolution_m**2 * PIXEL_BYTES
        except LsbatchError as error:
            return Check("space", f"{text}; the region is unknown: {error}", FAIL, "correct region")
        text += f"; the survey needs about {gigabytes(needed)}"
    if free < needed:
        return Check("space", text, WARN, "free space, or set another output")
    return Check("space", text)


def _locks(found: file_system.Abilities) -> Iterator[Check]:
    yield Check(
        "locks",
        "of whole files" if found.locks else "none: only the lease excludes a second run",
        OK if found.locks else WARN,
        "" if found.locks else "do not start two runs in the same second; review with one process at a time",
    )
    yield Check(
        "locks of databases",
        "of records" if found.record_locks else "none: GeoPackages are written in the temporary folder and moved",
        OK if found.record_locks else WARN,
        "" if found.record_locks else "keep room in TMPDIR; open GeoPackages in QGIS from a copy on a local disk",
    )


def _names(found: file_system.Abilities) -> Iterator[Check]:
    if found.longest_name < LONGEST_NAME:
        yield Check("names", f"of up to {found.longest_name} bytes", FAIL, "set output to another file system")
    elif found.folds_case:
        yield Check("names", "do not differ by case alone; those of a survey do not")
    else:
        yield Check("names", f"of up to {found.longest_name} bytes")
    yield Check(
        "links",
        "symbolic" if found.symlinks else "none",
        OK if found.symlinks else WARN,
        "" if found.symlinks else "lsbatch compare needs them; every other command works",
    )


def _group(folder: Path) -> Check:
    """Tell whether others of the group, who may share the survey, could continue it."""
    mode = folder.stat().st_mode
    text = f"folder {mode & 0o7777:04o}, umask {UMASK:04o}"
    if mode & 0o020 and UMASK & 0o020:
        return Check(
            "group", f"{text}: the group can write the folder, but not the files of this user", WARN,
            "umask 002, if others of the group are to continue the survey",
        )  # fmt: skip
    return Check("group", text)
