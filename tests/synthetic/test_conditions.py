"""Varied synthetic countries: drawn from the seed, every effect in the pixels, and the plain country unchanged."""

import hashlib
import json
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from lsbatch import synthetic as countries
from lsbatch.synthetic import country, optical, radar, truth
from lsbatch.synthetic.conditions import Conditions, drawn
from tests import programs
from tests.synthetic.varied import (
    DAY,
    SIDE,
    one_pass,
)

#: Sums over seed 7 with 256 x 256 pixels at commit 26f0b19, before countries could vary; see `_sum`.
BEFORE = {
    "elevation": 11899209655.587463,
    "cover": 43328177.0,
    "fields": 2086020552819.0,
    "landslides": 1353009.0,
    "stripped": 161493.72666623816,
    "roughness": 390586.8403213024,
    "confounders": 1384471.0,
    "strength": 447380.2463041246,
    "reflectance": 30934680.16230026,
    "at sensor": 35384785.38376086,
    "classes": 178221234.0,
    "VV": 3678802.109536022,
    "VH": 930250.4226566125,
}


# Reproducible


def _sum(values: np.ndarray) -> float:
    """Return a weighted sum that a change of any pixel changes."""
    flat = np.nan_to_num(np.asarray(values, np.float64)).ravel()
    return float(flat @ (np.arange(flat.size) % 1009 + 1))


def test_the_plain_country_is_that_of_before() -> None:
    ground = country.make(7, SIDE, SIDE)
    seen, power = optical.look(ground, DAY, 0, 0.3), radar.gamma0(ground, radar.ORBITS[3], DAY)
    now = {
        "elevation": ground.relief.elevation_m, "cover": ground.cover, "fields": ground.fields,
        "landslides": ground.slides.labels, "stripped": ground.slides.stripped,
        "roughness": ground.slides.roughness_db, "confounders": ground.confounders.kind,
        "strength": ground.confounders.strength, "reflectance": seen.reflectance, "at sensor": seen.at_sensor,
        "classes": seen.scl, "VV": np.maximum(power["VV"], 0), "VH": np.maximum(power["VH"], 0),
    }  # fmt: skip
    assert {name: _sum(values) for name, values in now.items()} == pytest.approx(BEFORE, rel=1e-6)
    assert ground.variety is None


def test_conditions_are_drawn_from_the_seed_alone() -> None:
    assert drawn(5) == drawn(5)
    different = [asdict(drawn(seed)) for seed in (5, 6)]
    for topic in ("land", "slides", "radar", "optical", "mapping"):
        assert different[0][topic] != different[1][topic]
    assert {drawn(seed).land.pixel_m for seed in range(60)} == {10.0, 20.0, 30.0}
    passes = {drawn(seed).radar.passes for seed in range(200)}
    assert passes == set(range(2, 11))


def _few_scenes(seed: int) -> Conditions:
    made = drawn(seed)
    return replace(made, radar=replace(made.radar, passes=2, orbits=(1,)), optical=replace(made.optical, days=3))


def test_same_seed_same_bytes_with_any_number_of_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for threads in (1, 2):
        monkeypatch.setattr(countries, "THREADS", threads)
        folder = tmp_path / str(threads)
        folder.mkdir()
        countries.simulate(folder, seed=3, rows=SIDE, cols=SIDE, conditions=_few_scenes(3))
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        found.append({str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files})
    assert found[0] == found[1]
    assert {"conditions.json", "outlines.gpkg", "scars.gpkg", "truth.gpkg"} <= set(found[0])


def test_settings_say_the_conditions_and_have_the_pixel_size(tmp_path: Path) -> None:
    conditions = _few_scenes(3)
    conditions = replace(conditions, land=replace(conditions.land, pixel_m=30.0))
    path = countries.simulate(tmp_path, seed=3, rows=SIDE, cols=SIDE, conditions=conditions)
    text = path.read_text(encoding="utf-8")
    assert yaml.safe_load(text)["grid"]["resolution_m"] == 30
    assert f"passes {conditions.radar.passes}" in " ".join(text.replace("#", " ").split())
    assert max(map(len, text.splitlines())) <= 130
    told = json.loads((tmp_path / "conditions.json").read_text(encoding="utf-8"))
    assert told == json.loads(json.dumps(asdict(conditions)))


def test_the_command_varies_a_country_only_when_asked(tmp_path: Path) -> None:
    done = programs.run("simulate", str(tmp_path / "c"), "--size", "256x256", "--seed", "8", "--varied")
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "c" / "conditions.json").read_text(encoding="utf-8"))
    assert told == json.loads(json.dumps(asdict(drawn(8))))


def test_a_plain_country_has_no_variety_and_no_new_files(tmp_path: Path) -> None:
    ground = country.make(7, SIDE, SIDE)
    with pytest.raises(ValueError, match="plain"):
        _ = ground.varied
    truth.save(ground, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {
        "truth.gpkg", "confounders.gpkg", "points.gpkg", "plots.gpkg", "cover.tif",
    }  # fmt: skip


# As on the Earth


@pytest.mark.parametrize(("band", "tolerance_db"), [("VV", 1.5), ("VH", 2.0)])
def test_backscatter_of_drawn_countries_covers_that_of_real_ones(
    shared_data: Path, band: str, tolerance_db: float
) -> None:
    """Mean and deviation of patches of 128 pixels, descending, against 15,284 real patches (Hoehn et al. 2025)."""
    real = pd.read_csv(shared_data / "sen12landslides_statistics" / "s1_descending_patches.csv.gz")
    real = real[real[f"{band}_mean"] > 0]
    ours = np.concatenate([_patches(seed, band) for seed in range(1, 25)])
    wanted = (0.05, 0.5, 0.95)
    level = np.quantile(10 * np.log10(real[f"{band}_mean"]), wanted)
    assert np.quantile(10 * np.log10(ours[:, 0]), wanted) == pytest.approx(level, abs=tolerance_db)
    spread = np.quantile(real[f"{band}_std"] / real[f"{band}_mean"], wanted)
    assert np.quantile(ours[:, 1] / ours[:, 0], wanted) == pytest.approx(spread, rel=0.25)


@cache
def _power(seed: int) -> dict[str, np.ndarray]:
    """Backscatter of a small country, kept for the second band."""
    return one_pass(country.make(seed, SIDE, SIDE, drawn(seed)))


def _patches(seed: int, band: str) -> np.ndarray:
    """Mean and deviation of the four patches of a small country."""
    power = _power(seed)[band]
    parts = [power[r : r + 128, c : c + 128] for r in (0, 128) for c in (0, 128)]
    seen = [part[part > 0].astype(np.float64) for part in parts]
    return np.array([(part.mean(), part.std()) for part in seen if part.size > 1000])
