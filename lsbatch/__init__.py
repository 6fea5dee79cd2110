"""Survey the landslides of a country every year from Sentinel-1, Sentinel-2 and a DEM.

The public interface:

    import lsbatch
    survey = lsbatch.open_survey("survey.yaml")   # or the folder of a survey, or s3://bucket/key
    lsbatch.run(survey)                           # run all pending work, as `lsbatch run` does
    survey.stack                                  # xarray.Dataset, lazy, with CRS
    survey.probability, survey.mask               # xarray.DataArray, lazy
    survey.landslides, survey.tiles               # geopandas.GeoDataFrame
    lsbatch.kernels.speckle.lee(...)              # kernels: arrays in, arrays out

Everything is loaded when it is first used, so `import lsbatch` takes milliseconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lsbatch import kernels
    from lsbatch.notebook import OpenSurvey, open_survey, run

__all__ = ["OpenSurvey", "__version__", "kernels", "open_survey", "run"]

__version__ = "0.2.0"


def __getattr__(name: str) -> Any:
    """Load a part of the public interface when it is first used."""
    if name == "kernels":
        return import_module("lsbatch.kernels")
    if name in __all__:
        return getattr(import_module("lsbatch.notebook"), name)
    raise AttributeError(f"module 'lsbatch' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the names of the public interface."""
    return sorted(__all__)
