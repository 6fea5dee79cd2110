"""The documentation site: its reference is complete, its build is strict, and it loads nothing from elsewhere."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from lsbatch.inventory import schema
from lsbatch.settings import Config
from tests import browser, programs
from tests.docs_site import site_pages

ROOT = Path(__file__).parents[2]


def commands_of_help(*words: str) -> list[str]:
    """Return the names in the list of commands that `lsbatch WORDS --help` prints."""
    done = programs.run(*words, "--help", env=os.environ | {"COLUMNS": "200", "NO_COLOR": "1"}, seconds=120)
    _, _, below = done.stdout.partition("Commands")
    return re.findall(r"^│ (\w[\w-]*)", below, flags=re.MULTILINE)


def names_of_schema(node: dict[str, Any], definitions: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the dotted name of every setting in a JSON schema, as pydantic writes it."""
    for name, value in node["properties"].items():
        references = [one["$ref"] for one in (value, *value.get("anyOf", ()), *value.get("allOf", ())) if "$ref" in one]
        inner = [definitions[reference.rsplit("/", 1)[1]] for reference in references]
        sections = [one for one in inner if "properties" in one]
        if not sections:
            yield prefix + name
        for section in sections:
            yield from names_of_schema(section, definitions, f"{prefix}{name}.")


class Assets(HTMLParser):
    """Addresses that a browser loads when it opens a page; links that a reader may follow are none."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            loads = name in ("src", "srcset", "poster", "data") or (name == "href" and tag not in ("a", "area"))
            if loads and value:
                self.found.append(value)


def foreign_assets(html: str) -> list[str]:
    """Return the addresses on other machines that a page loads."""
    assets = Assets()
    assets.feed(html)
    return [address for address in assets.found if re.match(r"(https?:)?//", address)]


def test_every_command_is_in_the_reference() -> None:
    page = site_pages.commands()
    names = commands_of_help()
    assert len(names) > 15
    names += [f"models {name}" for name in commands_of_help("models")]
    assert [name for name in names if f"`lsbatch {name}`\n" not in page] == []
    # the list of commands has whole sentences
    assert re.findall(r"^\* `[\w-]+`: .*\.\.\.$", page, flags=re.MULTILINE) == []


def test_every_setting_is_in_the_reference() -> None:
    made = Config.model_json_schema()
    names = list(names_of_schema(made, made["$defs"]))
    assert len(names) > 100
    page = site_pages.settings().replace("<wbr>", "")
    assert [name for name in names if f"| <code>{name}</code> |" not in page] == []


def test_values_of_settings_are_plain() -> None:
    page = site_pages.settings().replace("<wbr>", "")
    assert "| <code>clean.threshold</code> | number, > 0, < 1 | `0.5` | Probability from which" in page
    assert '| <code>survey.kind</code> | `annual`, `event` | `"annual"` |' in page
    assert "typing." not in page
    assert "<class" not in page
    assert "Annotated" not in page


def test_every_field_of_the_inventory_is_in_the_docs() -> None:
    text = (ROOT / "docs" / "inventory.md").read_text(encoding="utf-8")
    assert [field.name for field in schema.FIELDS if f"| `{field.name}` |" not in text] == []


def test_public_kernels_are_in_the_reference() -> None:
    modules = site_pages.kernel_modules()
    assert {"lsbatch.kernels.terrain", "lsbatch.kernels.speckle", "lsbatch.kernels.statistics.confusion"} <= set(
        modules
    )
    assert [name for name in modules if find_spec(name) is None] == []


def test_links_of_copied_files_lead_into_the_site() -> None:
    pages = {**site_pages.pages(), **{file.name: "" for file in (ROOT / "docs").glob("*.md")}}
    for page in site_pages.COPIES:
        targets = [found[0] for found in site_pages.LINK.findall(pages[page]) if found[0]]
        assert [target for target in targets if target not in pages] == []


def test_a_command_makes_each_picture() -> None:
    docs = ROOT / "docs"
    text = (docs / "pictures.md").read_text(encoding="utf-8")
    pictures = [file.name for file in (*docs.glob("*.svg"), *(docs / "pictures").iterdir())]
    assert len(pictures) > 5
    assert [name for name in pictures if name not in text] == []
    modules = re.findall(r"python -m (benchmarks\.\w+)", text)
    assert modules
    assert [name for name in modules if not (ROOT / f"{name.replace('.', '/')}.py").exists()] == []


@pytest.mark.parametrize(
    ("html", "foreign"),
    [
        ('<script src="https://unpkg.com/x.js"></script>', ["https://unpkg.com/x.js"]),
        ('<link rel="stylesheet" href="//fonts.googleapis.com/css">', ["//fonts.googleapis.com/css"]),
        ('<img src="pictures/a.png"><a href="https://example.org">a link</a>', []),
    ],
)
def test_foreign_assets_are_found(html: str, foreign: list[str]) -> None:
    assert foreign_assets(html) == foreign


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; warnings are errors."""
    if find_spec("mkdocs") is None:
        pytest.skip("the extra docs is not installed; make docs installs it")
    folder = tmp_path_factory.mktemp("site")
    done = build(folder, ROOT / "mkdocs.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def build(folder: Path, settings: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(settings), "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(words, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=600, check=False)


@pytest.mark.slow(ci=True)
def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    assert {str(page): found for page in pages if (found := foreign_assets(page.read_text(encoding="utf-8")))} == {}
    for sheet in site.rglob("*.css"):
        assert re.findall(r"(?:@import|url\()\s*['\"]?(?:https?:)?//", sheet.read_text(encoding="utf-8")) == [], sheet


@pytest.mark.slow(ci=True)
@pytest.mark.skipif(browser.program() is None, reason="no Chromium here")
def test_search_works_from_the_file_system(site: Path, tmp_path: Path) -> None:
    """A reader without server and network types the name of a setting."""
    with browser.Page(tmp_path) as page:
        page.open((site / "install.html").as_uri())
        page.value("document.querySelector('#__search').click()")
        page.value(
            "(() => { const field = document.querySelector('.md-search__input'); field.focus(); "
            "field.value = 'cloud_dilate_px'; field.dispatchEvent(new Event('input', {bubbles: true})); "
            "field.dispatchEvent(new KeyboardEvent('keyup', {bubbles: true, key: 'x'})); return true; })()"
        )
        links = "[...document.querySelectorAll('.md-search-result__link')].map(link => link.getAttribute('href'))"
        until = time.monotonic() + 60
        while not (found := page.value(links)) and time.monotonic() < until:
            time.sleep(0.2)
        assert "reference/settings.html" in found[0]
        assert page.errors == []
        assert {address.partition(":")[0] for address in page.requests} <= {"file", "data", "about", "blob"}


@pytest.mark.slow(ci=True)
def test_a_link_to_a_missing_heading_ends_the_build(site: Path, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "index.md").write_text("# One\n\n[two](#two)\n", encoding="utf-8")
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    text = re.sub(r"^hooks:.*\n|^nav:\n(?:[ ].*\n)+|^extra_css:.*\n", "", text, flags=re.MULTILINE)
    settings = tmp_path / "mkdocs.yml"
    settings.write_text(text, encoding="utf-8")
    done = build(tmp_path / "site", settings)
    assert done.returncode != 0
    assert "#two" in done.stdout + done.stderr
