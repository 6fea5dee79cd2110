"""The layout of the folder of a survey."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Workspace:
    """The folder of a survey.

    Attributes
    ----------
    root : Path
        ``output`` of the settings.
    """

    root: Path

    @property
    def settings(self) -> Path:
        """Settings of the last run, without secrets."""
        return self.root / "settings.yaml"

    @property
    def store(self) -> Path:
        """The cube."""
        return self.root / "cube.zarr"

    @property
    def receipts(self) -> Path:
        """One JSON file a stage and tile."""
        return self.root / "receipts"

    @property
    def plan(self) -> Path:
        """The planned scenes."""
        return self.root / "plan"

    @property
    def model(self) -> Path:
        """Weights and logs of `lsbatch train`."""
        return self.root / "model"

    @property
    def inventory(self) -> Path:
        """GeoPackage, GeoParquet, CSV."""
        return self.root / "inventory"

    @property
    def earlier(self) -> Path:
        """Last year's inventory, as imported by `lsbatch link`."""
        return self.root / "review" / "earlier.parquet"

    @property
    def identities(self) -> Path:
        """Identifiers and outlines of the landslides of this survey, for later runs."""
        return self.root / "review" / "identities.parquet"

    @property
    def answers(self) -> Path:
        """Answers of reviewers: one line each, only appended."""
        return self.root / "review" / "answers.jsonl"

    @property
    def project(self) -> Path:
        """The survey as a QGIS project."""
        return self.root / "survey.qgz"

    @property
    def maps(self) -> Path:
        """National maps."""
        return self.root / "maps"

    @property
    def catalog(self) -> Path:
        """The tiles as a static STAC catalogue."""
        return self.root / "stac"

    @property
    def report(self) -> Path:
        """The HTML page and the scores."""
        return self.root / "report"

    @property
    def accuracy(self) -> Path:
        """The sample, its answers and the assessment."""
        return self.root / "accuracy"

    def part(self, stage: str, tile: str, suffix: str = ".parquet") -> Path:
        """Return the file of the features that a stage found in a tile."""
        return self.root / "parts" / stage / f"{tile}{suffix}"
