"""Five yearly rounds of survey, review and training, on synthetic countries with a reviewer who knows the truth.

    python -m benchmarks.review_rounds [--folder DIR] [--budget 20] [--size 384] [--seeds 0]

Weights are trained on two varied countries. Each year another varied country is surveyed with the weights of the year
before. The reviewer answers a fixed number of its landslides: a record is confirmed if at least half of its area is
landslide by the exact outlines, and rejected otherwise. Then new weights are trained from the start, on the first two
countries and on all answers so far (lsbatch train --reviewed). All of this is done for three orders: the landslides to
answer are those with the largest uncertain area (lsbatch review --next uncertain), the largest ones (the order of the
inventory), or drawn at random. After each year the weights survey three other countries, which nobody reviewed. Their
precision and recall are printed, by pixels and by records, against the exact outlines.

The aim: in the order by uncertainty, the precision that random review has after its last answer is reached with at most
half of the answers. It is judged for the largest first too. A missed aim is printed as missed. With several seeds of
the training, counts are added up over the seeds. Run again after an interruption, it goes on: what is done is not done
again.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from benchmarks import packaged_weights
from lsbatch.catalog import survey_variants
from lsbatch.catalog.survey import open_survey
from lsbatch.cli import terminal
from lsbatch.commands import run, train
from lsbatch.inventory import evaluation, identity
from lsbatch.kernels.statistics.confusion import Confusion
from lsbatch.review import Case
from lsbatch.settings import Config
from lsbatch.storage import journal, vectors

FIRST, YEARS, SCORED = (501, 502), (511, 512, 513, 514, 515), (521, 522, 523)
ORDERS = ("uncertain", "largest", "random")
#: A reviewer confirms a record if at least this share of its area is landslide.
CONFIRMED_SHARE = 0.5
BANDS = "s2"
TRAIN = {
    "width": 8, "depth": 3, "epochs": 15, "chip_px": 64, "stride_px": 32, "block_px": 128,
    "validation_share": 0.15, "test_share": 0.1,
}  # fmt: skip
#: Measures of the table.
MEASURES = ("pixel precision", "pixel recall", "record precision", "record recall")


@dataclass(frozen=True)
class Score:
    """Counts over the scored countries: pixels, records, records that are landslides, mapped and found landslides."""

    pixels: Confusion = field(default_factory=Confusion)
    records: int = 0
    true: int = 0
    mapped: int = 0
    found: int = 0

    def __add__(self, other: "Score") -> "Score":
        return Score(
            self.pixels + other.pixels, self.records + other.records, self.true + other.true,
            self.mapped + other.mapped, self.found + other.found,
        )  # fmt: skip

    def measures(self) -> tuple[float, ...]:
        """Values of MEASURES, NaN if undefined."""
        pairs = ((self.true, self.records), (self.found, self.mapped))
        pixels = (self.pixels.precision, self.pixels.recall)
        return (
            *(np.nan if value is None else value for value in pixels),
            *(part / whole if whole else np.nan for part, whole in pairs),
        )


def country(folder: Path, number: int, side_px: int) -> Config:
    """Settings of a country with its STACK, made if it is not there; its truth is the exact outlines."""
    changes = {"cluster": {"kind": "serial"}, "bands": BANDS, "train": TRAIN}
    config = packaged_weights.surveyed(folder, number, changes, True, side_px)
    assert config.truth is not None
    exact = config.truth.file.with_name("outlines.gpkg")
    config = config.model_copy(update={"truth": config.truth.model_copy(update={"file": exact, "plots": None})})
    if run.survey(config, terminal.Screen(), until="stack"):
        raise SystemExit(f"country {number}: not every tile could be stacked")
    return config


def variant(config: Config, output: Path, weights: Path) -> Config:
    """The survey of a country with other weights, in a folder of its own that shares STACK."""
    survey_variants.share(config.output, output)
    model = config.model.model_copy(update={"weights": str(weights)})
    return config.model_copy(update={"output": output, "model": model})


def review(config: Config, order: str, budget: int, seed: int) -> None:
    """Answer the next landslides of a survey, until `budget` are answered."""
    survey = open_survey(config)
    case = Case(survey, uncertain_first=order == "uncertain")
    found = identity.found(case.frame)
    if order == "random":
        found = found.sample(frac=1, random_state=seed)
    assert config.truth is not None
    truth = vectors.read_truth(config.truth, config.survey.windows, config.grid.crs)
    slid = shapely.union_all(shapely.make_valid(truth.geometry.values))
    answered = {str(answer["landslide_id"]) for answer in journal.read(survey.workspace.answers)}
    chosen = [row for row in found.itertuples() if row.landslide_id not in answered]
    for row in chosen[: max(0, budget - len(answered))]:
        share = row.geometry.intersection(slid).area / row.geometry.area
        answer = {
            "landslide_id": row.landslide_id, "reviewer": "the truth", "comment": "", "count": 0,
            "state": "confirmed" if share >= CONFIRMED_SHARE else "rejected",
        }  # fmt: skip
        case.keep(answer)


def answers(config: Config) -> tuple[int, int]:
    """Number of confirmed and of rejected landslides of a survey."""
    states = [answer["state"] for answer in journal.read(open_survey(config).workspace.answers)]
    return states.count("confirmed"), states.count("rejected")


def scored(configs: Sequence[Config], folder: Path, weights: Path) -> Score:
    """Score weights on the countries that nobody reviewed; kept in a file."""
    file = folder / f"{weights.stem}-score.json"
    if not file.exists():
        rows = [_counts(variant(config, folder / weights.stem / config.survey.id, weights)) for config in configs]
        file.write_text(json.dumps(rows), encoding="utf-8")
    total = Score()
    for pixels, *records in json.loads(file.read_text(encoding="utf-8")):
        total += Score(Confusion(*pixels), *records)
    return total


def _counts(config: Config) -> list[Any]:
    if run.survey(config, terminal.Screen(), until="inventory"):
        raise SystemExit(f"{config.survey.id}: some tiles failed")
    found = evaluation.summary(open_survey(config))
    pixels = [found[name] for name in ("tp", "fp", "fn", "tn")]
    records = [found[f"landslides{part}"] for part in ("", "_true", "_mapped", "_found")]
    return [pixels, *records]


@dataclass(frozen=True)
class Simulation:
    """What all rounds of a seed share: countries, folder, number of answers a year, seed of the training."""

    first: tuple[Config, ...]
    years: tuple[Config, ...]
    scored: tuple[Config, ...]
    folder: Path
    budget: int
    seed: int

    def rounds(self, order: str) -> tuple[list[tuple[int, int, int]], list[Score]]:
        """Number of answers, of confirmed and of rejected ones, and the score, before the first year and after each."""
        home, weights = self.folder / order, self._trained(self.folder / "year-0.safetensors", ())
        counts, scores, reviewed = [(0, 0, 0)], [scored(self.scored, self.folder, weights)], []
        for number, config in enumerate(self.years, 1):
            survey = variant(config, home / f"survey-{number}", weights)
            if run.survey(survey, terminal.Screen(), until="inventory"):
                raise SystemExit(f"{survey.survey.id}: some tiles failed")
            review(survey, order, self.budget, self.seed)
            reviewed.append(survey)
            weights = self._trained(home / f"year-{number}.safetensors", reviewed)
            yes, no = (sum(values) for values in zip(*map(answers, reviewed), strict=True))
            counts.append((yes + no, yes, no))
            scores.append(scored(self.scored, home, weights))
        return counts, scores

    def _trained(self, file: Path, reviewed: Sequence[Config]) -> Path:
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            first = [
                one.model_copy(update={"train": one.train.model_copy(update={"seed": self.seed})}) for one in self.first
            ]
            taught = [one for one in reviewed if sum(answers(one))]
            train.train(first, terminal.Screen(), out=file, fresh=False, extras=train.Extras(reviewed=tuple(taught)))
        return file


def added(rounds: Callable[[int], tuple[list[tuple[int, int, int]], list[Score]]], seeds: Sequence[int]) -> Any:
    """Mean counts and summed scores of each year over the seeds."""
    found = [rounds(seed) for seed in seeds]
    counts = np.mean([counts for counts, _ in found], axis=0)
    scores = [sum(column, Score()) for column in zip(*(scores for _, scores in found), strict=True)]
    return counts, [score.measures() for score in scores]


def answers_for(target: float, counts: np.ndarray, values: Sequence[float]) -> float | None:
    """Number of answers after which a measure first reaches a target; None if it never does."""
    return next((float(count) for count, value in zip(counts[:, 0], values, strict=True) if value >= target), None)


def verdict(measure: int, results: dict[str, Any], order: str = "uncertain") -> str:
    """A sentence on the aim for one measure and one order."""
    counts, rows = results["random"]
    target, budget = rows[-1][measure], counts[-1, 0]
    if not target > results["random"][1][0][measure]:
        return (
            f"{MEASURES[measure]}: {budget:.0f} answers in random order did not raise it, so the aim cannot be judged"
        )
    needed = answers_for(target, results[order][0], [row[measure] for row in results[order][1]])
    met = needed is not None and needed <= budget / 2
    reached = "never" if needed is None else f"after {needed:.0f}"
    return (
        f"{MEASURES[measure]} {target:.3f} of random review after {budget:.0f} answers: {order} first reaches it "
        f"{reached}; at most {budget / 2:.0f}: {'met' if met else 'missed'}"
    )


def main() -> None:
    """Simulate, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("review-work"), help="where countries and weights go")
    parser.add_argument("--budget", type=int, default=20, help="landslides answered a year")
    parser.add_argument("--size", type=int, default=384, help="pixels on a side of a country")
    parser.add_argument("--years", type=int, default=len(YEARS), help="rounds, at most 5")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="seeds of the training")
    arguments = parser.parse_args()
    folder = arguments.folder.absolute()
    first, years, last = (
        tuple(country(folder / f"countries-{arguments.size}", number, arguments.size) for number in some)
        for some in (FIRST, YEARS[: arguments.years], SCORED)
    )

    def rounds(order: str, seed: int) -> tuple[list[tuple[int, int, int]], list[Score]]:
        home = folder / f"{arguments.size}-px-{arguments.budget}-answers-seed-{seed}"
        return Simulation(first, years, last, home, arguments.budget, seed).rounds(order)

    results = {order: added(lambda seed, order=order: rounds(order, seed), arguments.seeds) for order in ORDERS}
    print("order | year | answers | confirmed | rejected | " + " | ".join(MEASURES))
    for order, (counts, rows) in results.items():
        for year, (count, row) in enumerate(zip(counts, rows, strict=True)):
            numbers = [f"{value:.0f}" for value in count] + [f"{value:.3f}" for value in row]
            print(" | ".join([order, str(year), *numbers]))
    for measure in (0, 2):
        for order in ORDERS[:2]:
            print(verdict(measure, results, order))


if __name__ == "__main__":
    main()
