"""Hostile files, made here: rasters, pictures and weights that claim gigabytes, catalogues that lie."""

import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

#: Terminal: clear the screen, set the title, turn what follows around; and what ends a line of a log.
ESCAPES = (
    "\x1b[2J",
    "\x1b]0;owned\x07",
    "\x9b31m",
    "\u202egnp.exe",
    "one\ntwo",
    "one\rtwo",
    "\x00",
    "\u2028",
    "\ud800",
)
SCRIPT = "<img src=x onerror=alert(1)>"


def item(number: int = 1, **changes: Any) -> dict[str, Any]:
    """An Earth Search item of July 2020 over the region of `settings`; `changes` replace its fields."""
    keys = ("red", "green", "blue", "nir", "scl")
    box = [14.0, 61.0, 16.0, 62.0]
    ring = [[14.0, 61.0], [16.0, 61.0], [16.0, 62.0], [14.0, 62.0], [14.0, 61.0]]
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [],
        "links": [],
        "id": f"S2A_{number:03d}",
        "collection": "sentinel-2-l2a",
        "bbox": box,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {
            "datetime": f"20{19 + number % 2}-07-0{1 + number % 9}T10:50:31Z",
            "platform": "sentinel-2a",
            "s2:processing_baseline": "05.00",
        },
        "assets": {key: {"href": f"https://example.org/{number}/{key}.tif"} for key in keys},
    } | changes


def catalogue(folder: Path, *items: Any, **root: Any) -> Path:
    """A static catalogue of these documents."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(items):
        (folder / f"{number}.json").write_text(json.dumps(one), encoding="utf-8")
    links = [{"rel": "item", "href": f"./{number}.json"} for number in range(len(items))]
    document = {"type": "Catalog", "id": "hostile", "stac_version": "1.0.0", "description": "", "links": links} | root
    (folder / "catalog.json").write_text(json.dumps(document), encoding="utf-8")
    return folder / "catalog.json"


def settings(folder: Path, url: str, **more: Any) -> Path:
    """Settings of a survey of 2560 m in Sweden that reads Sentinel-2 from a catalogue."""
    path = folder / "config.yaml"
    raw = {
        "survey": {"id": "hostile", "year": 2020}, "region": {"bounds": [500000, 6800000, 502560, 6802560]},
        "grid": {"crs": "EPSG:32633", "tile_px": 256}, "bands": "s2", "cluster": {"kind": "serial"}, "output": "survey",
        "archives": {"sentinel2": {"preset": "stac", "url": url, "collections": ["sentinel-2-l2a"]}, "attempts": 1},
    } | more  # fmt: skip
    path.write_text(json.dumps(raw), encoding="utf-8")
    return path


def tiff(side: int, data: bytes, *, tile: int = 0, rows: int = 0, bands: int = 1) -> bytes:
    """Return a GeoTIFF whose header claims side x side pixels in tiles or strips; only the first has data."""
    tags: list[tuple[int, int, tuple[float, ...]]] = [
        (256, 4, (side,)),
        (257, 4, (side,)),
        (258, 3, (8,) * bands),
        (259, 3, (8,)),
        (262, 3, (1,)),
        (277, 3, (bands,)),
        (33550, 12, (10.0, 10.0, 0.0)),
        (33922, 12, (0.0, 0.0, 0.0, 500000.0, 6802560.0, 0.0)),
        (34735, 3, (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633)),
    ]
    if bands > 1:
        tags.append((338, 3, (0,) * (bands - 1)))
    pieces = (-(-side // tile)) ** 2 if tile else -(-side // rows)
    offsets, counts = (324, 325) if tile else (273, 279)
    tags += [(322, 3, (tile,)), (323, 3, (tile,))] if tile else [(278, 4, (rows,))]
    tags += [(offsets, 4, (8,) + (0,) * (pieces - 1)), (counts, 4, (len(data),) + (0,) * (pieces - 1))]
    return _with_directory(sorted(tags), data)


def _with_directory(tags: list[tuple[int, int, tuple[float, ...]]], data: bytes) -> bytes:
    data += b"\0" * (len(data) % 2)
    start = 8 + len(data)
    directory, beyond = struct.pack("<H", len(tags)), b""
    for tag, kind, values in tags:
        packed = struct.pack(f"<{len(values)}{ {3: 'H', 4: 'I', 12: 'd'}[kind] }", *values)
        if len(packed) > 4:
            place = start + 2 + 12 * len(tags) + 4 + len(beyond)
            beyond += packed
            packed = struct.pack("<I", place)
        directory += struct.pack("<HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    return b"II*\0" + struct.pack("<I", start) + data + directory + struct.pack("<I", 0) + beyond


def png(side: int) -> bytes:
    """A picture that claims side x side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


def npy(shape: tuple[int, ...]) -> bytes:
    """An array file that claims a shape and holds nothing."""
    head = repr({"descr": "<i4", "fortran_order": False, "shape": shape}).encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head) + 1) + head + b"\n"


def torch_file(sprung: Path) -> bytes:
    """Weights as torch saves them, with a pickle that makes a file when it is loaded."""
    import torch

    out = io.BytesIO()
    torch.save({"weights": Trap(sprung)}, out)
    return out.getvalue()


class Trap:
    """Would make a file if it were unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path, ...]]:
        return Path.touch, (self.path,)
