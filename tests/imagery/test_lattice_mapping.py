"""Source coordinates of national pixels: exact, equal for all tiles, also near poles and the antimeridian."""

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer

from lsbatch.imagery import lattice_mapping
from lsbatch.kernels import resampling

ARC = 1 / 3600
#: Target CRS, corner (x, y), pixel's side; source CRS and transform; whether blocks need more nodes than usual.
CASES = {
    "next zone": ("EPSG:25833", (0, 6_800_000), 10, "EPSG:32632", Affine(10, 0, 3e5, 0, -10, 7e6), False),
    "half a pixel off": ("EPSG:25833", (0, 6_800_000), 10, "EPSG:25833", Affine(10, 0, -5, 0, -10, 6_800_005), False),
    "turned": ("EPSG:25833", (0, 6_800_000), 10, "EPSG:25833", Affine(9, 3, -5, 3, -9, 6_800_005), False),
    "degrees": ("EPSG:25833", (0, 6_800_000), 10, "EPSG:4326", Affine(ARC, 0, 5, 0, -ARC, 63), False),
    "southern UTM": ("EPSG:32719", (400_000, 6_000_000), 10, "EPSG:32718", Affine(10, 0, 6e5, 0, -10, 6.1e6), False),
    "a pole": ("EPSG:3413", (-1280, 1280), 10, "EPSG:4326", Affine(10 * ARC, 0, -180, 0, -ARC, 90), True),
    "antimeridian": ("EPSG:3460", (2_092_800, 4e6), 10, "EPSG:4326", Affine(ARC, 0, 179, 0, -ARC, -16), False),
}


def target(case, rows=300, cols=280, shift=(0, 0)):
    crs, (x, y), side = CASES[case][:3]
    return GeoBox((rows, cols), Affine(side, 0, x + shift[1] * side, 0, -side, y - shift[0] * side), crs)


def interpolated(pieces, shape):
    """Return the coordinates that the kernels use, from images that hold the source's rows and columns."""
    out = np.full((2, *shape), np.nan)
    for piece in pieces:
        nodes = piece.nodes
        rows = (np.arange(piece.rows.stop - piece.rows.start) + nodes.row) / nodes.step
        cols = (np.arange(piece.cols.stop - piece.cols.start) + nodes.col) / nodes.step
        for plane, known in zip(out, (nodes.rows, nodes.cols), strict=True):
            i, j = np.minimum(rows.astype(int), len(known) - 2), np.minimum(cols.astype(int), known.shape[1] - 2)
            u, v = (rows - i)[:, None], (cols - j)[None, :]
            corners = [known[np.ix_(i + di, j + dj)] for di, dj in ((0, 0), (0, 1), (1, 0), (1, 1))]
            weights = ((1 - u) * (1 - v), (1 - u) * v, u * (1 - v), u * v)
            # a node without a place counts only where it has a weight
            plane[piece.rows, piece.cols] = sum(
                np.where(w == 0, 0, w * c) for w, c in zip(weights, corners, strict=True)
            )
    return out


@pytest.mark.parametrize("case", CASES)
def test_coordinates_are_within_a_thousandth_of_a_pixel(case):
    crs, _, _, source, transform, is_hard = CASES[case]
    box = target(case)
    pieces = lattice_mapping.pieces(box, CRS(source).to_wkt(), transform, 7200)
    x, y = np.meshgrid(*(np.asarray(box.coordinates[name].values) for name in ("x", "y")))
    x, y = Transformer.from_crs(crs, source, always_xy=True).transform(x, y)
    if source == "EPSG:4326":
        middle = transform.c + transform.a * 3600
        x = (x - middle + 180) % 360 - 180 + middle
    back = ~transform
    exact = np.array([back.d * x + back.e * y + back.f, back.a * x + back.b * y + back.c])
    found = interpolated(pieces, box.shape)
    assert (len(pieces) > 1) == is_hard
    near = np.isfinite(found).all(axis=0)
    assert near.mean() > 0.99
    assert np.abs(found - exact)[:, near].max() < 1.01e-3


@pytest.mark.parametrize("case", CASES)
def test_a_part_has_the_coordinates_of_the_whole(case):
    _, _, _, source, transform, _ = CASES[case]
    whole = interpolated(lattice_mapping.pieces(target(case), CRS(source).to_wkt(), transform, 7200), (300, 280))
    box = target(case, 70, 90, shift=(130, 100))
    part = interpolated(lattice_mapping.pieces(box, CRS(source).to_wkt(), transform, 7200), (70, 90))
    np.testing.assert_array_equal(part, whole[:, 130:200, 100:190])


def test_resampled_parts_equal_the_whole_bit_for_bit():
    case = "next zone"
    _, _, _, source, transform, _ = CASES[case]
    box = target(case)
    (piece,) = lattice_mapping.pieces(box, CRS(source).to_wkt(), transform, 9000)
    top, left = int(piece.extent[0]) - 3, int(piece.extent[2]) - 3
    values = np.random.default_rng(0).random((500, 500)).astype(np.float32)

    def resampled(box):
        out = np.full(box.shape, np.nan, np.float32)
        for piece in lattice_mapping.pieces(box, CRS(source).to_wkt(), transform, 9000):
            resampling.bilinear(out[piece.rows, piece.cols], values, piece.nodes, (top, left), (0, 1))
        return out

    whole = resampled(box)
    assert np.isfinite(whole).all()
    for rows, cols, shift in ((70, 90, (130, 100)), (1, 280, (299, 0)), (300, 1, (0, 17))):
        part = resampled(target(case, rows, cols, shift))
        np.testing.assert_array_equal(part, whole[shift[0] : shift[0] + rows, shift[1] : shift[1] + cols])


def test_same_lattice_is_recognised():
    box = target("next zone")
    same = Affine(10, 0, -400, 0, -10, 6_800_300)
    assert lattice_mapping.offset(box, CRS("EPSG:25833").to_wkt(), same) == (30, 40)
    assert lattice_mapping.offset(box, CRS("EPSG:25833").to_wkt(), same * Affine.translation(0.5, 0)) is None
    assert lattice_mapping.offset(box, CRS("EPSG:25833").to_wkt(), same * Affine.scale(2)) is None
    assert lattice_mapping.offset(box, CRS("EPSG:32632").to_wkt(), same) is None
