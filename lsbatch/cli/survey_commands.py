"""Commands of a survey: settings, doctor, plan, run, status, retry, verify, evaluate, bench."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from lsbatch.cli.program import ConfigPath, app, load


@app.command()
def config(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[CONFIG]", help="settings to check and print with all defaults; default: an example"),
    ] = None,
) -> None:
    """Print settings with an explanation of every field: an example, or those of a file with all defaults."""
    from lsbatch import settings

    print(settings.to_yaml(settings.load(file) if file else settings.example()), end="")


@app.command()
def init(
    file: Annotated[Path, typer.Argument(metavar="[FILE]", help="settings file to write")] = Path("survey.yaml"),
    region: Annotated[
        str | None, typer.Option(help="a country, a file of polygons, or west,south,east,north in degrees")
    ] = None,
    when: Annotated[
        str | None, typer.Option(metavar="YYYY[-MM-DD]", help="year of an annual survey, or day of an event")
    ] = None,
    archive: Annotated[
        str | None,
        typer.Option(help="planetary-computer, earth-search, cdse, or a folder with catalog.json"),
    ] = None,
    machine: Annotated[
        str | None, typer.Option(help="here, slurm, allocation, or the address of a Dask scheduler")
    ] = None,
) -> None:
    """Ask for region, year or event, archive and machine, and write a commented settings file.

    What is given by options is not asked. Without a terminal nothing is asked: archive and machine then have defaults.
    """
    from lsbatch.cli import questions
    from lsbatch.commands import init as init_command

    given = {"region": region, "when": when, "archive": archive, "machine": machine}
    found = [questions.answer(question, given[question.flag]) for question in init_command.QUESTIONS]
    for line in init_command.write(file, init_command.Answers(*found)):
        print(line)
    print(f"Written: {file}. Next: lsbatch doctor {file}, lsbatch plan {file}, lsbatch run {file}")


@app.command()
def doctor(
    config: Annotated[
        Path | None,
        typer.Argument(metavar="[CONFIG]", help="settings of a survey; default: the current folder and known archives"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Check this machine, a survey's folder and the archives, and say what to do. Exit code 1 if a check fails."""
    from lsbatch.cli import terminal
    from lsbatch.commands.doctor import COLUMNS, FAIL, examine

    found = examine(load(config) if config else None)
    if as_json:
        print(json.dumps([dict(zip(COLUMNS, check.row(), strict=True)) for check in found], indent=1))
    else:
        terminal.Screen().table(COLUMNS, [check.row() for check in found])
    raise typer.Exit(1 if any(check.verdict == FAIL for check in found) else 0)


@app.command()
def plan(
    config: ConfigPath,
    draw: Annotated[
        bool, typer.Option("--map", help="also draw tiles, scenes and gaps as a page, plan/plan.html in the survey")
    ] = False,
) -> None:
    """Search the archives and print what a run would read: tiles, scenes, gaps, gigabytes. Reads no pixels."""
    settings = load(config)
    from lsbatch.catalog import plan as plan_file
    from lsbatch.catalog import planning
    from lsbatch.cli import terminal
    from lsbatch.pipeline import applicability_messages

    made = planning.make(settings)
    plan_file.save(made, settings.output)
    screen = terminal.Screen()
    screen.plan(made)
    for line in applicability_messages.before_pixels(settings, made.summary["scenes"]):
        screen.text(line)
    if draw:
        from lsbatch.report import plan_page

        screen.text(f"Map: {plan_page.write(made, settings)}")


@app.command()
def run(
    config: ConfigPath,
    until: Annotated[
        str | None,
        typer.Option(
            help="last stage to run: stack, applicability, predict, clean, outline, score, records, provenance, "
            "map_blocks, thumbnails, inventory, rasters, report"
        ),
    ] = None,
    part: Annotated[
        str,
        typer.Option(
            metavar="I/N", help="compute only every N-th tile from the I-th; for job arrays without a scheduler"
        ),
    ] = "1/1",
    model: Annotated[
        str | None, typer.Option(help="use this model and its default weights instead of the model in the settings")
    ] = None,
    replan: Annotated[bool, typer.Option("--replan", help="search the archives again for new scenes")] = False,
    years: Annotated[
        str | None,
        typer.Option(
            metavar="A-B",
            help="one annual survey a year, such as 2018-2026 or 2018,2020,2024, in OUTPUT/YEAR; each is linked "
            "with the year before, and years.html compares them",
        ),
    ] = None,
) -> None:
    """Run all pending work. Safe to repeat after an interruption."""
    share = _part(part)
    if years is None:
        settings = load(config, model)
        from lsbatch.cli import terminal
        from lsbatch.commands import run

        faults = run.survey(settings, terminal.Screen(), until=until, part=share, replan=replan)
    else:
        from lsbatch.settings import parse_years

        each = [load(config, model, year) for year in parse_years(years)]
        from lsbatch.cli import terminal
        from lsbatch.commands import years as years_command

        faults = years_command.surveys(each, terminal.Screen(), until=until, part=share, replan=replan)
    raise typer.Exit(1 if faults else 0)


def _part(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    if not (index.isdigit() and count.isdigit() and 1 <= int(index) <= int(count)):
        raise typer.BadParameter(f"{text!r} is not I/N with 1 <= I <= N, for example 3/16")
    return int(index), int(count)


@app.command()
def status(
    config: ConfigPath,
    failed: Annotated[bool, typer.Option("--failed", help="list every failed tile, not only the first ten")] = False,
) -> None:
    """Show completed, pending and failed tiles, failure reasons and the active writer. Exit code 1 if a tile failed."""
    settings = load(config)
    from lsbatch.cli import terminal
    from lsbatch.commands import run

    raise typer.Exit(1 if run.status(settings, terminal.Screen(), every_failure=failed) else 0)


@app.command()
def retry(
    config: ConfigPath,
    tile: Annotated[
        str | None,
        typer.Argument(
            metavar="[TILE]", help="a tile, for example r003c014; it is computed again from the first stage"
        ),
    ] = None,
    all_failed: Annotated[bool, typer.Option("--all", help="all failed tiles")] = False,
) -> None:
    """Re-queue failed tiles so that the next run retries them."""
    if (tile is None) != all_failed:
        raise typer.BadParameter("give one TILE or --all")
    settings = load(config)
    from lsbatch.cli import terminal
    from lsbatch.commands import run

    run.retry(settings, terminal.Screen(), tile)


@app.command()
def verify(config: ConfigPath) -> None:
    """Read the cube back and compare it with the checksums in its receipts. Exit code 1 if a tile differs."""
    settings = load(config)
    from lsbatch.cli import terminal
    from lsbatch.commands import run

    raise typer.Exit(1 if run.verify(settings, terminal.Screen()) else 0)


@app.command()
def evaluate(
    config: ConfigPath,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Score a completed survey against mapped landslides."""
    settings = load(config)
    from lsbatch.catalog.survey import open_survey
    from lsbatch.cli import terminal
    from lsbatch.inventory.evaluation import plots, summary

    survey = open_survey(settings)
    found: dict[str, Any] = summary(survey)
    if as_json:
        print(json.dumps(found | {"plots": plots(survey)}, indent=1))
    else:
        terminal.Screen().scores(found, plots(survey))


@app.command()
def bench(
    config: ConfigPath,
    tiles: Annotated[
        int | None, typer.Option(min=1, help="number of tiles to measure; default: three a worker")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda instead of predict.device")] = None,
    compare: Annotated[
        Path | None, typer.Option(metavar="OLD.json", help="an earlier result; prints what has become slower")
    ] = None,
) -> None:
    """Time some tiles in every stage and project the time of the survey and of a country."""
    chosen = load(config)
    if device is not None:
        from lsbatch import settings

        chosen = settings.with_device(chosen, device)
    from lsbatch.cli import terminal
    from lsbatch.commands.bench import bench as measure

    measure(chosen, terminal.Screen(), tiles=tiles, compare=compare)
