"""Outlines of countries for `lsbatch init`, from Natural Earth 1:50m (public domain).

    npm pack world-atlas@2.0.2 && tar xzf world-atlas-2.0.2.tgz
    python -m benchmarks.country_outlines package/countries-50m.json

writes lsbatch/commands/init/countries.parquet: names and outlines, simplified to some 2 km.
"""

import argparse
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely

from lsbatch.commands.init import regions
from lsbatch.storage.geometries import polygonal

#: Degrees: less than the buffer that `lsbatch init` puts around a country.
TOLERANCE_DEG, STEP_DEG = 0.02, 0.01


def outlines(source: Path) -> gpd.GeoDataFrame:
    """Read countries (name, geometry) in degrees, simplified and valid, in the order of their names."""
    found = gpd.read_file(source, layer="countries").set_crs("EPSG:4326", allow_override=True)
    shapes = polygonal(shapely.make_valid(found.geometry.values))
    coarse = shapely.set_precision(shapely.make_valid(shapely.simplify(shapes, TOLERANCE_DEG)), STEP_DEG)
    # small islands may become lines or vanish: those stay as they are
    small = polygonal(coarse)
    shapes = np.where([one is None for one in small], shapes, small)
    made = gpd.GeoDataFrame({"name": found["name"]}, geometry=shapes, crs="EPSG:4326")
    return made.sort_values("name", ignore_index=True)


def main() -> None:
    """Read the file of the package world-atlas and write ours."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="countries-50m.json")
    found = outlines(parser.parse_args().source)
    found.to_parquet(regions.COUNTRIES, compression="zstd", index=False)
    print(f"{len(found)} countries, {regions.COUNTRIES.stat().st_size / 1000:.0f} kB: {regions.COUNTRIES}")


if __name__ == "__main__":
    main()
