"""The formats of public training sets by name."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from lsbatch.errors import ConfigError
from lsbatch.models.training.public_sets import hdf5_files, landslide4sense, sen12landslides
from lsbatch.models.training.public_sets.chip_folder import PATCH_PX, SIDE_M, ChipFolder
from lsbatch.settings import Config

#: How a folder of each format is opened: folder, settings, name of the format.
FORMATS: Mapping[str, Callable[[Path, Config, str], ChipFolder]] = {
    "sen12landslides": sen12landslides.open_folder,
    **{
        f"sen12landslides-{product}": partial(sen12landslides.open_folder, product=product)
        for product in sen12landslides.PRODUCTS
    },
    "landslide4sense": landslide4sense.open_folder,
}


def open_folders(folders: Sequence[Path], forms: Sequence[str], config: Config) -> tuple[ChipFolder, ...]:
    """Open downloaded sets.

    Parameters
    ----------
    folders : sequence of Path
    forms : sequence of str
        The format of each folder.
    config : Config
        Settings of the training: bands, `composite` and `train`.

    Raises
    ------
    ConfigError
        If folders and formats are not pairs, a format is unknown, or chips or pixels have another size.
    ModelError
        If the libraries for these files are missing.
    """
    if len(folders) != len(forms):
        raise ConfigError(
            f"--chips was given {len(folders)} times and --format {len(forms)} times; give one --format for each folder"
        )
    unknown = [form for form in forms if form not in FORMATS]
    if unknown:
        raise ConfigError(f"--format {unknown[0]}: is not known; allowed: {', '.join(FORMATS)}")
    if PATCH_PX % config.train.chip_px:
        raise ConfigError(
            f"train.chip_px = {config.train.chip_px}: patches of {PATCH_PX} x {PATCH_PX} pixels are cut into chips; "
            f"set a divisor of {PATCH_PX}"
        )
    if config.grid.resolution_m != SIDE_M:
        raise ConfigError(f"grid.resolution_m = {config.grid.resolution_m:g}: the patches have pixels of {SIDE_M:g} m")
    hdf5_files.check_libraries()
    return tuple(FORMATS[form](folder, config, form) for folder, form in zip(folders, forms, strict=True))
