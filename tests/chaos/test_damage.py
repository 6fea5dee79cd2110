"""Disks that are full, read-only or damaged, and clocks that jump.

One sentence where a person must act, and the same survey afterwards.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lsbatch import settings
from lsbatch.bands import mask
from lsbatch.catalog.survey import open_survey
from lsbatch.settings import to_yaml
from lsbatch.storage import cube, file_system, files, lease, receipts
from lsbatch.storage.documents import cube_listing
from tests.chaos import arena
from tests.chaos.comparison import differences

TILE = "r001c001"
YEAR_S = 365 * 86400.0


@dataclass
class Patient:
    """A survey that something happens to, and the commands a person gives."""

    home: arena.Nursery
    folder: Path
    root: Path

    @classmethod
    def at(cls, home: arena.Nursery, folder: Path, root: Path, **cluster: Any) -> "Patient":
        """Settings for a survey in `root`."""
        chosen = settings.ClusterSettings(**({"kind": "serial", "wait_s": 0.0} | cluster))
        folder.mkdir(exist_ok=True)
        config = home.undisturbed.model_copy(update={"output": root, "cluster": chosen})
        (folder / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
        return cls(home, folder, root)

    @property
    def config(self) -> Path:
        """Settings file."""
        return self.folder / "config.yaml"

    def start(self, command: str, *words: str, **more: Any) -> int:
        """A command that is not waited for."""
        (self.folder / "said").unlink(missing_ok=True)
        return self.home.start("lsbatch", self.folder / "said", command, str(self.config), *words, **more)

    def says(self, pid: int) -> tuple[int, str]:
        """Exit code and output of a command that was started; there is never a traceback."""
        code = self.home.wait(pid, 240)
        said = (self.folder / "said").read_text()
        assert "Traceback" not in said, said
        assert "Warning" not in said, said
        return code, said

    def lsbatch(self, command: str, *words: str, **more: Any) -> tuple[int, str]:
        """A command, and what it answers."""
        return self.says(self.start(command, *words, **more))

    def heals(self, *words: str) -> None:
        """After ``lsbatch retry`` with these words and a run, the survey is as if nothing had happened."""
        if words:
            code, said = self.lsbatch("retry", *words)
            assert code == 0, said
        code, said = self.lsbatch("run")
        assert code == 0, said
        assert differences(self.root, self.home.undisturbed.output) == []
        assert self.lsbatch("verify") == (0, "40 of 40 match their checksums\n")

    def undo(self, stage: str, tile: str = TILE) -> None:
        """Let a tile be due again, without its data."""
        receipts.remove(self.root / "receipts", stage, tile)
        row, col = tile[1:].split("c")
        for shard in (self.root / "cube.zarr" / stage).glob(f"**/c/{int(row)}/{int(col)}"):
            shard.unlink()


@pytest.fixture
def patient(home: arena.Nursery, tmp_path: Path) -> Patient:
    """A survey that is done."""
    shutil.copytree(home.undisturbed.output, tmp_path / "s")
    return Patient.at(home, tmp_path, tmp_path / "s")


@dataclass
class Disk:
    """A small disk of its own."""

    path: Path

    @property
    def ballast(self) -> Path:
        """What fills it."""
        return self.path / "ballast"

    def fill(self, leave_kb: int) -> None:
        """Leave so much."""
        with self.ballast.open("wb", buffering=0) as out:
            try:
                while True:
                    out.write(bytes(4096))
            except OSError:
                out.truncate(max(0, out.tell() - leave_kb * 1024))

    def mount(self, options: str) -> None:
        """Mount it again with other options; a file that is being written keeps it for a moment."""
        for _ in range(200):
            done = subprocess.run(["mount", "-o", f"remount,{options}", str(self.path)], capture_output=True, text=True)
            if done.returncode == 0:
                return
            time.sleep(0.005)
        pytest.fail(done.stderr)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """16 MB; only root may make one."""
    path = tmp_path / "disk"
    path.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(path)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no disk of its own can be mounted here: {done.stderr.strip()}")
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.fixture
def on_disk(home: arena.Nursery, tmp_path: Path, disk: Disk) -> Patient:
    """A survey that is done, on the small disk."""
    shutil.copytree(home.undisturbed.output, disk.path / "s")
    return Patient.at(home, tmp_path / "p", disk.path / "s")


# --- a full disk


@pytest.mark.slow(ci=True)
@pytest.mark.parametrize("leave_kb", [0, 8, 28])
def test_a_disk_that_is_full_before_the_first_tile(
    home: arena.Nursery, tmp_path: Path, disk: Disk, leave_kb: int
) -> None:
    """No room for the lease, for the plan, for the cube's metadata."""
    patient = Patient.at(home, tmp_path / "p", disk.path / "s")
    disk.fill(leave_kb)
    code, said = patient.lsbatch("run", "--until", "stack")
    assert code == 2
    assert said.splitlines()[-1].startswith(f"lsbatch: {patient.root}")
    assert said.endswith(": No space left on device\n")
    assert lease.holders(patient.root) == []
    disk.ballast.unlink()
    if leave_kb:
        patient.heals()


@pytest.mark.slow(ci=True)
def test_a_disk_that_fills_up_in_a_tile(on_disk: Patient, disk: Disk) -> None:
    on_disk.undo("stack")
    disk.fill(60)
    code, said = on_disk.lsbatch("run", "--until", "stack")
    assert code == 1
    assert f"failed stack {TILE}: " in said
    assert "No space left on device" in said
    assert "To try again: lsbatch retry --all, then lsbatch run." in said
    code, said = on_disk.lsbatch("status")
    assert code == 1
    assert f"stack {TILE}: " in said
    disk.ballast.unlink()
    on_disk.heals("--all")


@pytest.mark.slow(ci=True)
def test_a_disk_that_fills_up_in_the_inventory(on_disk: Patient, disk: Disk) -> None:
    shutil.rmtree(on_disk.root / "inventory")
    receipts.remove(on_disk.root / "receipts", "inventory", "all")
    # for the receipt of the failure with its traceback, which is longer in later versions of Python
    disk.fill(40)
    code, said = on_disk.lsbatch("run")
    assert code == 1
    assert "failed inventory all: " in said
    assert "No space left on device" in said
    disk.ballast.unlink()
    on_disk.heals("--all")


# --- a read-only one


@pytest.mark.slow(ci=True)
def test_a_read_only_disk(on_disk: Patient, disk: Disk) -> None:
    on_disk.undo("stack")
    disk.mount("ro")
    code, said = on_disk.lsbatch("run")
    assert (code, said) == (2, f"lsbatch: {on_disk.root}: cannot be written to: Read-only file system\n")
    # what only reads goes on
    code, said = on_disk.lsbatch("status")
    assert code == 0
    assert "Being written" not in said
    code, said = on_disk.lsbatch("verify")
    assert (code, said) == (0, "39 of 39 match their checksums\n")
    disk.mount("rw")
    on_disk.heals()


@pytest.mark.slow(ci=True)
def test_a_disk_that_becomes_read_only_in_the_middle(on_disk: Patient, disk: Disk) -> None:
    for tile in ("r000c000", "r000c001", "r001c000", "r001c001"):
        on_disk.undo("stack", tile)
    run = on_disk.start("run")
    while not list((on_disk.root / "receipts" / "stack").glob("*.json")):
        assert on_disk.home.ended(run) is None
        time.sleep(0.01)
    disk.mount("ro")
    code, said = on_disk.says(run)
    assert code == 2, said
    assert said.splitlines()[-1].startswith(f"lsbatch: {on_disk.root}/")
    assert said.endswith(": cannot be written: Read-only file system\n")
    disk.mount("rw")
    on_disk.heals()


# --- data and receipts that do not belong together


@pytest.mark.slow(ci=True)
def test_a_truncated_shard(patient: Patient) -> None:
    shard = patient.root / "cube.zarr" / "stack" / "postNIR" / "c" / "1" / "1"
    shard.write_bytes(shard.read_bytes()[:-1000])
    code, said = patient.lsbatch("verify")
    assert code == 1
    assert said.startswith(f"stack {TILE}: cannot be read back: ")
    assert said.endswith(
        "39 of 40 match their checksums\nTo compute them again: lsbatch retry CONFIG TILE, then lsbatch run CONFIG\n"
    )
    patient.heals(TILE)


@pytest.mark.slow(ci=True)
def test_a_truncated_shard_that_somebody_reads(patient: Patient) -> None:
    shard = patient.root / "cube.zarr" / "stack" / "postVV" / "c" / "1" / "1"
    shard.write_bytes(shard.read_bytes()[:-1000])
    receipts.remove(patient.root / "receipts", "predict", TILE)
    code, said = patient.lsbatch("run")
    assert code == 1
    assert f"failed predict {TILE}: {patient.root}/cube.zarr/stack/postVV: cannot be read back" in said
    assert "run lsbatch verify to find the tile" in said
    patient.heals(TILE)


@pytest.mark.slow(ci=True)
@pytest.mark.parametrize("missing", ["cube.zarr/mask/unet/landslide/c/0/0", "parts/outline/r000c000.parquet"])
def test_a_receipt_without_data(patient: Patient, missing: str) -> None:
    (patient.root / missing).unlink()
    code, said = patient.lsbatch("verify")
    assert code == 1
    assert "r000c000: " in said
    patient.heals("r000c000")


@pytest.mark.slow(ci=True)
def test_an_inventory_without_a_part(patient: Patient) -> None:
    part = patient.root / "parts" / "outline" / "r000c000.parquet"
    part.unlink()
    receipts.remove(patient.root / "receipts", "inventory", "all")
    code, said = patient.lsbatch("run")
    assert code == 1
    assert f"failed inventory all: {part}: No such file or directory" in said
    patient.heals("r000c000")


@pytest.mark.slow(ci=True)
def test_data_without_receipts(patient: Patient) -> None:
    shutil.rmtree(patient.root / "receipts")
    patient.heals()


@pytest.mark.slow(ci=True)
def test_receipts_that_were_cut(patient: Patient) -> None:
    for path in (patient.root / "receipts").glob("*/*.json"):
        path.write_bytes(path.read_bytes()[:40])
    patient.heals()


# --- clocks


@pytest.mark.slow(ci=True)
@pytest.mark.parametrize(
    "clock",
    [(-20 * YEAR_S, 1e9, 0.0), (20 * YEAR_S, 1e9, 0.0), (YEAR_S, 1.0, -YEAR_S)],
    ids=["behind", "ahead", "jumps back"],
)
def test_a_clock_that_jumps(patient: Patient, clock: tuple[float, float, float]) -> None:
    for tile in ("r000c001", "r001c001"):
        patient.undo("stack", tile)
    run = patient.start("run", clock=clock)
    while not lease.holders(patient.root):
        assert patient.home.ended(run) is None
    # neither is a lease that lives taken from a process with another clock, nor by one
    for other in ((0.0, 0.0, 0.0), (5 * YEAR_S, 1e9, 0.0)):
        second = Patient.at(patient.home, patient.folder / "second", patient.root)
        code, said = second.lsbatch("run", clock=other)
        if patient.home.ended(run) is None:
            assert (code, said[:9]) == (2, "lsbatch: "), said
            assert "is being written by another run" in said
    code, said = patient.says(run)
    assert code == 0, said
    told = json.loads((patient.root / "receipts" / "stack" / f"{TILE}.json").read_text())["finished"]
    assert abs(int(told[:4]) - time.gmtime().tm_year) in (1, 20)
    code, said = patient.lsbatch("run")
    assert " done (" not in said.replace("already done (", "")
    patient.heals()


@pytest.mark.slow(ci=True)
def test_files_of_any_age(patient: Patient) -> None:
    """A copy, a restored backup or a disk with another clock: what is done is told by contents."""
    for number, path in enumerate(sorted(patient.root.rglob("*"))):
        moment = time.time() + (-20, 20)[number % 2] * YEAR_S
        os.utime(path, (moment, moment))
    code, said = patient.lsbatch("run")
    assert code == 0
    assert said.count("already done") == 15
    patient.heals()


# --- what kills leave


@pytest.mark.slow(ci=True)
def test_what_a_kill_leaves_half_written_is_harmless(patient: Patient) -> None:
    root = patient.root
    patient.undo("mask/unet")
    shutil.rmtree(root / "cube.zarr" / "mask")
    for tile in ("r000c000", TILE):
        receipts.remove(root / "receipts", "clean", tile)
    for name in (
        "cube.zarr/zarr.1f.partial",
        "cube.zarr/.zarr-1f.json",
        "cube.zarr/stack/.zarr-1f.json",
        "cube.zarr/stack/preVV/.zarr-1f.json",
        "cube.zarr/stack/preVV/c/1/1.1f.partial",
        "receipts/clean/.r000c000-1f.json",
        "receipts/clean/.r000c000-2f.json",
        "lease/.all-1f.json",
        "parts/outline/.r000c000-1f.parquet",
        "inventory/.landslides-1f.gpkg",
        "inventory/.landslides-1f.gpkg-journal",
        "plan/.plan-1f.json",
        "plan/tiles/.r000c000-1f.json",
        "report/.report-1f.html",
        "stac/.catalog-1f.json",
    ):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text('{"stage": "cl')
    shutil.copyfile(root / "receipts" / "clean" / "r001c000.json", root / "receipts" / "clean" / ".r001c001-3f.json")
    for tile in ("r000c001", "r001c000"):
        receipts.remove(root / "receipts", "clean", tile)
    patient.heals()
    assert (
        "mask/unet" in json.loads((root / "cube.zarr" / "zarr.json").read_text())["consolidated_metadata"]["metadata"]
    )


@pytest.mark.slow(ci=True)
def test_a_receipt_that_never_got_its_name_counts_for_nothing(patient: Patient) -> None:
    """Killed between writing and renaming, it looks whole.

    After a retry or another change of settings it would be of other data.
    """
    folder = patient.root / "receipts"
    path = receipts.path(folder, "stack", TILE)
    shutil.copyfile(path, path.with_name(f".{TILE}-1f.json"))
    assert TILE in receipts.read_stage(folder, "stack")
    receipts.remove(folder, "stack", TILE)
    assert TILE not in receipts.read_stage(folder, "stack")
    holder = patient.root / "lease" / ".all-1f.json"
    holder.write_text(lease._text(lease.Holder("t", "all", "elsewhere pid", 1, 0.0, "2020-01-01")))
    assert lease.holders(patient.root) == []


@pytest.mark.slow(ci=True)
def test_a_kill_between_a_layer_and_the_list_of_layers(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    survey = open_survey(settings.load(patient.config))
    store, layer = patient.root / "again.zarr", mask("unet")

    class Killed(BaseException):
        pass

    def killed(store: Path, target: object) -> None:
        raise Killed

    monkeypatch.setattr(cube_listing, "consolidate", killed)
    with pytest.raises(Killed):
        cube.create(store, survey.grid, layer)
    monkeypatch.undo()
    cube.create(store, survey.grid, layer)
    assert cube.open_layer(store, layer.name).sizes == {"y": 256, "x": 256}


@pytest.mark.slow(ci=True)
def test_a_lease_on_a_full_disk_is_still_read(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    with lease.acquire(disk.path):
        disk.fill(0)
        assert [holder.pid for holder, _ in lease.holders(disk.path)] == [os.getpid()]
        with pytest.raises(file_system.WriteError, match=r"all\.json: cannot be written: No space left on device"):
            files.write_text(disk.path / "lease" / "all.json", "x")
    assert lease.holders(disk.path) == []
