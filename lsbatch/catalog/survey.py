"""A planned survey: settings, grid and tiles."""

from dataclasses import dataclass
from functools import cached_property

from lsbatch.catalog import plan, survey_version
from lsbatch.grid import Grid, Tile
from lsbatch.settings import Config
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
