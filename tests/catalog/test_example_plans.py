"""Every file in configs/ can be planned.

Against a real STAC API on this machine, with made-up items over its region.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import shapely
from pyproj import Transformer

from lsbatch import settings
from lsbatch.catalog import plan, planning, search
from lsbatch.errors import NoDataError
from tests import servers

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))

#: Relative orbit -> platform.
ORBITS = {44: "sentinel-1a", 139: "sentinel-1b"}


def item(collection: str, name: str, box: shapely.Geometry, day: date | None, **properties: Any) -> dict[str, Any]:
    """A STAC item as the real archives write it, as far as a plan reads it."""
    assets = {
        "sentinel2": ("red", "green", "blue", "nir", "scl"),
        "sentinel1": ("vv", "vh"),
        "dem": ("data",),
    }[properties.pop("sensor")]
    bands = [{"nodata": 0, "data_type": "uint16", "scale": 0.0001, "offset": -0.1}]
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "collection": collection,
        "bbox": list(box.bounds),
        "geometry": shapely.geometry.mapping(box),
        "properties": {
            "datetime": f"{day or date(2021, 4, 22)}T10:40:31Z",
            "proj:code": "EPSG:32633",
            **properties,
        },
        "links": [],
        "assets": {
            key: {"href": f"https://example.org/{name}/{key}.tif", "type": "image/tiff; application=geotiff"}
            | ({"raster:bands": bands} if "red" in assets else {})
            for key in assets
        },
    }


def cells(made: settings.Config) -> list[shapely.Geometry]:
    """Footprints that overlap and cover the region, in degrees."""
    transformer = Transformer.from_crs(made.grid.crs, "EPSG:4326", always_xy=True)
    west, south, east, north = transformer.transform_bounds(*made.region.bounds, densify_pts=21)
    wide, high = max(1.0, (east - west) / 6), max(1.0, (north - south) / 6)
    boxes = []
    y = south - 0.1
    while y < north:
        x = west - 0.1
        while x < east:
            boxes.append(shapely.box(x, y, x + wide + 0.2, y + high + 0.2))
            x += wide
        y += high
    return boxes


def days(made: settings.Config, every: int) -> list[date]:
    """Days in and around both windows."""
    windows = made.survey.windows
    found = []
    for first, last in (windows.pre, windows.post):
        day = first - timedelta(days=3)
        while day <= last + timedelta(days=3):
            found.append(day)
            day += timedelta(days=every)
    return found


def items(made: settings.Config) -> list[dict[str, Any]]:
    """An archive over the region of these settings; with half of the days where it is a country, of many footprints."""
    found = []
    for i, box in enumerate(cells(made)):
        for sensor in ("sentinel2", "sentinel1", "dem"):
            source = getattr(made.archives, sensor)
            if source is None:
                continue
            for collection in source.collections or search.PRESETS[source.preset].collections[sensor]:
                found += of_sensor(sensor, collection, i, box, made)
    return found


def of_sensor(
    sensor: str, collection: str, i: int, box: shapely.Geometry, made: settings.Config
) -> list[dict[str, Any]]:
    """Items of one footprint."""
    sparse = 2 if made.survey.kind == "annual" else 1
    if sensor == "dem":
        return [item(collection, f"{collection}_{i}", box, None, sensor=sensor)]
    if sensor == "sentinel2":
        return [
            item(
                collection, f"S2A_T33V{i:02d}_{day:%Y%m%d}_{collection}", box, day, sensor=sensor,
                **{"eo:cloud_cover": 90.0 if n % 5 == 4 else 30.0, "s2:processing_baseline": "05.00"},
            )
            for n, day in enumerate(days(made, 10 * sparse))
        ]  # fmt: skip
    return [
        item(
            collection, f"S1_{orbit}_{i}_{day:%Y%m%d}_rtc", box, day, sensor=sensor, platform=platform,
            **{"sat:relative_orbit": orbit, "sat:orbit_state": "ascending", "sar:product_type": "GRD"},
        )
        for orbit, platform in ORBITS.items()
        for day in days(made, 6 * sparse)
    ]  # fmt: skip


def at(made: settings.Config, url: str, output: Path) -> settings.Config:
    """The same settings with their archives at another address."""
    sources = {
        name: None if (source := getattr(made.archives, name)) is None else source.model_copy(update={"url": url})
        for name in ("sentinel2", "sentinel1", "dem")
    }
    return made.model_copy(update={"archives": made.archives.model_copy(update=sources), "output": output})


@pytest.fixture(scope="module", params=CONFIGS, ids=lambda path: path.stem)
def api(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[settings.Config, str]]:
    """Settings from configs/, and the address of a STAC API that answers for their archives in all tests."""
    made = settings.load(request.param)
    with servers.stac_api(items(made), tmp_path_factory.mktemp("api")) as url:
        yield made, url


@pytest.fixture
def served(api: tuple[settings.Config, str], tmp_path: Path) -> settings.Config:
    """The settings with this address, and a folder for one test."""
    return at(*api, tmp_path / "survey")


def test_shipped_settings_are_planned(served: settings.Config) -> None:
    made = planning.make(served)
    windows = served.survey.windows
    wanted = {"pre_s1", "post_s1"}
    if served.archives.sentinel2:
        wanted |= {"pre_s2", "post_s2"}
    if served.archives.dem:
        wanted |= {"dem"}
    assert set(made.summary["scenes"]) == wanted
    assert len(made.tiles) == len(made.by_tile) > 0
    for tile in made.by_tile.values():
        assert set(tile.gaps) == set(plan.KEYS) - wanted
        for key, span in (
            ("pre_s2", windows.pre),
            ("post_s2", windows.post),
            ("pre_s1", windows.pre),
            ("post_s1", windows.post),
        ):
            for scene in tile.scenes[key]:
                assert span[0] <= date.fromisoformat(scene.day) <= span[1]
        passes = {(s.relative_orbit, s.day) for s in tile.scenes["post_s1"]}
        if served.survey.newest_passes:
            assert len(passes) == served.survey.newest_passes * len(ORBITS)
    assert made.summary["gigabytes"] > 0
    assert f"{len(made.tiles)} tiles" in made.lines()[0]
    plan.save(made, served.output)
    assert plan.fits(served)
    assert plan.load(served.output).tiles == made.tiles


def test_year_without_scenes_gets_one_sentence(served: settings.Config) -> None:
    survey = served.survey
    later = {"year": 2031} if survey.kind == "annual" else {"event_date": date(2031, 7, 30)}
    with pytest.raises(NoDataError, match=r"has no scene .*; check the region, the year") as caught:
        planning.make(served.model_copy(update={"survey": survey.model_copy(update=later)}))
    assert "\n" not in str(caught.value)
