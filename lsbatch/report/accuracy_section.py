"""The accuracy section of the report: reviewed sample, completeness, sizes, figures by county."""

import io
from collections.abc import Mapping
from typing import Any

import pandas as pd

from lsbatch.catalog.survey import Survey
from lsbatch.errors import LsbatchError, StaleStoreError
from lsbatch.inventory import areas
from lsbatch.report import statistics
from lsbatch.storage import files, receipts

_FIGURE = ("value", "standard_error", "low", "high", "value_if_unsure_agree")
_COUNT = ("stratum", "map_class", "pixels", "points", "landslide", "no landslide", "unsure")
_DESIGN = ("size", "allocation", "seed", "min_distance_m", "drawn")


def sample(survey: Survey) -> dict[str, Any] | None:
    """Return the assessment by a reviewed sample as rows; None if there is none, `fault` if it cannot be read."""
    try:
        found = statistics.assessed(survey)
        return None if found is None else {"fault": "", **_sample(survey, found)}
    except LsbatchError as error:
        return {"fault": str(error)}


def _sample(survey: Survey, found: Mapping[str, Any]) -> dict[str, Any]:
    try:
        rows = [
            {
                "name": name,
                "area": key == "area",
                **{column: _number(found["figures"][key][column]) for column in _FIGURE},
            }
            for key, name in statistics.FIGURES
        ]
        return {
            "fits": bool(found["fits_the_map"]),
            "figures": rows,
            "landslide_m2": {column: _number(found["landslide_m2"][column]) for column in _FIGURE},
            "mapped_m2": _number(found["mapped_m2"]),
            "surveyed_m2": _number(found["surveyed_m2"]),
            "matrix": [
                (map_class, [_number(row[reference]) for reference in found["matrix_share"]])
                for map_class, row in found["matrix_share"].items()
            ],
            "counts": [{key: row[key] for key in _COUNT} for row in found["counts"]],
            "warnings": [str(text) for text in found["warnings"]],
            "design": {key: found["design"][key] for key in _DESIGN},
            "sample": str(found["sample"]),
            "assessed": str(found["assessed"]),
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        path = survey.workspace.accuracy / "accuracy.json"
        raise StaleStoreError(
            f"{path}: damaged, or written by another version of lsbatch: {error!r}; run lsbatch assess again"
        ) from None


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def counties(survey: Survey) -> dict[str, Any] | None:
    """Return the rows of ``inventory/areas.csv``, None for unknown values; None without polygons.

    A table of an older run is not shown: the step that writes it must have succeeded for this survey.
    """
    if survey.config.inventory.areas is None:
        return None
    receipt = receipts.read_stage(survey.workspace.receipts, "figures").get("all")
    if not receipt:
        return {
            "rows": [],
            "fault": "they do not exist yet; run lsbatch run" if receipt is None else str(receipt.error),
        }
    path = survey.workspace.inventory / "areas.csv"
    try:
        # a county may be called "NA" or "007"
        table = pd.read_csv(
            io.BytesIO(files.read_bytes(path)),
            dtype={"area": str},
            keep_default_na=False,
            na_values={name: [""] for name in areas.FIGURES},
        )
        table = table[["area", *areas.FIGURES]].astype(dict.fromkeys(areas.FIGURES, "float64")).astype(object)
    except (ValueError, KeyError, OSError) as error:
        return {"rows": [], "fault": f"{path.name} cannot be read: {error}"}
    return {"rows": table.where(table.notna(), None).to_dict("records"), "fault": ""}
