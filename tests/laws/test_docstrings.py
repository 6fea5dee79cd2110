"""Docstrings of the public kernels and of the public interface."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = (*sorted((ROOT / "lsbatch" / "kernels").rglob("*.py")), ROOT / "lsbatch" / "notebook.py")


def public_functions():
    """Yield (name, node) of the functions that users call directly; properties describe their value."""
    for path in MODULES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            # compiled loops have no types; the typed functions that call them are public. An overload has only types
            if (
                isinstance(node, ast.FunctionDef)
                and not node.name.startswith("_")
                and node.returns is not None
                and not any(isinstance(each, ast.Name) and each.id == "overload" for each in node.decorator_list)
            ):
                yield f"{path.relative_to(ROOT)}::{node.name}", node


def missing_sections(node):
    """Return the numpy sections that the docstring of a function lacks."""
    text = ast.get_docstring(node) or ""
    returns_nothing = isinstance(node.returns, ast.Constant) and node.returns.value is None
    needed = (["Parameters"] if node.args.args else []) + ([] if returns_nothing else ["Returns"])
    return [name for name in needed if f"{name}\n{'-' * len(name)}\n" not in text]


@pytest.mark.parametrize(("name", "node"), [pytest.param(*case, id=case[0]) for case in public_functions()])
def test_public_functions_document_parameters_and_results(name, node):
    assert missing_sections(node) == [], name


def test_a_missing_section_is_found():
    node = ast.parse('def f(a) -> int:\n    """Return a.\n\n    Parameters\n    ----------\n    a : int\n    """').body[
        0
    ]
    assert missing_sections(node) == ["Returns"]
