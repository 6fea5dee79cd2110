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
            metavar="CONFIG...", help="surveys whose STACK and truth to learn from; the first one's settings rule"
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="file of weights to write; default: the first survey's model folder")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="start again instead of resuming an interrupted training")
    ] = False,
) -> None:
    """Train the model of the settings on one or more surveys. Resumes after an interruption."""
    settings = [load(path) for path in configs]
    from lsbatch.cli import terminal
    from lsbatch.commands import train

    train.train(settings, terminal.Screen(), out=out, fresh=fresh)


@app.command()
def compare(
    configs: Annotated[list[Path], typer.Argument(metavar="CONFIG...", help="surveys with truth to learn from")],
    on: Annotated[
        list[Path] | None,
        typer.Option(help="surveys to score on, none of which is learned from; none: the test blocks of CONFIG"),
    ] = None,
    models: Annotated[str, typer.Option(help="models, by comma")] = "cart,unet",
    bands: Annotated[str, typer.Option(help="band settings, by comma")] = "s1_s2_dem,s1vv_s2,s1vv,s2",
    fresh: Annotated[bool, typer.Option("--fresh", help="train again what was trained before")] = False,
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
        f"Table: {learn[0].output / 'compare' / 'compare.csv'}; maps of right and wrong: confusion.tif beside each "
        "survey there"
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
    weights: Annotated[str, typer.Argument(help="file of weights of a unet, or package:NAME")],
    out: Annotated[
        Path, typer.Argument(help="file to write: .onnx, with its STAC item beside it, or .dlpk for ArcGIS")
    ],
) -> None:
    r"""Export a U-Net to ONNX or an ArcGIS package and check its predictions. Needs the extra lsbatch\[export]."""
    from lsbatch.models import base
    from lsbatch.models.export import arcgis_package

    write = arcgis_package.writer(out)
    apart = write(base.named(weights), out)
    print(f"Wrote {out}; ONNX Runtime and torch differ by {apart:.1e} at most")
