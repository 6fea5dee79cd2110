"""Landslide4Sense (Ghorbanzadeh et al. 2022): one Sentinel-2 image after the event, with slope and elevation.

The publishers scaled each band; the values are not reflectance, degrees or metres. They are therefore standardised by
the statistics of the set's own training patches (`set_chips.onto_common_units`).
"""

import re
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np

from lsbatch.errors import ConfigError, NoDataError
from lsbatch.models.training.public_sets import hdf5_files
from lsbatch.models.training.public_sets.chip_folder import (
    PATCH_PX,
    STANDARDISED,
    ChipFolder,
    Patch,
    files_digest,
)
from lsbatch.models.training.spatial_split import SPLITS, TEST, TRAIN, UNKNOWN, VALIDATION
from lsbatch.settings import Config, TrainSettings

LICENCE = "not stated for the data; code and mirror: MIT"
REGION = "landslide4sense"
#: Channel of each band of STACK that the set has: B1 to B12 without B8A, then slope and elevation.
CHANNELS = {
    "postB": 1, "postG": 2, "postR": 3, "postRE1": 4, "postRE2": 5, "postRE3": 6, "postNIR": 7, "postSWIR1": 10,
    "postSWIR2": 11, "slope": 12, "elevation": 13,
}  # fmt: skip
COUNT = 14
#: Folders of images and masks of each split: those of the mirror, and those of the competition.
FOLDERS = tuple(
    {share: (Path(images.format(name)), Path(masks.format(name))) for share, name in names.items()}
    for images, masks, names in (
        ("images/{}", "annotations/{}", dict(enumerate(SPLITS))),
        ("{}/img", "{}/mask", {TRAIN: "TrainData", VALIDATION: "ValidData", TEST: "TestData"}),
    )
)
_IMAGE = re.compile(r"image_(\d+)\.h5")


def open_folder(folder: Path, config: Config, form: str) -> ChipFolder:
    """Return the patches of a downloaded set that have a mask.

    Parameters
    ----------
    folder : Path
        With ``images`` and ``annotations``, or ``TrainData``.
    config : Config
        Its bands are used; its section `train` splits a set that has masks for training patches only.
    form : str
        The format, as given on the command line.

    Raises
    ------
    ConfigError
        If the set does not have the bands, or the folder has another layout.
    NoDataError
        If no patch has a mask.
    """
    lacking = [name for name in config.inputs if name not in CHANNELS]
    if lacking:
        raise ConfigError(
            f"{folder}: Landslide4Sense has no {', '.join(lacking)}; it has one image after the event: bands may be a "
            f"list of {', '.join(CHANNELS)}"
        )
    layout = next((one for one in FOLDERS if (folder / one[TRAIN][0]).is_dir()), None)
    if layout is None:
        raise ConfigError(f"{folder}: has neither images/train nor TrainData/img; is it a copy of Landslide4Sense?")
    named = [patch for share, places in layout.items() for patch in _patches(folder, share, *places)]
    patches = tuple(patch for patch in named if patch.files["mask"].is_file())
    if not patches:
        raise NoDataError(f"{folder}: none of its {len(named)} images has a mask")
    notes: tuple[str, ...] = ()
    if not any(patch.share == VALIDATION for patch in patches):
        patches = _dealt(patches, config.train)
        notes = (f"{folder}: has no masks of a validation split; its patches are dealt to the splits by train.seed",)
    missing = len(named) - len(patches)
    return ChipFolder(
        name=folder.resolve().name, form=form, licence=LICENCE, units=STANDARDISED, patches=patches,
        read=partial(_read, names=config.inputs), digest=files_digest(patches, [form, config.inputs]),
        left_out={"without a mask": missing} if missing else {}, notes=notes,
    )  # fmt: skip


def _patches(folder: Path, share: int, images: Path, masks: Path) -> list[Patch]:
    numbers = sorted(int(m[1]) for path in (folder / images).glob("*.h5") if (m := _IMAGE.fullmatch(path.name)))
    twice = [number for number, count in Counter(numbers).items() if count > 1]
    if twice:
        raise ConfigError(f"{folder / images}: has the image {twice[0]} more than once")
    return [
        Patch(
            f"{SPLITS[share]} {number}", REGION, share,
            {"img": folder / images / f"image_{number}.h5", "mask": folder / masks / f"mask_{number}.h5"},
        )
        for number in numbers
    ]  # fmt: skip


def _dealt(patches: tuple[Patch, ...], settings: TrainSettings) -> tuple[Patch, ...]:
    """Assign the training patches to the splits, shuffled by the seed."""
    ours = [patch for patch in patches if patch.share == TRAIN]
    counts = [
        max(1, round(share * len(ours))) if share else 0 for share in (settings.validation_share, settings.test_share)
    ]
    order = np.random.default_rng([settings.seed, 4]).permutation(len(ours))
    shares = np.full(len(ours), TRAIN)
    for share, chosen in zip((VALIDATION, TEST), np.split(order, np.cumsum(counts)), strict=False):
        shares[chosen] = share
    dealt = tuple(
        Patch(patch.name, patch.region, int(share), patch.files) for patch, share in zip(ours, shares, strict=True)
    )
    return (*dealt, *(patch for patch in patches if patch.share != TRAIN))


def _read(patch: Patch, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    image = _array(patch.files["img"], "img", (PATCH_PX, PATCH_PX, COUNT))
    mask = _array(patch.files["mask"], "mask", (PATCH_PX, PATCH_PX))
    bands = np.stack([image[:, :, CHANNELS[name]] for name in names]).astype(np.float32)
    bands[~np.isfinite(bands)] = np.nan
    truth = np.where(mask == 1, np.uint8(1), np.where(mask == 0, np.uint8(0), np.uint8(UNKNOWN)))
    return bands, truth


def _array(path: Path, name: str, shape: tuple[int, ...]) -> np.ndarray:
    with hdf5_files.opened(path) as file:
        found = hdf5_files.dataset(file, name, path)
        if found.shape != shape:
            raise NoDataError(f"{path}: {name} has the shape {found.shape}; expected is {shape}")
        with hdf5_files.reading(path):
            return np.asarray(found[()])
