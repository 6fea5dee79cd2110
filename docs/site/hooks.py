"""Hooks of `mkdocs build`: add the pages that are made from the code."""

import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

HERE = Path(__file__).resolve().parent
# this folder, and the repository, whose lsbatch is described
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

import site_pages  # noqa: E402


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of `site_pages` to those in docs/."""
    for path, text in site_pages.pages().items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links to files of the repository that have a page here lead to it: the notebook, the changelog and others."""
    del config, files
    if page.file.src_uri == site_pages.NOTEBOOK_PAGE:
        return markdown
    for name, source in site_pages.COPIES.items():
        markdown = markdown.replace(f"](../{source}", f"]({name}")
    return markdown.replace(f"]({site_pages.NOTEBOOK})", f"]({site_pages.NOTEBOOK_PAGE})")
