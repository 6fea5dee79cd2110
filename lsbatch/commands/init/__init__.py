"""Write a first settings file from a few answers: region, year or event, archive, machine."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import geopandas as gpd

from lsbatch import settings
from lsbatch.catalog import planning, static_catalog
from lsbatch.catalog.http import asking
from lsbatch.commands.init import regions
from lsbatch.commands.init.regions import Region
from lsbatch.errors import ConfigError
from lsbatch.grid import Grid
from lsbatch.storage import files, vectors
from lsbatch.storage.addresses import Fence

#: Sizes of a tile, and the number of tiles that a survey should have, so that some workers have work.
TILES_PX, FEWEST_TILES = (2048, 1024, 512), 16
PIXEL_M = 10.0
#: Seasons of an annual survey: summer of the half of the Earth; between the tropics the year, because nothing is known
#: here of its dry season.
TROPIC_DEG = 23.44
SEASONS = {"north": ("06-15", "09-15"), "south": ("12-15", "03-15"), "tropics": ("01-01", "12-31")}
MACHINES = {
    "here": {"kind": "local"},
    "slurm": {"kind": "slurm"},
    "allocation": {"kind": "allocation"},
}
#: Kinds of scenes, and a word in the name of a collection of this kind.
WORDS = {"sentinel2": "sentinel-2", "sentinel1": "sentinel-1", "dem": "dem"}
#: Archives by answer: one preset for each kind of scene. Not every archive has all three.
ARCHIVES: Mapping[str, Mapping[str, str]] = {
    "planetary-computer": dict.fromkeys(("sentinel2", "sentinel1", "dem"), "planetary-computer"),
    "earth-search": {"sentinel2": "earth-search", "sentinel1": "planetary-computer", "dem": "earth-search"},
    "cdse": {"sentinel2": "cdse", "sentinel1": "opera-rtc", "dem": "cdse"},
}


@dataclass(frozen=True)
class Question:
    """A question of `lsbatch init`: its flag, its words, its default, and the check of an answer."""

    flag: str
    words: str
    default: str | None
    check: Callable[[str], object]


@dataclass(frozen=True)
class Answers:
    """Checked answers.

    Attributes
    ----------
    region : Region
    when : int or date
        Year of an annual survey, or day of an event.
    archives : mapping
        The settings `archives`: a source by kind of scene.
    cluster : mapping
        The settings `cluster`.
    """

    region: Region
    when: int | date
    archives: Mapping[str, dict[str, Any]]
    cluster: Mapping[str, str]


def parse_when(text: str) -> int | date:
    """Return the year of an annual survey (YYYY), or the day of an event (YYYY-MM-DD)."""
    try:
        if re.fullmatch(r"\d{4}", text):
            return int(text)
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise ConfigError(f"when {text!r}: must be a year such as 2024, or the day of an event such as 2019-07-30")


def parse_archive(text: str) -> Mapping[str, dict[str, Any]]:
    """Return the settings `archives` of a known archive, or of a folder with catalog.json."""
    if text in ARCHIVES:
        return {kind: {"preset": preset} for kind, preset in ARCHIVES[text].items()}
    folder = Path(text).expanduser()
    if (folder / "catalog.json").is_file():
        return _of_folder(folder.resolve() / "catalog.json")
    if folder.is_dir():
        raise ConfigError(f"archive {text!r}: has no catalog.json; 'lsbatch catalog {text}' makes one for GeoTIFFs")
    raise ConfigError(
        f"archive {text!r}: must be {', '.join(ARCHIVES)}, or a folder with catalog.json; for another STAC "
        "catalogue take one of them and change archives in the file"
    )


def _of_folder(catalog: Path) -> Mapping[str, dict[str, Any]]:
    with asking(1) as io:
        found = static_catalog.collections(str(catalog), io, Fence(catalog.parent))
    kinds = {kind: [name for name in found if word in name.lower()] for kind, word in WORDS.items()}
    if not any(kinds.values()):
        raise ConfigError(
            f"archive {str(catalog.parent)!r}: has no collection whose name contains {', '.join(WORDS.values())}; "
            f"it has {', '.join(found) or 'none'}"
        )
    return {
        kind: {"preset": "local", "url": str(catalog), "collections": names} for kind, names in kinds.items() if names
    }


def parse_machine(text: str) -> Mapping[str, str]:
    """Return the settings `cluster` of a kind of machine, or of the address of a Dask scheduler."""
    if text in MACHINES:
        return MACHINES[text]
    if re.fullmatch(r"(tcp|tls)://\S+:\d+", text):
        return {"kind": "address", "address": text}
    raise ConfigError(
        f"machine {text!r}: must be {', '.join(MACHINES)}, or the address of a Dask scheduler such as "
        "tcp://127.0.0.1:8786"
    )


QUESTIONS = (
    Question("region", "Which region? A country, a file of polygons, or west,south,east,north", None, regions.find),
    Question("when", "Which year (YYYY), or which day did it happen (YYYY-MM-DD)?", None, parse_when),
    Question(
        "archive",
        f"Where are the scenes? {', '.join(ARCHIVES)}, or a folder with catalog.json",
        "planetary-computer",
        parse_archive,
    ),
    Question(
        "machine",
        f"Where does it run? {', '.join(MACHINES)}, or the address of a Dask scheduler",
        "here",
        parse_machine,
    ),
)


def write(file: Path, answers: Answers) -> list[str]:
    """Write a settings file, and the outline of a country beside it; return sentences about them.

    Raises
    ------
    ConfigError
        If the file is there, or the settings are not allowed.
    """
    outline = file.with_name(f"{file.stem}-region.gpkg")
    # the user's own file may have the name of the outline, and is never written
    has_outline = answers.region.file is None and not answers.region.is_box
    for path in (file, outline) if has_outline else (file,):
        if path.exists():
            raise ConfigError(f"{path}: is there already; name another file, or delete it")
    raw = document(answers, file, outline)
    # before anything is written
    config = settings.parse(raw, file.parent, str(file))
    if has_outline:
        frame = gpd.GeoDataFrame(
            {"name": [answers.region.name]}, geometry=[answers.region.in_crs()], crs=config.grid.crs
        )
        vectors.write_geopackage(outline, frame, "region")
    heading = "".join(f"# {line}".rstrip() + "\n" for line in _heading(file, answers))
    files.write_text(file, f"{heading}\n{settings.commented(raw)}")
    return _remarks(answers, config)


def document(answers: Answers, file: Path, outline: Path) -> dict[str, Any]:
    """Return the settings as plain values."""
    region = answers.region
    crs = region.crs
    if region.is_box:
        place: dict[str, Any] = {"bounds": list(region.bounds())}
    else:
        place = {"file": _relative(region.file, file) if region.file else outline.name}
    name = f"{re.sub(r'[^A-Za-z0-9]+', '-', region.name).strip('-').lower() or 'survey'}-{answers.when}"[:64]
    return {
        "survey": {"id": name, **_time(answers)},
        "region": place,
        "grid": {"crs": crs, "resolution_m": PIXEL_M, "tile_px": _tile_px(region)},
        "archives": _sources(answers),
        **_model(answers.when),
        "cluster": dict(answers.cluster),
        "output": f"{name}-survey",
    }


def _relative(path: Path, file: Path) -> str:
    folder = file.parent.resolve()
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def _time(answers: Answers) -> dict[str, Any]:
    if isinstance(answers.when, date):
        return {"kind": "event", "event_date": answers.when, "window_days": 30}
    latitude = answers.region.shape.centroid.y
    half = "tropics" if abs(latitude) < TROPIC_DEG else "north" if latitude > 0 else "south"
    return {"kind": "annual", "year": answers.when, "season": list(SEASONS[half])}


def _tile_px(region: Region) -> int:
    area_m2 = 1e6 * regions.area_km2(region.shape)
    return next((px for px in TILES_PX if area_m2 >= FEWEST_TILES * (px * PIXEL_M) ** 2), TILES_PX[-1])


def _sources(answers: Answers) -> dict[str, Any]:
    """Return the archives that are read; an event needs only Sentinel-1."""
    needed = ("sentinel1",) if isinstance(answers.when, date) else tuple(WORDS)
    missing = [kind for kind in needed if kind not in answers.archives]
    if missing:
        raise ConfigError(f"archive: has no {' and no '.join(missing)}, which this survey needs")
    return {kind: answers.archives[kind] for kind in needed}


def _model(when: int | date) -> dict[str, Any]:
    """Return a model that needs no training: what changed for an event, the packaged weights for a year."""
    if isinstance(when, date):
        return {"model": {"family": "disturbance"}, "inventory": {"min_area_m2": 5000}}
    return {"bands": "s1_change_s2", "model": {"family": "unet", "weights": "package:unet-s1_change_s2"}}


def _heading(file: Path, answers: Answers) -> list[str]:
    kind = "Event" if isinstance(answers.when, date) else "Annual survey"
    return [
        f"{kind}: {answers.region.name}, {answers.when}. Written by lsbatch init.",
        "",
        f"  lsbatch doctor {file.name}      checks this machine, the folder and the archives",
        f"  lsbatch plan {file.name}        tiles, scenes, gaps and gigabytes; reads no pixels",
        f"  lsbatch run {file.name}         runs all pending work; repeat it to continue",
        "",
        'Settings that are not here have the defaults that "lsbatch config" explains.',
    ]


def _remarks(answers: Answers, config: settings.Config) -> list[str]:
    region = answers.region
    shape = region.in_crs()
    grid = Grid.snapped(config.grid.crs, config.grid.resolution_m, config.grid.tile_px, shape.bounds)
    tiles = planning.tiles(grid, shape)[0]
    wide = regions.distortion(region)
    return [
        f"{region.name}: {regions.area_km2(region.shape):,.0f} km2, {len(tiles)} tiles of "
        f"{config.grid.tile_px} px at {config.grid.resolution_m:g} m in {config.grid.crs}",
        *region.remarks,
        *([wide] if wide else []),
        *_model_remarks(answers.when),
    ]


def _model_remarks(when: int | date) -> list[str]:
    if isinstance(when, date):
        return [
            "The model disturbance finds changes of the ground of any cause from Sentinel-1: a first map of where to "
            "look, not an inventory."
        ]
    return [
        "The packaged weights never saw a real landslide. Train on landslides that were mapped in such terrain "
        "(truth.file, lsbatch train) before the map is believed.",
        "The season decides what is seen: after the snow, with green ground, and with a high sun. Check survey.season.",
    ]
