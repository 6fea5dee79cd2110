"""Predictions of given weights on the real scene of the Hokkaido landslides of 2018, which has no labels.

    python -m benchmarks.hokkaido WEIGHTS... [--folder ../shared/data/s2_hokkaido] [--picture
    docs/pictures/hokkaido.png]

WEIGHTS are of models that need no near infrared: a prakash, a unet on s2_rgb. 40 % of the picture before is missing,
the rest is snowy. What it prints is how much of the ground was answered and how much of that is called a landslide: no
score, as there is no truth.
"""

import argparse
from pathlib import Path

import numpy as np
import rasterio
from matplotlib import pyplot as plt
from rasterio.enums import Resampling
from rasterio.transform import from_origin
from rasterio.warp import reproject, transform_bounds

from benchmarks.preprocessing_pictures import draw, grey, true_colour
from lsbatch.kernels import terrain
from lsbatch.models import base
from lsbatch.settings import PredictSettings

CRS, SIDE_M = "EPSG:32654", 10.0
FILES = {"R": "B4.tif", "G": "B3.tif", "B": "B2.tif"}


def bands(folder: Path) -> dict[str, np.ndarray]:
    """Reflectance before and after, elevation and slope on a UTM lattice of 10 m; sides are multiples of 128 px."""
    with rasterio.open(folder / "post-event" / "B4.tif") as one:
        left, bottom, right, top = transform_bounds(one.crs, CRS, *one.bounds)
    rows, cols = (int(np.ceil(span / SIDE_M / 128)) * 128 for span in (top - bottom, right - left))
    transform = from_origin(left, top, SIDE_M, SIDE_M)

    def warped(path: Path, scale: float) -> np.ndarray:
        out = np.full((rows, cols), np.nan, np.float32)
        with rasterio.open(path) as source:
            reproject(
                rasterio.band(source, 1),
                out,
                dst_transform=transform,
                dst_crs=CRS,
                dst_nodata=np.nan,
                resampling=Resampling.bilinear,
            )
        return out * np.float32(scale)

    found = {
        f"{period}{name}": warped(folder / f"{period}-event" / file, 1e-4)
        for period in ("pre", "post") for name, file in FILES.items()
    }  # fmt: skip
    found["elevation"] = warped(folder / "dsm_30m.tif", 1.0)
    found["slope"] = terrain.slope(found["elevation"], SIDE_M, SIDE_M)
    return found


def answered(weights: Path, found: dict[str, np.ndarray]) -> np.ndarray:
    """Probability, NaN where any band is missing; what lies outside the scene is nodata."""
    predict = PredictSettings(device="cpu")
    halo = base.halo_px(base.card(weights), predict)
    framed = {name: np.pad(values, halo, constant_values=np.nan) for name, values in found.items()}
    return base.answer(weights, framed, halo, predict)


def main() -> None:
    """Print shares, draw the picture."""
    here = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, nargs="+")
    parser.add_argument("--folder", type=Path, default=here.parent / "shared" / "data" / "s2_hokkaido")
    parser.add_argument("--picture", type=Path, default=here / "docs" / "pictures" / "hokkaido.png")
    arguments = parser.parse_args()
    found = bands(arguments.folder)
    chances = {}
    for path in arguments.weights:
        of, chance = base.card(path), answered(path, found)
        chances[f"{of.family},\nlearned on synthetic countries"] = chance
        seen = np.isfinite(chance)
        print(
            f"{of.family}: {seen.mean():.0%} of {chance.size:,} pixels answered; {np.mean(chance[seen] >= 0.5):.1%} of "
            "these called landslide"
        )
    plt.switch_backend("agg")
    shade = terrain.hillshade(found["elevation"], SIDE_M, SIDE_M)
    draw(
        arguments.picture,
        [
            ("before (40 % missing, snow)", true_colour(*(found[f"pre{c}"] for c in "RGB")), {}),
            ("after", true_colour(*(found[f"post{c}"] for c in "RGB")), {}),
            ("hillshade", shade, grey(0, 255)),
            *(
                (f"probability: {name}", chance, {"cmap": "cividis", "vmin": 0, "vmax": 1})
                for name, chance in chances.items()
            ),
        ],
        3 if len(chances) > 1 else 2,
    )


if __name__ == "__main__":
    main()
