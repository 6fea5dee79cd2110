"""The environment of all page templates: every text is escaped, and an unknown name is an error."""

from pathlib import Path

import jinja2


def environment(folder: Path = Path(__file__).parent) -> jinja2.Environment:
    """Return a new environment for the templates of a folder, by default those of the report."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
