"""The environment of all page templates: every text is escaped, and an unknown name is an error."""

import base64
import hashlib
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


def seal(script: str) -> str:
    """Return the checksum by which the content security policy of a page allows its own script and no other."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
