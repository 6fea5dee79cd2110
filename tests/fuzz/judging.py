"""Judge one input: an answer or one clear sentence is right, everything else is a fault."""

import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lsbatch.errors import LsbatchError

#: Seconds for one input.
LONGEST_S = 5.0
#: Characters of a sentence.
LONGEST_SENTENCE = 2000
#: What no message may hold; targets put it into addresses and into the environment.
SECRET = "hush-secret"
PACKAGE = re.compile(r"/lsbatch/(.+)$")

#: Where lsbatch keeps compiled kernels.
KERNELS = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").resolve() / "lsbatch" / "kernels"

Feed = Callable[[bytes], object]


@dataclass(frozen=True)
class Fault:
    """A fault of the program: what happened, and where in lsbatch, which together name it."""

    what: str
    where: str
    detail: str

    @property
    def name(self) -> str:
        """Return the name of the fault. Inputs with the same name are one fault."""
        return f"{self.what} in {self.where}"


class TooSlow(BaseException):
    """An input takes too long. Not an Exception, so that no code of lsbatch takes it for an error of its own."""


class Elsewhere(BaseException):
    """Code writes outside of its folder, starts a program or asks the network."""


def judge(feed: Feed, data: bytes, limit_s: float = LONGEST_S) -> Fault | None:
    """Return the fault that an input causes; None if it gets an answer or a sentence."""
    try:
        with _limited(limit_s):
            feed(data)
    except LsbatchError as error:
        return _of_sentence(str(error), error)
    except (Exception, TooSlow, Elsewhere) as error:
        return Fault(type(error).__name__, _where(error), "".join(traceback.format_exception(error))[-6000:])
    return None


def _of_sentence(text: str, error: LsbatchError) -> Fault | None:
    """Return the fault of a sentence: it has a secret, or cannot be printed."""
    faults = {
        "secret in a message": SECRET in text,
        "message that is not printable": not text.isprintable() or not text.strip(),
        "message that is too long": len(text) > LONGEST_SENTENCE,
    }
    what = next((name for name, is_so in faults.items() if is_so), None)
    return None if what is None else Fault(what, _where(error), text[:500])


def _where(error: BaseException) -> str:
    """Return the innermost line of lsbatch in a traceback; without one, the innermost line of all."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [one for one in frames if PACKAGE.search(one.filename)]
    if not ours:
        return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
    match = PACKAGE.search(ours[-1].filename)
    assert match
    return f"lsbatch/{match[1]}:{ours[-1].name}"


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise TooSlow after so many seconds. Native code is not interrupted; the campaign ends its process."""

    def stop(number: int, frame: object) -> None:
        raise TooSlow(f"more than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Guard:
    """Watch what the interpreter does: files written, programs, connections.

    An audit hook cannot be removed, so there is one a process; it acts only while `folder` is set.
    """

    def __init__(self) -> None:
        self.folder: Path | None = None
        sys.addaudithook(self._heard)

    @contextmanager
    def around(self, folder: Path) -> Iterator[None]:
        """Allow writing in one folder only."""
        self.folder = folder.resolve()
        try:
            yield
        finally:
            self.folder = None

    def _heard(self, event: str, facts: tuple[Any, ...]) -> None:
        if self.folder is None:
            return
        if event in ("os.system", "subprocess.Popen", "os.exec"):
            raise Elsewhere(f"{event} {facts!r}"[:300])
        if event == "socket.connect" and isinstance(facts[1], tuple) and facts[1][0] != "127.0.0.1":
            raise Elsewhere(f"connects to {facts[1]!r}")
        for name in _written(event, facts):
            # relative names are relative to a folder that is open
            if isinstance(name, str | bytes | os.PathLike) and not self._allows(Path(os.fsdecode(name))):
                raise Elsewhere(f"{event} {name!r}")

    def _allows(self, name: Path) -> bool:
        assert self.folder is not None
        path = Path(os.path.realpath(name))
        return not name.is_absolute() or any(path.is_relative_to(one) for one in (self.folder, KERNELS, "/dev/null"))


def _written(event: str, facts: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the files that an event of the interpreter writes, makes, renames or removes."""
    if event == "open":
        mode, flags = facts[1], facts[2]
        writes = isinstance(mode, str) and set(mode) & set("wax+")
        writes = writes or (isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        return facts[:1] if writes else ()
    if event in ("os.rename", "os.link", "os.symlink"):
        return facts[:2]
    return facts[:1] if event in ("os.mkdir", "os.remove", "os.rmdir", "os.truncate", "shutil.rmtree") else ()


GUARD = Guard()
