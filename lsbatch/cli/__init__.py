"""The command line of lsbatch.

The modules are imported in the order in which the help lists their commands.
"""

from lsbatch.cli import accuracy_commands, data_commands, inventory_commands, model_commands, survey_commands  # noqa: F401
from lsbatch.cli.program import main

__all__ = ["main"]
