"""Commands of lsbatch in processes of their own, which begin at once.

A fresh interpreter imports torch, distributed and geopandas for 6 s before a command does anything, and the tests start
some sixty. These processes are forked from one that has imported them already (multiprocessing's forkserver). All else
is as for a person: the program's own `main`, words, environment and folder; output in files; signals and exit code.
A fresh interpreter is started where that is what a test is about: imports, entry points, installations, workers.
"""

import atexit
import io
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, NoReturn

_FORKED = multiprocessing.get_context("forkserver")


class Program:
    """A program that runs, or has ended.

    Attributes
    ----------
    args : tuple of str
        Its name and words.
    process : Process
    """

    def __init__(self, args: tuple[str, ...], process: ForkServerProcess, folder: Path) -> None:
        self.args, self.process = args, process
        self._folder = folder
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def poll(self) -> int | None:
        """Exit code, negative for a signal; None while it runs."""
        return self.process.exitcode

    def send(self, number: int) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it by SIGKILL if it still runs."""
        self.process.kill()
        self.process.join()

    def line(self, seconds: float = 120.0) -> str:
        """The first line of its output, as soon as it is complete."""
        until = time.monotonic() + seconds
        while "\n" not in (said := self._said("out")):
            assert self.poll() is None, said + self._said("err")
            assert time.monotonic() < until, f"{self.args}: no line after {seconds} s"
            time.sleep(0.01)
        return said.partition("\n")[0] + "\n"

    def ended(self, seconds: float = 600.0) -> "subprocess.CompletedProcess[str]":
        """How it ended, and what it said."""
        self.process.join(seconds)
        code = self.poll()
        if code is None:
            self.kill()
            raise subprocess.TimeoutExpired(self.args, seconds, self._said("out"), self._said("err"))
        return subprocess.CompletedProcess(self.args, code, self._said("out"), self._said("err"))

    def _said(self, stream: str) -> str:
        return (self._folder / stream).read_text(encoding="utf-8")


def ready() -> None:
    """Start the process that others are forked from, if it does not run yet."""
    # Dask sets other modules when it is first asked for forked workers
    _FORKED.set_forkserver_preload(["tests.preloaded"])
    forkserver.ensure_running()


def start(*words: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Program:
    """Start ``lsbatch WORDS``.

    Parameters
    ----------
    *words : str
    env : mapping, optional
        The whole environment; this process's if None.
    cwd : Path, optional
    """
    return _started(_command, ("lsbatch", *words), env, cwd)


def run(
    *words: str, env: Mapping[str, str] | None = None, cwd: Path | None = None, seconds: float = 600.0
) -> "subprocess.CompletedProcess[str]":
    """Run ``lsbatch WORDS`` to its end."""
    return start(*words, env=env, cwd=cwd).ended(seconds)


def start_code(code: str, *words: str) -> Program:
    """Start ``python -c CODE WORDS``."""
    return _started(_Code(code), ("-c", *words), None, None)


class _Code:
    """Source text as a main function; of a class, because it must be pickled."""

    def __init__(self, code: str) -> None:
        self._code = code

    def __call__(self) -> None:
        exec(compile(self._code, "<string>", "exec"), {"__name__": "__main__"})


def _command() -> None:
    from lsbatch import cli

    cli.main()


def _started(
    main: Callable[[], None], args: tuple[str, ...], env: Mapping[str, str] | None, cwd: Path | None
) -> Program:
    # neither in the test's folder, which some tests search, nor where TMPDIR of the program is
    folder = Path(tempfile.mkdtemp(prefix="lsbatch-program-"))
    for stream in ("out", "err"):
        (folder / stream).touch()
    given = dict(os.environ if env is None else env)
    ready()
    process = _FORKED.Process(target=_be, args=(main, args, given, str(cwd or Path.cwd()), str(folder)))
    process.start()
    return Program(args, process, folder)


def _be(main: Callable[[], Any], args: tuple[str, ...], env: dict[str, str], cwd: str, folder: str) -> NoReturn:
    """Become the program."""
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    # chosen by this environment's TMPDIR when it is next needed
    tempfile.tempdir = None
    for stream, number in (("out", 1), ("err", 2)):
        os.dup2(os.open(f"{folder}/{stream}", os.O_WRONLY | os.O_APPEND), number)
    # buffered as of a process whose output is no terminal
    at_once = bool(env.get("PYTHONUNBUFFERED"))
    sys.stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w", closefd=False)), "utf-8", write_through=at_once)
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(io.FileIO(2, "w", closefd=False)), "utf-8", "backslashreplace", line_buffering=True
    )
    sys.argv = list(args)
    # as of a program in the foreground, also where the tests run in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)
    end_with(main)


def end_with(main: Callable[[], Any]) -> NoReturn:
    """Call a main function, and end as the interpreter would, but without taking its memory apart object by object.

    0.2 s instead of 1.4 s for a command.
    """
    code = 1
    try:
        main()
        code = 0
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
