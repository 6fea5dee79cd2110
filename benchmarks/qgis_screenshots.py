"""Pictures of the QGIS project of a survey, by QGIS itself: at three scales, of each map theme and of each style.

    python -m benchmarks.qgis_screenshots SURVEY OUT [--centre X Y]

SURVEY is the folder of a survey with `survey.qgz`, OUT the folder of the pictures. It needs the Debian package
python3-qgis. For the pictures of docs/qgis.md: a demo survey with `maps.true_colour` and `maps.radar_change`.
"""

import argparse
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import geopandas as gpd

#: The Python for which Debian builds the modules of QGIS.
PYTHON = "/usr/bin/python3"
SCRIPT = Path(__file__).with_name("in_qgis.py")
#: Scales of the pictures of the landslides.
SCALES = {"country": 45_000, "valley": 15_000, "slope": 5_000}


def is_here() -> bool:
    """Return whether QGIS can be asked."""
    command = [PYTHON, "-c", "import qgis.core"]
    return Path(PYTHON).exists() and subprocess.run(command, capture_output=True, check=False).returncode == 0


def ask(project: Path, **request: Any) -> dict[str, Any]:
    """Open a project in QGIS; `request` and answer are those of benchmarks/in_qgis.py."""
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "XDG_RUNTIME_DIR": "/tmp"}
    # those of this Python are not QGIS's
    for name in ("PYTHONPATH", "PROJ_LIB", "PROJ_DATA", "GDAL_DATA"):
        environment.pop(name, None)
    done = subprocess.run(
        [PYTHON, str(SCRIPT), json.dumps({"project": str(project), **request})],
        env=environment, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{project}: QGIS ended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def pictures(survey: Path, out: Path, centre: tuple[float, float] | None) -> list[dict[str, Any]]:
    """Return the requests for all pictures of a survey."""
    told = ask(survey / "survey.qgz")
    if centre is None:
        largest = gpd.read_parquet(survey / "inventory" / "landslides.parquet").geometry.iloc[0].centroid
        centre = (largest.x, largest.y)
    first = told["themes_in_order"][0]
    layers = {layer["id"].removeprefix("lsbatch_"): layer for layer in told["layers"]}
    scales = [
        {"file": str(out / f"{name}.png"), "theme": first, "scale": scale, "centre": centre}
        for name, scale in SCALES.items()
    ]
    themes = [
        {"file": str(out / f"theme-{i}.png"), "theme": theme, "scale": 30_000, "centre": centre}
        for i, theme in enumerate(told["themes_in_order"])
    ]
    styles = [
        {
            "file": str(out / f"style-{i}.png"),
            "layers": ["landslides"],
            "style": style,
            "scale": 30_000,
            "centre": centre,
        }
        for i, style in enumerate(layers["landslides"]["styles"])
    ]
    return [*scales, *themes, *styles]


def main() -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("survey", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--centre", type=float, nargs=2, default=None)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    wanted = pictures(asked.survey.resolve(), asked.out.resolve(), asked.centre)
    ask(asked.survey.resolve() / "survey.qgz", pictures=wanted)
    for one in wanted:
        print(one["file"])


if __name__ == "__main__":
    main()
