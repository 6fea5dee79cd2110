"""Reading a scene compared with GDAL's warper, on pixels whose neighbours are all valid.

GDAL's warper does plain bilinear interpolation if two approximations are off:

- Of the transformer. `tolerance` is its largest error, by default 0.125 px. A VRT of rasterio cannot have 0. With
  1e-9 px GDAL's float32 results are within 1.3e-4 of float64 interpolation at the coordinates of PROJ, with values of
  3000: the rounding of single precision.
- Of the scale. A kernel is widened where the source is finer than the target. GDAL takes the ratio of the sides of both
  windows for the ratio of pixels. The window of a source in the next zone is larger than the target, because the target
  is turned in it, so the kernel would be widened although the pixels are equally large: results are off by 162 DN.
  `XSCALE` and `YSCALE` of 1 prevent it. No source here is finer than the tile, so no kernel should be widened.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from scipy.ndimage import binary_erosion

from lsbatch.catalog.items.scenes import Scene, describe
from lsbatch.imagery import scene_reading

CRS = "EPSG:25833"
TILE_PX, SOURCE_PX = 512, 900
TILE = GeoBox((TILE_PX, TILE_PX), Affine(10, 0, 246_000, 0, -10, 6_819_840), CRS)
#: Sensor, our name of the band that is read, and the assets that an item must have.
ASSETS = {
    "uint16": ("sentinel2", "R", ("red", "green", "blue", "nir", "scl")),
    "float32": ("sentinel1", "VV", ("vv",)),
}
#: Pixels of the tile that are left out around nodata: two pixels of the coarsest source, 31 m high.
BORDER_PX = 7
#: Largest error of GDAL's transformer.
EXACT_PX, USUAL_PX = 1e-9, 0.125


@dataclass(frozen=True)
class Case:
    """A source around the middle of the tile, with pixels not finer than the tile's.

    Attributes
    ----------
    crs : str
    side : float
        Of a pixel, in units of the CRS.
    turn_deg, shift_px : float
        The lattice is turned, and then shifted along both of its axes.
    relative : float
        Bound of the relative difference of float32. Beside it stands what was measured.
    is_bent : bool
        Whether the lattice is no affine image of the tile's, so that GDAL's usual transformer is not exact.
    """

    crs: str
    side: float
    turn_deg: float
    shift_px: float
    relative: float
    is_bent: bool

    def transform(self, moved_px: float) -> Affine:
        """Return the transform of the source, moved by a part of a pixel."""
        x, y = Transformer.from_crs(CRS, self.crs, always_xy=True).transform(*TILE.center_pixel.transform * (0, 0))
        # whole pixels, so that nothing but the shift decides where pixels lie
        x, y = np.floor(x / self.side) * self.side, np.floor(y / self.side) * self.side
        corner = -SOURCE_PX // 2 + self.shift_px + moved_px
        return (
            Affine.translation(x, y) * Affine.rotation(self.turn_deg)
            * Affine.scale(self.side, -self.side) * Affine.translation(corner, corner)
        )  # fmt: skip


CASES = {
    # the only differences are those of single precision: 9e-8
    "half a pixel off": Case(CRS, 10, 0, 0.5, 3e-7, False),
    # also of fixed-point coordinates, 2e-6 px: 7e-7
    "turned": Case(CRS, 10, 17, 0, 2e-6, False),
    # also of coordinates that are interpolated between nodes, by up to 1e-3 px: 1.1e-5, 1.0e-5, and in degrees 1.8e-4
    "next zone": Case("EPSG:32632", 10, 0, 0, 3e-5, True),
    "turned and coarser, next zone": Case("EPSG:32632", 12, 17, 0, 3e-5, True),
    "degrees": Case("EPSG:4326", 1 / 3600, 0, 0, 5e-4, True),
}


def write(path: Path, case: Case, dtype: str, moved_px: float = 0) -> Path:
    """Write noise of 6 % of its mean, with square holes of nodata."""
    rng = np.random.default_rng(0)
    values = rng.normal(3000, 180, (SOURCE_PX, SOURCE_PX))
    for row, col in rng.integers(400, 500, (4, 2)):
        values[row : row + 12, col : col + 12] = 0
    profile = {"driver": "GTiff", "count": 1, "width": SOURCE_PX, "height": SOURCE_PX, "dtype": dtype, "nodata": 0}
    with rasterio.open(path, "w", **profile, crs=case.crs, transform=case.transform(moved_px)) as file:
        file.write((np.rint(values) if dtype == "uint16" else values).astype(dtype), 1)
    return path


def scene(path: Path, dtype: str) -> Scene:
    sensor, _, keys = ASSETS[dtype]
    item = {
        "type": "Feature",
        "id": path.stem,
        "bbox": [-180, -90, 180, 90],
        "properties": {"datetime": "2019-07-01T10:50:31Z", "s2:processing_baseline": "02.11"},
        "assets": {key: {"href": str(path)} for key in keys},
    }
    return describe(item, sensor)


def ours(path: Path, dtype: str) -> np.ndarray:
    band = ASSETS[dtype][1]
    return scene_reading.read(scene(path, dtype), (band,), TILE)[band]


def gdal(path: Path, tolerance_px: float) -> np.ndarray:
    with (
        rasterio.open(path) as file,
        WarpedVRT(
            file, crs=CRS, transform=TILE.transform, width=TILE_PX, height=TILE_PX, resampling=Resampling.bilinear,
            tolerance=tolerance_px, XSCALE=1, YSCALE=1, nodata=0,
        ) as warped,
    ):  # fmt: skip
        return warped.read(1)


def differences(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return absolute and relative differences of the pixels without nodata nearby; these are nearly all."""
    valid = np.isfinite(one) & (one != 0) & np.isfinite(other) & (other != 0)
    inside = binary_erosion(valid, iterations=BORDER_PX, border_value=1)
    assert 0.97 < inside.mean() < 1
    values = other[inside].astype(np.float64)
    found = np.abs(one[inside] - values)
    return found, found / values


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def test_whole_numbers_are_within_one(tmp_path: Path, case: Case) -> None:
    """Both round; results that differ by less than 1 before rounding differ by 1 at most after it.

    Before rounding they differ by 0.5 or less (`Case.relative` of 4,000), so few pixels differ at all: 5 % in degrees,
    0.2 % in the next zone, none half a pixel off.
    """
    path = write(tmp_path / "a.tif", case, "uint16")
    found, _ = differences(ours(path, "uint16"), gdal(path, EXACT_PX))
    assert found.max() <= 1
    assert np.count_nonzero(found) < 0.1 * found.size


def test_floating_point_numbers_are_within_the_error_of_coordinates(tmp_path: Path, case: Case) -> None:
    path = write(tmp_path / "a.tif", case, "float32")
    _, relative = differences(ours(path, "float32"), gdal(path, EXACT_PX))
    assert relative.max() < case.relative


@pytest.mark.parametrize("dtype", ASSETS)
def test_a_hundredth_of_a_pixel_is_seen(tmp_path: Path, case: Case, dtype: str) -> None:
    """The bounds are not so wide that a wrong place would meet them."""
    mine = ours(write(tmp_path / "a.tif", case, dtype), dtype)
    found, relative = differences(mine, gdal(write(tmp_path / "b.tif", case, dtype, moved_px=0.01), EXACT_PX))
    assert found.max() > 10
    assert np.mean(found > 1) > 0.5
    assert relative.max() > 5 * case.relative


@pytest.mark.parametrize("dtype", ASSETS)
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.is_bent])
def test_the_usual_transformer_of_gdal_is_outside_the_bounds(tmp_path: Path, name: str, dtype: str) -> None:
    path = write(tmp_path / "a.tif", CASES[name], dtype)
    found, relative = differences(ours(path, dtype), gdal(path, USUAL_PX))
    assert found.max() > 2
    assert relative.max() > 10 * CASES[name].relative
