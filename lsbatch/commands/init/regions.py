"""The region of a first survey: a country, a file of polygons, or a box in degrees."""

import difflib
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyproj
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lsbatch.errors import ConfigError
from lsbatch.storage import geometries

#: Outlines of countries, made by `python -m benchmarks.country_outlines` from Natural Earth 1:50m.
COUNTRIES = Path(__file__).with_name("countries.parquet")
DEGREES = "EPSG:4326"
#: Added around the outline of a country, which is some kilometres off in places.
COUNTRY_MARGIN_M = 3000.0
#: Islands are linked to the largest part of a country by gaps up to this one; parts beyond need a survey of their own.
#: Svalbard (more than 600 km), the Canaries and the Azores are beyond, and the islands of Indonesia and Japan are not.
LARGEST_GAP_KM = 300.0
#: Names that are shown for a name that is not known.
SHOWN_NAMES = 5
#: Relative error of lengths that is not worth a sentence; 0.0004 is that of UTM on its central meridian.
SMALL_DISTORTION = 0.002
#: A box is rounded outwards to whole kilometres.
BOX_STEP_M = 1000.0


@dataclass(frozen=True)
class Region:
    """A region and how the settings name it.

    Attributes
    ----------
    name : str
        Country, stem of the file, or "region".
    shape : shapely geometry
        In degrees (longitude, latitude).
    file : Path or None
        The file of polygons that the user has.
    is_box : bool
        Whether the user gave a box.
    remarks : tuple of str
        Sentences about what was decided.
    """

    name: str
    shape: shapely.Geometry
    file: Path | None = None
    is_box: bool = False
    remarks: tuple[str, ...] = ()

    @property
    def crs(self) -> str:
        """UTM zone of the centre, on WGS 84, like the zones of Sentinel-2."""
        return f"EPSG:{gpd.GeoSeries([self.shape], crs=DEGREES).estimate_utm_crs().to_epsg()}"

    def in_crs(self) -> shapely.Geometry:
        """Return the shape in `crs`; a country with its margin."""
        edges = shapely.segmentize(self.shape, 0.25)
        shape = gpd.GeoSeries([edges], crs=DEGREES).to_crs(self.crs).make_valid().iloc[0]
        return shape if self.file or self.is_box else shape.buffer(COUNTRY_MARGIN_M)

    def bounds(self) -> tuple[float, float, float, float]:
        """Return left, bottom, right, top in `crs`, rounded outwards to whole kilometres."""
        left, bottom, right, top = self.in_crs().bounds
        low, high = (np.floor(np.array([left, bottom]) / BOX_STEP_M), np.ceil(np.array([right, top]) / BOX_STEP_M))
        return tuple(float(value) * BOX_STEP_M for value in (*low, *high))  # type: ignore[return-value]


def find(text: str) -> Region:
    """Return the region that a text names.

    Parameters
    ----------
    text : str
        A country, a path of a vector file, or `west,south,east,north` in degrees.

    Raises
    ------
    ConfigError
        If it is none of these.
    """
    numbers = _numbers(text)
    if numbers is not None:
        return _box(text, numbers)
    path = Path(text).expanduser()
    if path.exists():
        polygons = geometries.read_polygons(path, "region", DEGREES)
        if not len(polygons):
            raise ConfigError(f"region {text!r}: the file holds no polygon")
        return Region(path.stem, shapely.union_all(polygons), file=path.resolve())
    return country(text)


def _numbers(text: str) -> list[float] | None:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        return None


def _box(text: str, numbers: list[float]) -> Region:
    if len(numbers) != 4:
        raise ConfigError(f"region {text!r}: a box is west,south,east,north in degrees, for example 5.5,61.2,7.2,61.8")
    west, south, east, north = numbers
    if not (-180 <= west < east <= 180 and -80 <= south < north <= 84):
        raise ConfigError(
            f"region {text!r}: a box is west,south,east,north in degrees, with west < east and south < north, and "
            "latitudes from -80 to 84"
        )
    return Region("region", shapely.box(west, south, east, north), is_box=True)


def names() -> list[str]:
    """Return the names of all countries."""
    return gpd.read_parquet(COUNTRIES, columns=["name", "geometry"])["name"].tolist()


def country(name: str) -> Region:
    """Return a country by its name in Natural Earth, without parts that are far from its largest part.

    Raises
    ------
    ConfigError
        If there is no country of this name.
    """
    frame = gpd.read_parquet(COUNTRIES)
    found = frame[frame["name"].str.casefold() == name.strip().casefold()]
    if found.empty:
        raise ConfigError(
            f"region {name!r}: is neither a country, nor a file, nor a box; {_nearest(name, frame['name'].tolist())}"
        )
    row = found.iloc[0]
    near, far = _parts(row.geometry)
    remarks = [
        f"The outline of {row['name']} is that of Natural Earth 1:50m with {COUNTRY_MARGIN_M / 1000:g} km around it. "
        "Replace it by your own polygon (region.file) where borders matter."
    ]
    if far:
        remarks.append(
            f"{far} part{'s' if far > 1 else ''} of {row['name']} beyond {LARGEST_GAP_KM:g} km of sea or other land "
            "are left out: they need surveys of their own."
        )
    return Region(row["name"], near, remarks=tuple(remarks))


def _nearest(name: str, known: list[str]) -> str:
    """Return a sentence with names that are spelled alike, and how to give another region."""
    folded = {one.casefold(): one for one in known}
    alike = [folded[one] for one in difflib.get_close_matches(name.strip().casefold(), folded, SHOWN_NAMES)]
    other = "give a file of polygons, or west,south,east,north in degrees"
    return f"did you mean {', '.join(alike)}? Or {other}" if alike else other


def _parts(shape: shapely.Geometry) -> tuple[shapely.Geometry, int]:
    """Return the parts that are linked to the largest one by short gaps, as one shape, and the number of the others."""
    parts = shapely.get_parts(shape)
    largest = int(np.argmax([area_km2(part) for part in parts]))
    middle = parts[largest].representative_point()
    # distances from the largest part are true here, also across the antimeridian; those between others nearly so
    local = gpd.GeoSeries(parts, crs=DEGREES).to_crs(f"+proj=aeqd +lat_0={middle.y} +lon_0={middle.x} +datum=WGS84")
    linked = shapely.STRtree(local.values).query(local.values, "dwithin", LARGEST_GAP_KM * 1000)
    graph = coo_array((np.ones(linked.shape[1], bool), linked), shape=(len(parts), len(parts)))
    group = connected_components(graph, directed=False)[1]
    near = group == group[largest]
    return shapely.union_all(parts[near]), int((~near).sum())


def area_km2(shape: shapely.Geometry) -> float:
    """Return the area of a shape in degrees on the ellipsoid."""
    return abs(pyproj.Geod(ellps="WGS84").geometry_area_perimeter(shape)[0]) / 1e6


def distortion(region: Region) -> str | None:
    """Return a sentence if lengths in the CRS of a region are wrong by more than `SMALL_DISTORTION`; None otherwise."""
    west, south, east, north = region.shape.bounds
    projection = pyproj.Proj(region.crs)
    scale = max(projection.get_factors(x, y).meridional_scale for x in (west, east) for y in (south, north))
    if scale - 1 <= SMALL_DISTORTION:
        return None
    return (
        f"{region.crs} is the UTM zone of the centre; at the edge of the region its lengths are "
        f"{100 * (scale - 1):.1f} % too long (areas in the inventory are geodesic, so they are right). Set grid.crs if "
        "the country has a projection of its own."
    )
