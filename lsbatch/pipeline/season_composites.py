"""Composites of a season that two surveys need: the images after of a year are those before of the next.

A survey leaves the composites of its season after in `cluster.season_after`. The next year's survey finds them in
`cluster.season_before` and reads no scene, if everything that they depend on is the same: see `_key`. They are kept as
they are in memory, wider than the tile and not rounded as in STACK, so the result has the same bytes.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

import lsbatch
from lsbatch.catalog.items.scenes import Scene
from lsbatch.kernels.local_change.pass_moments import Moments
from lsbatch.pipeline import optical, radar
from lsbatch.pipeline.optical import Picture
from lsbatch.pipeline.radar import Median
from lsbatch.pipeline.terrain import Ground
from lsbatch.settings import Config, digest
from lsbatch.storage import files

#: Name of the member with texts in a file of arrays.
TEXTS = "texts"
_MOMENTS = ("count", "mean_db", "squares", "spare")
_PICTURE = ("bands", "ndvi", "day", "looks", "shaded")

T = TypeVar("T", Picture, Median)
#: Arrays by name, and everything else as JSON-like values.
Packed = tuple[dict[str, np.ndarray], Any]


def greenest(period: str, scenes: Sequence[Scene], here: Ground, config: Config) -> Picture:
    """Return `optical.greenest` of a period, ``pre`` or ``post``."""
    return _taken(period, scenes, here, config, optical.greenest, (_packed_picture, _picture))


def median(period: str, scenes: Sequence[Scene], here: Ground, config: Config) -> Median:
    """Return `radar.median` of a period, ``pre`` or ``post``."""
    return _taken(period, scenes, here, config, radar.median, (_packed_median, _median))


def _taken(
    period: str,
    scenes: Sequence[Scene],
    here: Ground,
    config: Config,
    compose: Callable[[Sequence[Scene], Ground, Config], T],
    form: tuple[Callable[[T], Packed], Callable[[Mapping[str, np.ndarray], Any], T]],
) -> T:
    """Return the kept composite; else compose it, and keep it if the next year can take it."""
    folder = config.cluster.season_before if period == "pre" else config.cluster.season_after
    if folder is None or not scenes:
        return compose(scenes, here, config)
    packed, unpacked = form
    file = folder / f"{compose.__name__}-{_key(scenes, here, config)}.npz"
    kept = _read(file)
    if kept is not None:
        return unpacked(*kept)
    made = compose(scenes, here, config)
    # with a scene that could not be read, the next year must try again
    if period == "post" and not made.dropped:
        _write(file, packed(made))
    return made


def _key(scenes: Sequence[Scene], here: Ground, config: Config) -> str:
    """Return the digest of all that a composite depends on: program, settings, pixels, terrain, and scenes in order."""
    elevation = hashlib.blake2b(here.elevation_m.tobytes(), digest_size=8).hexdigest()
    box = here.geobox
    return digest(
        [
            lsbatch.__version__,
            config.composite.model_dump(mode="json"),
            [config.grid.resolution_m, str(box.crs), tuple(box.affine), box.shape.yx],
            elevation,
            [scene.to_dict() for scene in scenes],
        ]
    )


def _read(file: Path) -> Packed | None:
    try:
        with np.load(io.BytesIO(files.read_bytes(file)), allow_pickle=False) as kept:
            arrays = {name: kept[name] for name in kept.files}
            return arrays, json.loads(str(arrays.pop(TEXTS)))
    except (FileNotFoundError, zipfile.BadZipFile, KeyError, ValueError, EOFError):
        # not there, or damaged, which the checksums in the file tell: composed again from the scenes
        return None


def _write(file: Path, packed: Packed) -> None:
    arrays, texts = packed
    with files.aside(file) as temporary:
        np.savez(temporary, **(arrays | {TEXTS: np.array(json.dumps(texts))}))  # type: ignore[arg-type]


def _packed_picture(picture: Picture) -> Packed:
    return {name: getattr(picture, name) for name in _PICTURE}, list(picture.used)


def _picture(arrays: Mapping[str, np.ndarray], used: Any) -> Picture:
    return Picture(**{name: arrays[name] for name in _PICTURE}, used=tuple(used), dropped=())


def _packed_median(made: Median) -> Packed:
    arrays = {"all_looks": made.all_looks}
    for kind in ("power", "apart", "looks"):
        arrays |= {f"{kind} {key}": array for key, array in getattr(made, kind).items()}
    for number, by_polarisation in enumerate(made.orbits.values()):
        for name, moments in by_polarisation.items():
            arrays |= {f"orbit{number} {name} {part}": getattr(moments, part) for part in _MOMENTS}
    return arrays, {"used": made.used, "orbits": list(made.orbits)}


def _median(arrays: Mapping[str, np.ndarray], texts: Any) -> Median:
    def of(kind: str, keys: Sequence[str]) -> dict[str, np.ndarray]:
        return {key: arrays[f"{kind} {key}"] for key in keys}

    orbits: radar.Orbits = {
        (state, relative): {
            name: Moments(**{part: arrays[f"orbit{number} {name} {part}"] for part in _MOMENTS})
            for name in radar.POLARISATIONS
        }
        for number, (state, relative) in enumerate(texts["orbits"])
    }
    return Median(
        of("power", radar.POLARISATIONS), of("apart", radar.DIRECTIONS), of("looks", radar.DIRECTIONS),
        arrays["all_looks"], orbits, tuple(texts["used"]), (),
    )  # fmt: skip
