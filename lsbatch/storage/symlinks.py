"""Refuse symbolic links that lead out of the folder of a survey.

`output` itself may be a link. Below it, only links made by `lsbatch compare` are allowed: from a variant to the plan
and the STACK of its base survey. Links below the folder of a band are not checked: a nation's cube has 100,000 files,
and somebody who can create a link there can do so after any check.
"""

from pathlib import Path

from lsbatch.bands import STACK
from lsbatch.errors import StaleStoreError
from lsbatch.storage import objects
from lsbatch.storage.workspace import Workspace


def refuse(root: Path) -> None:
    """Refuse a survey if a link leads out of its folder.

    Raises
    ------
    StaleStoreError
        Names the link and its target.
    """
    if objects.is_remote(root) or not root.is_dir():
        return
    home = root.resolve()
    places = (path for pattern in ("*", "*/*", f"{Workspace(root).store.name}/*/*") for path in root.glob(pattern))
    # a link to a file is harmless: a write replaces the link itself (see files.aside)
    for link in (path for path in places if path.is_symlink() and path.is_dir()):
        target = link.resolve()
        if not target.is_relative_to(home) and not _is_shared(link, target, root):
            raise StaleStoreError(
                f"{link}: is a link to {target}, outside the survey's folder, and is not followed; replace it "
                "by the folder itself, or set output to a folder where there is room"
            )


def _is_shared(link: Path, target: Path, root: Path) -> bool:
    """Return whether `survey_variants.share` made the link: it leads to the same path in another planned survey."""
    ours = Workspace(root)
    for place in (ours.plan, ours.receipts / "stack", ours.store / STACK.name):
        if link == place:
            other = target
            for _ in place.relative_to(root).parts:
                other = other.parent
            return other / place.relative_to(root) == target and (other / "plan" / "plan.json").is_file()
    return False
