"""Machine code of kernels is kept between processes: it is right, of one user alone, and never needed."""

import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lsbatch.kernels import compilation
from lsbatch.kernels.compilation import files as compiled_files
from tests.kernels import sample_kernels
from tests.laws import test_rooms as rooms

ROOT = Path(__file__).parents[2]
PROGRAM = "import sys; from tests.kernels import sample_kernels; sample_kernels.main(sys.argv[1:])"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty place for machine code; kernels made in this process afterwards use it as those of a new one would."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compiled_files._folder.cache_clear()
    yield tmp_path / "lsbatch" / "kernels"
    compiled_files._folder.cache_clear()


def files(home: Path) -> list[Path]:
    return sorted((home / compiled_files.key()).iterdir())


def started(home: Path, *numbers: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM, *map(str, numbers)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"XDG_CACHE_HOME": str(home.parents[1]), "PYTHONPATH": str(ROOT)},
    )


def printed(process: subprocess.Popen[str]) -> list[str]:
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    return text.splitlines()


def lines(number: int, n_loaded: int) -> str:
    whole, real = (1 + number) * 1000 + float(number), (1.0 + number) * 1000 + float(number)
    return f"{number} {whole} {real} {1 + number} {n_loaded}"


def test_the_next_user_of_a_kernel_loads_it(home: Path) -> None:
    first = sample_kernels.adder(3)
    assert first(1) == 4
    assert sample_kernels.loaded(first) == 0
    again = sample_kernels.adder(3)
    assert again(1) == 4
    assert sample_kernels.loaded(again) == 1
    assert again(1.5) == 4.5
    assert sample_kernels.loaded(again) == 1
    assert len(files(home)) == 2


def test_values_of_the_enclosing_function_make_kernels_of_their_own(home: Path) -> None:
    assert [sample_kernels.adder(number)(1) for number in (1, 2, 1.0, True)] == [2, 3, 2.0, 2]
    # an integer, a real number and a truth value are equal in Python, and not the same code
    assert len(files(home)) == 4
    assert [type(sample_kernels.adder(number)(1)) for number in (1, 1.0)] == [int, float]


def test_kernels_of_the_enclosing_function_are_named_by_their_own_values(home: Path) -> None:
    assert [sample_kernels.chain(number)(1) for number in (5, 7)] == [6005.0, 8007.0]
    again = sample_kernels.chain(7)
    assert again(1) == 8007.0
    assert sample_kernels.loaded(again) == 1
    # `outer` and `inner` of both; the inlined one is a part of `outer`
    assert len(files(home)) == 4


def test_a_function_as_an_argument_is_compiled_in_each_process(home: Path) -> None:
    one, two = sample_kernels.adder(1), sample_kernels.adder(2)
    assert (sample_kernels.applied(one, 1), sample_kernels.applied(two, 1)) == (2, 3)
    assert [path.name.partition("-")[0].split(".")[-1] for path in files(home)] == ["add", "add"]


def test_a_value_without_a_name_is_refused(home: Path) -> None:
    with pytest.raises(TypeError, match="cannot use a list of an enclosing function"):
        sample_kernels.lists([1, 2])(1)


def test_kernels_that_two_processes_compiled_work_together_in_a_third(home: Path) -> None:
    """numba numbers symbols from 1 in each process: with its own cache this gives 202 instead of 203."""
    for number in (1, 2):
        assert printed(started(home, number)) == [lines(number, 0)]
    one, two = sample_kernels.adder(1), sample_kernels.adder(2)
    assert sample_kernels.pair(one, two)(1) == 203
    assert sample_kernels.pair(two, one)(1) == 302
    assert sample_kernels.loaded(one) == sample_kernels.loaded(two) == 1
    assert printed(started(home, 1, 2)) == [lines(1, 2), lines(2, 2)]


def test_symbols_are_numbered_anew_after_a_fork() -> None:
    number = next(compilation.FunctionIdentity._unique_ids)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, str(next(compilation.FunctionIdentity._unique_ids)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert abs(int(os.read(read, 100)) - number) > 1000
    os.close(read)
    os.close(write)


def test_many_processes_at_once_give_the_same(home: Path) -> None:
    running = [started(home, *numbers) for numbers in [(1, 2), (2, 1), (1, 2), (2, 1)]]
    found = [printed(each) for each in running]
    assert {tuple(sorted(line.rpartition(" ")[0] for line in each)) for each in found} == {
        tuple(lines(number, 0).rpartition(" ")[0] for number in (1, 2))
    }
    names = [path.name for path in files(home)]
    assert not [name for name in names if name.startswith(".")]
    # for each number: outer and inner for two types, add for one
    assert len(names) == 10
    assert printed(started(home, 1, 2)) == [lines(1, 2), lines(2, 2)]


def damaged(content: bytes) -> dict[str, bytes]:
    return {
        "empty": b"",
        "cut": content[: len(content) // 2],
        "one byte": content[:200] + bytes([content[200] ^ 1]) + content[201:],
        "zeros": bytes(len(content)),
        "longer": content + b"more",
        "not a pickle": b"garbage" * 100,
    }


@pytest.mark.parametrize("kind", damaged(bytes(300)))
def test_a_damaged_file_is_compiled_again_and_replaced(home: Path, kind: str) -> None:
    assert sample_kernels.adder(3)(1) == 4
    [path] = files(home)
    path.write_bytes(damaged(path.read_bytes())[kind])
    again = sample_kernels.adder(3)
    assert again(1) == 4
    assert sample_kernels.loaded(again) == 0
    repaired = sample_kernels.adder(3)
    assert repaired(1) == 4
    assert sample_kernels.loaded(repaired) == 1


def test_a_file_with_the_code_of_another_kernel_is_not_run(home: Path) -> None:
    """Whole, but under the wrong name, as two equal digests would be."""
    assert sample_kernels.adder(3)(1) == 4
    [three] = files(home)
    assert sample_kernels.adder(5)(1) == 6
    [five] = set(files(home)) - {three}
    shutil.copyfile(five, three)
    again = sample_kernels.adder(3)
    assert again(1) == 4
    assert sample_kernels.loaded(again) == 0


def test_a_full_disk_stops_nothing(home: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    made = sample_kernels.adder(3)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        assert made(1) == 4
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files(home) == []


@pytest.mark.parametrize("kind", ["a file in the way", "a user without a home"])
def test_without_a_folder_every_process_compiles(home: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "a file in the way":
        home.parents[0].write_text("", encoding="utf-8")
    else:
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setattr(Path, "home", raises)
    for _ in range(2):
        made = sample_kernels.adder(3)
        assert made(1) == 4
        assert sample_kernels.loaded(made) == 0
    assert compiled_files.path() is None


def raises() -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_a_folder_that_others_can_write_is_not_used(home: Path) -> None:
    home.mkdir(parents=True)
    home.chmod(0o777)
    with pytest.warns(RuntimeWarning, match=f"{home}: compiled kernels are not kept, because other users can write"):
        assert sample_kernels.adder(3)(1) == 4
    assert list(home.iterdir()) == []


def test_a_folder_of_this_state_that_others_can_write_is_not_used(home: Path) -> None:
    folder = home / compiled_files.key()
    folder.mkdir(parents=True)
    folder.chmod(0o770)
    with pytest.warns(RuntimeWarning, match=compiled_files.key()):
        assert sample_kernels.adder(3)(1) == 4
    assert list(folder.iterdir()) == []


def test_a_folder_of_another_user_is_not_used(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir(parents=True)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.warns(RuntimeWarning, match="other users can write there"):
        assert sample_kernels.adder(3)(1) == 4
    assert list(home.iterdir()) == []


def test_a_link_is_not_followed(home: Path, tmp_path: Path) -> None:
    assert sample_kernels.adder(3)(1) == 4
    [path] = files(home)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    again = sample_kernels.adder(3)
    assert again(1) == 4
    assert sample_kernels.loaded(again) == 0


def test_a_file_of_another_user_is_not_loaded(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled_files.write("a", b"content")
    assert compiled_files.read("a") == b"content"
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert compiled_files.read("a") is None


def test_folders_are_closed_to_others(home: Path) -> None:
    compiled_files.write("a", b"content")
    assert [path.stat().st_mode & 0o777 for path in (home, home / compiled_files.key())] == [0o700, 0o700]
    assert files(home)[0].stat().st_mode & 0o777 == 0o600


def test_old_folders_are_removed_when_a_new_one_is_made(home: Path) -> None:
    home.mkdir(parents=True, mode=0o700)
    now = time.time()
    for age in range(30):
        (home / f"age{age}").mkdir()
        (home / f"age{age}" / "file").touch()
        os.utime(home / f"age{age}", (now - age * 86400 * 3,) * 2)
    compiled_files.write("a", b"content")
    kept = {path.name for path in home.iterdir()}
    # the newest, and of the others none older than 60 days
    assert kept == {f"age{age}" for age in range(15)} | {compiled_files.key()}


def test_no_folder_is_removed_for_its_age_while_it_is_used(home: Path) -> None:
    compiled_files.write("a", b"content")
    folder = home / compiled_files.key()
    os.utime(folder, (0, 0))
    compiled_files._folder.cache_clear()
    assert compiled_files.read("a") == b"content"
    assert time.time() - folder.stat().st_mtime < 60


def test_a_process_whose_folder_was_removed_compiles(home: Path) -> None:
    assert sample_kernels.adder(3)(1) == 4
    shutil.rmtree(home)
    assert sample_kernels.adder(3)(1) == 4
    assert sample_kernels.adder(4)(1) == 5
    assert not home.exists()


def test_a_renamed_folder_is_not_replaced_by_another(home: Path) -> None:
    """Who may rename folders above cannot give a running process other code."""
    compiled_files.write("a", b"content")
    shutil.move(home, home.with_name("moved"))
    folder = home / compiled_files.key()
    folder.mkdir(parents=True)
    (folder / "a").write_bytes((home.with_name("moved") / compiled_files.key() / "a").read_bytes()[:32] + b"other")
    assert compiled_files.read("a") == b"content"


def package(folder: Path, number: int) -> Path:
    """The kernels' room in a folder of its own, with a kernel that calls another one in another module."""
    target = folder / "lsbatch"
    shutil.copytree(ROOT / "lsbatch" / "kernels", target / "kernels", ignore=shutil.ignore_patterns("__pycache__"))
    (target / "__init__.py").touch()
    decorator = "from lsbatch.kernels.compilation import kernel\n"
    (target / "kernels" / "callee.py").write_text(f"{decorator}@kernel\ndef f(x):\n    return x + {number}\n")
    (target / "kernels" / "caller.py").write_text(
        f"{decorator}from lsbatch.kernels.callee import f\n@kernel\ndef g(x):\n    return f(x) * 10\n"
        "if __name__ != '__main__':\n    print(g(1), sum(g.stats.cache_hits.values()))\n"
    )
    return folder


def test_a_kernel_is_compiled_again_when_one_that_it_calls_has_changed(home: Path, tmp_path: Path) -> None:
    """numba's own cache looks only at the file of the kernel itself."""
    found = []
    for number in (1, 1, 2):
        shutil.rmtree(tmp_path / "p", ignore_errors=True)
        done = subprocess.run(
            [sys.executable, "-c", "import lsbatch.kernels.caller"],
            env=os.environ | {"PYTHONPATH": str(package(tmp_path / "p", number))},
            cwd=tmp_path, capture_output=True, text=True, check=True,
        )  # fmt: skip
        found.append(done.stdout.strip())
    assert found == ["20 0", "20 1", "30 0"]
    assert len(list(home.iterdir())) == 2


@pytest.fixture
def keys() -> Iterator[None]:
    """Keys are computed again in this test, and again after it."""
    compiled_files.key.cache_clear()
    yield
    compiled_files.key.cache_clear()


@pytest.mark.parametrize(
    ("name", "value", "changes"),
    [
        ("BOUNDSCHECK", 1, True), ("OPT", 1, True), ("CPU_NAME", "generic", True), ("NUMBA_NUM_THREADS", 77, False),
    ],
)  # fmt: skip
def test_options_of_numba_are_part_of_the_key(
    keys: None, name: str, value: object, changes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = compiled_files.key()
    compiled_files.key.cache_clear()
    monkeypatch.setattr(compiled_files.config, name, value)
    assert (compiled_files.key() != before) == changes


def test_the_processor_is_part_of_the_key(keys: None, monkeypatch: pytest.MonkeyPatch) -> None:
    before = compiled_files.key()
    compiled_files.key.cache_clear()
    monkeypatch.setattr(compiled_files, "_processor", lambda: ("x86_64", "z80", ""))
    assert compiled_files.key() != before


def test_all_kernels_are_compiled_in_one_place() -> None:
    users = {each.importer for each in rooms.imports(rooms.PACKAGE) if each.name.partition(".")[0] == "numba"}
    assert users == {"kernels.compilation", "kernels.compilation.files"}


def test_the_key_covers_all_sources_on_which_a_kernel_depends() -> None:
    outside = [
        str(each)
        for each in rooms.imports(rooms.PACKAGE)
        if rooms.room(each.importer) == "kernels" and each.own and rooms.room(each.name) != "kernels"
    ]
    assert outside == []
