"""The environment of all page templates: every text is escaped, and an unknown name is an error."""

from pathlib import Path

import jinja2


def environment() -> jinja2.Environment:
    """Return a new environment for the templates of this folder."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
