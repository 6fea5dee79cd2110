"""The public interface: `import lsbatch`, `open_survey`, its properties, `run`, and the notebook in the docs."""

import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
import xarray as xr
from distributed import Client, LocalCluster
from nbclient import NotebookClient

import lsbatch
from lsbatch import settings
from lsbatch.catalog.survey import Survey
from lsbatch.commands import run as run_command
from lsbatch.engine import execution
from lsbatch.errors import ConfigError, LsbatchError, NoDataError
from lsbatch.pipeline.types import Block
from lsbatch.settings import to_yaml
from lsbatch.storage.workspace import Workspace
from tests import surveys

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs" / "first-survey.ipynb"


def test_import_is_quick_and_loads_no_heavy_library() -> None:
    """`import lsbatch` takes 0.03 s (asked 0.2): no test times it, this one looks at what makes it slow."""
    code = "import lsbatch, sys; print(*sorted(name.partition('.')[0] for name in sys.modules))"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert "lsbatch" in loaded
    assert loaded & {"numpy", "xarray", "dask", "geopandas", "torch", "pydantic", "rich", "typer", "numba"} == set()


def test_names_of_the_public_interface() -> None:
    assert {"open_survey", "run", "kernels", "OpenSurvey"} <= set(dir(lsbatch))
    for name in lsbatch.__all__:
        assert getattr(lsbatch, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'open_surveys'"):
        lsbatch.open_surveys  # noqa: B018
    with pytest.raises(AttributeError, match="has no attribute 'speckles'"):
        lsbatch.kernels.speckles  # noqa: B018
    code = "import lsbatch, numpy as np; print(lsbatch.kernels.speckle.lee(np.ones((9, 9), np.float32), 3, 4.0).mean())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "1.0"


def test_the_package_is_typed(tmp_path: Path) -> None:
    """A notebook user's type checker sees the types of the public interface."""
    script = tmp_path / "use.py"
    script.write_text("import lsbatch\nreveal_type(lsbatch.open_survey('a').stack)\nreveal_type(lsbatch.run('a'))\n")
    # other libraries than these two say nothing about the types asked for, and take a minute to be read
    config = tmp_path / "mypy.ini"
    config.write_text("[mypy]\nfollow_imports = skip\n[mypy-lsbatch.*,xarray.*]\nfollow_imports = normal\n")
    command = [sys.executable, "-m", "mypy", "--config-file", str(config), "--cache-dir", str(tmp_path / "cache")]
    command.append(str(script))
    found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert 'Revealed type is "xarray.core.dataset.Dataset"' in found.stdout, found.stdout + found.stderr
    assert 'Revealed type is "int"' in found.stdout.replace("builtins.int", "int")


def test_layers_are_lazy_and_labelled(done_survey: Survey) -> None:
    survey = lsbatch.open_survey(done_survey.config)
    stack = survey.stack
    assert isinstance(stack, xr.Dataset)
    assert stack.rio.crs.to_epsg() == 25833
    assert all(stack[name].chunks is not None for name in stack.data_vars)
    whole = surveys.whole(done_survey, surveys.STACK)
    assert stack["dNDVI"].shape == whole["dNDVI"].shape
    probability, mask = survey.probability, survey.mask
    assert probability.dims == mask.dims == ("y", "x")
    assert probability.chunks is not None
    assert 0 <= float(probability.min()) <= float(probability.max()) <= 1
    assert set(np.unique(mask.values[~np.isnan(mask.values)])) <= {0, 1}


def test_landslides_are_the_inventory(done_survey: Survey) -> None:
    landslides = lsbatch.open_survey(done_survey.config).landslides
    assert len(landslides) > 5
    assert landslides.crs.to_epsg() == 25833
    assert (landslides["date_earliest"] < landslides["date_latest"]).all()
    assert landslides["date_latest"].dt.year.unique().tolist() == [2020]
    assert landslides["area_m2"].sum() == pytest.approx(landslides.area.sum(), rel=1e-3)  # areas are geodesic


def test_tiles_tell_what_was_done(done_survey: Survey) -> None:
    tiles = lsbatch.open_survey(done_survey.config).tiles
    assert len(tiles) == len(done_survey.positions)
    assert (tiles["status"] == "done").all()
    assert tiles["stage"].isna().all()
    assert (tiles["seconds"] > 0).all()
    assert (tiles["scenes"] > 10).all()
    assert tiles["tp"].sum() > 0
    assert tiles["mcc"].dropna().between(-1, 1).all()
    outline = done_survey.tile(done_survey.positions[-1]).geobox.extent.geom
    assert tiles.geometry.iloc[-1].equals(outline)


def test_tiles_tell_what_is_pending_and_what_failed(
    planned_survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    survey = surveys.copy_survey(planned_survey, tmp_path / "s")
    opened = lsbatch.open_survey(survey.config)
    assert (opened.tiles["status"] == "pending").all()
    assert (opened.tiles["stage"] == "stack").all()
    monkeypatch.setattr("lsbatch.engine.tile_task.compute", _fail)
    assert execution.run(survey, until="stack") == len(survey.positions)
    tiles = opened.tiles
    assert (tiles["status"] == "failed").all()
    assert (tiles["stage"] == "stack").all()
    assert tiles["error"].str.contains("planted fault").all()


def _fail(*arguments: object) -> Block:
    raise ValueError("planted fault")


def test_what_is_not_there_is_one_sentence(planned_survey: Survey, tmp_path: Path) -> None:
    survey = lsbatch.open_survey(planned_survey.config.model_copy(update={"output": tmp_path / "nothing"}))
    for name in ("stack", "probability", "mask", "landslides"):
        with pytest.raises(NoDataError, match="run the survey first"):
            getattr(survey, name)
    with pytest.raises(LsbatchError, match="plan"):
        survey.tiles  # noqa: B018
    with pytest.raises(ConfigError, match="cannot be read"):
        lsbatch.open_survey(tmp_path / "missing.yaml")


def test_run_and_open_by_folder(
    stacked_survey: Survey, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run with a client of the caller; then the folder is enough to open the survey, also after it was moved."""
    survey = surveys.copy_survey(stacked_survey, tmp_path / "s")
    file = tmp_path / "survey.yaml"
    file.write_text(to_yaml(survey.config), encoding="utf-8")
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        submitted: list[str] = []
        submit = client.submit
        monkeypatch.setattr(
            client, "submit", lambda work, *rest, **more: submitted.append(work.__name__) or submit(work, *rest, **more)
        )
        assert lsbatch.run(file, client, until="clean") == 0
    # applicability, predict and clean of each tile went to the client, not to the serial cluster of the settings
    assert submitted == ["commit"] * 3 * len(survey.positions)
    assert "clean" in capsys.readouterr().out
    (tmp_path / "s").rename(tmp_path / "moved")
    opened = lsbatch.open_survey(tmp_path / "moved")
    assert opened.config.output == tmp_path / "moved"
    assert opened.config.model_copy(update={"output": survey.config.output}) == survey.config
    assert (opened.tiles["stage"] == "outline").all()
    assert opened.mask.shape == opened.probability.shape


def test_saved_settings_hold_no_secret(stacked_survey: Survey, tmp_path: Path) -> None:
    survey = surveys.copy_survey(stacked_survey, tmp_path / "s")
    raw = survey.config.model_dump(mode="json")
    raw["archives"]["sentinel2"]["url"] = "https://user:hunter2@example.org/stac?sig=hunter2"
    config = settings.parse(raw, tmp_path)
    run_command._save_settings(config)
    text = Workspace(config.output).settings.read_text(encoding="utf-8")
    assert "example.org" in text
    assert "hunter2" not in text


def test_explore_draws_tiles_and_landslides(done_survey: Survey, tmp_path: Path) -> None:
    pytest.importorskip("folium")
    lsbatch.open_survey(done_survey.config).explore().save(tmp_path / "map.html")
    page = (tmp_path / "map.html").read_text(encoding="utf-8")
    assert "r000c001" in page
    assert page.count("landslide_id") > 5


@pytest.mark.slow(ci=True)
def test_the_first_notebook_runs(tmp_path: Path) -> None:
    """Every cell of docs/first-survey.ipynb, in a kernel of its own."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    printed = "".join(
        output.get("text", "")
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if output.output_type == "stream"
    )
    assert "failed: 0" in printed
    assert "EPSG:25833" in printed
    assert (tmp_path / "first-survey" / "survey" / "inventory" / "landslides.gpkg").exists()
