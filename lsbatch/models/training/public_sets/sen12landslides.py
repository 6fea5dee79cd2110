"""Sen12Landslides (Hoehn et al. 2025): time series of Sentinel-1 and Sentinel-2 around landslides of 15 regions.

The files hold looks, not composites. They are composed as STACK composes scenes: all looks up to the last before the
event, and all from the first after it.
"""

import json
import re
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lsbatch.bands import sensors
from lsbatch.errors import ConfigError, NoDataError
from lsbatch.models.training.public_sets import composing, sen12_files
from lsbatch.models.training.public_sets.chip_folder import (
    PHYSICAL,
    ChipFolder,
    Patch,
    UnusablePatchError,
    files_digest,
    inside,
)
from lsbatch.models.training.public_sets.sen12_files import DIRECTIONS, HARMONISED, RAW, SENTINEL2, VARIABLES
from lsbatch.models.training.spatial_split import TEST, TRAIN, VALIDATION
from lsbatch.settings import Config

LICENCE = "CC BY 4.0"
PRODUCTS = (HARMONISED, RAW)
TASK = Path("tasks") / "S12LS-LD"
#: Names of the splits in their documents.
SHARES = {"train": TRAIN, "val": VALIDATION, "test": TEST}
#: Largest document of splits in bytes; the published ones have up to 3 MB.
LARGEST_DOCUMENT = 100_000_000
_NAME = re.compile(r"(?P<region>.+)_(?P<sensor>s1asc|s1dsc|s2)_(?P<id>\w+)\.nc")


def open_folder(folder: Path, config: Config, form: str, product: str | None = None) -> ChipFolder:
    """Return the patches of a downloaded set that have the sensors of the survey's bands.

    Parameters
    ----------
    folder : Path
        With the folders ``tasks`` and ``data``, ``data_harmonized`` or ``data_raw``.
    config : Config
        Its bands and its section `composite` are used.
    form : str
        The format, as given on the command line.
    product : {"harmonized", "raw"}, optional
        None: told by the folders.

    Raises
    ------
    ConfigError
        If the folder has another layout, or the splits are damaged.
    NoDataError
        If no patch is there.
    """
    product = product or _product(folder)
    wanted = _sensors(config.inputs)
    if config.composite.speckle != "none" and set(wanted) & set(DIRECTIONS):
        raise ConfigError(
            f"composite.speckle = {config.composite.speckle!r}: Sen12Landslides is composed without a speckle filter; "
            "set none, or choose bands without Sentinel-1"
        )
    data = _data_folder(folder, product)
    document = folder / TASK / product / (f"{wanted[0]}/splits.json" if len(wanted) == 1 else "splits_aligned.json")
    named = _patches(document, data, wanted)
    patches = tuple(patch for patch in named if all(path.is_file() for path in patch.files.values()))
    missing = len(named) - len(patches)
    if not patches:
        raise NoDataError(f"{data}: none of the {missing} patches of {document.name} is there; unpack the archives")
    return ChipFolder(
        name=folder.resolve().name, form=form, licence=LICENCE, units=PHYSICAL, patches=patches,
        read=partial(_read, config=config, product=product),
        digest=files_digest(patches, [form, product, config.inputs, config.composite]),
        left_out={"its files are missing": missing} if missing else {},
        notes=(f"{folder}: {product} files of {', '.join(wanted)}",),
    )  # fmt: skip


def _product(folder: Path) -> str:
    """Return which of the two products the folders hold."""
    tasks = [name for name in PRODUCTS if (folder / TASK / name).is_dir()]
    if not tasks:
        raise ConfigError(f"{folder}: has no folder {TASK}/harmonized or {TASK}/raw; is it a copy of Sen12Landslides?")
    named = [name for name in tasks if any((folder / place).is_dir() for place in _places(name)[:-1])]
    found = named if len(named) == 1 else tasks
    if len(found) != 1:
        raise ConfigError(
            f"{folder}: has splits of harmonised and of raw files, and its folders do not tell which files they are; "
            "use --format sen12landslides-harmonized or sen12landslides-raw"
        )
    return found[0]


def _places(product: str) -> tuple[str, ...]:
    """Return the folders that may hold the files of a product; the name of the last does not tell the product."""
    return f"data_{product}", f"data/{product}", f"data/data_{product}", "data"


def _data_folder(folder: Path, product: str) -> Path:
    for place in _places(product):
        if any((folder / place / sensor).is_dir() for sensor in (*DIRECTIONS, SENTINEL2)):
            return folder / place
    raise ConfigError(
        f"{folder}: has no folder data/s2, data/s1asc or data/s1dsc (or data_{product}/...) with unpacked files"
    )


def _sensors(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the sensors of the set that bands need; bands of terrain alone are read from Sentinel-2's files."""
    found = {SENTINEL2} if "sentinel2" in sensors(names) else set()
    for name in names:
        if sensors((name,)) == {"sentinel1"}:
            apart = [sensor for sensor, direction in DIRECTIONS.items() if name.endswith(f"_{direction}")]
            found |= set(apart or DIRECTIONS)
    return tuple(sorted(found)) or (SENTINEL2,)


def _patches(document: Path, data: Path, wanted: tuple[str, ...]) -> list[Patch]:
    """Return the patches that a document of splits names."""
    raw = _json(document)
    if not isinstance(raw, dict) or not all(isinstance(raw.get(name), list) for name in SHARES):
        raise ConfigError(f"{document}: has no lists train, val and test")
    found = [_patch(entry, share, document, data, wanted) for name, share in SHARES.items() for entry in raw[name]]
    twice = [name for name, count in Counter(patch.name for patch in found).items() if count > 1]
    if twice:
        raise ConfigError(f"{document}: names the patch {twice[0]} more than once")
    return found


def _patch(entry: Any, share: int, document: Path, data: Path, wanted: tuple[str, ...]) -> Patch:
    """Return a patch from its entry: an object with the file of each sensor, or the file of one sensor."""
    texts = {sensor: entry.get(sensor) if isinstance(entry, dict) else entry for sensor in wanted}
    files, places = {}, set()
    for sensor, text in texts.items():
        path = inside(data, text, document)
        parts = _NAME.fullmatch(path.name)
        if parts is None or parts["sensor"] != sensor:
            raise ConfigError(f"{document}: names the file {str(text)[:80]!r}; expected is REGION_{sensor}_ID.nc")
        files[sensor] = data / sensor / path.name
        places.add((parts["region"], parts["id"]))
    if len(places) != 1:
        raise ConfigError(f"{document}: joins files of different patches: {', '.join(map(str, texts.values()))[:200]}")
    region, number = places.pop()
    return Patch(f"{region}_{number}", region, share, files)


def _json(document: Path) -> Any:
    try:
        if document.stat().st_size > LARGEST_DOCUMENT:
            raise ConfigError(f"{document}: is too large for a list of patches")
        return json.loads(document.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{document}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise ConfigError(f"{document}: is not JSON") from None


def _read(patch: Patch, config: Config, product: str) -> tuple[np.ndarray, np.ndarray]:
    """Compose the bands of a patch."""
    colours = (*composing.COLOURS, *config.composite.bands)
    variables = {SENTINEL2: (*(VARIABLES[name] for name in colours), "SCL")}
    if sensors(config.inputs) == {"dem"}:
        variables = {SENTINEL2: ()}
    looks = {
        sensor: sen12_files.read(path, variables.get(sensor, composing.POLARISATIONS))
        for sensor, path in patch.files.items()
    }
    if len({one.corner for one in looks.values()}) > 1:
        raise UnusablePatchError("the files of its sensors lie on different pixels")
    first = looks.get(SENTINEL2) or next(iter(looks.values()))
    bands = composing.terrain_bands(first.elevation_m)
    if variables.get(SENTINEL2) and SENTINEL2 in looks:
        pictures = sen12_files.images(first, colours, product, patch.files[SENTINEL2])
        bands |= composing.optical_bands(pictures, config.composite)
    passes = [
        one
        for sensor, found in looks.items()
        if sensor in DIRECTIONS
        for one in sen12_files.passes(found, sensor, product, patch.files[sensor])
    ]
    if passes:
        bands |= composing.radar_bands(passes, config.inputs, config.composite.same_orbits)
    return np.stack([bands[name] for name in config.inputs]).astype(np.float32, copy=False), first.truth
