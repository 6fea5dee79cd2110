"""Commands for inventories of several years: link identities, review landslides."""

from pathlib import Path
from typing import Annotated, Any

import typer

from lsbatch.cli.program import ConfigPath, Stopped, app, load

#: How the name of settings ends; anything else is an inventory.
_SETTINGS = (".yaml", ".yml")


@app.command()
def link(
    this: Annotated[str, typer.Argument(help="settings of this year's survey, or a file of its polygons")],
    last: Annotated[
        str, typer.Argument(help="settings of last year's survey, or any file of polygons, also at s3://...")
    ],
    out: Annotated[
        Path | None, typer.Option(help="folder for the linked inventory; without it the survey takes LAST over")
    ] = None,
    column: Annotated[
        str | None,
        typer.Option("--id", metavar="COLUMN", help="column of LAST that holds the ids; landslide_id if not given"),
    ] = None,
) -> None:
    """Carry identifiers and reviews over from last year, and classify landslides as new, changed or gone."""
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
    port: Annotated[int, typer.Option(min=0, max=65535, help="of this machine; 0: any that is free")] = 0,
) -> None:
    """Confirm, reject and comment landslides on a web page of this machine."""
    settings = load(config)
    from lsbatch import review
    from lsbatch.catalog.survey import open_survey
    from lsbatch.cli import terminal

    screen = terminal.Screen()
    try:
        review.serve(review.Case(open_survey(settings)), port, screen.text)
    except Stopped:
        screen.text("Review ended. Answers go into the inventory with: lsbatch run")
