"""A downloaded training set: its patches, their splits, and how one patch is read."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np

from lsbatch.errors import ConfigError
from lsbatch.settings import digest

#: Units of the values of a set: those of STACK, or values whose scale only the publishers know.
PHYSICAL, STANDARDISED = "physical", "standardised"
#: Side of a patch in pixels, and of a pixel in metres. All supported sets have these.
PATCH_PX, SIDE_M = 128, 10.0


class UnusablePatchError(Exception):
    """A patch that is left out of the training. The text is the reason, the same for all patches that share it."""


@dataclass(frozen=True)
class Patch:
    """A square of ground in a set.

    Attributes
    ----------
    name : str
    region : str
        Patches of a region are neighbours.
    share : int
        Place in `spatial_split.SPLITS`.
    files : mapping of str to Path
        Files of the patch by sensor or role.
    """

    name: str
    region: str
    share: int
    files: Mapping[str, Path]


@dataclass(frozen=True)
class ChipFolder:
    """A downloaded training set.

    Attributes
    ----------
    name : str
        Name of its folder.
    form : str
        Its format, as given on the command line.
    licence : str
    units : str
        PHYSICAL or STANDARDISED.
    patches : tuple of Patch
    read : callable Patch -> bands, truth
        Bands (bands, rows, cols) float32, NaN as nodata; truth (rows, cols) uint8, 1 landslide, 0 none, 255 unknown.
        Raises UnusablePatchError for a patch to leave out, and NoDataError for a damaged file.
    digest : str
        Of the splits, and of name, size and time of change of each file.
    left_out : mapping of reason to number
        Patches that the set names and that are not in `patches`.
    notes : tuple of str
        Sentences for the user.
    """

    name: str
    form: str
    licence: str
    units: str
    patches: tuple[Patch, ...]
    read: Callable[[Patch], tuple[np.ndarray, np.ndarray]]
    digest: str
    left_out: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @cached_property
    def regions(self) -> tuple[str, ...]:
        """Return the different regions in order."""
        return tuple(sorted({patch.region for patch in self.patches}))

    def region_of(self, number: int) -> int:
        """Return the place of a patch's region in `regions`."""
        return self.regions.index(self.patches[number].region)


def files_digest(patches: Iterable[Patch], facts: object) -> str:
    """Return the digest of patches, their files and other facts on which the values depend."""
    rows = []
    for patch in patches:
        states = [(key, str(path), path.stat()) for key, path in sorted(patch.files.items())]
        files = [(key, path, state.st_size, state.st_mtime_ns) for key, path, state in states]
        rows.append([patch.name, patch.share, files])
    return digest([rows, facts])


def inside(folder: Path, text: object, document: Path) -> Path:
    """Return a path that a document of a set names, below the folder of the set.

    Raises
    ------
    ConfigError
        If it is not a relative path, or leads out of the folder.
    """
    path = PurePosixPath(text) if isinstance(text, str) else PurePosixPath("/")
    if path.is_absolute() or ".." in path.parts or "\\" in str(path) or "\0" in str(path):
        raise ConfigError(f"{document}: names the file {str(text)[:80]!r}, which is not a path below {folder}")
    return folder / path
