"""The errors a person can cause and can mend; each message says what, where and what is allowed.

Everything else that is raised is a fault of the program and keeps its traceback.
"""


class LsbatchError(Exception):
    """Base of all errors that end a command with one sentence and exit code 2."""


class ConfigError(LsbatchError):
    """A setting is missing, unknown, out of bounds or contradicts another one."""


class CatalogError(LsbatchError):
    """A catalogue cannot be reached, cannot be read, or answers something that is not STAC."""


class NoDataError(LsbatchError):
    """The archive answered, but holds nothing for the region or the windows asked for."""


class StaleStoreError(LsbatchError):
    """A store on disk does not fit the settings, or cannot be written to."""


class ModelError(LsbatchError):
    """Weights are missing, damaged, or were trained for other bands."""


class SceneError(LsbatchError):
    """A scene cannot be read, after all tries; it is left out and named in the tile's receipt."""
