"""Commands for the accuracy of an inventory: draw a sample, assess its answers."""

from enum import StrEnum
from typing import Annotated

import typer

from lsbatch.cli.program import ConfigPath, app, load


class Allocation(StrEnum):
    """How the points are allocated to the strata."""

    NEYMAN = "neyman"
    EQUAL = "equal"


@app.command()
def sample(
    config: ConfigPath,
    size: Annotated[int, typer.Option(min=30, max=100_000, help="points")] = 600,
    allocation: Annotated[
        Allocation,
        typer.Option(
            help="neyman: most precise estimate of the landslide area; equal: the same number of points in each stratum"
        ),
    ] = Allocation.NEYMAN,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="the same map and seed give the same points")] = 0,
    min_distance: Annotated[
        float,
        typer.Option(
            min=0,
            max=1e6,
            metavar="M",
            help="minimum distance between points in metres; makes inclusion probabilities approximate",
        ),
    ] = 0.0,
) -> None:
    """Draw a stratified random sample of points, with images, for a reviewer to answer."""
    settings = load(config)
    from lsbatch.accuracy import draw
    from lsbatch.catalog.survey import open_survey
    from lsbatch.cli import terminal

    found = draw.draw(open_survey(settings), draw.SampleRequest(size, allocation.value, seed, min_distance))
    terminal.Screen().drawn(found)


@app.command()
def assess(
    config: ConfigPath,
    sample: Annotated[
        str | None, typer.Option(metavar="FILE", help="answered sample; default: accuracy/sample.gpkg of the survey")
    ] = None,
) -> None:
    """Estimate map accuracy and landslide area, with intervals, from the answers of a reviewer."""
    settings = load(config)
    from lsbatch.accuracy import assess as assessing
    from lsbatch.catalog.survey import open_survey
    from lsbatch.cli import terminal
    from lsbatch.report import statistics
    from lsbatch.storage import objects

    survey = open_survey(settings)
    found = assessing.assess(survey, None if sample is None else objects.path_of(sample))
    terminal.Screen().accuracy(found, dict(statistics.FIGURES))
    terminal.Screen().text(f"Written: {survey.workspace.accuracy / 'accuracy.json'}")
