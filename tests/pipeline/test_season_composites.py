"""Composites that the next year takes: the same values, and only if all that they depend on is the same."""

from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lsbatch.catalog import plan
from lsbatch.catalog.items.scenes import Scene
from lsbatch.catalog.survey import Survey
from lsbatch.errors import SceneError
from lsbatch.imagery import scene_reading
from lsbatch.pipeline import optical, radar, season_composites, terrain
from lsbatch.pipeline.terrain import Ground
from lsbatch.settings import Config

KINDS = {"s2": (season_composites.greenest, optical.greenest), "s1": (season_composites.median, radar.median)}
#: Scenes of each kind: enough for two days and two passes.
SCENES = 3


@pytest.fixture(scope="module")
def here(planned_survey: Survey) -> Ground:
    """Terrain of a tile with its surroundings."""
    return _ground(planned_survey)


def _ground(survey: Survey) -> Ground:
    tile = survey.tile(survey.positions[0])
    wide = replace(tile, geobox=tile.padded(40))
    return terrain.read(wide, plan.tile_scenes(survey.config.output, tile.id)["dem"], survey.config)


def scenes_of(survey: Survey, kind: str) -> Sequence[Scene]:
    found = plan.tile_scenes(survey.config.output, survey.tile(survey.positions[0]).id)
    return found[f"post_{kind}"][:SCENES]


def sharing(config: Config, folder: Path, **changes: Any) -> Config:
    """Settings that leave the season after in a folder, and take the season before from it."""
    cluster = config.cluster.model_copy(update={"season_before": folder, "season_after": folder})
    return config.model_copy(update={"cluster": cluster, **changes})


def same(one: Any, other: Any) -> bool:
    """Whether two values have the same bits, also inside of dataclasses and mappings."""
    if is_dataclass(one):
        return all(same(getattr(one, each.name), getattr(other, each.name)) for each in fields(one))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    return bool(one == other)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the scenes that are read."""
    found: list[str] = []
    before = scene_reading.read

    def read(scene: Scene, *args: Any, **options: Any) -> Any:
        found.append(scene.id)
        return before(scene, *args, **options)

    monkeypatch.setattr(scene_reading, "read", read)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_taken_composite_has_the_same_bits(
    kind: str, planned_survey: Survey, here: Ground, tmp_path: Path, reads: list[str]
) -> None:
    ours, plain = KINDS[kind]
    scenes, config = scenes_of(planned_survey, kind), sharing(planned_survey.config, tmp_path)
    right = plain(scenes, here, config)
    assert same(ours("post", scenes, here, config), right)
    reads.clear()
    assert same(ours("pre", scenes, here, config), right)
    # and by a run that was killed after the composite was written
    assert same(ours("post", scenes, here, config), right)
    assert reads == []
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_kept_without_the_settings(kind: str, planned_survey: Survey, here: Ground, tmp_path: Path) -> None:
    ours, _ = KINDS[kind]
    scenes, config = scenes_of(planned_survey, kind)[:1], sharing(planned_survey.config, tmp_path)
    ours("pre", scenes, here, config)
    ours("post", (), here, config)
    ours("post", scenes, here, planned_survey.config)
    assert list(tmp_path.iterdir()) == []


def test_other_scenes_settings_places_terrain_and_versions_have_composites_of_their_own(
    planned_survey: Survey, here: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes, config = scenes_of(planned_survey, "s1")[:2], sharing(planned_survey.config, tmp_path)
    other = here.elevation_m.copy()
    other[0, 0] = -1
    moved = here.geobox.translate_pix(1, 0)
    filtered = sharing(config, tmp_path, composite=config.composite.model_copy(update={"speckle": "refined_lee"}))
    cases = [
        (scenes, here, config),
        (scenes[::-1], here, config),
        (scenes[:1], here, config),
        ((replace(scenes[0], time="2020-01-01T00:00:00Z"), scenes[1]), here, config),
        (scenes, replace(here, elevation_m=other), config),
        (scenes, replace(here, geobox=moved), config),
        (scenes, here, filtered),
    ]
    keys = {season_composites._key(*case) for case in cases}
    monkeypatch.setattr("lsbatch.__version__", "99.0.0")
    keys.add(season_composites._key(scenes, here, config))
    assert len(keys) == len(cases) + 1


def test_a_composite_without_a_scene_that_failed_is_not_kept(
    planned_survey: Survey, here: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next year may be able to read it."""
    scenes, config = scenes_of(planned_survey, "s2"), sharing(planned_survey.config, tmp_path)
    before = scene_reading.read

    def read(scene: Scene, *args: Any, **options: Any) -> Any:
        if scene.id == scenes[0].id:
            raise SceneError("a fault for the test", may_pass=True)
        return before(scene, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(scene_reading, "read", read)
        assert season_composites.greenest("post", scenes, here, config).dropped
    assert list(tmp_path.iterdir()) == []
    assert not season_composites.greenest("pre", scenes, here, config).dropped


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
def test_a_damaged_composite_is_made_again(damage: str, planned_survey: Survey, here: Ground, tmp_path: Path) -> None:
    scenes, config = scenes_of(planned_survey, "s2")[:1], sharing(planned_survey.config, tmp_path)
    right = season_composites.greenest("post", scenes, here, config)
    (file,) = tmp_path.iterdir()
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes({"cut": data[: len(data) // 2], "flipped": data, "empty": b"", "text": b"no composite"}[damage])
    assert same(season_composites.greenest("pre", scenes, here, config), right)
