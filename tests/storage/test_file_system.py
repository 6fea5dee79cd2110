"""File systems that lack something: locks, links, modes, room; and a lock whose holder stands still."""

import errno
import fcntl
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import geopandas as gpd
import pytest
import shapely

from lsbatch.errors import LsbatchError
from lsbatch.storage import file_system, files, journal, lease, vectors
from tests.chaos import file_systems

#: Holds a lock until it is killed.
HOLDER = """
import fcntl, sys, time
file = open(sys.argv[1], "a")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(600)
"""
#: What a survey does with its folder, in one program, because it imports for seconds.
DAILY_WORK = """
import sys
from pathlib import Path
import geopandas as gpd, shapely
from lsbatch.errors import LsbatchError
from lsbatch.storage import file_system, files, geometries, journal, lease, vectors
files.SETTLE_S = 0.1
here = Path.cwd()
try:
    with lease.acquire(here) as hold:
        hold.check()
        try:
            with lease.acquire(here):
                print("TWO WRITERS")
        except LsbatchError as error:
            print("second:", "is being written by another run" in str(error))
    files.write_json(here / "receipts" / "a.json", {"a": 1})
    print("receipt:", files.read_text(here / "receipts" / "a.json").strip() != "")
    print("answer:", journal.append(here / "answers.jsonl", {"a": 1}))
    frame = gpd.GeoDataFrame({"a": [1]}, geometry=[shapely.box(0, 0, 9, 9)], crs="EPSG:25833")
    vectors.write_geopackage(here / "x.gpkg", frame, "x")
    print("polygons:", len(geometries.read_vector(here / "x.gpkg", "EPSG:25833")))
except LsbatchError as error:
    print("refused:", error)
print(file_system.probe(here))
"""
ALL_WELL = "second: True\nreceipt: True\nanswer: True\npolygons: 1\n"


#: Reading where every file is stale when it is first opened.
STALE_WORK = """
from pathlib import Path
from lsbatch.storage import files, journal, lease
here = Path.cwd()
with lease.acquire(here) as hold:
    hold.check()
for name in "abc":
    files.write_json(here / "receipts" / f"{name}.json", {"a": 1})
print(files.read_text(here / "receipts" / "a.json").split(), len(files.read_folder(here / "receipts", ".json")))
with files.opened(here / "receipts" / "b.json") as file:
    print(len(file.read()))
print(journal.append(here / "answers.jsonl", {"a": 1}), journal.read(here / "answers.jsonl"))
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library of faults."""
    return file_systems.library(tmp_path_factory.mktemp("library"))


@contextmanager
def holder(path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that holds a lock."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("faults", "found"),
    [
        ("nolock", "locks=False, record_locks=False, symlinks=True"),
        ("nolink", "locks=True, record_locks=True, symlinks=False"),
        ("squash", "renames=True, locks=True"),
        ("folded", "folds_case=True"),
        ("short=143", "longest_name=143"),
    ],
)
def test_daily_work_goes_on(library: Path, tmp_path: Path, faults: str, found: str) -> None:
    done = file_systems.python(library, tmp_path, faults, "-c", DAILY_WORK)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(ALL_WELL), done.stdout + done.stderr
    assert found in done.stdout
    # what was written there is as if there had been no fault
    frame = gpd.read_file(tmp_path / "x.gpkg")
    assert (len(frame), frame.geometry.iloc[0].area) == (1, 81.0)
    assert not list(tmp_path.glob(".*")), "something is left behind"


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        ("readonly", "Read-only file system"),
        ("quota=0", "Disk quota exceeded"),
        ("full=0", "No space left on device"),
        ("norename", "Operation not permitted"),
    ],
)
def test_what_cannot_be_written_is_told_in_a_sentence(library: Path, tmp_path: Path, faults: str, reason: str) -> None:
    done = file_systems.python(library, tmp_path, faults, "-c", DAILY_WORK)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"refused: {tmp_path}/lease/"), done.stdout
    assert f": cannot be written: {reason}\n" in done.stdout
    assert "Traceback" not in done.stderr


def test_stale_files_are_opened_again(library: Path, tmp_path: Path) -> None:
    done = file_systems.python(library, tmp_path, "stale=1", "-c", STALE_WORK)
    assert done.returncode == 0, done.stderr
    assert done.stdout == """['{', '"a":', '1', '}'] 3\n12\nTrue [{'a': 1}]\n"""


def test_geopackages_where_no_folder_has_locks(library: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = file_systems.python(library, tmp_path, "nolock", "-c", DAILY_WORK, TMPDIR=str(scratch))
    assert done.returncode == 0, done.stderr
    assert f"neither this folder nor {scratch} has any; set TMPDIR to a folder on a local disk" in done.stdout


def test_a_lock_whose_holder_stands_still_ends_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_system, "LOCK_S", 0.2)
    path = tmp_path / "lease" / ".lock"
    path.parent.mkdir()
    with holder(path) as process:
        process.send_signal(signal.SIGSTOP)
        with (
            pytest.raises(LsbatchError, match=r"lease/\.lock: cannot be written: another process has held its lock"),
            lease.acquire(tmp_path),
        ):
            pass
    assert lease.holders(tmp_path) == []


def test_a_lock_that_is_released_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with path.open("a") as first, path.open("a") as second:
        assert file_system.lock(first, path)
        threading.Timer(0.3, fcntl.flock, (first, fcntl.LOCK_UN)).start()
        assert file_system.lock(second, path)


def test_a_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with holder(path):
        pass
    with path.open("a") as file:
        assert file_system.lock(file, path)


def _refused(*arguments: object) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


def test_without_locks_the_last_of_two_writers_is_believed_by_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", _refused)
    monkeypatch.setattr(files, "SETTLE_S", 0.5)
    path, together, told = tmp_path / "all.json", threading.Barrier(2), {}

    def claim(name: str) -> None:
        def change(now: str | None) -> str:
            # both have seen that it is free
            together.wait(10)
            return name

        told[name] = files.swap(path, change)

    threads = [threading.Thread(target=claim, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told["one"] == told["two"] == path.read_text()


def test_answers_of_threads_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", _refused)
    path = tmp_path / "answers.jsonl"

    def write(name: int) -> None:
        for number in range(20):
            journal.append(path, {"of": name, "number": number})

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(journal.read(path)) == 80


def _as_nobody(act: Callable[[], str]) -> str:
    """Return what a function returns in a process of a user who owns nothing; only root may start one."""
    if os.geteuid():
        pytest.skip("only root can become another user")
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            answer = act()
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        os.write(writer, json.dumps(answer).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    with os.fdopen(reader) as pipe:
        return str(json.loads(pipe.read()))


def test_a_folder_of_another_user() -> None:
    """As with umask 027, and for root with root_squash: others read, and a sentence says that they cannot write."""
    # not tmp_path, above which others may not look
    with tempfile.TemporaryDirectory() as name, lease.acquire(home := Path(name) / "s"):
        for folder in (home.parent, home, home / "lease"):
            folder.chmod(folder.stat().st_mode | stat.S_IRUSR | 0o055)

        def look() -> str:
            return str(len(lease.holders(home)))

        def take() -> str:
            with lease.acquire(home, (1, 2)):
                return "taken"

        def write() -> str:
            files.write_text(home / "lease" / "b.json", "x")
            return "written"

        assert _as_nobody(look) == "1"
        assert _as_nobody(take).endswith("/lease/1-of-2.json: cannot be written: Permission denied")
        assert _as_nobody(write).endswith("/lease/b.json: cannot be written: Permission denied")


def test_names_of_a_survey_differ_beyond_case(done_survey) -> None:  # type: ignore[no-untyped-def]
    root = done_survey.workspace.root
    names = [path.relative_to(root).as_posix() for path in root.rglob("*")]
    assert len({name.casefold() for name in names}) == len(names)
    # written aside, a name has 34 more bytes; encrypted folders allow 143
    assert max(len(Path(name).name.encode()) for name in names) + 34 < 143


def test_a_database_is_copied_only_where_it_must_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = gpd.GeoDataFrame({"a": [1]}, geometry=[shapely.box(0, 0, 9, 9)], crs="EPSG:25833")
    path = tmp_path / "x.gpkg"
    vectors.write_geopackage(path, frame, "x")
    assert files.on_disk(path) == path
    monkeypatch.setattr(fcntl, "lockf", _refused)
    copy = files.on_disk(path)
    assert copy != path
    assert copy.read_bytes() == path.read_bytes()
    assert files.on_disk(path) == copy
    assert files.on_disk(tmp_path / "missing.gpkg") == tmp_path / "missing.gpkg"
