"""The family disturbance beside distmetrics of the OPERA project, on the same real passes.

    python -m benchmarks.disturbance_peer --peer-python PYTHON [--data ../shared/data] [--seed 0] [--draws N]

PYTHON is an interpreter of Python 3.12 or newer with distmetrics (pip install distmetrics). It runs
benchmarks/distmetrics_peer.py. It prints a table. The landslides in California are **planted** (as in
`benchmarks.reality`); the changes of the labelled series are fires, crops and clearings.

distmetrics has a distance for each pass after. Two ways to make one of them are shown: the mean and the least.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import disturbance_inputs as inputs
from benchmarks import disturbance_measures as measures
from benchmarks import reality_scenes as scenes
from benchmarks.disturbance_inputs import Image, Place
from benchmarks.disturbance_measures import Row
from benchmarks.reality_scenes import Case, Patch
from lsbatch.synthetic.planting import Planted

OURS, SERIES = "lsbatch disturbance", "s1_change_series"
SCRIPT = Path(__file__).with_name("distmetrics_peer.py")
HAS_PEER = "import importlib.util, sys; sys.exit(importlib.util.find_spec('distmetrics') is None)"
#: How the distances of several passes after become one.
REDUCTIONS: Mapping[str, Callable[..., np.ndarray]] = {"mean": np.mean, "least": np.min}


class PeerError(Exception):
    """The other program is absent, failed, or did not answer what was asked."""


@dataclass(frozen=True)
class Scene:
    """A patch of land as it is (`planted` is None) or with landslides planted in one draw."""

    case: Case
    patch: Patch
    draw: int | None
    planted: Planted | None

    @property
    def name(self) -> str:
        """Return a name for its files."""
        return f"{self.case.survey.id}-{self.patch.name}-{'quiet' if self.draw is None else self.draw}"

    def image(self) -> Image:
        """Return its passes."""
        return inputs.scene(self.case, self.patch, self.planted)


@dataclass(frozen=True)
class Answers:
    """Distances by method, of scenes by `Scene.name` and of places by site, and seconds for all scenes."""

    scenes: Mapping[str, Mapping[str, np.ndarray]]
    places: Mapping[str, Mapping[int, float]]
    seconds: Mapping[str, float]


def prepared(cases: list[Case], draws: int | None, seed: int) -> list[Scene]:
    """Return the scenes as they are and with planted landslides; the sea is left out."""
    found = []
    for case in cases:
        for patch in (patch for patch in case.patches if not patch.sea):
            found.append(Scene(case, patch, None, None))
            for draw in range(draws or case.draws):
                found.append(Scene(case, patch, draw, scenes.plant(case, patch, draw, seed)))
    return found


def ours(of: list[Scene], places: list[Place]) -> Answers:
    """Return our distances; the clock runs after one scene, when the kernels are compiled."""
    inputs.distance(of[0].image(), of[0].patch)
    found, seconds = {}, 0.0
    for scene in of:
        image = scene.image()
        start = time.perf_counter()
        found[scene.name] = inputs.distance(image, scene.patch)
        seconds += time.perf_counter() - start
    return Answers({OURS: found}, {OURS: {p.site: inputs.place_distance(p) for p in places}}, {OURS: seconds})


def require_peer(python: str) -> None:
    """Raise `PeerError` if an interpreter lacks distmetrics."""
    if _run([python, "-I", "-c", HAS_PEER]).returncode:
        raise PeerError(
            f"{python}: distmetrics is not installed; give an interpreter of Python 3.12 or newer that has it "
            "with --peer-python"
        )


def _run(words: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError as error:
        raise PeerError(
            f"{words[0]}: cannot be run ({error.strerror}); give an interpreter with --peer-python"
        ) from None


def peers(python: str, of: list[Scene], places: list[Place], work: Path, script: Path = SCRIPT) -> Answers:
    """Return the peer's distances.

    Parameters
    ----------
    python : str
        Its interpreter. It runs apart from our modules and environment variables of Python.
    of : list of Scene
    places : list of Place
    work : Path
        Folder for the files of both programs.
    script : Path
        What is run, with the folders of images and of answers.

    Raises
    ------
    PeerError
        If the script fails or an answer is missing or has another shape.
    """
    images, answers = work / "images", work / "answers"
    images.mkdir()
    answers.mkdir()
    for scene in of:
        scene.image().write(images / f"{scene.name}.npz")
    orbits = [(place.site, f"site-{place.site}-{i}", image) for place in places for i, image in enumerate(place.images)]
    for _, name, image in orbits:
        image.write(images / f"{name}.npz")
    ended = _run([python, "-I", str(script), str(images), str(answers)])
    if ended.returncode:
        raise PeerError(f"{script.name} failed: {(ended.stderr.strip() or 'no message').splitlines()[-1]}")
    found: dict[str, dict[str, np.ndarray]] = {}
    for scene in of:
        for method, values in read_answer(answers / f"{scene.name}.npz", scene.patch.geobox.shape).items():
            found.setdefault(method, {})[scene.name] = values
    sites: dict[str, dict[int, list[float]]] = {}
    for site, name, _ in orbits:
        for method, values in read_answer(answers / f"{name}.npz", (inputs.PLACE_PX,) * 2).items():
            sites.setdefault(method, {}).setdefault(site, []).append(float(values.mean()))
    means = {method: {site: float(np.mean(of)) for site, of in by_site.items()} for method, by_site in sites.items()}
    return Answers(found, means, json.loads((answers / "seconds.json").read_text(encoding="utf-8")))


def read_answer(file: Path, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Return the distance of each metric and reduction of an answer, (rows, cols).

    Raises
    ------
    PeerError
        If the file is missing or a metric is not (passes, *shape).
    """
    if not file.exists():
        raise PeerError(f"{file.name}: the other program has not answered")
    found = {}
    with np.load(file) as stored:
        for metric, values in stored.items():
            if values.ndim != 3 or values.shape[1:] != tuple(shape):
                raise PeerError(
                    f"{file.name}, {metric}: shape {values.shape}; must be (passes, {shape[0]}, {shape[1]})"
                )
            found |= {f"{metric}, {name}": reduce(values, axis=0) for name, reduce in REDUCTIONS.items()}
    return found


def rows(of: list[Scene], places: list[Place], answers: Answers) -> list[Row]:
    """Return the figures of each method."""
    changed = {place.site: place.changed for place in places}
    found = []
    for method, distances in answers.scenes.items():
        row = measures.row(method, [_outcome(case, method, of, distances) for case in _cases(of)])
        if method in answers.places:
            known = {site: value for site, value in answers.places[method].items() if np.isfinite(value)}
            groups = [np.array([v for site, v in known.items() if changed[site] == truth]) for truth in (True, False)]
            row["series"] = (measures.separation(*groups), *measures.interval(*groups))
        row["seconds"] = answers.seconds[method.rsplit(", ", 1)[0] if method != OURS else OURS]
        found.append(row)
    return found


def _cases(of: list[Scene]) -> list[Case]:
    return list({scene.case.name: scene.case for scene in of}.values())


def _outcome(case: Case, method: str, of: list[Scene], distances: Mapping[str, np.ndarray]) -> measures.Outcome:
    by_draw: dict[int | None, list[Scene]] = {}
    for scene in of:
        if scene.case is case:
            by_draw.setdefault(scene.draw, []).append(scene)
    values = {draw: {s.patch.name: distances[s.name] for s in found} for draw, found in by_draw.items()}
    drawn = [({s.patch.name: s.planted for s in by_draw[d]}, values[d]) for d in sorted(set(by_draw) - {None})]
    return measures.outcome(case, method, values[None], drawn)


def table(found: list[Row]) -> str:
    """Return a Markdown table; figures of winters are separated by strokes."""
    head = ["method", "ROC AUC"]
    for share in measures.SHARES:
        head += [
            f"{share:.1%} called: recall",
            "large false",
            f"threshold of the first winter, {share:.1%}: land called, %",
        ]
        head += ["recall", "large false"]
    lines = [[*head, "ROC AUC, series", "seconds"], ["---"] * (len(head) + 2)]
    for row in found:
        cells = [str(row["method"]), _shown(row["auc"], 3)]
        for share in measures.SHARES:
            own, fixed = row[f"own {share}"], row[f"fixed {share}"]
            cells += [_shown(own["recall"], 2), _shown(own["large_false"], 0)]
            cells += [_shown(fixed["land_called"], 2, 100), _shown(fixed["recall"], 2), _shown(fixed["large_false"], 0)]
        series = "{:.2f} ({:.2f} to {:.2f})".format(*row["series"]) if "series" in row else ""
        lines.append([*cells, series, f"{row['seconds']:.1f}"])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _shown(values: list[float], digits: int, times: float = 1) -> str:
    return " / ".join(f"{times * value:.{digits}f}" for value in values)


def notes(of: list[Scene], places: list[Place], seconds: Mapping[str, float]) -> str:
    """Return what the table was measured on."""
    cases, seen = _cases(of), [place for place in places if place.images]
    quiet = [scene for scene in of if scene.draw is None]
    km2 = sum(np.prod(s.patch.geobox.shape) * s.patch.geobox.resolution.x**2 for s in quiet if s.case is cases[0]) / 1e6
    images = {len(part) for scene in quiet for part in (scene.image().before, scene.image().after)}
    return (
        f"{', '.join(case.name for case in cases)}: {km2:.0f} km2 of land, {min(images)} to {max(images)} passes "
        f"before or after; {len(of)} images with planted ones. Series: {len(seen)} of {len(places)} places have passes "
        f"before and after, {sum(place.changed for place in seen)} of them changed; the interval is 95 % of resampled "
        f"places. Despeckling of distmetrics, for all its methods: {seconds.get('despeckling', 0):.1f} s."
    )


def arguments_of(words: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--peer-python", default=sys.executable, help="interpreter that has distmetrics")
    parser.add_argument("--sea", nargs="+", default=scenes.SEA, help="bursts of open sea")
    parser.add_argument("--seed", type=int, default=0, help="of the planted landslides")
    parser.add_argument("--draws", type=int, help="copies with planted landslides; default: by scene")
    return parser.parse_args(words)


def measured(options: argparse.Namespace, script: Path = SCRIPT) -> str:
    """Return the printed text.

    Raises
    ------
    PeerError
        If the data are absent, or the peer.
    """
    for folder in (options.data / scenes.CALIFORNIA, options.data / SERIES):
        if not folder.is_dir():
            raise PeerError(f"real data are not at {folder}; give their folder with --data")
    if script == SCRIPT:
        require_peer(options.peer_python)
    with tempfile.TemporaryDirectory() as work:
        found = scenes.cases(options.data, Path(work), ("california",), tuple(options.sea))
        cases = [case for case in found if case.survey.kind == "event"]
        of = prepared(cases, options.draws, options.seed)
        places = list(inputs.places(options.data / SERIES, scenes.WINDOW_DAYS))
        mine, theirs = ours(of, places), peers(options.peer_python, of, places, Path(work), script)
    figures = rows(of, places, mine) + rows(of, places, theirs)
    return f"{table(figures)}\n\n{notes(of, places, theirs.seconds)}"


def main(words: list[str] | None = None) -> int:
    """Print the table; return the exit code."""
    try:
        print(measured(arguments_of(words)))
    except PeerError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
