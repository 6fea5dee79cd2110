"""Variants of a survey: the same STACK with other settings."""

from pathlib import Path
from typing import Any

from lsbatch import settings
from lsbatch.catalog import survey_variants
from lsbatch.settings import Config


def variant(config: Config, output: Path, changes: dict[str, Any]) -> Config:
    """Return the same survey with other settings, in a folder of its own that shares STACK.

    Parameters
    ----------
    config : Config
        The survey whose STACK is shared.
    output : Path
        Folder of the variant.
    changes : dict
        Whole sections of the settings that replace those of the survey.
    """
    raw = config.model_dump(mode="json") | changes | {"output": str(output)}
    out = settings.parse(raw, output)
    survey_variants.share(config.output, out.output)
    return out
