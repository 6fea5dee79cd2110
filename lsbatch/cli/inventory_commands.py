"""Commands for inventories of several years: link identities, review landslides."""

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
    this: Annotated[str, typer.Argument(help="settings of this year's survey, or a file of its polygons")],
    last: Annotated[
        str, typer.Argument(help="settings of last year's survey, or any file of polygons, also at s3://...")
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

    match_years = link_command.survey if _is_settings(this) else link_command.inventory_file
    match_years(here, before, terminal.Screen(), column=column, out=out)


def _is_settings(text: str) -> bool:
    return text.lower().endswith(_SETTINGS)


def _given(text: str) -> Any:
    """Return the settings of a YAML file, or the path of an inventory."""
    if _is_settings(text):
        return load(Path(text))
    from lsbatch.storage import objects

    return objects.path_of(text)


@app.command()
def review(
    config: ConfigPath,
    port: Annotated[int, typer.Option(min=0, max=65535, help="port on this machine; 0: any free port")] = 0,
    first: Annotated[
        Next,
        typer.Option(
            "--next",
            help="largest: order of the inventory; uncertain: open landslides first, the most uncertain at the top",
        ),
    ] = Next.LARGEST,
) -> None:
    """Confirm, reject and comment landslides on a web page on this machine."""
    settings = load(config)
    from lsbatch import review
    from lsbatch.catalog.survey import open_survey
    from lsbatch.cli import terminal

    screen = terminal.Screen()
    try:
        case = review.Case(open_survey(settings), uncertain_first=first is Next.UNCERTAIN)
        review.serve(case, port, screen.text)
    except Stopped:
        screen.text("Review ended. Add the answers to the inventory with: lsbatch run")
