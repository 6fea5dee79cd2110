"""The program: options, exit codes, and functions that all commands share."""

import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from lsbatch import __version__
from lsbatch.errors import LsbatchError

app = typer.Typer(
    name="lsbatch",
    help="Survey the landslides of a country every year from Sentinel-1, Sentinel-2 and a DEM.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ConfigPath = Annotated[Path, typer.Argument(metavar="CONFIG", help="settings of the survey (YAML), or its folder")]


class Stopped(BaseException):
    """Raised by SIGINT or SIGTERM: a user, a batch system or Kubernetes stops the run."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def main() -> None:
    """Run the command line. An error that a user can correct becomes one sentence and exit code 2."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # a shell starts background commands with SIGINT ignored
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _stop)
    try:
        app()
    except LsbatchError as error:
        print(f"lsbatch: {error}", file=sys.stderr)
        sys.exit(2)
    except Stopped as stop:
        print("lsbatch: stopped; finished tiles are kept: run the same command again to continue", file=sys.stderr)
        # conventional exit codes: 130, 143
        sys.exit(128 + stop.number)


def _stop(number: int, frame: object) -> None:
    del frame
    # a second signal ends the process at once
    signal.signal(number, signal.SIG_DFL)
    raise Stopped(number)


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


def load(path: Path, model: str | None = None, year: int | None = None) -> Any:
    """Load the settings of a file or of the folder of a survey, with another model family if one is given.

    With `year` they are those of a year of a series.

    Each command calls it before other imports: an error in the settings is reported after half a second, not after the
    six seconds that importing torch, distributed and geopandas takes.
    """
    from lsbatch import settings

    if path.is_dir() and year is None:
        from lsbatch.catalog.survey import settings_of_folder

        found = settings_of_folder(str(path))
    else:
        found = settings.load(path, year)
    return found if model is None else settings.with_model(found, model)
