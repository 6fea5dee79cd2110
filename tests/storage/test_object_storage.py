"""A survey in object storage: a real S3 API (moto) on 127.0.0.1, quiet and in trouble; the same bytes as on disk."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest

from lsbatch.catalog.survey import Survey
from lsbatch.settings import to_yaml
from tests import programs, servers
from tests.servers import S3_SECRET, Bucket, Trouble
from tests.storage.buckets import in_bucket, lsbatch, on_disk, settings


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with servers.s3() as found:
        yield found


@pytest.mark.slow(ci=True)
def test_same_bytes_as_on_disk(done_survey: Survey, bucket: Bucket, tmp_path: Path) -> None:
    path = settings(done_survey, tmp_path, "s3://surveys/norway/2020", kind="local", workers=2, memory_gb=2.0)
    first = lsbatch(bucket, "run", str(path))
    assert first.returncode == 0, first.stdout + first.stderr
    ours, theirs = in_bucket(bucket, "norway/2020"), on_disk(done_survey)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []

    again = lsbatch(bucket, "run", str(path))
    assert again.returncode == 0
    assert " 1 done" not in again.stdout
    assert " 4 done" not in again.stdout
    status = lsbatch(bucket, "status", str(path))
    assert status.returncode == 0
    assert "Being written" not in status.stdout
    checked = lsbatch(bucket, "verify", str(path))
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "40 of 40 match" in checked.stdout
    # in no object, and in nothing that was said
    said = "".join(done.stdout + done.stderr for done in (first, again, status, checked))
    assert S3_SECRET not in said
    assert [key for key, data in bucket.objects().items() if S3_SECRET.encode() in data] == []


@pytest.mark.slow(ci=True)
def test_same_bytes_in_trouble(done_survey: Survey, bucket: Bucket, tmp_path: Path) -> None:
    trouble = Trouble(refused=0.04, slow=0.03, cut=0.03, seed=5)
    with servers.troubled(bucket, trouble) as behind:
        path = settings(done_survey, tmp_path, "s3://surveys/s", kind="serial", wait_s=0.0)
        done = lsbatch(behind, "run", str(path), "--until", "outline")
        assert done.returncode == 0, done.stdout + done.stderr
    assert min(trouble.told[kind] for kind in ("refused", "slow", "cut")) >= 5, trouble.told
    ours = in_bucket(bucket, "s")
    theirs = {name: data for name, data in on_disk(done_survey).items() if name in ours}
    assert len([name for name in ours if name.startswith("cube.zarr/")]) > 100
    assert [name for name in ours if ours[name] != theirs.get(name)] == []


@pytest.mark.slow(ci=True)
def test_inputs_may_lie_there_too(done_survey: Survey, bucket: Bucket, tmp_path: Path) -> None:
    truth = done_survey.config.truth
    assert truth is not None
    path = settings(done_survey, tmp_path, "s3://surveys/s", kind="serial")
    text = path.read_text(encoding="utf-8")
    text = text.replace(str(truth.file), "s3://surveys/in/truth.gpkg")
    path.write_text(text, encoding="utf-8")
    obstore.put(bucket.store(), "in/truth.gpkg", truth.file)
    done = lsbatch(bucket, "run", str(path), "--until", "score")
    assert done.returncode == 0, done.stdout + done.stderr
    scores = lsbatch(bucket, "evaluate", str(path), "--json")
    here = tmp_path / "here.yaml"
    here.write_text(to_yaml(done_survey.config), encoding="utf-8")
    expected = lsbatch(bucket, "evaluate", str(here), "--json")
    tp = [json.loads(found.stdout)["tp"] for found in (scores, expected)]
    assert tp[0] == tp[1] > 0


def test_a_second_writer_is_refused_there_too(done_survey: Survey, bucket: Bucket, tmp_path: Path) -> None:
    path = settings(done_survey, tmp_path, "s3://surveys/s", kind="serial")
    run = programs.start("run", str(path), "--until", "stack", env=os.environ | bucket.environment)
    try:
        while not any(key.startswith("s/lease/") for key in bucket.names()):
            assert run.poll() is None
        second = lsbatch(bucket, "run", str(path))
        assert second.returncode == 2
        assert second.stderr.startswith("lsbatch: s3://surveys/s: is being written by another run (process ")
    finally:
        run.kill()
    # killed: its lease is still there, and known to be of a process of this machine that is gone
    assert any(key.startswith("s/lease/") for key in bucket.names())
    third = lsbatch(bucket, "run", str(path), "--until", "stack", "--part", "1/4")
    assert third.returncode == 0, third.stderr
    assert "s/receipts/stack/r000c000.json" in bucket.names()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "s3://surveys/s: cannot be written to: "),
        ({}, "s3://nowhere/s: cannot be written to: "),
    ],
)
def test_bad_addresses_get_one_sentence(
    done_survey: Survey, bucket: Bucket, tmp_path: Path, change: dict[str, str], sentence: str
) -> None:
    address = sentence.partition(":")[0] + ":" + sentence.split(":")[1]
    path = settings(done_survey, tmp_path, address, kind="serial")
    done = lsbatch(Bucket(bucket.name, bucket.environment | change), "run", str(path))
    assert done.returncode == 2
    assert done.stderr.startswith(f"lsbatch: {sentence}")
    assert len(done.stderr.splitlines()) == 1
    assert S3_SECRET not in done.stderr


def test_sample_link_and_review_read_a_survey_there(done_survey: Survey, bucket: Bucket, tmp_path: Path) -> None:
    root, store = done_survey.workspace.root, bucket.store()
    for path in root.rglob("*"):
        if path.is_file():
            obstore.put(store, f"s/{path.relative_to(root).as_posix()}", path)
    config = settings(done_survey, tmp_path, "s3://surveys/s", kind="serial")
    drawn = lsbatch(bucket, "sample", str(config), "--size", "60")
    assert (drawn.returncode, drawn.stderr) == (0, "")
    assert "s/accuracy/sample.gpkg" in bucket.names()
    answers = lsbatch(bucket, "assess", str(config))
    assert answers.returncode == 2
    assert answers.stderr.startswith("lsbatch: s3://surveys/s/accuracy/sample.gpkg: ")
    last = "s3://surveys/s/inventory/landslides.gpkg"
    linked = lsbatch(bucket, "link", str(config), last, "--out", str(tmp_path / "linked"))
    assert (linked.returncode, linked.stderr) == (0, "")
    again = lsbatch(bucket, "link", str(config), last)
    assert again.returncode == 0
    assert "LAST is the same survey" in again.stdout
    server = programs.start("review", str(config), env=os.environ | bucket.environment)
    try:
        assert "http://127.0.0.1:" in server.line()
    finally:
        server.kill()


@pytest.mark.slow(ci=True)
def test_bench_leaves_nothing_there_but_its_answer(done_survey: Survey, bucket: Bucket, tmp_path: Path) -> None:
    path = settings(done_survey, tmp_path, "s3://surveys/norway/2020", kind="serial")
    done = lsbatch(bucket, "bench", str(path), "--tiles", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    left = [
        key.removeprefix("norway/2020/bench/") for key in bucket.objects() if not key.startswith("norway/2020/plan/")
    ]
    assert sorted(Path(name).suffix for name in left) == [".json", ".png"]
    assert all(name.startswith("bench-") for name in left)
