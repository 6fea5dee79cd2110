"""Commands that prepare data: demo, simulate, geocode, catalog."""

from pathlib import Path
from typing import Annotated

import typer

from lsbatch.cli.program import app


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="new folder for the synthetic country and its survey")] = Path("demo"),
    seed: Annotated[int, typer.Option(min=0, help="seed of the country; 900-999 were never used for training")] = 900,
    size: Annotated[str, typer.Option(metavar="ROWSxCOLS", help="pixels of 10 m")] = "1536x1536",
    train: Annotated[
        bool,
        typer.Option(
            "--train",
            help="train new weights on other synthetic countries first, instead of using the packaged weights",
        ),
    ] = False,
) -> None:
    """Make a small synthetic country, survey it, and score the result against its known landslides."""
    from lsbatch.cli import terminal
    from lsbatch.commands import demo as story

    rows, cols = _size(size)
    trainer = None
    if train:
        from lsbatch.commands import train as training

        trainer = training.train
    faults = story.run_demo(folder, seed=seed, rows=rows, cols=cols, trainer=trainer, screen=terminal.Screen())
    raise typer.Exit(1 if faults else 0)


@app.command()
def simulate(
    folder: Annotated[Path, typer.Argument(help="new folder for the country")],
    seed: Annotated[int, typer.Option(min=0, help="the same seed gives the same files")] = 1,
    size: Annotated[str, typer.Option(metavar="ROWSxCOLS", help="pixels of 10 m")] = "1024x1024",
    history: Annotated[int, typer.Option(min=0, max=10, help="years of dense Sentinel-2 images before, for ccdc")] = 0,
    level_1c: Annotated[
        bool, typer.Option("--level-1c", help="also write each image as Level 1C, in the collection sentinel-2-l1c")
    ] = False,
    radar_days: Annotated[
        int,
        typer.Option(
            min=0,
            max=100,
            help="days between the passes of each Sentinel-1 orbit, all year, for dating landslides; 0: passes in the "
            "seasons only",
        ),
    ] = 0,
    bands: Annotated[
        str, typer.Option(help="further Sentinel-2 bands, separated by commas: SWIR1, SWIR2, RE1, RE2, RE3, NIRn")
    ] = "",
    varied: Annotated[
        bool,
        typer.Option(
            "--varied", help="draw relief, cover, radar, weather and mapping errors anew, as they differ on the Earth"
        ),
    ] = False,
    repeat: Annotated[
        str,
        typer.Option(
            metavar="ROWSxCOLS",
            help="rows and columns of places that all show this country and share its files, for a rehearsal",
        ),
    ] = "",
    years: Annotated[
        int, typer.Option(min=1, max=20, help="years with surveys, for lsbatch run --years; only of the plain country")
    ] = 1,
) -> None:
    """Make a synthetic country: a STAC catalogue of COGs, its known landslides, and settings (config.yaml)."""
    from lsbatch import synthetic
    from lsbatch.bands import FURTHER
    from lsbatch.storage.files import make_folder
    from lsbatch.synthetic.conditions import PLAIN, drawn
    from lsbatch.synthetic.repetition import STEP_PX

    rows, cols = _size(size)
    further = tuple(bands.split(",")) if bands else ()
    if len({*further} & {*FURTHER}) < len(further):
        raise typer.BadParameter(f"{bands!r} is not a list of different bands among {', '.join(FURTHER)}")
    if years > 1 and (varied or history or radar_days or repeat):
        raise typer.BadParameter(
            f"--years {years}: cannot be combined with --varied, --history, --radar-days or --repeat"
        )
    times = _sides(repeat, 1) if repeat else None
    if times and (rows % STEP_PX or cols % STEP_PX):
        raise typer.BadParameter(f"--size {size} with --repeat: both sides must be multiples of {STEP_PX} pixels")
    config = synthetic.simulate(
        make_folder(folder),
        seed=seed,
        rows=rows,
        cols=cols,
        history_years=history,
        level_1c=level_1c,
        radar_days=radar_days,
        further=further,
        conditions=drawn(seed) if varied else PLAIN,
        repeat=times,
        years=years,
    )
    print(f"Wrote {folder}. Next: lsbatch run {config}")


def _size(text: str) -> tuple[int, int]:
    return _sides(text, 256)


def _sides(text: str, least: int) -> tuple[int, int]:
    rows, _, cols = text.lower().partition("x")
    if not (rows.isdigit() and cols.isdigit() and min(int(rows), int(cols)) >= least):
        raise typer.BadParameter(f"{text!r} is not ROWSxCOLS with at least {least} each, for example 1024x1024")
    return int(rows), int(cols)


@app.command()
def geocode(
    products: Annotated[list[Path], typer.Argument(metavar="SAFE...", help="unpacked Sentinel-1 GRD products")],
    dem: Annotated[Path, typer.Option(help="elevation in metres, preferably on the survey's grid")],
    geoid_m: Annotated[
        float,
        typer.Option(
            help="height of the DEM's zero level above the ellipsoid in metres, e.g. 45 in southern Norway; 0: "
            "ellipsoidal"
        ),
    ],
    into: Annotated[Path, typer.Option(help="folder for the terrain-corrected scenes")],
) -> None:
    r"""Terrain-correct Sentinel-1 GRD products (.SAFE). Needs the extra lsbatch\[grd]."""
    from lsbatch.imagery.geocode import rtc

    for product in products:
        for path in rtc(product, dem, geoid_m, into):
            print(f"Wrote {path}")
    print(f"Next: lsbatch catalog {into}")


@app.command()
def catalog(
    folder: Annotated[Path, typer.Argument(help="folder of GeoTIFFs")],
) -> None:
    """Make a static STAC catalogue from a folder of GeoTIFFs."""
    from lsbatch.catalog.folder_catalog import make_catalog

    result = make_catalog(folder)
    print(result)
