"""Errors that a user can cause and correct; each message says what, where and what is allowed.

Everything else that is raised is a fault of the program and keeps its traceback.
"""


def printable(text: str) -> str:
    """Return foreign text as one line that is safe in a terminal, a log or a file: no escape sequences."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


class LsbatchError(Exception):
    """Base of all errors that end a command with one sentence and exit code 2."""

    def __str__(self) -> str:
        # here, because every message may quote a catalogue, a file or a name, and every reader asks for the text
        return printable(super().__str__())


class ConfigError(LsbatchError):
    """A setting is missing, unknown, out of bounds or contradicts another one."""


class CatalogError(LsbatchError):
    """A catalogue cannot be reached, cannot be read, or answers something that is not STAC."""


class NoDataError(LsbatchError):
    """The archive answered, but has nothing for the region or the dates."""


class StaleStoreError(LsbatchError):
    """A store on disk does not fit the settings, or cannot be written."""


class ModelError(LsbatchError):
    """Weights are missing, damaged, or were trained for other bands."""


class SceneError(LsbatchError):
    """A scene cannot be read after all tries; it is left out and named in the receipt of the tile.

    Attributes
    ----------
    may_pass : bool
        The network or the archive failed, not the scene: the tile is worth another try later.
    """

    def __init__(self, message: str, *, may_pass: bool = False) -> None:
        super().__init__(message)
        self.may_pass = may_pass


class LeaseError(LsbatchError):
    """Another run writes the survey."""


class AbandonedError(LsbatchError):
    """A tile is not written because this run no longer holds the survey."""
