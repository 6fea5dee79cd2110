"""A planned survey: settings, grid and tiles."""

from dataclasses import dataclass

from lsbatch.catalog import plan
from lsbatch.grid import Grid, Tile
from lsbatch.settings import Config
from lsbatch.storage.workspace import Workspace

Position = tuple[int, int]


@dataclass(frozen=True)
class Survey:
    """What every step after the plan needs to know.

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
        """Its folder."""
        return Workspace(self.config.output)

    def tile(self, position: Position) -> Tile:
        """The tile at (row, col)."""
        return self.grid.tile(*position)

    def neighbours(self, position: Position) -> tuple[Position, ...]:
        """Tiles of the survey around one, in row-major order."""
        planned = frozenset(self.positions)
        return tuple(p for p in self.grid.neighbours(*position) if p in planned)


def open_survey(config: Config) -> Survey:
    """The survey of the plan that was saved in the output folder."""
    saved = plan.load(config.output)
    return Survey(config, saved.grid, saved.tiles)
