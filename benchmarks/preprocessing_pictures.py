"""Pictures of docs/preprocessing.md that show the effect of each step on the pixels.

    python -m benchmarks.preprocessing_pictures [--folder docs/pictures] [--real ../shared/data]

Of a synthetic country, which is made first; only the speckle is that of real hills, where the real scenes are there,
and left as it was where not.
"""

import argparse
import io
import tempfile
from pathlib import Path

import matplotlib as mpl
import numpy as np
import rasterio
import yaml
from matplotlib import pyplot as plt
from matplotlib.colors import BoundaryNorm, ListedColormap
from PIL import Image

from lsbatch import settings, synthetic
from lsbatch.bands import STACK
from lsbatch.catalog import plan
from lsbatch.catalog.survey import Survey, open_survey
from lsbatch.cli import terminal
from lsbatch.commands import run
from lsbatch.imagery import scene_reading
from lsbatch.kernels import optical, sar, speckle, terrain
from lsbatch.kernels import slope_correction as slope_kernels
from lsbatch.pipeline import terrain as terrain_stage
from lsbatch.storage import cube

SEED, SIDE_PX = 900, 512
LOOKS = 4.4
#: Hills near the coast; ten passes of one relative orbit.
HILLS, PASSES = "T137-292320-IW2", 10
#: Scene classification, in the colours that Sentinel-2's own quicklooks have.
SCL = {
    3: ("cloud shadow", "#643200"), 4: ("vegetation", "#00a000"), 5: ("bare soil", "#ffe65a"), 6: ("water", "#0000ff"),
    7: ("unclassified", "#808080"), 8: ("cloud, medium", "#c0c0c0"), 9: ("cloud, high", "#ffffff"),
    10: ("cirrus", "#64c8ff"), 2: ("dark area", "#2f2f2f"), 11: ("snow", "#ff96ff"),
}  # fmt: skip
#: Bits of the optical sensor and of the radar.
SEEN = {"cmap": ListedColormap(["black", "#e0a020", "#8050c0", "#60b060"]), "vmin": -0.5, "vmax": 3.5}
Panel = tuple[str, np.ndarray, dict[str, object]]


def draw(path: Path, panels: list[Panel], columns: int) -> None:
    """Save pictures side by side, each with its title, without axes: the ground matters, not where it is."""
    rows = -(-len(panels) // columns)
    height, width = panels[0][1].shape[:2]
    figure, places = plt.subplots(
        rows, columns, figsize=(3 * columns, (3 * height / width + 0.3) * rows), squeeze=False, layout="constrained"
    )
    for place in places.flat:
        place.axis("off")
    for place, (title, values, how) in zip(places.flat, panels, strict=False):
        place.imshow(values, interpolation="nearest", **how)
        place.set_title(title, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=90)
    plt.close(figure)
    # 192 colours are enough, and a third of the bytes
    Image.open(drawn).convert("RGB").quantize(192, Image.Quantize.MEDIANCUT).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1e3:,.0f} kB")


def grey(low: float, high: float) -> dict[str, object]:
    """Shades from black to white; nodata is blue."""
    colours = mpl.colormaps["gray"].copy()
    colours.set_bad("#3060c0")
    return {"cmap": colours, "vmin": low, "vmax": high}


def yes(colour: str) -> dict[str, object]:
    """A mask in one colour on white."""
    return {"cmap": ListedColormap(["white", colour]), "vmin": 0, "vmax": 1}


def true_colour(red: np.ndarray, green: np.ndarray, blue: np.ndarray) -> np.ndarray:
    """Reflectance up to 0.2 as a picture; nodata is blue."""
    picture = np.clip(np.stack([red, green, blue], axis=-1) / 0.2, 0, 1) ** 0.7
    picture[np.isnan(picture).any(axis=-1)] = (0.2, 0.4, 0.75)
    return picture


def stacked(folder: Path) -> Survey:
    """A synthetic country whose one tile has its STACK."""
    synthetic.simulate(folder, seed=SEED, rows=SIDE_PX, cols=SIDE_PX)
    path = folder / "config.yaml"
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    config = settings.parse(raw | {"grid": raw["grid"] | {"tile_px": SIDE_PX}}, folder)
    if run.survey(config, terminal.Screen(), until="stack"):
        raise SystemExit("the country's STACK could not be made")
    return open_survey(config)


def masks(survey: Survey, folder: Path) -> None:
    """One look of Sentinel-2 from what was sent to what may be used."""
    tile = survey.tile(survey.positions[0])
    scenes = plan.tile_scenes(survey.workspace.root, tile.id)
    looks = [
        (s, scene_reading.read(s, ("R", "G", "B", "NIR", "SCL"), tile.geobox)) for s in scenes["post_s2"] if s.offset_dn
    ]
    scene, raw = max(looks, key=lambda look: _shows(look[1]["SCL"]))
    bands = {k: optical.reflectance(raw[k], scene.offset_dn, scene.scale) for k in ("R", "G", "B", "NIR")}
    without = (
        optical.reflectance(raw["R"], 0, scene.scale),
        *(optical.reflectance(raw[k], 0, scene.scale) for k in "GB"),
    )
    here = terrain_stage.read(tile, scenes["dem"], survey.config)
    grown = survey.config.composite.cloud_dilate_px
    clear = optical.clear(raw["SCL"], grown)
    shaded = here.shade(scene.sun_azimuth_deg, scene.sun_elevation_deg)
    # the country sends no cloud probability: its clouds, thinned out, stand for one
    probability = np.where(np.isin(raw["SCL"], optical.CLOUDS), 80.0, 5.0)
    spoiled = optical.cloud_shadow(probability, bands["NIR"], raw["SCL"] == 6, scene.sun_azimuth_deg or 0, 10, 10)
    picture = true_colour(bands["R"], bands["G"], bands["B"])
    classes = sorted(SCL)
    colours = {
        "cmap": ListedColormap([SCL[c][1] for c in classes]),
        "norm": BoundaryNorm([*(c - 0.5 for c in classes), 11.5], len(classes)),
    }
    left = picture.copy()
    left[~(clear & ~shaded)] = (0.2, 0.4, 0.75)
    draw(
        folder / "masks.png",
        [
            ("offset left out: hazy, NDVI too low", true_colour(*without), {}),
            (f"reflectance, offset {scene.offset_dn:g}", picture, {}),
            ("scene classification", raw["SCL"], colours),
            (f"dropped classes, clouds grown by {grown} px", ~clear, yes("#b03030")),
            ("cloud probability with its shadow", spoiled, yes("#b03030")),
            (f"in a mountain's shadow, sun at {scene.sun_elevation_deg:.0f} degrees", shaded, yes("#404080")),
            ("hillshade by this sun", _hillshade(here, scene.sun_azimuth_deg, scene.sun_elevation_deg), grey(0, 255)),
            ("what may be used", left, {}),
        ],
        4,
    )


def _shows(scl: np.ndarray) -> float:
    """How much a look shows: the whole tile, and some cloud."""
    seen = scl > 0
    return float(seen.mean() - abs(np.isin(scl, optical.CLOUDS).sum() / max(seen.sum(), 1) - 0.2))


def _hillshade(here: terrain_stage.Ground, azimuth_deg: float | None, elevation_deg: float | None) -> np.ndarray:
    inner = slice(here.halo_px, -here.halo_px)
    shade = terrain.hillshade(here.elevation_m, here.side_m, here.side_m, azimuth_deg or 315, elevation_deg or 45)
    return shade[inner, inner]


def composites(survey: Survey, folder: Path) -> None:
    """What the STACK holds."""
    rows, cols = (slice(0, n) for n in survey.grid.shape)
    bands = cube.read_window(survey.workspace.store, survey.grid, STACK, rows, cols, STACK.names)
    change = {"cmap": "RdBu", "vmin": -0.5, "vmax": 0.5}
    decibels = grey(-18, -3)
    draw(
        folder / "composites.png",
        [
            ("greenest pixel before", true_colour(*(bands[f"pre{c}"] for c in "RGB")), {}),
            ("greenest pixel after", true_colour(*(bands[f"post{c}"] for c in "RGB")), {}),
            ("dNDVI, red: less green", bands["dNDVI"], change),
            ("clear looks after", bands["post_clear_looks"], {"cmap": "viridis"}),
            ("VV before, median of all passes, dB", bands["preVV"], decibels),
            ("VV after", bands["postVV"], decibels),
            ("difference, dB", bands["diffVV"], {"cmap": "PuOr", "vmin": -4, "vmax": 4}),
            ("passes after, both directions", bands["post_sar_looks"], {"cmap": "viridis"}),
            ("VV after, ascending alone", bands["postVV_asc"], decibels),
            ("VV after, descending alone", bands["postVV_desc"], decibels),
            ("looks lost to terrain shadow", bands["post_shaded_looks"], {"cmap": "magma"}),
            ("seen by both sensors (green), by one, by none", bands["observed"] & 3, SEEN),
        ],
        4,
    )


def slope_correction(survey: Survey, folder: Path) -> None:
    """The country, evenly rough, as a radar would see it from either side, and after the correction.

    Backscatter is made up: speckle of 4.4 looks, times what the volume model says a slope does. Both orbits come out
    flat only if look azimuth, aspect and incidence are taken the same way round.
    """
    tile = survey.tile(survey.positions[0])
    here = terrain_stage.read(tile, plan.tile_scenes(survey.workspace.root, tile.id)["dem"], survey.config)
    slope, aspect = here.slope_aspect(0)
    dice = np.random.default_rng(0)
    panels: list[Panel] = []
    for name, look_deg in (("ascending, looks east", 78.0), ("descending, looks west", 282.0)):
        factor, valid = slope_kernels.slope_factor(38.0, look_deg, slope, aspect, buffer_px=1)
        gamma0 = 0.15 * dice.gamma(LOOKS, 1 / LOOKS, slope.shape)
        with np.errstate(divide="ignore"):
            sigma0 = (gamma0 / factor).astype(np.float32)
        flat, valid = slope_kernels.slope_correction(sigma0, 38.0, look_deg, slope, aspect, buffer_px=1)
        panels += [
            (f"sigma0, {name}", sar.to_db(speckle.lee(sigma0, 7, LOOKS)), grey(-18, -2)),
            ("gamma0 of flat ground", sar.to_db(speckle.lee(flat, 7, LOOKS)), grey(-18, -2)),
            ("layover and shadow, grown by 1 px", ~valid & np.isfinite(slope), yes("#b03030")),
        ]
    panels.insert(3, ("hillshade", _hillshade(here, None, None), grey(0, 255)))
    draw(folder / "slope_correction.png", [*panels, ("slope, degrees", slope, {"cmap": "magma"})], 4)


def filters(chips: np.ndarray, folder: Path) -> None:
    """Speckle filters on passes of real hills, (passes, rows, cols)."""
    one = chips[0]
    found = {
        "one pass": one,
        "boxcar 7 x 7": speckle.boxcar(one, 7),
        "Lee 7 x 7": speckle.lee(one, 7, LOOKS),
        "Kuan 7 x 7": speckle.kuan(one, 7, LOOKS),
        "Gamma-MAP 7 x 7": speckle.gamma_map(one, 7, LOOKS),
        "Frost 7 x 7": speckle.frost(one, 7, 2.0),
        "refined Lee": speckle.refined_lee(one, LOOKS),
        "Lee sigma 9 x 9": speckle.lee_sigma(one, LOOKS),
        f"multitemporal, {len(chips)} passes": speckle.multitemporal(chips, 7)[0],
        f"median of {len(chips)} passes": np.nanmedian(chips, axis=0),
    }
    draw(folder / "speckle.png", [(name, sar.to_db(power), grey(-16, -4)) for name, power in found.items()], 5)


def hills(folder: Path) -> np.ndarray:
    """Passes of one burst of VV, linear power."""
    files = sorted(folder.glob(f"*/*{HILLS}*_VV.tif"))[:PASSES]
    passes = []
    for file in files:
        with rasterio.open(file) as opened:
            passes.append(opened.read(1))
    return np.stack(passes)


def main() -> None:
    """Draw what can be drawn."""
    here = Path(__file__).parents[1]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=here / "docs" / "pictures")
    parser.add_argument("--real", type=Path, default=here.parent / "shared" / "data")
    arguments = parser.parse_args()
    plt.switch_backend("agg")
    with tempfile.TemporaryDirectory() as name:
        survey = stacked(Path(name))
        masks(survey, arguments.folder)
        slope_correction(survey, arguments.folder)
        composites(survey, arguments.folder)
    bursts = arguments.real / "s1_opera_california"
    if bursts.exists():
        filters(hills(bursts), arguments.folder)


if __name__ == "__main__":
    main()
