"""Pixels to images for a page: stretches, colour ramps for colour-blind readers, data URIs."""

import base64
import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

Ramp = tuple[tuple[float, str], ...]
#: Ramps by position 0..1. Change: Okabe and Ito's blue and vermillion, white for no change.
CHANGE = ((0.0, "#0072b2"), (0.5, "#f7f7f7"), (1.0, "#d55e00"))
#: Probability: cividis; its lightness is even and it looks the same with every kind of colour blindness.
PROBABILITY = (
    (0.0, "#00204c"),
    (0.2, "#31446b"),
    (0.4, "#666870"),
    (0.6, "#958f78"),
    (0.8, "#cbba69"),
    (1.0, "#ffe945"),
)

#: End of the ramp of radar change, in dB.
CHANGE_DB = 6.0
#: Found, false and missed: also different in lightness, so that they differ in a grey print.
FOUND, FALSE, MISSED = "#0072b2", "#e69f00", "#000000"

#: Largest number of pixels of an image from a file.
MOST_PIXELS = 20_000_000

_HATCH_DARK, _HATCH_LIGHT = (176, 176, 176), (222, 222, 222)
_HATCH_PX = 6


@dataclass(frozen=True)
class Stretch:
    """Values shown as black and white, and the gamma between them."""

    low: float
    high: float
    gamma: float = 1.0

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Map values to 0..1; NaN becomes 0."""
        span = max(self.high - self.low, 1e-9)
        share = np.clip((np.nan_to_num(values, nan=self.low) - self.low) / span, 0, 1)
        return share ** (1 / self.gamma)


def stretch(*arrays: np.ndarray, gamma: float = 1.0) -> Stretch:
    """Return one stretch for several bands, or for before and after, so that they can be compared.

    Half a percent is cut at the dark end and two at the bright end, where clouds' rims and snow are.
    """
    values = np.concatenate([a[np.isfinite(a)] for a in arrays])
    if not values.size:
        return Stretch(0.0, 1.0, gamma)
    low, high = np.percentile(values, (0.5, 98))
    return Stretch(float(low), float(high), gamma)


def true_colour(bands: list[np.ndarray], how: Stretch) -> np.ndarray:
    """Return (rows, cols, 3) uint8 from red, green and blue reflectance."""
    return _bytes(np.stack([how(band) for band in bands], axis=-1))


def grey(values: np.ndarray, how: Stretch) -> np.ndarray:
    """Return (rows, cols, 3) uint8 from one band."""
    return _bytes(np.repeat(how(values)[..., None], 3, axis=-1))


def ramped(values: np.ndarray, ramp: Ramp, low: float, high: float) -> np.ndarray:
    """Return (rows, cols, 3) uint8: values from `low` to `high` along a colour ramp."""
    share = Stretch(low, high)(values)
    stops = [position for position, _ in ramp]
    colours = np.array([rgb(colour) for _, colour in ramp], float)
    return np.stack([np.interp(share, stops, colours[:, i]) for i in range(3)], axis=-1).round().astype(np.uint8)


def css_ramp(ramp: Ramp) -> str:
    """Return the ramp as a CSS gradient, for legends."""
    return f"linear-gradient(to right, {', '.join(f'{colour} {position:.0%}' for position, colour in ramp)})"


def rgb(colour: str) -> tuple[int, int, int]:
    """Return red, green, blue of ``#rrggbb``."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def hatched(picture: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Return the image with diagonal grey stripes where nothing was observed."""
    rows, cols = np.nonzero(hole)
    dark = (rows + cols) % _HATCH_PX < _HATCH_PX // 3
    out = picture.copy()
    out[rows, cols] = np.where(dark[:, None], _HATCH_DARK, _HATCH_LIGHT).astype(np.uint8)
    return out


def painted(picture: np.ndarray, where: np.ndarray, colour: str) -> np.ndarray:
    """Return the image with a plain colour where requested."""
    out = picture.copy()
    out[where] = rgb(colour)
    return out


def reduced(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the mean of valid values in each coarse pixel; NaN if less than half is valid.

    Exact for sides that do not divide, and no coarse pixel looks beyond its own area, so tiles have no seam.
    """
    if values.shape == shape:
        return values.astype(np.float32)
    values = values.astype(np.float32, copy=False)
    good = np.isfinite(values)
    if good.all():
        # a third of the time
        return _boxed(values, shape)
    weight = _boxed(good.astype(np.float32), shape)
    total = _boxed(np.where(good, values, np.float32(0)), shape)
    return np.where(weight >= 0.5, total / np.maximum(weight, 0.5), np.nan).astype(np.float32)


def _boxed(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return np.array(Image.fromarray(values).resize(shape[::-1], Image.Resampling.BOX))


def png_uri(picture: np.ndarray) -> str:
    """Return a lossless PNG data URI, for small images."""
    return _uri(picture, "PNG", optimize=True)


def jpeg_uri(picture: np.ndarray) -> str:
    """Return a JPEG data URI, for large photographs: a tenth of the bytes of PNG."""
    # without optimize: with it, Pillow uses one buffer, which a noisy image overflows ("broken data stream")
    return _uri(picture, "JPEG", quality=86, subsampling=0)


def webp_uri(picture: np.ndarray) -> str:
    """Return a WebP data URI with small losses, for small images by the thousand."""
    return _uri(picture, "WEBP", quality=80, method=4)


def jpeg_strip(panels: Sequence[np.ndarray]) -> str:
    """Return images of one height side by side, as one JPEG in base64."""
    return _coded(np.hstack(panels), "JPEG", quality=70)


def png(picture: np.ndarray) -> bytes:
    """Return a PNG file of (rows, cols, 3 or 4) uint8; quickly made, for pictures that are made on request."""
    return _file(picture, "PNG", compress_level=1)


def webp(picture: np.ndarray) -> bytes:
    """Return a WebP file of (rows, cols, 4) uint8, with small losses: a fifth of the bytes of PNG, in half the time."""
    return _file(picture, "WEBP", quality=85, method=0)


def _uri(picture: np.ndarray, kind: str, **options: object) -> str:
    return f"data:image/{kind.lower()};base64,{_coded(picture, kind, **options)}"


def _coded(picture: np.ndarray, kind: str, **options: object) -> str:
    return base64.b64encode(_file(picture, kind, **options)).decode()


def _file(picture: np.ndarray, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind, **options)
    return buffer.getvalue()


def file_uri(png: bytes) -> str:
    """Return an existing PNG file as data URI; raise OSError if it is not an image.

    Also refuse an image of more than `MOST_PIXELS` pixels: a file of some kilobytes can expand to gigabytes.
    """
    # read the size from the first chunk of the PNG; Pillow raises another error type for the largest images
    width, height = struct.unpack(">II", png[16:24].rjust(8, b"\0"))
    if width * height > MOST_PIXELS:
        raise OSError(f"the image has {width} x {height} pixels; at most {MOST_PIXELS:,} are allowed")
    with Image.open(io.BytesIO(png), formats=["PNG"]) as picture:
        return png_uri(np.asarray(picture.convert("RGB")))


def _bytes(share: np.ndarray) -> np.ndarray:
    return (share * 255).round().astype(np.uint8)
