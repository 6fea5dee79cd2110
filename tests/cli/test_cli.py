"""The command line as a person meets it: exit codes, one clear sentence, never a traceback, nothing lost."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
import yaml
from typer.core import TyperGroup

from lsbatch.bands import FURTHER
from lsbatch.catalog.survey import Survey
from lsbatch.cli import program
from tests import programs, surveys


def lsbatch(*words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command as a person would, in a process of its own."""
    return programs.run(*words, env=os.environ | (env or {}), seconds=300)


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """One sentence that holds the words, exit code 2, no traceback."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("lsbatch: ")
    for word in words:
        assert word in done.stderr


def changed(country: Path, path: Path, **changes: object) -> Path:
    """Settings of the country with changes, beside it so that its paths hold."""
    config = surveys.configured(country, path.parent / f"{path.stem}-survey", **changes)
    raw = json.loads(config.model_dump_json())
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    return path


def test_help_imports_nothing_heavy() -> None:
    """--help has to answer in under a second; time depends on the machine, imports do not."""
    code = (
        "import sys, lsbatch.cli; print(*{'numpy', 'torch', 'dask', 'xarray', 'rasterio', 'pydantic', 'shapely'} & "
        "sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
    # by a fresh interpreter, as all commands are started
    done = subprocess.run([sys.executable, "-m", "lsbatch.cli", "--help"], capture_output=True, text=True, check=True)
    for command in ("demo", "simulate", "plan", "run", "status", "train", "evaluate", "catalog", "config"):
        assert command in done.stdout


def test_a_shell_completes_the_names_of_commands() -> None:
    """As the script of `--show-completion` asks for them when the tab key is pressed."""
    done = lsbatch("--show-completion", "bash", env={"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"})
    assert done.returncode == 0
    assert "_LSBATCH_COMPLETE=complete_bash" in done.stdout
    words = {"_LSBATCH_COMPLETE": "complete_bash", "COMP_WORDS": "lsbatch re", "COMP_CWORD": "1"}
    assert lsbatch(env=words).stdout.split() == ["review", "retry"]


def test_the_driver_of_a_survey_needs_no_torch() -> None:
    """It takes 190 MB and 3 s, and the workers apply the networks."""
    code = (
        "import sys; from lsbatch.commands import run; from lsbatch.models import base; from lsbatch.settings import "
        "PredictSettings; card = base.card(base.named('package:unet-s1vv_s2')); "
        "base.families.of_card(card).check(card, PredictSettings()); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("bands", ["SWIR", "SWIR1,SWIR1", "SWIR1,"])
def test_simulate_names_the_further_bands_that_it_can_write(tmp_path: Path, bands: str) -> None:
    allowed = ", ".join(FURTHER)
    done = lsbatch("simulate", str(tmp_path / "x"), "--bands", bands, env={"COLUMNS": "400"})
    assert done.returncode == 2
    assert f"{bands!r} is not a list of different bands among {allowed}" in done.stderr
    assert allowed in " ".join(lsbatch("simulate", "--help", env={"COLUMNS": "400"}).stdout.split())


def test_config_prints_settings_that_load(tmp_path: Path) -> None:
    done = lsbatch("config")
    assert done.returncode == 0
    path = tmp_path / "example.yaml"
    path.write_text(done.stdout, encoding="utf-8")
    again = lsbatch("config", str(path))
    assert again.returncode == 0
    assert yaml.safe_load(again.stdout)["survey"] == yaml.safe_load(done.stdout)["survey"]


def test_unknown_key_and_missing_file(country: Path, tmp_path: Path) -> None:
    raw = yaml.safe_load(country.read_text(encoding="utf-8")) | {"treshold": 0.5}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    refused(lsbatch("run", str(path)), "treshold", "not a setting", "clean")
    refused(lsbatch("run", str(tmp_path / "none.yaml")), "none.yaml", "No such file")


def test_crs_in_degrees(country: Path, tmp_path: Path) -> None:
    raw = yaml.safe_load(country.read_text(encoding="utf-8"))
    raw["grid"]["crs"] = "EPSG:4326"
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    refused(lsbatch("plan", str(path)), "grid.crs", "EPSG:4326", "metres")


def test_year_with_no_scenes(country: Path, tmp_path: Path) -> None:
    path = changed(country, tmp_path / "c.yaml", survey={"year": 2031})
    refused(lsbatch("run", str(path)), "sentinel", "2030-06-20", "2030-09-10")


def test_region_outside_the_archive(country: Path, tmp_path: Path) -> None:
    path = changed(country, tmp_path / "c.yaml", region={"bounds": [100000.0, 6500000.0, 101000.0, 6501000.0]})
    refused(lsbatch("plan", str(path)), "no scene")


def test_unreachable_catalogue(country: Path, tmp_path: Path) -> None:
    archives = {
        "sentinel2": {"preset": "stac", "url": "http://127.0.0.1:9/stac", "collections": ["sentinel-2-l2a"]},
        "attempts": 1,
    }
    path = changed(country, tmp_path / "c.yaml", archives=archives)
    refused(lsbatch("plan", str(path)), "http://127.0.0.1:9/stac")


def test_catalogue_that_is_none(country: Path, tmp_path: Path) -> None:
    page = tmp_path / "catalog.json"
    page.write_text("<html>moved</html>", encoding="utf-8")
    archives = {"sentinel2": {"preset": "local", "url": str(page), "collections": ["x"]}}
    refused(lsbatch("plan", str(changed(country, tmp_path / "c.yaml", archives=archives))), "catalog.json")


def test_weights_for_other_bands_and_pickles(country: Path, tmp_path: Path) -> None:
    path = changed(country, tmp_path / "c.yaml", bands="s2", model={"weights": "package:unet-s1vv_s2"})
    refused(lsbatch("run", str(path)), "preVV", "postNIR")
    evil = tmp_path / "weights.safetensors"
    evil.write_bytes(b"\x80\x04cos\nsystem\n(S'touch /tmp/owned'\ntR.")
    path = changed(country, tmp_path / "d.yaml", model={"weights": str(evil)})
    refused(lsbatch("run", str(path)), "safetensors")
    path = changed(country, tmp_path / "e.yaml", model={"weights": "package:../../secret"})
    refused(lsbatch("run", str(path)), "package:")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
@pytest.mark.slow
def test_full_disk_fails_tiles_and_heals(country: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("tmpfs cannot be mounted here")
    try:
        path = changed(country, tmp_path / "c.yaml")
        raw = yaml.safe_load(path.read_text(encoding="utf-8")) | {"output": str(disk / "survey")}
        path.write_text(yaml.safe_dump(raw), encoding="utf-8")
        done = lsbatch("run", str(path), "--until", "stack")
        assert done.returncode in (1, 2)
        assert "Traceback" not in done.stderr
        assert "No space left" in done.stdout + done.stderr
        subprocess.run(["mount", "-o", "remount,size=200m", str(disk)], check=True, capture_output=True)
        # three tries in vain: they wait for a person
        assert lsbatch("retry", str(path), "--all").returncode == 0
        again = lsbatch("run", str(path), "--until", "stack")
        assert again.returncode == 0, again.stdout + again.stderr
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs a file system that nobody may write to")
def test_read_only_output(country: Path, tmp_path: Path) -> None:
    path = changed(country, tmp_path / "c.yaml")
    raw = yaml.safe_load(path.read_text(encoding="utf-8")) | {"output": "/proc/lsbatch-survey"}
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    refused(lsbatch("run", str(path)), "/proc/lsbatch-survey", "cannot be written")


def test_store_of_another_grid_is_kept(done_survey: Survey, country: Path, tmp_path: Path) -> None:
    survey = surveys.copy_survey(done_survey, tmp_path / "c-survey")
    before = surveys.whole(survey, surveys.STACK)["preVV"]
    path = changed(country, tmp_path / "c.yaml", grid={"tile_px": 512})
    refused(lsbatch("run", str(path)), "another", "output")
    assert (surveys.whole(survey, surveys.STACK)["preVV"] == before).all()


def test_truncated_cog_is_left_out_and_named(country: Path, tmp_path: Path) -> None:
    folder = tmp_path / "country"
    shutil.copytree(country.parent, folder)
    victim = next((folder / "catalog" / "sentinel-1-rtc").glob("*2020*_044_rtc/vv.tif"))
    victim.write_bytes(victim.read_bytes()[: victim.stat().st_size // 3])
    path = changed(folder / "config.yaml", tmp_path / "c.yaml")
    done = lsbatch("run", str(path), "--until", "stack")
    assert done.returncode == 0, done.stdout + done.stderr
    assert victim.parent.name in done.stdout
    receipts = [json.loads(p.read_text()) for p in (tmp_path / "c-survey" / "receipts" / "stack").glob("*.json")]
    assert receipts
    for receipt in receipts:
        assert any(victim.parent.name in line for line in receipt["dropped"])
        assert victim.parent.name not in receipt["scenes"]


def test_status_and_evaluate(done_survey: Survey, country: Path, tmp_path: Path) -> None:
    surveys.copy_survey(done_survey, tmp_path / "c-survey")
    path = changed(country, tmp_path / "c.yaml")
    done = lsbatch("status", str(path))
    assert done.returncode == 0, done.stderr
    assert "report" in done.stdout
    done = lsbatch("evaluate", str(path), "--json")
    found = json.loads(done.stdout)
    assert {"tp", "fp", "fn", "tn", "precision", "recall", "f1", "mcc", "prevalence", "surveyed_km2"} <= found.keys()
    assert found["tp"] + found["fp"] + found["fn"] + found["tn"] == pytest.approx(found["surveyed_km2"] * 1e4)


@pytest.mark.slow
def test_kill_and_run_again(done_survey: Survey, country: Path, tmp_path: Path) -> None:
    """A run that is killed with -9 in the middle is gone on with, and ends with the same pixels."""
    path = changed(country, tmp_path / "c.yaml")
    command = [sys.executable, "-m", "lsbatch.cli", "run", str(path), "--until", "clean"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    folder = tmp_path / "c-survey" / "receipts" / "stack"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not list(folder.glob("*.json")):
        time.sleep(0.05)
    process.kill()
    process.wait()
    left = len(list(folder.glob("*.json")))
    assert 1 <= left <= len(done_survey.positions)
    done = lsbatch("run", str(path), "--until", "clean")
    assert done.returncode == 0, done.stdout + done.stderr
    again = Survey(
        done_survey.config.model_copy(update={"output": tmp_path / "c-survey"}), done_survey.grid, done_survey.positions
    )
    found = surveys.whole(again, surveys.STACK)
    for name, values in surveys.whole(done_survey, surveys.STACK).items():
        assert (found[name] == values).all(), name


#: Marks that rich may take for markup: brackets, and backticks.
MARKED = re.compile(r"[\w.-]*\\?\[[^\]\n]+\]|`[^`\n]+`")


def test_help_loses_nothing_to_markup() -> None:
    """Every word in brackets or backticks in the source of a help text is in the printed help, of every command."""
    group = typer.main.get_command(program.app)
    assert isinstance(group, TyperGroup)
    words = {
        name: set(MARKED.findall(command.callback.__doc__ or ""))
        | {word for one in command.params for word in MARKED.findall(getattr(one, "help", None) or "")}
        for name, command in group.commands.items()
    }
    assert {name for name, found in words.items() if found} >= {"geocode", "export"}
    for name, found in words.items():
        printed = (
            "".join(lsbatch(name, "--help", env={"COLUMNS": "200", "NO_COLOR": "1"}).stdout.split()) if found else ""
        )
        for word in found:
            assert "".join(word.replace("\\[", "[").split()) in printed, (name, word)
