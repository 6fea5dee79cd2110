"""The pages of the documentation site that are made from the code and from files outside docs/.

`mkdocs build` makes them (docs/site/hooks.py), so they always fit the code. They are not kept in git.
"""

import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from typer.cli import get_docs_for_click

from lsbatch.cli import program
from lsbatch.settings import Config, Section

ROOT = Path(__file__).resolve().parents[2]

#: Page of the site -> file of the repository with its text.
COPIES = {
    "changes.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "report-a-vulnerability.md": "SECURITY.md",
    "weights.md": "lsbatch/models/weights/README.md",
}
NOTEBOOK, NOTEBOOK_PAGE = "first-survey.ipynb", "first-survey.md"
#: Modules of the interface for scripts, besides the kernels.
PYTHON_MODULES = ("lsbatch.notebook", "lsbatch.settings.yaml_files", "lsbatch.synthetic", "lsbatch.errors")
#: Front matter: a search shows commands and settings before the kernels, whose names hold many common words. A word of
#: a heading counts a thousand times as much as one of a text, hence the factor.
FIRST, LAST = ("---\nsearch:\n  boost: 3\n---\n\n", "---\nsearch:\n  boost: 0.001\n---\n\n")
LINK = re.compile(r"\]\(([^)\s:]+?)(#[^)\s]*)?\)")


def pages() -> dict[str, str]:
    """Return the Markdown of each page by its path in the site."""
    return {
        "reference/commands.md": FIRST + commands(),
        "reference/settings.md": FIRST + settings(),
        "reference/python.md": python_interface(),
        "reference/kernels.md": LAST + kernels(),
        NOTEBOOK_PAGE: notebook((ROOT / "docs" / NOTEBOOK).read_text(encoding="utf-8")),
        **{page: copied(file) for page, file in COPIES.items()},
    }


def commands() -> str:
    """Return the help of every command, as typer writes it."""
    command: Any = typer.main.get_command(program.app)
    context = typer.Context(command, info_name="lsbatch")
    text: str = get_docs_for_click(obj=command, ctx=context, name="lsbatch", title="Commands")
    for name, help_text in _help_texts(command):
        # typer cuts a sentence in a list of commands after 45 characters
        line = f"* `{name}`: {help_text.strip().partition(chr(10))[0]}"
        text = re.sub(rf"^\* `{name}`: .*$", lambda _, line=line: line, text, flags=re.MULTILINE)
    return f"{text}\n\nThe exit codes of all commands: [exit codes](../exit-codes.md).\n"


def _help_texts(group: Any) -> Iterator[tuple[str, str]]:
    """Yield (name, help) of all commands of a group, and of the groups in it."""
    for name, command in group.commands.items():
        yield name, command.help
        if hasattr(command, "commands"):
            yield from _help_texts(command)


def settings() -> str:
    """Return a table of each section of the settings: name, value, default, meaning."""
    parts = [
        "# Settings\n\nAll settings of a survey file. `lsbatch config` prints them as a file with comments, and "
        "`lsbatch config FILE` those of a file with all defaults. A setting that is not listed here is refused.\n"
    ]
    for name, field, section in _sections(Config, ""):
        parts += [f"## `{name}`\n", f"{_sentence(field.description)}\n", *_table(section, f"{name}.")]
    loose = {name: field for name, field in Config.model_fields.items() if _section_of(field) is None}
    parts += ["## Settings without a section\n", *_rows(loose, "")]
    return "\n".join(parts) + "\n"


def _sections(section: type[Section], prefix: str) -> Iterator[tuple[str, FieldInfo, type[Section]]]:
    """Yield (dotted name, field, section) of all sections inside a section."""
    for name, field in section.model_fields.items():
        inner = _section_of(field)
        if inner is not None:
            yield prefix + name, field, inner
            yield from _sections(inner, f"{prefix}{name}.")


def _section_of(field: FieldInfo) -> type[Section] | None:
    options = (field.annotation, *get_args(field.annotation))
    return next((one for one in options if isinstance(one, type) and issubclass(one, Section)), None)


def _table(section: type[Section], prefix: str) -> list[str]:
    return _rows({name: field for name, field in section.model_fields.items() if _section_of(field) is None}, prefix)


def _rows(fields: dict[str, FieldInfo], prefix: str) -> list[str]:
    """Return a Markdown table; nothing if there are no fields."""
    rows = [
        f"| {_breakable(prefix + name)} | {_values(field)} | {_default(field)} | {_sentence(field.description)} |"
        for name, field in fields.items()
    ]
    return ["| setting | value | default | meaning |", "|---|---|---|---|", *rows, ""] if rows else []


def _breakable(name: str) -> str:
    """Return a name as code that a browser may break after its dots and underscores."""
    parts = re.sub(r"([._])", r"\1<wbr>", name)
    return f"<code>{parts}</code>"


def _values(field: FieldInfo) -> str:
    """Return what the value of a setting may be: its type, names and bounds."""
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    bounds = [
        f"{signs[key]} {getattr(rule, key)}"
        for rule in field.metadata
        for key in signs
        if getattr(rule, key, None) is not None
    ]
    return ", ".join((_kind(field.annotation), *bounds))


def _kind(annotation: Any) -> str:
    """Return the plain name of a type, for example "whole number or empty"."""
    names = {
        bool: "true or false", int: "whole number", float: "number", str: "text", type(None): "empty", Path: "path",
        tuple: "list", dict: "names and values",
    }  # fmt: skip
    if get_origin(annotation) is Literal:
        return _cell(", ".join(f"`{value}`" for value in get_args(annotation)))
    if get_origin(annotation) in (tuple, dict) or annotation in names:
        return names[get_origin(annotation) or annotation]
    options = [_kind(option) for option in get_args(annotation) if not _is_rule(option)]
    return " or ".join(dict.fromkeys(options)) or getattr(annotation, "__name__", str(annotation))


def _is_rule(option: Any) -> bool:
    """Return whether a part of an `Annotated` type is no type: a validator or a serializer."""
    return not (isinstance(option, type) or get_origin(option))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value is PydanticUndefined:
        return "empty"
    return f"`{_cell(json.dumps(value, default=str))}`"


def _sentence(text: str | None) -> str:
    text = text or ""
    return _cell(text[:1].upper() + text[1:] + ("." if text and not text.endswith(".") else ""))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def python_interface() -> str:
    """Return the directives from which mkdocstrings writes the interface for scripts and notebooks."""
    body = "\n\n".join(f"## `{name}`\n\n::: {name}" for name in PYTHON_MODULES)
    return (
        "# Python interface\n\n`import lsbatch` offers `open_survey`, `run`, `OpenSurvey` and `kernels`. The notebook "
        f"[A first survey, from Python](../first-survey.md) uses them.\n\n{body}\n"
    )


def kernel_modules() -> list[str]:
    """Return the dotted names of all public kernel modules."""
    files = sorted((ROOT / "lsbatch" / "kernels").rglob("*.py"))
    names = [".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for file in files]
    return [name for name in names if name != "lsbatch.kernels" and ".compilation" not in name]


def kernels() -> str:
    """Return the directives from which mkdocstrings writes all kernels."""
    body = "\n\n".join(f"## `{name}`\n\n::: {name}" for name in kernel_modules())
    return (
        "# Kernels\n\nFunctions from arrays to arrays (numpy, numba, scipy). They read no files, and work on any "
        f"data.\n\n{body}\n"
    )


def notebook(text: str) -> str:
    """Return the cells of a notebook as Markdown, without outputs."""
    cells = json.loads(text)["cells"]
    parts = [
        "".join(cell["source"]) if cell["cell_type"] == "markdown" else f"```python\n{''.join(cell['source'])}\n```"
        for cell in cells
    ]
    title, *others = parts
    return "\n\n".join((title, f"The notebook is [docs/{NOTEBOOK}]({NOTEBOOK}) in the repository.", *others)) + "\n"


def copied(file: str) -> str:
    """Return a Markdown file from outside docs/, with its links to files of the repository as links of the site."""
    return LINK.sub(
        lambda found: f"]({_in_site(file, found[1])}{found[2] or ''})", (ROOT / file).read_text(encoding="utf-8")
    )


def _in_site(file: str, target: str) -> str:
    """Return the path in the site of a file that is named relative to another file of the repository."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(file), target))
    pages = {source: page for page, source in COPIES.items()} | {"README.md": "index.md"}
    return pages.get(path, path.removeprefix("docs/"))
