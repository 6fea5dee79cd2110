"""The small files in the folder of a survey: plan, receipts, journal, lease, version, metadata of the cube."""

import io
import json
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np

from lsbatch import __version__
from lsbatch.bands import STACK
from lsbatch.catalog import dating_passes, plan, survey_version
from lsbatch.catalog.date_windows import KEYS
from lsbatch.catalog.items.scenes import describe
from lsbatch.catalog.survey import Survey, open_survey
from lsbatch.cli import terminal
from lsbatch.commands import run
from lsbatch.grid import tile_id
from lsbatch.inventory import reviews
from lsbatch.models import cards, unet
from lsbatch.review import Case
from lsbatch.storage import cube, files, journal, lease, receipts
from tests import fake_survey
from tests.catalog import archive_items
from tests.fake_survey import Fake
from tests.fuzz.mutation import damaged_json
from tests.fuzz.targets.target import Target

TILE = "r000c000"
FEW = Fake(landslides=2, truth=False)


def plan_files(folder: Path) -> Target:
    """The plan: its main file, and the scenes and passes of a tile."""
    survey = fake_survey.make(folder, FEW)
    root = survey.workspace.root
    raw = json.loads(plan.file(root).read_text(encoding="utf-8"))
    raw["summary"] |= {
        "windows": {"pre": ["2019-07-01", "2019-08-31"], "post": ["2020-07-01", "2020-08-31"]},
        "scenes": {"pre_s2": {"scenes": 1, "least": 1, "most": 1, "tiles_without": 0}},
        "passes": [1, 2],
        "orbits": ["ascending 44"],
        "gigabytes": 1.5,
    }
    scene = describe(archive_items.planetary_computer_rtc(), "sentinel1").to_dict()
    tile = {"matched_by": "orbit", "gaps": [], "megabytes": 1.0, "scenes": {key: [scene] for key in KEYS}}
    seeds = (json.dumps({"plan": raw, "tile": tile, "passes": [scene]}).encode(),)
    places = (plan.file(root), plan.tile_file(root, TILE), dating_passes.file(root, TILE))

    def feed(data: bytes) -> None:
        for path, text in zip(places, _parts(data, ("plan", "tile", "passes")), strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text)
        assert all(line.isprintable() for line in plan.load(root).lines())
        plan.fits(survey.config)
        opened = open_survey(survey.config)
        assert isinstance(opened.neighbours((0, 0)), tuple)
        opened.tile((0, 0))
        for scenes in (*plan.tile_scenes(root, TILE).values(), dating_passes.tile_scenes(root, TILE)):
            assert all(one.day and one.footprint.bounds and one.assets is not None for one in scenes)

    return Target(damaged_json(seeds), seeds, feed)


def receipt(folder: Path) -> Target:
    """The receipt of a tile, in `lsbatch status` and where a run decides what to do."""
    survey = fake_survey.make(folder, FEW)
    card = unet.card(survey.config.inputs, 4, 2, 0.0, means=(0.0,) * 13, stds=(1.0,) * 13)
    cards.save(folder / "weights.safetensors", {"nothing": np.zeros(3, np.float32)}, card)
    for position in survey.positions:
        files.write_text(plan.tile_file(survey.workspace.root, tile_id(*position)), json.dumps({"scenes": {}}))
    paths = [receipts.path(survey.workspace.receipts, stage, TILE) for stage in ("stack", "outline")]
    failed = json.loads(paths[0].read_text(encoding="utf-8")) | {
        "error": "SceneError: x",
        "trace": "x",
        "dropped": ["x"],
    }
    seeds = (*(path.read_bytes() for path in paths), json.dumps(failed).encode())

    def feed(data: bytes) -> None:
        for path in paths:
            path.write_bytes(data)
        with redirect_stdout(io.StringIO()) as out:
            run.status(survey.config, terminal.Screen(), every_failure=True)
        assert all(line.isprintable() for line in out.getvalue().split("\n")), out.getvalue()

    return Target(damaged_json(seeds), seeds, feed)


def answers(folder: Path) -> Target:
    """The journal of reviewers' answers."""
    survey = fake_survey.make(folder, FEW)
    known = reviews.records(survey)["landslide_id"].tolist()
    one = {
        "at": "2026-01-01T00:00:00+00:00", "landslide_id": known[0], "version": 1, "state": "confirmed",
        "reviewer": "A", "comment": "",
    }  # fmt: skip
    square = [[300000.0, 6800000.0], [300100.0, 6800000.0], [300100.0, 6800100.0], [300000.0, 6800100.0]]
    drawn = one | {"landslide_id": "synthetic-fake-new", "missed": True, "outline": square}
    seeds = (json.dumps([one, drawn, one | {"state": "rejected"}]).encode(),)

    def feed(data: bytes) -> None:
        path = survey.workspace.answers
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_lines(data))
        reviews.read(survey)
        case = Case(survey)
        given = case.answers()
        for name in case.rows:
            json.dumps(case.answer(name, given), default=str)
        journal.append(path, one)
        assert journal.read(path)[-1] == one

    return Target(damaged_json(seeds), seeds, feed)


def lease_file(folder: Path) -> Target:
    """The lease of a run on another machine."""
    me = {"token": "x", "part": "all", "place": "host pid:[1]", "pid": 1, "born": 1.0, "since": "2026-01-01T00:00:00"}
    seeds = (json.dumps(me).encode(), json.dumps(me | {"part": "1-of-3"}).encode())

    def feed(data: bytes) -> None:
        for name in ("all", "2-of-3"):
            path = folder / "lease" / f"{name}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
        assert all(str(holder).isprintable() for holder, _ in lease.holders(folder))
        (folder / "lease" / "1-of-3.json").unlink(missing_ok=True)
        with lease.acquire(folder, (1, 3)):
            pass

    return Target(damaged_json(seeds), seeds, feed)


def version_file(folder: Path) -> Target:
    """The release that wrote a survey."""
    seeds = (json.dumps({"lsbatch": __version__}).encode(),)

    def feed(data: bytes) -> None:
        survey_version.file(folder).write_bytes(data)
        survey_version.record(folder)

    return Target(damaged_json(seeds), seeds, feed)


def cube_metadata(folder: Path) -> Target:
    """The documents of the cube: of the root, of a layer and of a band."""
    survey = fake_survey.make(folder, FEW)
    store = survey.workspace.store
    places = (store / "zarr.json", store / STACK.name / "zarr.json", store / STACK.name / "preVV" / "zarr.json")
    good = [path.read_bytes() for path in places]
    names = ("root", "layer", "band")
    documents = {name: json.loads(text) for name, text in zip(names, good, strict=True)}
    # the whole listing would take most of the damage
    documents["root"]["consolidated_metadata"]["metadata"] = {
        key: documents["root"]["consolidated_metadata"]["metadata"][key] for key in (STACK.name, f"{STACK.name}/preVV")
    }
    seeds = (json.dumps(documents).encode(),)

    def feed(data: bytes) -> None:
        for path, text in zip(places, _parts(data, names), strict=True):
            path.write_bytes(text)
        read_cube(survey)

    return Target(damaged_json(seeds), seeds, feed)


def read_cube(survey: Survey) -> None:
    """Open the cube for writing, read a tile, and open it for a notebook."""
    store, tile = survey.workspace.store, survey.tile((0, 0))
    cube.create(store, survey.grid, STACK)
    found = cube.read(store, survey.grid, STACK, tile, 8, ("preVV", "postVV"))
    assert found["preVV"].shape == (survey.grid.tile_px + 16,) * 2
    cube.sums(store, STACK, tile)
    cube.open_layer(store, STACK.name)["preVV"][:4, :4].to_numpy()


def _parts(data: bytes, names: tuple[str, ...]) -> list[bytes]:
    """Return the files of one input: the values of an object; the input itself if it is no such object."""
    try:
        whole = json.loads(data)
        return [json.dumps(whole[name]).encode() for name in names]
    except (ValueError, TypeError, KeyError, RecursionError):
        return [data] * len(names)


def _lines(data: bytes) -> bytes:
    try:
        return b"\n".join(json.dumps(one).encode() for one in json.loads(data)) + b"\n"
    except (ValueError, TypeError, RecursionError):
        return data
