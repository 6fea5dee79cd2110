"""The command line. Heavy imports are inside the commands, so that --help answers in under a second."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from lsbatch import __version__
from lsbatch.errors import LsbatchError

app = typer.Typer(
    name="lsbatch",
    help="A country's landslides, surveyed every year from Sentinel-1, Sentinel-2 and a DEM.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ConfigPath = Annotated[Path, typer.Argument(metavar="CONFIG", help="settings of the survey (YAML)")]


def main() -> None:
    """Run the command line; what a person can mend is answered by one sentence and exit code 2."""
    try:
        app()
    except LsbatchError as error:
        print(f"lsbatch: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("lsbatch: interrupted; run the same command again to go on", file=sys.stderr)
        sys.exit(130)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"lsbatch {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    pass


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="new folder for the synthetic country and its survey")] = Path("demo"),
    seed: Annotated[int, typer.Option(min=0, help="of the country; 900-999 were never trained on")] = 900,
    size: Annotated[str, typer.Option(metavar="ROWSxCOLS", help="pixels of 10 m")] = "1536x1536",
    train: Annotated[
        bool,
        typer.Option(
            "--train", help="train new weights on other countries first, instead of those that come with lsbatch"
        ),
    ] = False,
) -> None:
    """Survey a small synthetic country, from satellite archive to inventory, and say how well it went."""
    from lsbatch import demo as story
    from lsbatch import terminal

    rows, cols = _size(size)
    trainer = None
    if train:
        from lsbatch import training

        trainer = training.train
    faults = story.tell(folder, seed=seed, rows=rows, cols=cols, trainer=trainer, screen=terminal.Screen())
    raise typer.Exit(1 if faults else 0)


@app.command()
def simulate(
    folder: Annotated[Path, typer.Argument(help="new folder for the country")],
    seed: Annotated[int, typer.Option(min=0, help="same seed, same bytes")] = 1,
    size: Annotated[str, typer.Option(metavar="ROWSxCOLS", help="pixels of 10 m")] = "1024x1024",
    history: Annotated[int, typer.Option(min=0, max=10, help="years of dense Sentinel-2 before, for ccdc")] = 0,
    level_1c: Annotated[bool, typer.Option("--level-1c", help="each look also as Level 1C, in the collection sentinel-2-l1c")] = False,
) -> None:
    """Make a synthetic country: a STAC catalogue of COGs, true landslides, and config.yaml."""
    from lsbatch import country
    from lsbatch.archive.files import make_folder

    rows, cols = _size(size)
    config = country.simulate(make_folder(folder), seed=seed, rows=rows, cols=cols, history_years=history, level_1c=level_1c)
    print(f"Wrote {folder}. Next: lsbatch run {config}")


def _size(text: str) -> tuple[int, int]:
    rows, _, cols = text.lower().partition("x")
    if not (rows.isdigit() and cols.isdigit() and min(int(rows), int(cols)) >= 256):
        raise typer.BadParameter(f"{text!r} is not ROWSxCOLS with at least 256 pixels each, for example 1024x1024")
    return int(rows), int(cols)


@app.command()
def config(
    file: Annotated[
        Path | None, typer.Argument(metavar="[CONFIG]", help="settings to check and print in full; none: an example")
    ] = None,
) -> None:
    """Print settings with every field explained: an example, or those of a file with its defaults filled in."""
    from lsbatch import config as settings

    print(settings.to_yaml(settings.load(file) if file else settings.example()), end="")


@app.command()
def geocode(
    products: Annotated[list[Path], typer.Argument(metavar="SAFE...", help="unpacked Sentinel-1 GRD products")],
    dem: Annotated[Path, typer.Option(help="elevation in metres, best on the survey's own grid")],
    geoid_m: Annotated[
        float, typer.Option(help="height of the DEM's zero above the ellipsoid, e.g. 45 in southern Norway; 0: ellipsoidal")
    ],
    into: Annotated[Path, typer.Option(help="folder for the terrain-corrected scenes")],
) -> None:
    """Terrain-correct Sentinel-1 GRD as ESA delivers it, where no archive has done so; needs the extra lsbatch[grd]."""
    from lsbatch.archive.geocode import rtc

    for product in products:
        for path in rtc(product, dem, geoid_m, into):
            print(f"Wrote {path}")
    print(f"Next: lsbatch catalog {into}")


@app.command()
def catalog(
    folder: Annotated[Path, typer.Argument(help="folder of GeoTIFFs")],
) -> None:
    """Turn a folder of GeoTIFFs into a static STAC catalogue that a survey can read."""
    from lsbatch.archive.folder import make_catalog

    result = make_catalog(folder)
    print(result)


@app.command()
def plan(config: ConfigPath) -> None:
    """Search the archives and say what a run would read: tiles, scenes, gaps, gigabytes. No pixel is read."""
    from lsbatch import terminal
    from lsbatch.archive import plan as planning

    settings = _load(config)
    made = planning.make(settings)
    planning.save(made, settings.output)
    terminal.Screen().plan(made)


@app.command()
def run(
    config: ConfigPath,
    until: Annotated[
        str | None, typer.Option(help="last stage to do: stack, predict, clean, outline, score, inventory, report")
    ] = None,
    part: Annotated[
        str,
        typer.Option(metavar="I/N", help="do only every N-th tile from the I-th; for job arrays without a scheduler"),
    ] = "1/1",
    model: Annotated[str | None, typer.Option(help="another model than the settings name, with weights of its own")] = None,
    replan: Annotated[
        bool, typer.Option("--replan", help="search the archives again, for scenes that came since")
    ] = False,
) -> None:
    """Do everything that is pending, tile by tile; run again to go on after an interruption."""
    from lsbatch import config as settings
    from lsbatch import runs, terminal

    index, count = _part(part)
    asked = _load(config) if model is None else settings.with_model(_load(config), model)
    faults = runs.survey(asked, terminal.Screen(), until=until, part=(index, count), replan=replan)
    raise typer.Exit(1 if faults else 0)


def _part(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    if not (index.isdigit() and count.isdigit() and 1 <= int(index) <= int(count)):
        raise typer.BadParameter(f"{text!r} is not I/N with 1 <= I <= N, for example 3/16")
    return int(index), int(count)


@app.command()
def status(config: ConfigPath) -> None:
    """Say what is done, pending and failed, and why. Exit code 1 if a tile failed."""
    from lsbatch import runs, terminal

    raise typer.Exit(1 if runs.status(_load(config), terminal.Screen()) else 0)


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
        bool, typer.Option("--fresh", help="start anew instead of resuming an interrupted training")
    ] = False,
) -> None:
    """Train the model of the settings on one or more surveys; resumes where it was interrupted."""
    from lsbatch import terminal, training

    training.train([_load(path) for path in configs], terminal.Screen(), out=out, fresh=fresh)


@app.command()
def compare(
    configs: Annotated[list[Path], typer.Argument(metavar="CONFIG...", help="surveys with truth to learn from")],
    on: Annotated[
        list[Path] | None,
        typer.Option(help="surveys to score on, none of which is learned from; none: the test blocks of CONFIG"),
    ] = None,
    models: Annotated[str, typer.Option(help="models, by comma")] = "cart,unet",
    bands: Annotated[str, typer.Option(help="band settings, by comma")] = "s1_s2_dem,s1vv_s2,s1vv,s2",
    fresh: Annotated[bool, typer.Option("--fresh", help="train anew what was trained before")] = False,
) -> None:
    """Train and score models on several inputs: a table like the paper's, of your own region."""
    from lsbatch import compare as contest
    from lsbatch import terminal

    screen = terminal.Screen()
    learn, score = (tuple(_load(path) for path in paths) for paths in (configs, on or []))
    asked = contest.Contest(learn, score, tuple(models.split(",")), tuple(bands.split(",")))
    rows = contest.compare(asked, screen, fresh=fresh)
    screen.table(contest.COLUMNS, contest.table(rows))
    screen.text(f"Table: {learn[0].output / 'compare' / 'compare.csv'}; maps of right and wrong: confusion.tif beside each survey there")


@app.command()
def models() -> None:
    """List models, band settings, and the weights that come with lsbatch."""
    from lsbatch import terminal
    from lsbatch.models import base

    screen = terminal.Screen()
    for head, rows in base.overview():
        screen.table(head, rows)
        screen.text("")


@app.command()
def segments(config: ConfigPath) -> None:
    """Write the segments that tehrani judges as a map with an attribute table, for QGIS and GDAL."""
    from lsbatch import segments as cutting
    from lsbatch import terminal

    cutting.write(_load(config), terminal.Screen())


@app.command()
def export(
    weights: Annotated[str, typer.Argument(help="file of weights of a unet, or package:NAME")],
    out: Annotated[Path, typer.Argument(help="file to write: .onnx, with its STAC item beside it, or .dlpk for ArcGIS")],
) -> None:
    """Write a U-Net for other programs, after a check that the answers agree; needs the extra lsbatch[export]."""
    from lsbatch.models import base, esri

    write = esri.writer(out)
    apart = write(base.named(weights), out)
    print(f"Wrote {out}; ONNX Runtime and torch differ by {apart:.1e} at most")


@app.command()
def evaluate(
    config: ConfigPath,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Score a survey that was run against its mapped landslides."""
    from lsbatch import terminal
    from lsbatch.archive.survey import open_survey
    from lsbatch.stages.evaluate import plots, summary

    survey = open_survey(_load(config))
    found: dict[str, Any] = summary(survey)
    if as_json:
        print(json.dumps(found | {"plots": plots(survey)}, indent=1))
    else:
        terminal.Screen().scores(found, plots(survey))


def _load(path: Path) -> Any:
    from lsbatch import config as settings

    return settings.load(path)


if __name__ == "__main__":
    main()
