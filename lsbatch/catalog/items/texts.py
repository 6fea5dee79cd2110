"""Texts of a catalogue that are copied into the plan or quoted in a message."""

from typing import Any

from lsbatch.errors import printable
from lsbatch.storage.addresses import without_secrets

_LONGEST_TEXT = 255
#: Characters of a sentence about an item.
_LONGEST_REASON = 600


def is_text(found: Any) -> bool:
    """Return whether a text is safe to copy to files, logs and terminals: one short line without credentials."""
    return (
        isinstance(found, str)
        and found.isprintable()
        and len(found) <= _LONGEST_TEXT
        # an archive may repeat the address by which it was asked
        and without_secrets(found) == found
    )


def quoted(found: Any, longest: int = 80) -> str:
    """Return a value for a message, without credentials and not longer than so many characters."""
    return repr(without_secrets(str(found))[:longest])


def reason(text: str) -> str:
    """Return a sentence about an item, which may quote it, for the list of items that are left out."""
    short = printable(without_secrets(text))
    return short if len(short) <= _LONGEST_REASON else f"{short[:_LONGEST_REASON]} ..."
