"""A planned survey: settings, grid and tiles."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lsbatch.catalog import plan, survey_version
from lsbatch.errors import ConfigError
from lsbatch.grid import Grid, Tile
from lsbatch.settings import Config, load_text
from lsbatch.storage import files, objects
from lsbatch.storage.workspace import Workspace

Position = tuple[int, int]


@dataclass(frozen=True)
class Survey:
    """A planned survey: settings, grid and tiles. All later steps use it.

    Attributes
    ----------
    config : Config
    grid : Grid
    positions : tuple of (row, col)
        Tiles that touch the region, in row-major order.
    """

    config: Config
    grid: Grid
    positions: tuple[Position, ...]

    @property
    def workspace(self) -> Workspace:
        """Return the folder layout of the survey."""
        return Workspace(self.config.output)

    def tile(self, position: Position) -> Tile:
        """Return the tile at (row, col)."""
        return self.grid.tile(*position)

    def neighbours(self, position: Position) -> tuple[Position, ...]:
        """Return the tiles of the survey around a tile, in row-major order."""
        return tuple(each for each in self.grid.neighbours(*position) if each in self._planned)

    @cached_property
    def _planned(self) -> frozenset[Position]:
        return frozenset(self.positions)


def open_survey(config: Config) -> Survey:
    """Open the survey whose plan is saved in the output folder."""
    survey_version.check(config.output)
    saved = plan.load(config.output)
    return Survey(config, saved.grid, saved.tiles)


def settings_of_folder(text: str) -> Config:
    """Return the settings that the last run saved in the folder of a survey, without the secrets of addresses.

    Parameters
    ----------
    text : str
        Path of the folder, or ``s3://bucket/key``.

    Raises
    ------
    ConfigError
        If the folder holds no valid settings.
    """
    path = objects.path_of(text)
    file = Workspace(path).settings
    if not files.exists(file):
        raise ConfigError(
            f"{text}: holds no {file.name}, so it is not the folder of a survey that this version ran; "
            "open the survey by its settings file"
        )
    # before the settings: a newer release may have settings that this one does not know
    survey_version.check(path)
    config = load_text(files.read_text(file), Path.cwd(), str(file))
    # the folder may have been moved or copied since
    return config.model_copy(update={"output": path if objects.is_remote(path) else path.resolve()})
