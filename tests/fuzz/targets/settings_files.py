"""Settings in YAML."""

import json
from pathlib import Path

import yaml
from hypothesis import strategies as st

from lsbatch import settings
from lsbatch.catalog import plan
from tests.fuzz.mutation import TOKENS, damaged_bytes, damaged_values
from tests.fuzz.targets.target import Target

SMALL = """survey: {id: oddbygda-2020, year: 2020}
region: {bounds: [500000, 6800000, 502560, 6802560]}
grid: {crs: EPSG:32633, tile_px: 256}
archives:
  sentinel2: {preset: stac, url: "https://surveyor:hush@archive.example/v1", collections: [sentinel-2-l2a]}
  sentinel1: &radar {preset: planetary-computer}
  dem: *radar
model: {family: unet}
bands: s1vv_s2
output: survey
"""


def yaml_text(folder: Path) -> Target:
    """A settings file, and what follows from it: its text again, the digest of its plan."""
    full = settings.to_yaml(settings.example())
    plain = json.loads(json.dumps(yaml.safe_load(full), default=str))
    seeds = (SMALL.encode(), full.encode())

    def feed(data: bytes) -> None:
        path = folder / "config.yaml"
        path.write_bytes(data)
        config = settings.load(path)
        again = settings.load_text(settings.to_yaml(config), folder, "again")
        assert again == config
        plan.settings_digest(config)

    values = damaged_values([plain, yaml.safe_load(SMALL)]).map(lambda value: json.dumps(value).encode())
    return Target(st.one_of(values, damaged_bytes(seeds, TOKENS)), seeds, feed)
