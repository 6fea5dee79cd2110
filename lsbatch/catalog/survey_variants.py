"""Make a variant of a survey: another model on the same plan and STACK, or a few of its tiles."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from lsbatch.bands import STACK
from lsbatch.catalog import dating_passes, plan, scene_history
from lsbatch.errors import StaleStoreError
from lsbatch.grid import tile_id
from lsbatch.storage import objects
from lsbatch.storage.files import exists, make_folder, read_text, write_json, write_text
from lsbatch.storage.workspace import Workspace


def share(base: Path, variant: Path) -> None:
    """Link the plan and the STACK of the survey in `base` into the survey in `variant`; nothing is copied.

    Raises
    ------
    StaleStoreError
        If something else has the path of a link, or the file system has no links.
    """
    if objects.is_remote(base) or objects.is_remote(variant):
        raise StaleStoreError(f"{base}: object storage has no links; compare needs surveys on disk")
    ours, theirs = Workspace(variant), Workspace(base)
    pairs = (
        (ours.plan, theirs.plan),
        (ours.receipts / "stack", theirs.receipts / "stack"),
        (ours.store / STACK.name, theirs.store / STACK.name),
    )
    for link, target in pairs:
        make_folder(link.parent)
        wanted = os.path.relpath(target, link.parent)
        if link.is_symlink() and str(link.readlink()) == wanted:
            continue
        try:
            link.symlink_to(wanted, target_is_directory=True)
        except OSError as error:
            raise StaleStoreError(f"{link}: cannot be linked to {target}: {error.strerror or error}") from None


def sample(base: Path, variant: Path, positions: Sequence[tuple[int, int]]) -> None:
    """Write a plan for the survey in `variant` with some tiles of the plan of the survey in `base`."""
    for position in positions:
        for place in (plan.tile_file, dating_passes.file, scene_history.tile_file):
            source = place(base, tile_id(*position))
            if exists(source):
                write_text(place(variant, tile_id(*position)), read_text(source))
    write_json(plan.file(variant), json.loads(read_text(plan.file(base))) | {"tiles": list(positions)})
