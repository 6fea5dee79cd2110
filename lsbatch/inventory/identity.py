"""Identifiers and reviews of landslides, kept between runs and between years.

The permanent data are in ``survey/review/``: last year's inventory, the identifiers given so far, and the reviewers'
answers. The inventory is made from these and from the polygon parts, so a repeated run gives the same identifiers and
keeps all answers.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd

from lsbatch.catalog.survey import Survey
from lsbatch.grid import tile_id
from lsbatch.inventory import observed_ground, year_matching
from lsbatch.inventory.previous_inventory import ID
from lsbatch.inventory.year_matching import FOUND, NOTHING, REVIEW, UNSEEN, Linked
from lsbatch.storage import files, receipts, vectors
from lsbatch.storage.documents import answer_file
from lsbatch.storage.workspace import Workspace


def found(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return the landslides that this survey found, without those kept from earlier years."""
    if "observation" not in frame:
        return frame
    return frame[~frame["observation"].isin((NOTHING, UNSEEN))].reset_index(drop=True)


def settle(survey: Survey, frame: gpd.GeoDataFrame) -> Linked:
    """Give the landslides of this survey their identifiers and reviews.

    Parameters
    ----------
    survey : Survey
    frame : GeoDataFrame
        The landslides, with identifiers made from their position.
    """
    places = survey.workspace
    last = _kept(places.earlier)
    if last is not None:
        # a column that was added to the inventory later
        last = year_matching.complete(last, dict(frame.dtypes.drop("geometry")))
    linked = (
        Linked(frame)
        if last is None
        else year_matching.link(
            frame, last, survey.config.grid.resolution_m, lambda shapes: observed_ground.share(survey, shapes)
        )
    )
    known = _kept(places.identities)
    named, former = _as_before(linked.frame, known, () if last is None else last[ID])
    reviewed = answered(named, answer_file.read(places.answers), former)
    _remember(survey, reviewed, former, known)
    return Linked(year_matching.ordered(reviewed), linked.last, linked.this)


def former_ids(places: Workspace) -> dict[str, list[str]]:
    """Return the earlier identifiers of each landslide of the last run."""
    known = _kept(places.identities)
    return (
        {}
        if known is None
        else {name: year_matching.split(former) for name, former in zip(known[ID], known["former_ids"], strict=True)}
    )


def state(places: Workspace) -> list[str]:
    """Return checksums of the inputs of an inventory other than the parts, for its digest."""
    return [receipts.checksum(path) if files.exists(path) else "" for path in (places.earlier, places.answers)]


def _kept(path: Path) -> gpd.GeoDataFrame | None:
    return vectors.read_part(path) if files.exists(path) else None


def _as_before(
    frame: gpd.GeoDataFrame, known: gpd.GeoDataFrame | None, last: Iterable[str]
) -> tuple[gpd.GeoDataFrame, dict[str, list[str]]]:
    """Return identifiers, versions and parents of an earlier run, and the earlier identifiers of each landslide."""
    here = (frame["observation"] == FOUND).to_numpy()
    if known is None or known.empty or not here.any():
        return frame, {}
    pairs, olds, _ = year_matching.pairs_of(frame[here], known)
    rows = year_matching.rows_of(frame[here], (ID, "version", "parent_ids"))
    olden = year_matching.rows_of(known, (ID, "version", "parent_ids", "former_ids"))
    linked = set(last)
    taken = linked | set(frame.loc[~here, ID])
    former: dict[str, list[str]] = {}
    # landslides with an identifier from this survey choose before those that get a new one
    order = sorted(range(len(rows)), key=lambda j: (pairs.keeper[j] < 0, j))
    for j in order:
        kept = int(pairs.keeper[j])
        before = None if kept < 0 else olden[kept]
        rows[j] = _named(
            rows[j],
            before,
            [olden[i][ID] for i in olds[j] if i != kept],
            same=bool(pairs.same[j]),
            linked=linked,
            taken=taken,
        )
        if before is not None:
            former[rows[j][ID]] = year_matching.split(
                year_matching.joined([*year_matching.split(before["former_ids"]), before[ID]])
            )
    out = frame.copy()
    for name in (ID, "version", "parent_ids"):
        out.loc[here, name] = pd.array([row[name] for row in rows], dtype=frame[name].dtype)
    return out, former


def _named(
    row: dict[str, Any],
    before: Mapping[str, Any] | None,
    merged: list[str],
    *,
    same: bool,
    linked: set[str],
    taken: set[str],
) -> dict[str, Any]:
    name = row[ID]
    if name not in linked:
        if before is not None and before[ID] not in taken:
            name = before[ID]
            taken.add(name)
        else:
            name = year_matching.unused(name, taken)
    version, parents = row["version"], year_matching.split(row["parent_ids"])
    if before is not None and before[ID] == name:
        version = int(before["version"]) + (not same)
        parents += year_matching.split(before["parent_ids"])
    parents += [one for one in merged if one != name]
    return row | {ID: name, "version": version, "parent_ids": year_matching.joined(parents)}


def answered(
    frame: gpd.GeoDataFrame, answers: Sequence[Mapping[str, Any]], former: Mapping[str, list[str]]
) -> gpd.GeoDataFrame:
    """Add the last answer to each landslide, also if it had another identifier at that time."""
    latest = {str(one.get(ID)): (i, one) for i, one in enumerate(answers)}
    rows, given = [], []
    for row, name in enumerate(frame[ID] if latest else ()):
        mine = [latest[one] for one in (*former.get(name, ()), name) if one in latest]
        if mine:
            _, last = max(mine, key=lambda pair: pair[0])
            rows.append(row)
            given.append((last["state"], last["reviewer"], last["comment"], int(last["version"])))
    if not rows:
        return frame
    out = frame.copy()
    # a whole column at once: one cell took 2 ms
    for column, values in zip(REVIEW, zip(*given, strict=True), strict=True):
        out.iloc[rows, out.columns.get_loc(column)] = pd.array(values, dtype=frame[column].dtype)
    return out


def _remember(
    survey: Survey, frame: gpd.GeoDataFrame, former: Mapping[str, list[str]], known: gpd.GeoDataFrame | None
) -> None:
    """Save the identifiers for the next run. Repeated after a kill, this saves the same.

    While tiles are missing, outlines end at the edges of tiles, and an identifier from such an outline would remain.
    Then only identifiers with a reviewer's answer are added, and the saved ones are unchanged.
    """
    here = frame[frame["observation"] == FOUND]
    outlined = receipts.read_stage(survey.workspace.receipts, "outline")
    if not all(outlined.get(tile_id(*position)) for position in survey.positions):
        names = () if known is None else known[ID]
        here = here[(here["reviewed_version"] > 0) & ~here[ID].isin(names)]
    else:
        known = None
    kept = here[[ID, "version", "parent_ids", "geometry"]]
    kept = kept.assign(
        former_ids=[year_matching.joined(one for one in former.get(name, ()) if one != name) for name in here[ID]]
    )
    vectors.write_parquet(
        survey.workspace.identities, kept if known is None else pd.concat([known, kept], ignore_index=True)
    )
