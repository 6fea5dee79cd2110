"""Lines, links and paths in the documentation."""

import re
from pathlib import Path

import pytest

from tests.docs_site import site_pages

ROOT = Path(__file__).parents[2]
#: Pages that exist only in the built site; mkdocs checks links to them.
GENERATED = {ROOT / "docs" / name for name in site_pages.pages()}
LONGEST_LINE = 120
DOCUMENTS = [
    path
    for path in (*(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")), *ROOT.glob("docs/*.md"))
    if path.exists()
]

LINK = re.compile(r"\]\(([^)\s]+)\)")
PATH = re.compile(r"(?<![\w/.-])(?:lsbatch|tests|benchmarks)/[\w/.-]*\.py\b")
MODULE = re.compile(r"(?<![\w/.-])lsbatch(?:\.\w+)+")
LIST_ITEM = re.compile(r"\s*(?:[-*+]|\d+\.)\s")


def text_lines(text):
    """Return (line number, line) of all lines outside code blocks; lines of code blocks become empty."""
    lines, fence = [], False
    for number, line in enumerate(text.splitlines(), 1):
        is_fence = line.lstrip().startswith("```")
        fence ^= is_fence
        is_code = is_fence or fence or (line.startswith("    ") and (not lines or not lines[-1][1]))
        lines.append((number, "" if is_code else line))
    return lines


def paragraphs(text):
    """Return the paragraphs as lists of (line number, line); a list item or a heading starts a new one."""
    result = [[]]
    for number, line in text_lines(text):
        if not line.strip() or line.startswith(("|", "#")):
            result.append([])
            continue
        if LIST_ITEM.match(line):
            result.append([])
        result[-1].append((number, line))
    return [paragraph for paragraph in result if paragraph]


def long_lines(text):
    """Return the numbers of the lines that are too long in paragraphs of several lines."""
    return [
        number
        for paragraph in paragraphs(text)
        if len(paragraph) > 1
        for number, line in paragraph
        if len(line) > LONGEST_LINE and not re.fullmatch(r"\s*(?:[-*+]\s+)?\S*\]\(\S+", line)
    ]


def anchors(text):
    """Return the anchors of the headings, as GitHub makes them."""
    headings = [line.lstrip("#").strip() for _, line in text_lines(text) if re.match(r"#+ ", line)]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(document):
    """Return the relative links of a document whose file or heading does not exist."""
    broken = []
    for target in LINK.findall("\n".join(line for _, line in text_lines(document.read_text()))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = document.parent / name if name else document
        if path in GENERATED:
            continue
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path.read_text())):
            broken.append(target)
    return broken


def module_exists(name, root):
    """Return whether a dotted name is a module, or a module of the package that defines the rest of the name."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        base = root.joinpath(*parts[:length])
        file = base.with_suffix(".py") if base.with_suffix(".py").exists() else base / "__init__.py"
        if file.exists():
            return length == len(parts) or re.search(rf"\b{parts[length]}\b", file.read_text()) is not None
    return False


def missing_code(text, root):
    """Return the paths and modules that a text names and that do not exist."""
    paths = [path for path in PATH.findall(text) if not (root / path).exists()]
    modules = [name for name in MODULE.findall(text) if not re.search(r"\.(?:py|toml|yaml|md|log)$", name)]
    return paths + [name for name in modules if not module_exists(name, root)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_wrapped_lines_have_120_columns(document):
    assert long_lines(document.read_text()) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_point_to_files_and_headings(document):
    assert broken_links(document) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_named_code_exists(document):
    assert missing_code(document.read_text(), ROOT) == []


@pytest.mark.parametrize(
    ("text", "lines", "links", "code"),
    [
        ("a\n" + "word " * 30, [2], [], []),
        ("word " * 30, [], [], []),
        ("| a |\n|---|\n| " + "word " * 30 + "|", [], [], []),
        ("```\na\n" + "word " * 30 + "\n```", [], [], []),
        ("[a](other.md)", [], ["other.md"], []),
        ("# One thing\n\n[a](#one-thing) [b](#two)", [], ["#two"], []),
        ("`lsbatch/stages/x.py`", [], [], ["lsbatch/stages/x.py"]),
        ("`lsbatch.here` and `lsbatch.here.name` and `lsbatch.gone.x`", [], [], ["lsbatch.gone.x"]),
    ],
)
def test_these_checks_can_fail(tmp_path, text, lines, links, code):
    package = tmp_path / "lsbatch"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "here.py").write_text("name = 1\n")
    document = tmp_path / "page.md"
    document.write_text(text)
    assert long_lines(text) == lines
    assert broken_links(document) == links
    assert missing_code(text, tmp_path) == code


def test_tests_that_failures_name_exist() -> None:
    """Each row of the table of networks names the test that shows it."""
    section = (ROOT / "docs" / "failures.md").read_text(encoding="utf-8").split("## Networks")[1].split("### ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert len(rows) >= 15
    for row in rows:
        names = re.findall(r"`(test_\w+)`", row)
        assert names, f"no test: {row}"
        assert [name for name in names if f"def {name}(" not in sources] == []
