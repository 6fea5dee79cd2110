"""Find the weights of a survey, check that they fit its settings, and predict a block."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lsbatch.bands import BAND_SETTINGS, MODEL_INPUTS, further_bands
from lsbatch.errors import ModelError
from lsbatch.models import families
from lsbatch.models.cards import Card, card
from lsbatch.models.families import FAMILIES
from lsbatch.models.mlm import model as mlm
from lsbatch.models.training.public_sets.chip_folder import STANDARDISED
from lsbatch.settings import Config, GridSettings, PredictSettings, digest
from lsbatch.storage import objects
from lsbatch.storage.files import exists, on_disk

__all__ = ["Card", "answer", "card", "check", "default_path", "halo_px", "resolve"]

PACKAGED = Path(__file__).parent / "weights"
PREFIX = "package:"
#: Side of a pixel in metres unless a caller gives another: that of Sentinel-2 and of the settings.
SIDE_M = GridSettings().resolution_m


def default_path(config: Config) -> Path:
    """Return the path where `lsbatch train` writes the weights and a survey without `model.weights` reads them."""
    family = families.of(config)
    if family.training is None:
        return PACKAGED / f"{family.name}.safetensors"
    name = f"{family.name}-{_short(config.bands)}" if family.own_bands is None else family.name
    return config.output / "model" / f"{name}.safetensors"


def _short(bands: str | tuple[str, ...]) -> str:
    """Return the setting `bands` as part of a file name. A list of 30 bands would be too long for one."""
    return bands if isinstance(bands, str) else f"bands-{digest(bands)[:8]}"


def resolve(config: Config) -> Path:
    """Return the file of the weights in the settings.

    Raises
    ------
    ModelError
        If the file is missing; the message says what to do.
    """
    if config.model.weights is not None:
        return named(config.model.weights)
    path = default_path(config)
    if not exists(path) and families.of(config).training is None:
        raise ModelError(
            f"model.family = {config.model.family!r}: has no weights of its own; set model.weights to the STAC item "
            "(.json) of a network"
        )
    if not exists(path):
        raise ModelError(
            f"{path}: no weights yet; run 'lsbatch train' first, or set model.weights to a file or to 'package:NAME' "
            f"({_packaged()})"
        )
    return on_disk(path)


def named(name: str, asked: str = "model.weights") -> Path:
    """Return a file of weights by its path or as ``package:NAME``; `asked` is the setting or option, for a message.

    Raises
    ------
    ModelError
        If the file does not exist.
    """
    if name.startswith(PREFIX):
        # not with_suffix, which would replace the part of a name after a dot
        path = PACKAGED / f"{Path(name.removeprefix(PREFIX)).name}.safetensors"
        if not path.is_file():
            raise ModelError(f"{asked} = {name!r}: the packaged weights are {_packaged()}")
    else:
        path = objects.path_of(name)
        if objects.is_remote(path) and path.suffix == mlm.SUFFIX:
            raise ModelError(f"model.weights = {name!r}: an item and its ONNX file must be in one folder on disk")
        if not exists(path):
            raise ModelError(f"{asked} = {name!r}: this file does not exist; run 'lsbatch train' to make weights")
    return on_disk(path)


def _packaged() -> str:
    names = sorted(path.stem for path in PACKAGED.glob("*.safetensors"))
    return ", ".join(f"{PREFIX}{name}" for name in names) or "no weights"


def overview() -> list[tuple[tuple[str, ...], list[tuple[str, ...]]]]:
    """Return tables of model families, band settings and packaged weights: headings and rows of text."""
    rows: list[tuple[str, ...]] = [
        (family.name, ", ".join(family.own_bands or ("bands of the band setting",)), family.summary)
        for family in FAMILIES.values()
    ]
    packaged: list[tuple[str, ...]] = []
    for path in sorted(PACKAGED.glob("*.safetensors")):
        of = card(path)
        mcc = dict(of.scores.get("test") or {}).get("mcc")
        score = "" if mcc is None else f"{mcc:.2f} on held-out blocks of synthetic countries"
        packaged.append((f"{PREFIX}{path.stem}", of.family, ", ".join(of.bands), score))
    return [
        (("model.family", "bands", "what it is"), rows),
        (("bands", "inputs"), [(name, ", ".join(bands)) for name, bands in BAND_SETTINGS.items()]),
        (("composite.bands", "or a list of"), _listable()),
        (("model.weights", "family", "bands", "MCC"), packaged),
    ]


def _listable() -> list[tuple[str, ...]]:
    """Return the bands that a list in the setting `bands` may name, by the further bands that they need."""
    needs: dict[str, list[str]] = {}
    for name in MODEL_INPUTS:
        needs.setdefault(", ".join(further_bands(name)), []).append(name)
    return [(further or "any", ", ".join(names)) for further, names in needs.items()]


def check(of: Card, config: Config) -> None:
    """Refuse weights of another family or for other bands.

    Raises
    ------
    ModelError
        The message names both.
    """
    if of.family != config.model.family:
        raise ModelError(
            f"model.family = {config.model.family!r}: the weights are of family {of.family!r}; set model.family or "
            "model.weights"
        )
    if of.bands != config.inputs:
        inputs = ", ".join(config.inputs)
        given = f"{config.bands!r} ({inputs})" if isinstance(config.bands, str) else f"[{inputs}]"
        raise ModelError(
            f"bands = {given}: the weights were trained for "
            f"{', '.join(of.bands)}; set bands or model.weights, or run 'lsbatch train'"
        )
    if of.made_by.get("units") == STANDARDISED:
        raise ModelError(
            "model.weights: were trained on standardised values of a public set alone, which a survey does not have; "
            "train them further on a survey, or train with a survey and the set together"
        )
    families.of_card(of).check(of, config.predict)
    if config.grid.tile_px % of.lattice_px:
        raise ModelError(
            f"grid.tile_px = {config.grid.tile_px}: must be a multiple of {of.lattice_px}, the lattice of the windows "
            f"of {of.family}"
        )
    halo = halo_px(of, config.predict, config.grid.resolution_m)
    if halo > config.grid.tile_px:
        raise ModelError(f"grid.tile_px = {config.grid.tile_px}: must be at least {halo}, the halo of {of.family}")


def halo_px(of: Card, predict: PredictSettings, side_m: float = SIDE_M) -> int:
    """Return the pixels that a block must carry around its core; `side_m` is the side of a pixel in metres."""
    return families.of_card(of).halo_px(of, predict, side_m)


def answer(
    path: Path, bands: Mapping[str, np.ndarray], halo_px: int, predict: PredictSettings, side_m: float = SIDE_M
) -> np.ndarray:
    """Return the landslide probability in the core of a block: the first result of `answers`."""
    return answers(path, bands, halo_px, predict, side_m)[0]


def answers(
    path: Path, bands: Mapping[str, np.ndarray], halo_px: int, predict: PredictSettings, side_m: float = SIDE_M
) -> tuple[np.ndarray, np.ndarray]:
    """Return the landslide probability in the core of a block, and its spread over mirror images and members.

    Parameters
    ----------
    path : Path
        Weights.
    bands : mapping of str to array (rows + 2 halo, cols + 2 halo) float32
        At least the model's bands, NaN as nodata. The core starts on the national lattice.
    halo_px : int
        Pixels that `bands` carry on each side.
    predict : PredictSettings
        Tiling, device and precision.
    side_m : float
        Side of a pixel in metres.

    Returns
    -------
    probability, spread : arrays (rows, cols) float32
        NaN where any of the model's bands is NaN. The spread is NaN everywhere unless `predict.flips` is
        set or the weights are an ensemble.

    Notes
    -----
    Torch uses the threads of the process: a worker sets OMP_NUM_THREADS to cluster.threads, by default 1, because on
    two cores two workers with one thread each did 9.6 tiles/s, and two with two threads each 4.9.
    """
    of = card(path)
    block = np.stack([bands[name] for name in of.bands])
    rows, cols = (size - 2 * halo_px for size in block.shape[1:])
    core = block[:, halo_px : halo_px + rows, halo_px : halo_px + cols]
    seen = np.isfinite(core).all(axis=0)
    out, spread = (np.full((rows, cols), np.nan, np.float32) for _ in range(2))
    if not seen.any():
        # sea, nodata or outside the country: the model is skipped
        return out, spread
    found, spread_found = families.of_card(of).predict(path, block, halo_px, predict, seen, side_m)
    out[seen] = found[seen]
    if spread_found is not None:
        spread[seen] = spread_found[seen]
    return out, spread
