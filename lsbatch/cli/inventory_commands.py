"""Commands for inventories: link the identities of years, look at landslides, review and publish them."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from lsbatch.cli.program import ConfigPath, Stopped, app, load

#: Suffixes of settings files; any other file is an inventory.
_SETTINGS = (".yaml", ".yml")


class Next(StrEnum):
    """The order in which the review page offers landslides."""

    LARGEST = "largest"
    UNCERTAIN = "uncertain"


@app.command()
def link(
    this: Annotated[str, typer.Argument(help="settings or folder of this year's survey, or a file of its polygons")],
    last: Annotated[
        str, typer.Argument(help="settings or folder of last year's survey, or any file of polygons, also at s3://...")
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="folder for the linked inventory; default: the inventory of the survey is updated"),
    ] = None,
    column: Annotated[
        str | None,
        typer.Option("--id", metavar="COLUMN", help="column of LAST with the ids; default: landslide_id"),
    ] = None,
) -> None:
    """Match landslides with last year's, keep identifiers and reviews, and classify them as new, changed or gone."""
    here, before = (_given(text) for text in (this, last))
    from lsbatch.cli import terminal
    from lsbatch.commands import link as link_command

    match_years = link_command.survey if _is_survey(this) else link_command.inventory_file
    match_years(here, before, terminal.Screen(), column=column, out=out)


@app.command()
def years(
    surveys: Annotated[
        list[str],
        typer.Argument(metavar="FOLDER...", help="folders of annual surveys, or a folder that holds them"),
    ],
    out: Annotated[
        Path | None, typer.Option(help="folder of the page; default: the folder that holds the newest survey")
    ] = None,
) -> None:
    """Compare annual surveys: a page and a table of what is new, enlarged, gone or not observed, by year and area."""
    from lsbatch.cli import terminal
    from lsbatch.commands import years as years_command

    years_command.compare(years_command.folders(surveys), terminal.Screen(), out=out)


def _is_settings(text: str) -> bool:
    return text.lower().endswith(_SETTINGS)


def _is_survey(text: str) -> bool:
    return _is_settings(text) or (Path(text) / "settings.yaml").is_file()


def _given(text: str) -> Any:
    """Return the settings of a YAML file or of the folder of a survey, or the path of an inventory."""
    if _is_survey(text):
        return load(Path(text))
    from lsbatch.storage import objects

    return objects.path_of(text)


Port = Annotated[int, typer.Option(min=0, max=65535, help="port on this machine; 0: any free port")]


@app.command()
def view(
    survey: Annotated[str, typer.Argument(metavar="SURVEY", help="settings of the survey (YAML), or its folder")],
    port: Port = 0,
) -> None:
    """Look at a survey on a map in the browser, search and filter its landslides, and review them."""
    settings = _opened(survey)
    from lsbatch.errors import ConfigError
    from lsbatch.review.site import MISSING, map_folder

    if map_folder() is None:
        raise ConfigError(MISSING)
    _serve(settings, port, is_review=False)


@app.command()
def review(
    config: ConfigPath,
    port: Port = 0,
    first: Annotated[
        Next,
        typer.Option(
            "--next",
            help="largest: order of the inventory; uncertain: open ones first, the largest uncertain area at the top",
        ),
    ] = Next.LARGEST,
) -> None:
    """Confirm, reject, comment and draw landslides on the same page, from the first one without an answer."""
    _serve(load(config), port, is_review=True, uncertain_first=first is Next.UNCERTAIN)


@app.command()
def publish(
    survey: Annotated[str, typer.Argument(metavar="SURVEY", help="settings of the survey (YAML), or its folder")],
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="folder to write; an earlier publication of the survey is replaced")
    ],
) -> None:
    """Write a finished survey as a web page with map and downloads, for any web server that answers byte ranges."""
    settings = _opened(survey)
    from lsbatch.catalog.survey import open_survey
    from lsbatch.cli import terminal
    from lsbatch.review import publication

    publication.publish(open_survey(settings), folder, terminal.Screen().text)


def _opened(text: str) -> Any:
    """Return the settings of a file or of the folder of a survey."""
    if _is_settings(text):
        return load(Path(text))
    from lsbatch.catalog.survey import settings_of_folder

    return settings_of_folder(text)


def _serve(settings: Any, port: int, *, is_review: bool, uncertain_first: bool = False) -> None:
    from lsbatch import review
    from lsbatch.catalog.survey import open_survey
    from lsbatch.cli import terminal

    screen = terminal.Screen()
    try:
        case = review.Case(open_survey(settings), uncertain_first=uncertain_first)
        review.serve(review.Site(case, is_review=is_review), port, screen.text)
    except Stopped:
        screen.text("Review ended. Add the answers to the inventory with: lsbatch run")
