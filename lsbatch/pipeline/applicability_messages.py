"""Sentences that tell where the weights of a survey may be believed, before and after its pixels are read."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from lsbatch.bands import sensors
from lsbatch.models.applicability import described
from lsbatch.models.cards import Applicability
from lsbatch.pipeline.applicability import Summary
from lsbatch.settings import Config

#: Sides of a pixel, or numbers of scenes, are unlike if one is this many times the other.
OTHER_SIDE, OTHER_COUNT = 1.25, 2.0
#: Least share of the days of a survey that lie in the seasons of the training.
SAME_SEASON = 0.5
#: Share of the pixels unlike the training from which a sentence warns.
MANY = 0.1
#: Sensor and window of each key of the plan that is counted in passes or images.
_KEYS = {
    "pre_s1": ("sentinel1", "Sentinel-1 scenes before"),
    "post_s1": ("sentinel1", "Sentinel-1 scenes after"),
    "pre_s2": ("sentinel2", "Sentinel-2 scenes before"),
    "post_s2": ("sentinel2", "Sentinel-2 scenes after"),
}


def before_pixels(config: Config, scenes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return what is unlike the training as far as a plan shows it: pixel size, scenes and season.

    Parameters
    ----------
    config : Config
    scenes : mapping of plan key to counts
        `scenes` of the plan's summary.

    Returns
    -------
    list of str
        One sentence each; empty if nothing differs, or if the weights have no description.
    """
    of = described(config)
    if of is None:
        return []
    used = sensors(config.inputs)
    counts = [_count(key, scenes, of) for key, (sensor, _) in _KEYS.items() if sensor in used]
    found = [_side(config.grid.resolution_m, of), *counts]
    return [f"Unlike the training: {text}" for text in (*found, _season(config, of)) if text]


def _side(side_m: float, of: Applicability) -> str:
    least, most = of.resolution_m
    if least / OTHER_SIDE <= side_m <= most * OTHER_SIDE:
        return ""
    return f"pixels of {side_m:g} m; the weights were trained on pixels of {_range(least, most)} m"


def _count(key: str, scenes: Mapping[str, Mapping[str, Any]], of: Applicability) -> str:
    if key not in scenes or key not in of.scenes:
        return ""
    least, most = of.scenes[key]
    now = scenes[key]["least"], scenes[key]["most"]
    if least / OTHER_COUNT <= now[1] and now[0] <= most * OTHER_COUNT:
        return ""
    return f"{_range(*now)} {_KEYS[key][1]} on a tile; the weights were trained with {_range(least, most)}"


def _range(least: float, most: float) -> str:
    return f"{least:g}" if least == most else f"{least:g} to {most:g}"


def _season(config: Config, of: Applicability) -> str:
    windows = config.survey.windows
    days = [day for first, last in (windows.pre, windows.post) for day in _days(first, last)]
    if not of.seasons or sum(_inside(day, of) for day in days) >= SAME_SEASON * len(days):
        return ""
    ours = " and ".join(f"{first:%m-%d} to {last:%m-%d}" for first, last in (windows.pre, windows.post))
    theirs = ", ".join(f"{first} to {last}" for first, last in of.seasons)
    return f"images of {ours} (month-day); the weights were trained on images of {theirs}"


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=i) for i in range((last - first).days + 1)]


def _inside(day: date, of: Applicability) -> bool:
    """Return whether a day of the year lies in a season of the training; a season may cross the new year."""
    text = f"{day:%m-%d}"
    return any(first <= text <= last if first <= last else text >= first or text <= last for first, last in of.seasons)


def of_pixels(config: Config, found: Summary, where: str) -> list[str]:
    """Return what is unlike the training in pixels that were read: bands, and changes of the whole scene.

    Parameters
    ----------
    config : Config
    found : Summary
    where : str
        What was looked at, e.g. "the first 3 tiles".
    """
    of = described(config)
    if of is None or not found.known_px:
        return []
    out = [_level(name, value, of, where) for name, value in found.medians["bands"].items()]
    out += [_change(name, value, of, where) for name, value in found.medians["changes"].items()]
    warned = [f"Unlike the training: {text}" for text in out if text]
    return [*warned, share(config, found, where)] if found.share >= MANY else warned


def _level(name: str, value: float, of: Applicability, where: str) -> str:
    least, *_, most = of.quantiles[name]
    if least <= value <= most:
        return ""
    ends = f"{_value(least, name)} to {_value(most, name)}"
    return f"{name} has a median of {_value(value, name)} over {where}; 98 % of the training lie within {ends}"


def _change(name: str, value: float, of: Applicability, where: str) -> str:
    least, most = of.changes[name]
    if least <= value <= most:
        return ""
    ends = f"{_value(least, name, '+')} to {_value(most, name, '+')}"
    subject = f"backscatter {name}" if name.startswith(("VV", "VH")) else name
    size = f"{_value(value, name, '+')} as a median over {where}"
    return f"{subject} changed by {size}; the training chips changed by {ends}"


def share(config: Config, found: Summary, where: str = "the survey") -> str:
    """Return the sentence about the share of the observed pixels that is unlike the training."""
    part = "less than 1 %" if found.outside_px and found.share < 0.01 else f"{100 * found.share:.0f} %"
    text = f"{part} of the observed ground of {where} is unlike what the weights were trained on"
    layer = f"layer applicability/{config.model.family}"
    return f"{text}: do not believe the landslides there ({layer})" if found.outside_px else text


def _value(value: float, name: str, sign: str = "") -> str:
    # changes are named without the word that tells before and after; standardised bands have no unit
    if ("VV" in name or "VH" in name) and not name.startswith("z"):
        return f"{value:{sign}.1f} dB"
    return f"{value:{sign}.3g}"
