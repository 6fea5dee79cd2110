"""What a model card tells a reader: origin, split, scores with intervals, applicability. For `lsbatch models show`."""

import math
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from lsbatch.kernels.statistics import score_intervals
from lsbatch.kernels.statistics.area_estimation import wilson
from lsbatch.models.model_card import Applicability, Card
from lsbatch.models.training.spatial_split import LETTERS, TEST, TRAIN, VALIDATION

#: Characters of a value in a table; with its key a line has fewer than 80.
VALUE_WIDTH = 58
LINE_WIDTH = 78
#: Largest count that float64 holds exactly.
MOST_PX = 2**53
COUNTS = ("tp", "fp", "fn", "tn")
#: Entries of `made_by` that have rows of their own, or that only the program reads.
_SHOWN = ("surveys", "chip_sets", "split", "software", "torch", "learned", "license", "energy_kwh", "applicability")
_BLOCKS = {LETTERS[TRAIN]: "train", LETTERS[VALIDATION]: "validation", LETTERS[TEST]: "test"}
#: Headings and rows of text.
Table = tuple[tuple[str, ...], list[tuple[str, ...]]]


def facts(of: Card) -> dict[str, Any]:
    """Return the facts of a card as plain values, for JSON.

    Only what the card holds is there: a card of an older version has fewer entries.
    """
    made_by = _mapping(of.made_by)
    network = dict(of.network)
    return {
        "family": of.family,
        "checksum": of.checksum,
        "bands": list(of.bands),
        "temperature": network.pop("temperature", None),
        "network": network,
        "halo_px": of.halo_px,
        "lattice_px": of.lattice_px,
        "license": made_by.get("license"),
        "learned_from": {"surveys": _names(made_by.get("surveys")), "chip_sets": _mappings(made_by.get("chip_sets"))},
        "split": _split(_mapping(made_by.get("split"))),
        "scores": {name: _scores(_mapping(_mapping(of.scores).get(name))) for name in ("validation", "test")},
        "chips": dict(_mapping(_mapping(of.scores).get("chips"))),
        "applicability": applicability(of),
        "settings": dict(_mapping(of.settings)),
        "energy_kwh": made_by.get("energy_kwh"),
        "software": ", ".join(_names([made_by[key] for key in ("software",) if key in made_by])),
        "torch": made_by.get("torch"),
        "made_by": {key: value for key, value in made_by.items() if key not in _SHOWN},
    }


def applicability(of: Card) -> dict[str, Any]:
    """Return what is known of the training data: seasons, scenes, pixel sizes, limit; empty if nothing is."""
    if of.applicability is None:
        # that of an exported network, whose sample of the training is not in its item
        return dict(_mapping(_mapping(of.made_by).get("applicability")))
    return portable(of.applicability)


def portable(of: Applicability) -> dict[str, Any]:
    """Return a description of the training without the statistics that need its sample."""
    return {key: value for key, value in asdict(of).items() if key not in ("means", "stds")}


def _mapping(value: Any) -> Mapping[str, Any]:
    # a card is written by anybody
    return value if isinstance(value, Mapping) else {}


def _items(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _mappings(value: Any) -> list[dict[str, Any]]:
    return [dict(each) for each in _items(value) if isinstance(each, Mapping)]


def _names(value: Any) -> list[str]:
    return [str(each) for each in _items(value)]


def _split(split: Mapping[str, Any]) -> dict[str, Any]:
    """Return the side of a block and the number of blocks of each share; empty if the card has no split."""
    rows = [row for survey in _mapping(split.get("surveys")).values() for row in _names(_mapping(survey).get("rows"))]
    if not rows:
        return {}
    counts = Counter(letter for row in rows for letter in row)
    return {"block_px": split.get("block_px"), "blocks": {name: counts[letter] for letter, name in _BLOCKS.items()}}


def _scores(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return counts, and each score with its interval; empty if the card has no counts."""
    counts: list[Any] = [found.get(name) for name in COUNTS]
    if not all(map(_is_count, counts)):
        return {}
    blocks = _block_counts(found.get("blocks"))
    bounds = score_intervals.intervals(blocks) if len(blocks) > 1 else _of_pixels(*counts)
    values = score_intervals.measures(np.array(counts))
    measured = {
        name: {"value": _plain(value), "low": _plain(low), "high": _plain(high)}
        for name, value, (low, high) in zip(score_intervals.MEASURES, values, bounds, strict=True)
    }
    return {**dict(zip(COUNTS, counts, strict=True)), "blocks": len(blocks), **measured}


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value <= MOST_PX


def _block_counts(value: Any) -> np.ndarray:
    rows = _items(value)
    are_counts = all(len(_items(row)) == 4 and all(map(_is_count, row)) for row in rows)
    return np.array(rows if are_counts else (), np.int64).reshape(-1, 4)


def _of_pixels(tp: int, fp: int, fn: int, _: int) -> np.ndarray:
    """Return Wilson intervals of precision and recall, as if pixels were independent; other scores have none."""
    bounds = np.full((len(score_intervals.MEASURES), 2), np.nan)
    for name, missed in (("precision", fp), ("recall", fn)):
        if tp + missed:
            bounds[score_intervals.MEASURES.index(name)] = wilson(tp, tp + missed)
    return bounds


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def tables(found: Mapping[str, Any]) -> list[Table]:
    """Return the facts of a card as tables that fit 80 columns."""
    sections = {
        "model": _model(found),
        "learned from": _origin(found),
        "applicability": _limits(found["applicability"]),
    }
    made: list[Table] = [((title, ""), _rows(entries)) for title, entries in sections.items()]
    for name, scores in found["scores"].items():
        made.append(((f"{name} blocks", "value", "95 % from", "to"), _score_rows(scores) if scores else []))
    settings = textwrap.wrap(_flat(found["settings"]), LINE_WIDTH)
    made.append((("settings of the training",), [(line,) for line in settings]))
    return [(heads, rows) for heads, rows in made if rows]


def _model(found: Mapping[str, Any]) -> dict[str, str]:
    return {
        "family": found["family"],
        "checksum": found["checksum"],
        "license": _text(found["license"]),
        "bands": _listed(found["bands"]),
        "network": _flat(found["network"]),
        "temperature": _text(found["temperature"]),
        "halo, lattice, px": f"{found['halo_px']}, {found['lattice_px']}",
    }


def _origin(found: Mapping[str, Any]) -> dict[str, str]:
    learned, known, split = found["learned_from"], found["applicability"], found["split"]
    return {
        "surveys": _listed(learned["surveys"]),
        **{f"set {each.get('name', '')}": _flat(each, but=("name",)) for each in learned["chip_sets"]},
        "seasons": _listed(" to ".join(_names(pair)) for pair in _items(known.get("seasons"))),
        "scenes of a tile": _listed(f"{key} {_range(ends)}" for key, ends in _mapping(known.get("scenes")).items()),
        "side of a pixel, m": _range(known.get("resolution_m", ())),
        "chips": _flat(found["chips"]),
        "blocks": f"{_flat(split['blocks'])}; {split['block_px']} px a side" if split else "",
        **{key: _text(value) for key, value in found["made_by"].items()},
        "energy, kWh": _text(found["energy_kwh"]),
        "software": _listed([found["software"], f"torch {found['torch']}" if found["torch"] else ""]),
    }


def _limits(known: Mapping[str, Any]) -> dict[str, str]:
    return {
        "limit": _text(known.get("limit")),
        "mean distance": _text(known.get("distance")),
        "cross-validation": _text(known.get("folds")),
    }


def notes(found: Mapping[str, Any]) -> list[str]:
    """Return what a reader must know of the figures."""
    scored = {name: scores for name, scores in found["scores"].items() if scores}
    lines = []
    if not scored:
        lines.append("The card has no scores.")
    if any(scores["blocks"] > 1 for scores in scored.values()):
        lines.append("Intervals: bootstrap of whole blocks.")
    if any(scores["blocks"] <= 1 for scores in scored.values()):
        lines += [
            "Intervals of precision and recall: Wilson, as if pixels were independent.",
            "Neighbouring pixels are not, so the true intervals are wider.",
        ]
    if not found["applicability"]:
        lines.append("The card does not tell where the weights may be believed.")
    return lines


def _rows(entries: Mapping[str, str]) -> list[tuple[str, ...]]:
    """Return rows of a key and a value; a long value goes on in further rows."""
    rows: list[tuple[str, ...]] = []
    for key, text in entries.items():
        lines = textwrap.wrap(text, VALUE_WIDTH)
        rows += [(key[:20] if i == 0 else "", line) for i, line in enumerate(lines)]
    return rows


def _score_rows(scores: Mapping[str, Any]) -> list[tuple[str, ...]]:
    counts: list[tuple[str, ...]] = [(f"{name}, px", f"{scores[name]:,}", "", "") for name in COUNTS]
    measured = [
        (name, *(_digits(scores[name][key]) for key in ("value", "low", "high"))) for name in score_intervals.MEASURES
    ]
    return [*counts, *measured]


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _flat(entries: Any, but: Sequence[str] = ()) -> str:
    texts = {key: _text(value) for key, value in _mapping(entries).items() if key not in but}
    return _listed(f"{key} {text}" for key, text in texts.items() if text)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"({_flat(value)})"
    if isinstance(value, list | tuple):
        return _listed(map(_text, value))
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _range(ends: Any) -> str:
    return " to ".join(dict.fromkeys(_text(end) for end in _items(ends)))


def _listed(texts: Iterable[str]) -> str:
    return ", ".join(text for text in texts if text)
