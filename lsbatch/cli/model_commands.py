"""Commands for models: train, compare, list, segment, export."""

from pathlib import Path
from typing import Annotated

import typer

from lsbatch.cli.program import ConfigPath, app, load


@app.command()
def train(
    configs: Annotated[
        list[Path],
        typer.Argument(
            metavar="CONFIG...",
            help="surveys to train on (STACK and mapped landslides); the settings of the first are used",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="file of weights to write; default: the first survey's model folder")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="start again instead of resuming an interrupted training")
    ] = False,
    reviewed: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="CONFIG",
            help="survey whose reviews to train on instead of mapped landslides; may be given several times",
        ),
    ] = None,
) -> None:
    """Train the model of the settings on one or more surveys. Resumes after an interruption."""
    settings, answered = ([load(path) for path in paths] for paths in (configs, reviewed or []))
    from lsbatch.cli import terminal
    from lsbatch.commands import train

    train.train(settings, terminal.Screen(), out=out, fresh=fresh, reviewed=answered)


@app.command()
def compare(
    configs: Annotated[
        list[Path], typer.Argument(metavar="CONFIG...", help="surveys with mapped landslides to train on")
    ],
    on: Annotated[
        list[Path] | None,
        typer.Option(help="surveys to score on, not used for training; default: the test blocks of CONFIG"),
    ] = None,
    models: Annotated[str, typer.Option(help="models, by comma")] = "cart,unet",
    bands: Annotated[
        str, typer.Option(help="band settings, separated by commas; a list of bands with plus signs: preVV+postVV+dNBR")
    ] = "s1_s2_dem,s1vv_s2,s1vv,s2",
    fresh: Annotated[bool, typer.Option("--fresh", help="train again instead of using earlier weights")] = False,
) -> None:
    """Train and score several models on several inputs, and print a table like that of the paper."""
    learn, score = (tuple(load(path) for path in paths) for paths in (configs, on or []))
    from lsbatch.cli import terminal
    from lsbatch.commands import compare as contest

    screen = terminal.Screen()
    request = contest.Contest(learn, score, tuple(models.split(",")), tuple(bands.split(",")))
    rows = contest.compare(request, screen, fresh=fresh)
    screen.table(contest.COLUMNS, contest.table(rows))
    screen.text(
        f"Table: {learn[0].output / 'compare' / 'compare.csv'}; maps of errors: confusion.tif in the folder of each "
        "survey"
    )


@app.command()
def models() -> None:
    """List model families, band settings and packaged weights."""
    from lsbatch.cli import terminal
    from lsbatch.models import base

    screen = terminal.Screen()
    for head, rows in base.overview():
        screen.table(head, rows)
        screen.text("")


@app.command()
def segments(config: ConfigPath) -> None:
    """Write the segments of the model tehrani as a map with an attribute table, for QGIS and GDAL."""
    settings = load(config)
    from lsbatch.cli import terminal
    from lsbatch.commands import segments as cutting

    cutting.write(settings, terminal.Screen())


@app.command()
def export(
    weights: Annotated[str, typer.Argument(help="weights of a U-Net: a file, or package:NAME")],
    out: Annotated[
        Path, typer.Argument(help="output file: .onnx, with a STAC item in the same folder, or .dlpk for ArcGIS")
    ],
) -> None:
    r"""Export a U-Net to ONNX or an ArcGIS package and check its predictions. Needs the extra lsbatch\[export]."""
    from lsbatch.models import base
    from lsbatch.models.export import arcgis_package

    write = arcgis_package.writer(out)
    apart = write(base.named(weights), out)
    print(f"Wrote {out}; ONNX Runtime and torch differ by {apart:.1e} at most")
