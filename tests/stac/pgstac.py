"""A STAC API as archives run it: pgstac on PostgreSQL and PostGIS, served by stac-fastapi.

All of it thrown away after.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.servers import free_port

ROOT = Path(__file__).resolve().parents[2]
PG_BIN = Path("/usr/lib/postgresql/15/bin")
POSTGIS = Path("/usr/share/postgresql/15/extension/postgis.control")
REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def missing() -> str | None:
    """Why there can be no pgstac here; None if there can."""
    absent = [str(path) for path in (PG_BIN / "initdb", POSTGIS) if not path.exists()]
    return f"Debian's postgresql-15-postgis-3 is not installed: no {', '.join(absent)}" if absent else None


def environment() -> Path:
    """Commands of pypgstac and uvicorn, installed once for these requirements.

    Raises
    ------
    subprocess.CalledProcessError
        Where no package index can be reached.
    """
    constraints = ROOT / "constraints.txt"
    key = hashlib.blake2b(REQUIREMENTS.read_bytes() + constraints.read_bytes(), digest_size=6).hexdigest()
    folder = ROOT / "build" / f"pgstac-{key}"
    done = folder / "done"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [
            str(folder / "bin" / "python"),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-compile",
            "--disable-pip-version-check",
        ]
        subprocess.run(
            [*pip, "-c", str(constraints), "-r", str(REQUIREMENTS)], check=True, capture_output=True, text=True
        )
        done.touch()
    return folder / "bin"


@contextmanager
def database(
    commands: Path, folder: Path, collections: Sequence[dict[str, Any]], items: Sequence[dict[str, Any]]
) -> Iterator[dict[str, str]]:
    """A database that holds the items; gives the environment by which it is found."""
    with tempfile.TemporaryDirectory(prefix="lsbatch-pgstac-") as name:
        # PostgreSQL does not run as root, and pytest's folders are root's alone
        who = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if os.geteuid() == 0 else []
        if who:
            shutil.chown(name, "postgres")
        with _postgres(Path(name), who) as names:
            _fill(commands, folder, names, collections, items)
            yield names


@contextmanager
def _postgres(home: Path, who: Sequence[str]) -> Iterator[dict[str, str]]:
    port = free_port()

    def pg(name: str, *words: str) -> None:
        subprocess.run(
            [*who, "env", f"HOME={home}", str(PG_BIN / name), *words], check=True, stdout=subprocess.DEVNULL, cwd=home
        )

    quick = (
        f"-c listen_addresses=127.0.0.1 -p {port} -k {home} -c fsync=off -c synchronous_commit=off -c "
        "full_page_writes=off"
    )
    pg("initdb", "-D", str(home / "data"), "-A", "trust", "-U", "postgres", "--no-sync")
    pg("pg_ctl", "-D", str(home / "data"), "-w", "-o", quick, "-l", str(home / "log"), "start")
    try:
        pg("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "stac")
        yield {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(port),
            "PGUSER": "postgres",
            "PGPASSWORD": "unused",
            "PGDATABASE": "stac",
        }
    finally:
        pg("pg_ctl", "-D", str(home / "data"), "-m", "immediate", "stop")


def _fill(
    commands: Path,
    folder: Path,
    names: dict[str, str],
    collections: Sequence[dict[str, Any]],
    items: Sequence[dict[str, Any]],
) -> None:
    def pypgstac(*words: str) -> None:
        subprocess.run(
            [str(commands / "pypgstac"), *words], check=True, env=os.environ | names, capture_output=True, text=True
        )

    pypgstac("migrate")
    for kind, documents in (("collections", collections), ("items", items)):
        file = folder / f"{kind}.ndjson"
        file.write_text("\n".join(map(json.dumps, documents)), encoding="utf-8")
        pypgstac("load", kind, str(file), "--method", "upsert")


class Api:
    """stac-fastapi on such a database; can be killed and started again at the same address."""

    def __init__(self, commands: Path, names: dict[str, str], log: Path) -> None:
        self._commands, self._names, self._log = commands, names, log
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Returns when it answers."""
        command = [
            str(self._commands / "uvicorn"),
            "stac_fastapi.pgstac.app:create_app",
            "--factory",
            "--host",
            "127.0.0.1",
            "--port",
            str(self._port),
        ]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, env=os.environ | self._names, stdout=log, stderr=log)
        _wait(self._answers, f"stac-fastapi does not answer, see {self._log}")

    def kill(self) -> None:
        """As `kill -9`: connections break, and nobody listens."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError(f"stac-fastapi ended: {self._log.read_text(encoding='utf-8')}")
        try:
            with urllib.request.urlopen(self.url, timeout=5):
                return True
        except (urllib.error.URLError, ConnectionError):
            return False


def _wait(ready: Callable[[], bool], complaint: str) -> None:
    for _ in range(600):
        if ready():
            return
        time.sleep(0.05)
    raise RuntimeError(complaint)
