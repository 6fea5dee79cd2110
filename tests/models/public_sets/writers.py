"""Files in the formats of public training sets, as small as the formats allow."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from lsbatch.catalog import plan
from lsbatch.catalog.survey import Survey
from lsbatch.commands import train
from lsbatch.imagery import scene_reading
from lsbatch.models.training import spatial_split

PX = 128
#: Names of the splits in the documents of Sen12Landslides, and in the folders of Landslide4Sense.
SEN12_SPLITS = ("train", "val", "test")
#: Variables of Sentinel-2 and our names of their bands.
S2 = {"B02": "B", "B03": "G", "B04": "R", "B08": "NIR", "B05": "RE1", "B06": "RE2", "B07": "RE3", "B8A": "NIRn",
      "B11": "SWIR1", "B12": "SWIR2"}  # fmt: skip


@dataclass(frozen=True)
class SensorPatch:
    """One file of Sen12Landslides: variables (time, rows, cols), truth and elevation (rows, cols), north first."""

    values: Mapping[str, np.ndarray]
    days: tuple[int, ...]
    before: int
    truth: np.ndarray
    elevation: np.ndarray
    attributes: Mapping[str, Any] = field(default_factory=dict)
    corner: tuple[float, float] = (500_005.0, 4_999_995.0)


def write_patch(path: Path, of: SensorPatch, engine: str = "h5netcdf") -> None:
    """Write a patch as the publishers do: dimensions (time, x, y), y from north to south."""
    layers = {**of.values, "MASK": of.truth.astype(np.uint8), "DEM": np.round(of.elevation).astype(np.int16)}
    repeated = {name: np.broadcast_to(a, (len(of.days), *a.shape[-2:])) for name, a in layers.items()}
    data = xr.Dataset(
        {name: (("time", "x", "y"), np.ascontiguousarray(a.transpose(0, 2, 1))) for name, a in repeated.items()},
        coords={
            "time": np.array(of.days, "datetime64[D]").astype("datetime64[ns]"),
            "x": of.corner[0] + 10 * np.arange(of.truth.shape[1]),
            "y": of.corner[1] - 10 * np.arange(of.truth.shape[0]),
        },
        attrs={
            "event_date": "2019-06-03", "date_confidence": "1.0", "annotated": "True", "satellite": "s2",
            "pre_post_dates": str({"pre": of.before, "post": of.before + 1}), "crs": "EPSG:32632",
            "center_lat": 5.0e6, "center_lon": 5.0e5, **of.attributes,
        },
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    data.to_netcdf(path, engine=engine)  # type: ignore[call-overload]


def write_splits(folder: Path, product: str, places: Mapping[str, tuple[str, int]], sensors: tuple[str, ...]) -> None:
    """Write the documents of splits: `places` has region and split of each place "region_id"."""
    task = folder / "tasks" / "S12LS-LD" / product
    for chosen, document in [((s,), task / s / "splits.json") for s in sensors] + [
        (sensors, task / "splits_aligned.json")
    ]:
        raw: dict[str, list[Any]] = {name: [] for name in SEN12_SPLITS}
        for place, (region, share) in places.items():
            number = place.rpartition("_")[2]
            files = {s: f"{s}/{region}_{s}_{number}.nc" for s in chosen}
            raw[SEN12_SPLITS[share]].append({"id": place, **files, "pixel_annotated": 1, "inventory": region})
        document.parent.mkdir(parents=True, exist_ok=True)
        document.write_text(json.dumps(raw), encoding="utf-8")


def random_patch(seed: int, sensor: str, product: str = "harmonized", looks: int = 6) -> SensorPatch:
    """A patch of noise with a square that slid: darker in the near infrared and brighter in VV afterwards."""
    dice = np.random.default_rng(seed)
    truth = np.zeros((PX, PX), np.uint8)
    row, col = dice.integers(20, 80, 2)
    truth[row : row + 24, col : col + 16] = 1
    # 12 days apart: one relative orbit of one satellite
    days = tuple(int((date(2019, 4, 1) - date(1970, 1, 1)).days) + 12 * i for i in range(looks))
    before = looks // 2 - 1
    after = (np.arange(looks) > before)[:, None, None] * truth.astype(float)
    shape = (looks, PX, PX)
    if sensor == "s2":
        level = {"B04": 500, "B08": 3000, **dict.fromkeys(set(S2) - {"B04", "B08"}, 1500)}
        values: dict[str, np.ndarray] = {
            name: (dice.normal(mean, 30, shape) - (1500 if name == "B08" else 0) * after).astype(np.int16)
            for name, mean in level.items()
        }
        values["SCL"] = np.full(shape, 4, np.int16)
    else:
        power = {"VV": 0.1 * (1 + 2 * after), "VH": 0.02 * (1 + after)}
        values = {name: (mean * dice.gamma(5, 1 / 5, shape)).astype(np.float32) for name, mean in power.items()}
        if product == "harmonized":
            values = {name: 10 * np.log10(a) for name, a in values.items()}
    elevation = 300 + 0.5 * np.add.outer(np.arange(PX), np.arange(PX))
    return SensorPatch(values, days, before, truth, elevation, {"satellite": sensor[:2]})


def random_sen12(folder: Path, count: int = 10, product: str = "harmonized", regions: int = 2) -> Path:
    """A set of patches of noise with all sensors; six tenths train, two validation, two test."""
    sensors = ("s1asc", "s1dsc", "s2")
    places = {}
    for number in range(count):
        region, share = f"land_{number % regions}", 0 if number % 10 < 6 else 1 if number % 10 < 8 else 2
        places[f"{region}_{number}"] = (region, share)
        for sensor in sensors:
            made = random_patch(number, sensor, product)
            write_patch(folder / "data" / sensor / f"{region}_{sensor}_{number}.nc", made)
    write_splits(folder, product, places, sensors)
    return folder


def survey_splits(survey: Survey, folder: Path, seed: int) -> np.ndarray:
    """Write the splits of the patches of `survey_sen12`, those of its blocks; return them, array (rows, cols)."""
    settings = survey.config.train.model_copy(update={"block_px": PX, "seed": seed})
    shares = spatial_split.split_blocks([train.source(survey.config)], settings).shares[0]
    places = {f"country_{n}": ("country", int(share)) for n, share in enumerate(shares[shares >= 0])}
    write_splits(folder, "harmonized", places, ("s1asc", "s1dsc", "s2"))
    return shares


def survey_sen12(survey: Survey, folder: Path) -> Path:
    """Every block of 128 px of a survey as a patch: its planned scenes, its truth, and the split of its block."""
    source = train.source(survey.config)
    for number, (row, col) in enumerate(np.argwhere(survey_splits(survey, folder, survey.config.train.seed) >= 0)):
        rows, cols = slice(row * PX, (row + 1) * PX), slice(col * PX, (col + 1) * PX)
        tile = next(t for t in source.tiles if t.region[0].start <= rows.start < t.region[0].stop
                    and t.region[1].start <= cols.start < t.region[1].stop)  # fmt: skip
        here = replace(tile, geobox=survey.grid.geobox[rows, cols])
        scenes = plan.tile_scenes(survey.config.output, tile.id)
        for sensor in ("s1asc", "s1dsc", "s2"):
            made = _of_scenes(scenes, sensor, here, source.truth(here))
            write_patch(folder / "data_harmonized" / sensor / f"country_{sensor}_{number}.nc", made)
    return folder


def _of_scenes(scenes: Any, sensor: str, tile: Any, truth: np.ndarray) -> SensorPatch:
    elevation = scene_reading.read(scenes["dem"][0], ("elevation",), tile.geobox)["elevation"]
    looks: list[tuple[int, dict[str, np.ndarray]]] = []
    groups = []
    for period in ("pre", "post"):
        found = _optical(scenes[f"{period}_s2"], tile) if sensor == "s2" else _radar(scenes, period, sensor, tile)
        looks += found
        groups.append(len(found))
    values = {name: np.stack([look[name] for _, look in looks]) for name in looks[0][1]}
    return SensorPatch(values, tuple(day for day, _ in looks), groups[0] - 1, truth, elevation)


def _day(scene: Any) -> int:
    return (date.fromisoformat(scene.time[:10]) - date(1970, 1, 1)).days


def _optical(scenes: Any, tile: Any) -> list[tuple[int, dict[str, np.ndarray]]]:
    names = {variable: band for variable, band in S2.items() if band in ("R", "G", "B", "NIR")}
    out = []
    for scene in sorted(scenes, key=lambda s: s.time):
        raw = scene_reading.read(scene, (*names.values(), "SCL"), tile.geobox)
        dn = {v: np.where(raw[b] == 0, 0, np.clip(raw[b] + scene.offset_dn, 1, 10_000)) for v, b in names.items()}
        out.append(
            (_day(scene), {**{v: a.astype(np.int16) for v, a in dn.items()}, "SCL": raw["SCL"].astype(np.int16)})
        )
    return out


def _radar(scenes: Any, period: str, sensor: str, tile: Any) -> list[tuple[int, dict[str, np.ndarray]]]:
    """Passes in dB, on days that are whole repeats of 12 days apart where the orbit is the same."""
    state = "ascending" if sensor == "s1asc" else "descending"
    orbits = sorted({s.relative_orbit for key in ("pre_s1", "post_s1") for s in scenes[key] if s.orbit_state == state})
    out = []
    for scene in scenes[f"{period}_s1"]:
        if scene.orbit_state == state:
            raw = scene_reading.read(scene, ("VV", "VH"), tile.geobox)
            with np.errstate(invalid="ignore", divide="ignore"):
                power = {name: 10 * np.log10(np.where(raw[name] > 0, raw[name], np.nan)) for name in ("VV", "VH")}
            day = _day(scene)
            out.append((day - day % 12 + orbits.index(scene.relative_orbit), power))
    return sorted(out, key=lambda look: look[0])


def write_landslide4sense(folder: Path, counts: Mapping[str, int], layout: str = "mirror", seed: int = 0) -> Path:
    """A set of patches of noise whose near infrared is lower where it slid, in the publishers' unknown units."""
    names = {"train": "TrainData", "validation": "ValidData", "test": "TestData"}
    dice = np.random.default_rng(seed)
    for split, count in counts.items():
        images, masks = (
            (f"images/{split}", f"annotations/{split}") if layout == "mirror" else
            (f"{names[split]}/img", f"{names[split]}/mask")
        )  # fmt: skip
        for place in (images, masks):
            (folder / place).mkdir(parents=True, exist_ok=True)
        for number in range(1, count + 1):
            truth = np.zeros((PX, PX), np.uint8)
            row, col = dice.integers(10, 90, 2)
            truth[row : row + 24, col : col + 20] = 1
            image = dice.normal(1 + np.arange(14), 0.3, (PX, PX, 14))
            image[:, :, 7] -= truth
            write_h5(folder / images / f"image_{number}.h5", "img", image)
            write_h5(folder / masks / f"mask_{number}.h5", "mask", truth)
    return folder


def write_h5(path: Path, name: str, values: np.ndarray) -> None:
    """One data set in one file."""
    with h5py.File(path, "w") as file:
        file[name] = values
