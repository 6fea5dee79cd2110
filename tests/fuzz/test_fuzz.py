"""Damaged inputs at every boundary: an answer or one sentence. The campaign tries more of them (docs/security.md)."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import strategies as st

from lsbatch.errors import ConfigError
from tests.fuzz.campaign import FOUND
from tests.fuzz.explore import Found, explore
from tests.fuzz.judging import GUARD, SECRET, judge
from tests.fuzz.targets import TARGETS, make
from tests.fuzz.targets.target import Target

# numpy and GDAL warn of odd values; that is no fault of the input's reader
pytestmark = pytest.mark.filterwarnings("ignore")

#: Inputs of each target. Enough to keep the targets working; the campaign tries thousands.
MOST = 12
#: Seconds for one input: the first one compiles kernels and imports libraries.
LIMIT_S = 120.0


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_inputs(name: str, tmp_path: Path) -> None:
    found = Found()
    explore(make(name, tmp_path), tmp_path, found, most=MOST, limit_s=LIMIT_S)
    assert found.tried == MOST
    assert {fault: detail for fault, (detail, _) in found.faults.items()} == {}


@pytest.mark.parametrize("name", sorted(path.name for path in FOUND.iterdir()))
def test_inputs_that_showed_a_fault(name: str, tmp_path: Path) -> None:
    target = make(name, tmp_path)
    for path in sorted((FOUND / name).iterdir()):
        with GUARD.around(tmp_path):
            assert judge(target.feed, path.read_bytes(), LIMIT_S) is None, path


# The judge: each kind of fault is seen


def refuses(data: bytes) -> None:
    raise ConfigError(f"config.yaml: {data!r}: is wrong; correct it")


def fails(data: bytes) -> None:
    raise KeyError(data)


def tells_a_secret(data: bytes) -> None:
    raise ConfigError(f"https://user:{SECRET}@example.org: does not answer")


def tells_too_much(data: bytes) -> None:
    raise ConfigError("x" * 5000)


def waits(data: bytes) -> None:
    time.sleep(60)


def swallows(data: bytes) -> None:
    try:
        time.sleep(60)
    except Exception:
        return


def writes_elsewhere(data: bytes) -> None:
    Path("/tmp/lsbatch-fuzz-elsewhere").write_bytes(data)


def makes_a_folder_elsewhere(data: bytes) -> None:
    Path("/tmp/lsbatch-fuzz-elsewhere").mkdir()


def starts_a_program(data: bytes) -> None:
    import subprocess

    subprocess.run(["true"], check=True)


def asks_the_network(data: bytes) -> None:
    import socket

    socket.create_connection(("192.0.2.1", 80), timeout=0.1)


FAULTS: dict[Callable[[bytes], None], str | None] = {
    refuses: None,
    len: None,  # type: ignore[dict-item]
    fails: "KeyError",
    tells_a_secret: "secret in a message",
    tells_too_much: "message that is too long",
    waits: "TooSlow",
    swallows: "TooSlow",
    writes_elsewhere: "Elsewhere",
    makes_a_folder_elsewhere: "Elsewhere",
    starts_a_program: "Elsewhere",
    asks_the_network: "Elsewhere",
}


@pytest.mark.parametrize(("feed", "what"), list(FAULTS.items()), ids=lambda value: getattr(value, "__name__", None))
def test_judge(feed: Callable[[bytes], None], what: str | None, tmp_path: Path) -> None:
    with GUARD.around(tmp_path):
        fault = judge(feed, b"x", 0.2)
    assert (fault and fault.what) == what
    assert not Path("/tmp/lsbatch-fuzz-elsewhere").exists()
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_faults_are_told_apart_and_made_small(tmp_path: Path) -> None:
    def feed(data: bytes) -> None:
        if len(data) > 3 and data[:1] == b"a":
            raise KeyError(data)
        if len(data) > 5:
            raise ZeroDivisionError

    found = Found()
    target = Target(st.binary(max_size=40) | st.binary(max_size=40).map(lambda data: b"a" + data), (), feed)
    explore(target, tmp_path, found, most=2000)
    assert {fault.what: len(data) for fault, data in found.faults.values()} == {"KeyError": 4, "ZeroDivisionError": 6}
