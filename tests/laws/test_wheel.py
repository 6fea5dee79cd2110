"""What is installed is whole: the wheel carries every file of the package and works away from the repository."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def pip(*args: str) -> None:
    """Run this environment's pip."""
    subprocess.run([sys.executable, "-m", "pip", "--quiet", *args], check=True, timeout=300)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as an index would get it."""
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
    return next(folder.glob("lsbatch-*.whl"))


def kept() -> set[str]:
    """Files of the package in the repository: code, templates, weights, model cards."""
    return {
        str(path.relative_to(ROOT))
        for path in (ROOT / "lsbatch").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }


def test_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == kept()


def test_wheel_carries_its_license_and_command(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    by_end = {name.rpartition(".dist-info/")[2]: name for name in archive.namelist() if ".dist-info/" in name}
    assert "licenses/LICENSE" in by_end
    assert b"lsbatch = lsbatch.cli:main" in archive.read(by_end["entry_points.txt"])


def test_installed_wheel_works_away_from_the_repository(wheel: Path, tmp_path: Path) -> None:
    # its own environment for lsbatch alone; the 2 GB that it needs are borrowed from this one
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True, timeout=120)
    python = tmp_path / "venv" / "bin" / "python"
    pip("--python", str(python), "install", "--no-deps", str(wheel))
    packages = next((tmp_path / "venv" / "lib").glob("python*/site-packages"))
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    command = str(python.with_name("lsbatch"))
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}

    def say(*args: str) -> str:
        done = subprocess.run(args, cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "demo" in say(command, "--help")
    assert say(command, "--version").startswith("lsbatch ")
    assert "survey:" in say(command, "config")
    assert say(str(python), "-c", "import lsbatch; print(lsbatch.__file__)").startswith(str(tmp_path))
    # every module can be imported from there
    modules = sorted(
        name.removesuffix(".py").replace("/", ".").removesuffix(".__init__") for name in kept() if name.endswith(".py")
    )
    assert say(str(python), "-c", f"import {', '.join(modules)}; print('all')") == "all\n"
