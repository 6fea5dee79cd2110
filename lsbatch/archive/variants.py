"""A survey beside a survey: another model on the same plan and STACK, with its own answers."""

import os
from pathlib import Path

from lsbatch.archive import objects
from lsbatch.archive.files import make_folder
from lsbatch.archive.workspace import Workspace
from lsbatch.errors import StaleStoreError
from lsbatch.layers import STACK


def share(base: Path, variant: Path) -> None:
    """Let the survey in `variant` use the plan and the STACK of the one in `base`, by links; nothing is copied.

    Raises
    ------
    StaleStoreError
        If something else is there, or the file system has no links.
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
