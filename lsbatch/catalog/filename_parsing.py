"""Parse the file names of GeoTIFFs: sensor, scene, band, time, platform, orbit, baseline."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

#: Collections of a catalogue made from a folder, and the sensor of each.
COLLECTIONS = {"sentinel2": "sentinel-2-l2a", "sentinel1": "sentinel-1-rtc", "dem": "dem"}

_OPERA = re.compile(
    r"(?P<scene>OPERA_L2_RTC-S1_(?P<burst>T(?P<track>\d{3})-\d{6}-IW\d)_(?P<time>\d{8}T\d{6})Z_\d{8}T\d{6}Z_S1[A-D]_\d+_v[\d.]+)_(?P<band>VV|VH)"
)
_OPTICAL = re.compile(r"(?P<scene>.*?(?P<time>\d{8}(?:T\d{6})?).*?)_(?P<band>B0[2-8]|B8A|B11|B12|SCL)(?:_\d0m)?", re.I)
_RADAR = re.compile(r"(?P<scene>.*?(?P<time>\d{8}(?:T\d{6})?).*?)_(?P<band>VV|VH)", re.I)
_DEM = re.compile(r"dem|dsm|dtm", re.I)

_PLATFORM = re.compile(r"(?:^|_)S([12])([A-D])(?:_|$)", re.I)
_TRACK = re.compile(r"[_-][TR](\d{3})(?=[_-]|$)")
_STATE = re.compile(r"[_-](asc|des|dsc)\w*(?=[_-]|$)", re.I)
_BASELINE = re.compile(r"_N(\d{2})(\d{2})(?=_|$)")


@dataclass(frozen=True)
class Named:
    """Values parsed from a file name; None if the name does not give them."""

    sensor: str
    scene: str
    band: str
    time: datetime | None = None
    platform: str | None = None
    relative_orbit: int | None = None
    orbit_state: str | None = None
    baseline: str | None = None


def parse(stem: str) -> Named | None:
    """Parse a file name without folder and suffix; None if it is not a known scene.

    Raises
    ------
    ValueError
        If eight digits look like a date but are not a valid one.
    """
    for sensor, pattern in (("sentinel1", _OPERA), ("sentinel2", _OPTICAL), ("sentinel1", _RADAR)):
        found = pattern.fullmatch(stem)
        if found:
            return _named(sensor, found)
    return Named("dem", stem, "elevation") if _DEM.search(stem) else None


def _named(sensor: str, found: re.Match[str]) -> Named:
    scene, text = found["scene"], found["time"].upper()
    platform, track, state, baseline = (p.search(scene) for p in (_PLATFORM, _TRACK, _STATE, _BASELINE))
    number = found.groupdict().get("track") or (track and track[1])
    return Named(
        sensor=sensor,
        scene=scene,
        band=found["band"].upper(),
        time=datetime.strptime(text, "%Y%m%dT%H%M%S" if "T" in text else "%Y%m%d").replace(tzinfo=UTC),
        platform=f"sentinel-{platform[1]}{platform[2].lower()}" if platform else None,
        relative_orbit=int(number) if number else None,
        orbit_state=None if not state else "ascending" if state[1].lower() == "asc" else "descending",
        baseline=f"{baseline[1]}.{baseline[2]}" if baseline else None,
    )
