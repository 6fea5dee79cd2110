"""The public interface for notebooks and scripts: open a survey, look at its results, run what is pending."""

from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import pandas as pd
import rioxarray  # noqa: F401  (registers the accessor .rio)
import xarray as xr

from lsbatch.bands import STACK, mask, probability
from lsbatch.catalog.survey import Position, Survey, settings_of_folder
from lsbatch.catalog.survey import open_survey as open_planned
from lsbatch.engine import schedule, todo
from lsbatch.errors import LsbatchError, NoDataError
from lsbatch.grid import tile_id
from lsbatch.inventory import inventory_files
from lsbatch.kernels.statistics.confusion import Confusion
from lsbatch.pipeline.types import Stage
from lsbatch.settings import Config, load
from lsbatch.storage import cube, files, objects, receipts
from lsbatch.storage.receipts import Receipt
from lsbatch.storage.workspace import Workspace

if TYPE_CHECKING:
    import folium
    from distributed import Client

#: File endings of settings; any other path is the folder of a survey.
SETTINGS_ENDINGS = (".yaml", ".yml")

#: Scores of a tile in `OpenSurvey.tiles`, from its counts of pixels.
SCORES = ("precision", "recall", "f1", "mcc")


@dataclass(frozen=True)
class OpenSurvey:
    """A survey as labelled, lazy data. Make one with `lsbatch.open_survey`.

    Each property reads the files of the survey when it is used, so the results of a run that goes on are seen.
    Pixels are read only when xarray needs their values.

    Attributes
    ----------
    config : Config
        Settings of the survey.
    """

    config: Config

    @property
    def stack(self) -> xr.Dataset:
        """Composites before and after, terrain and observation counts: a lazy dataset (y, x), one variable a band.

        Units, scale and meaning are in the attributes of each variable. NaN is nodata in bands with a scale. The CRS
        is set (`survey.stack.rio.crs` with rioxarray).

        Raises
        ------
        NoDataError
            If no tile of the stage `stack` was written yet.
        """
        return self._layer(STACK.name)

    @property
    def probability(self) -> xr.DataArray:
        """Landslide probability of the survey's model: a lazy array (y, x), 0 to 1, NaN is nodata.

        Raises
        ------
        NoDataError
            If no tile of the stage `predict` was written yet.
        """
        return self._layer(probability(self.config.model.family).name)["probability"]

    @property
    def mask(self) -> xr.DataArray:
        """Landslide mask after cleaning: a lazy array (y, x); 1 landslide, 0 no landslide, NaN not observed.

        Raises
        ------
        NoDataError
            If no tile of the stage `clean` was written yet.
        """
        return self._layer(mask(self.config.model.family).name)["landslide"]

    @property
    def landslides(self) -> gpd.GeoDataFrame:
        """The inventory: one row a landslide, in the CRS of the survey. Columns: docs/inventory.md.

        Raises
        ------
        NoDataError
            If the inventory was not written yet.
        """
        file = self._workspace.inventory / "landslides.parquet"
        if not files.exists(file):
            raise NoDataError(f"{file}: there is no inventory yet; run the survey first: lsbatch.run(survey)")
        frame = inventory_files.read(self._workspace)
        return frame.assign(**{name: pd.to_datetime(frame[name]) for name in inventory_files.DAYS if name in frame})

    @property
    def tiles(self) -> gpd.GeoDataFrame:
        """The tiles of the survey: one row a tile, indexed by tile id, in the CRS of the survey.

        Returns
        -------
        GeoDataFrame
            row, col; status ("done", "pending", "failed" or "blocked" by an earlier stage that failed); stage
            (the first stage that is not done, empty if all are done); error (reason of a failure or None); seconds
            (of all stages together); scenes (number that were read); tp, fp, fn, tn (pixels compared with the mapped
            landslides), precision, recall, f1, mcc (NaN without mapped landslides); geometry (outline of the tile).

        Raises
        ------
        NoDataError
            If the survey has no plan yet.
        """
        survey = open_planned(self.config)
        stages = [step for step in todo.steps(self.config) if isinstance(step, Stage)]
        found = {stage.name: receipts.read_stage(survey.workspace.receipts, stage.name) for stage in stages}
        state = _states(survey)
        rows = [_tile_row(survey, position, state.get(position), found) for position in survey.positions]
        return gpd.GeoDataFrame(rows, geometry="geometry", crs=self.config.grid.crs).set_index("tile")

    def explore(self) -> "folium.Map":
        """Show tiles and landslides on an interactive map, over OpenStreetMap.

        Raises
        ------
        LsbatchError
            If the extra `explore` is not installed.
        """
        landslides = self.landslides
        shown = [
            name
            for name in ("landslide_id", "status", "area_m2", "confidence", "date_earliest", "date_latest", "geometry")
            if name in landslides
        ]
        try:
            tiles = self.tiles.explore(
                column="status",
                tooltip=["status", "stage", "seconds", "scenes"],
                style_kwds={"fillOpacity": 0.1},
                name="tiles",
            )
            return landslides[shown].explore(m=tiles, color="#d55e00", name="landslides")
        except ImportError as error:
            raise LsbatchError(
                f"survey.explore(): needs the extra 'explore' ({error}); install lsbatch[explore]"
            ) from None

    @property
    def _workspace(self) -> Workspace:
        return Workspace(self.config.output)

    def _layer(self, name: str) -> xr.Dataset:
        store = self._workspace.store
        if not files.exists(store / name / "zarr.json"):
            raise NoDataError(f"{store}: has no layer {name!r} yet; run the survey first: lsbatch.run(survey)")
        return cube.open_layer(store, name)


def open_survey(survey: str | PathLike[str] | Config) -> OpenSurvey:
    """Open a survey by its settings file, by its folder, or by settings.

    Nothing is read but the settings.

    Parameters
    ----------
    survey : str, path or Config
        A settings file (`.yaml`), the folder of a survey (its setting `output`), ``s3://bucket/key`` of such a folder,
        or settings. A survey that is opened by its folder reads the settings that the last run saved in it, without
        the secrets of catalogue addresses: open it by its settings file to run it with these.

    Returns
    -------
    OpenSurvey

    Raises
    ------
    ConfigError
        If the file or the folder holds no valid settings.

    Examples
    --------
    >>> import lsbatch
    >>> survey = lsbatch.open_survey("demo/config.yaml")  # doctest: +SKIP
    >>> survey.landslides.area_m2.sum()  # doctest: +SKIP
    """
    if isinstance(survey, Config):
        return OpenSurvey(survey)
    path = objects.path_of(str(survey))
    if not objects.is_remote(path) and path.suffix in SETTINGS_ENDINGS:
        return OpenSurvey(load(path))
    return OpenSurvey(settings_of_folder(str(survey)))


def run(
    survey: "OpenSurvey | str | PathLike[str] | Config", client: "Client | None" = None, *, until: str | None = None
) -> int:
    """Run all pending work of a survey, as the command `lsbatch run` does. Safe to repeat after an interruption.

    Progress is printed.

    Parameters
    ----------
    survey : OpenSurvey, or what `open_survey` takes
    client : distributed.Client, optional
        A client of a Dask cluster that does the work; without it the setting `cluster` decides.
    until : str, optional
        Last stage or reduction to run, for example "stack".

    Returns
    -------
    int
        Number of tiles and reductions that failed; their reasons are in `OpenSurvey.tiles` and are printed.

    Raises
    ------
    LsbatchError
        If nothing can be run: wrong settings, no catalogue, no workers, or another run that writes the survey.
    """
    # rich takes 0.1 s to import, which only a run needs
    from lsbatch.cli.terminal import Screen
    from lsbatch.commands import run as run_command

    opened = survey if isinstance(survey, OpenSurvey) else open_survey(survey)
    client_for = None if client is None else (lambda resources: client)
    return run_command.survey(opened.config, Screen(), until=until, client_for=client_for)


def _states(survey: Survey) -> dict[Position, tuple[str, str]]:
    """Return (stage, status) of each tile that is not done, of the first stage that is not done for it."""
    state: dict[Position, tuple[str, str]] = {}
    for stage, pending in schedule.pending_work(survey).items():
        for status, positions in (
            ("failed", (*pending.quarantined, *pending.tries)),
            ("blocked", pending.blocked),
            ("pending", (*pending.digests, *pending.waiting)),
        ):
            for position in positions:
                state.setdefault(position, (stage, status))
    return state


def _tile_row(
    survey: Survey,
    position: Position,
    state: tuple[str, str] | None,
    found: dict[str, dict[str, Receipt]],
) -> dict[str, Any]:
    """Return the row of a tile in `OpenSurvey.tiles`; `found` holds the receipts by stage and tile."""
    name = tile_id(*position)
    mine = {stage: receipts[name] for stage, receipts in found.items() if name in receipts}
    stage, status = (None, "done") if state is None else state
    failed = next((receipt for receipt in mine.values() if not receipt), None)
    score = mine.get("score")
    counts = {key: score.tally[key] for key in ("tp", "fp", "fn", "tn")} if score else {}
    scores = Confusion(**counts).scores() if counts else {}
    return {
        "tile": name,
        "row": position[0],
        "col": position[1],
        "status": status,
        "stage": stage,
        "error": None if failed is None else failed.error,
        "seconds": sum(receipt.seconds for receipt in mine.values()),
        "scenes": len(mine["stack"].scenes) if "stack" in mine else 0,
        **{key: counts.get(key, float("nan")) for key in ("tp", "fp", "fn", "tn")},
        **{key: float("nan") if scores.get(key) is None else scores[key] for key in SCORES},
        "geometry": survey.tile(position).geobox.extent.geom,
    }
