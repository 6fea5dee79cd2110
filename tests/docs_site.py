"""The module of the documentation site that makes pages from the code; docs/ is no package."""

import importlib.util
from pathlib import Path

_FILE = Path(__file__).parents[1] / "docs" / "site" / "site_pages.py"
_SPEC = importlib.util.spec_from_file_location("site_pages", _FILE)
assert _SPEC is not None
assert _SPEC.loader is not None
site_pages = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(site_pages)
