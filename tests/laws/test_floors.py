"""The floors of the house: nothing imports upward, each heavy library has one home, and no room grows out of hand.

Read with `ast`, so nothing is imported and imports inside functions count too.
"""

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "lsbatch"

#: Floor of each module or folder of the package; a new one must be given a floor here.
FLOORS = {
    **dict.fromkeys(("__init__", "errors", "config", "grid", "layers", "records", "schema"), 0),
    "kernels": 1,
    "archive": 2,
    "models": 3,
    "stages": 4,
    **dict.fromkeys(("pending", "work", "dispatch", "engine", "cluster", "onegpu", "runs", "verifying", "metrics", "training", "compare", "segments", "linking", "review", "country", "demo", "bench"), 5),
    **dict.fromkeys(("cli", "terminal", "__main__"), 6),
}

#: Rooms that do not know of each other although the floors would allow it.
STRANGERS = (("archive", "kernels"),)

#: Rooms in which a library may be imported. What is not named here may be imported anywhere.
HOMES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("dask", "distributed"), ("dispatch", "engine", "cluster")),
    "dask_jobqueue": ("cluster",),
    **dict.fromkeys(("torch", "torchmetrics", "pytorch_lightning", "sklearn", "safetensors", "pyxccd"), ("models",)),
    **dict.fromkeys(("zarr", "obstore", "requests", "tenacity", "pystac_client", "planetary_computer"), ("archive",)),
    **dict.fromkeys(("odc.stac", "odc.loader"), ("archive",)),
    # the country writes the files that the archive reads
    **dict.fromkeys(("rasterio", "pyogrio", "pystac", "rio_stac", "rioxarray"), ("archive", "country")),
    "numba": ("kernels", "country"),
    "prometheus_client": ("metrics",),
    **dict.fromkeys(("typer", "rich"), ("cli", "terminal")),
    "matplotlib": ("stages", "models", "bench"),
    "jinja2": ("stages",),
}

#: Nowhere: no pickle is ever loaded.
FORBIDDEN = ("pickle", "joblib", "dill", "cloudpickle", "marshal", "shelve")

LINES, LINES_AT_MOST = 300, 330
FUNCTION_LINES, SHORT_SHARE = 35, 0.9


@dataclass(frozen=True)
class Import:
    """`importer` (dotted, without the package's name) imports `name` in `line`; `inner` if inside a function."""

    importer: str
    name: str
    line: int
    inner: bool
    own: bool

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.name}"


def modules(package: Path) -> dict[str, ast.Module]:
    """Dotted names without the package's own, to syntax trees; a folder's `__init__` carries the folder's name."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        name = ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def imports(package: Path) -> list[Import]:
    """Every import of every module; own modules by their longest existing dotted name."""
    trees = modules(package)
    return [
        found
        for name, tree in trees.items()
        for inner, node in _walk(tree, inner=False)
        for found in _imports(package, trees, name, node, inner)
    ]


def _walk(tree: ast.AST, inner: bool) -> Iterator[tuple[bool, ast.AST]]:
    for node in ast.iter_child_nodes(tree):
        yield inner, node
        yield from _walk(node, inner or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)))


def _imports(
    package: Path, trees: Mapping[str, ast.Module], importer: str, node: ast.AST, inner: bool
) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        base = _absolute(package, importer, node)
        names = [f"{base}.{alias.name}" for alias in node.names]
    else:
        return
    for name in names:
        root, _, rest = name.partition(".")
        if root != package.name:
            yield Import(importer, name, node.lineno, inner, own=False)
            continue
        # the part that is a module: `from lsbatch.archive import cube` and `from lsbatch.archive.cube import read`
        parts = rest.split(".") if rest else []
        while parts and ".".join(parts) not in trees:
            parts.pop()
        yield Import(importer, ".".join(parts) or "__init__", node.lineno, inner, own=True)


def _absolute(package: Path, importer: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    is_folder = (package / importer.replace(".", "/")).is_dir()
    parts = [package.name, *importer.split(".")]
    parts = parts[: len(parts) - node.level + is_folder]
    return ".".join([*parts, *([node.module] if node.module else [])])


def room(module: str) -> str:
    """First part of a dotted name."""
    return module.partition(".")[0]


def faults(package: Path) -> list[str]:
    """Every breach of the laws of import, as a sentence."""
    found = [f"{name} has no floor" for name in modules(package) if room(name) not in FLOORS]
    if found:
        return found
    for each in imports(package):
        found += _own_faults(each) if each.own else _library_faults(each)
    return found + _cycles(package)


def _own_faults(each: Import) -> list[str]:
    importer, imported = room(each.importer), room(each.name)
    found = []
    if FLOORS[imported] > FLOORS[importer]:
        found.append(f"{each}: upward, from floor {FLOORS[importer]} to {FLOORS[imported]}")
    if (importer, imported) in STRANGERS:
        found.append(f"{each}: {importer} and {imported} do not know of each other")
    if each.inner and importer != "cli":
        found.append(f"{each}: inside a function; only cli may, for a quick --help")
    return found


def _library_faults(each: Import) -> list[str]:
    for library, homes in HOMES.items():
        if f"{each.name}.".startswith(f"{library}.") and room(each.importer) not in homes:
            return [f"{each}: {library} lives in {', '.join(homes)}"]
    if each.name.partition(".")[0] in FORBIDDEN:
        return [f"{each}: no pickle is ever loaded"]
    if each.inner and room(each.importer) != "cli" and each.name.partition(".")[0] in sys.stdlib_module_names:
        return [f"{each}: inside a function, and costs nothing outside"]
    return []


def _cycles(package: Path) -> list[str]:
    graph: dict[str, set[str]] = {}
    for each in imports(package):
        if each.own and each.name != "__init__" and each.name != each.importer:
            graph.setdefault(each.importer, set()).add(each.name)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [f"import cycle: {' -> '.join(error.args[1])}"]
    return []


def lengths(package: Path) -> dict[str, int]:
    """Lines of each module."""
    return {
        str(path.relative_to(package)): len(path.read_text(encoding="utf-8").splitlines())
        for path in sorted(package.rglob("*.py"))
    }


def function_lengths(package: Path) -> dict[str, int]:
    """Lines of each function's code, without decorators and docstring."""
    found = {}
    for name, tree in modules(package).items():
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                found[f"{name}.{node.name}:{node.lineno}"] = node.end_lineno - node.lineno + 1 - _docstring_lines(node)
    return found


def _docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    if ast.get_docstring(node) is None:
        return 0
    text = node.body[0]
    return text.end_lineno - text.lineno + 1


def test_nothing_imports_upward_and_each_library_is_at_home() -> None:
    assert faults(PACKAGE) == []


def test_no_module_grows_out_of_hand() -> None:
    long = {name: lines for name, lines in lengths(PACKAGE).items() if lines > LINES}
    if long:
        print(f"over {LINES} lines: {long}")
    assert {name: lines for name, lines in long.items() if lines > LINES_AT_MOST} == {}


def test_functions_are_short() -> None:
    found = function_lengths(PACKAGE)
    long = {name: lines for name, lines in found.items() if lines > FUNCTION_LINES}
    assert len(long) <= (1 - SHORT_SHARE) * len(found), long


def test_heavy_libraries_stay_out_of_the_command_line() -> None:
    """What `cli` imports at the top is what --help waits for."""
    at_once = [each for each in imports(PACKAGE) if each.importer.partition(".")[0] == "cli" and not each.inner]
    assert at_once
    own = {each.name for each in at_once if each.own}
    assert {each.name.partition(".")[0] for each in at_once if not each.own} - sys.stdlib_module_names <= {"typer", "rich"}
    assert {name for name in own if not name.startswith("cli")} <= {"__init__", "errors"}


# The law must be able to fail: a small house for each way of breaking it.


def house(tmp_path: Path, **sources: str) -> Path:
    """A package `lsbatch` with modules by dotted name, `__` for the dot."""
    package = tmp_path / "lsbatch"
    for name, text in sources.items():
        path = package.joinpath(*name.split("__")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        for folder in (path.parent, package):
            (folder / "__init__.py").touch()
        path.write_text(text, encoding="utf-8")
    return package


@pytest.mark.parametrize(
    ("sources", "fault"),
    [
        ({"grid": "from lsbatch.engine import run", "engine": ""}, "upward, from floor 0 to 5"),
        ({"grid": "from lsbatch import engine", "engine": ""}, "upward, from floor 0 to 5"),
        ({"grid": "import lsbatch.engine", "engine": ""}, "upward, from floor 0 to 5"),
        ({"archive__plan": "from ..stages import clean", "stages__clean": ""}, "upward, from floor 2 to 4"),
        ({"kernels__focal": "def f():\n    import lsbatch.archive.cube", "archive__cube": ""}, "upward, from floor 1"),
        ({"archive__cube": "from lsbatch.kernels.focal import mode", "kernels__focal": ""}, "do not know"),
        ({"archive__cube": "from ..kernels import focal", "kernels__focal": ""}, "do not know"),
        ({"stages__clean": "import dask.array as da"}, "dask lives in dispatch, engine, cluster"),
        ({"stages__clean": "from odc import stac"}, "odc.stac lives in archive"),
        ({"engine": "def f():\n    import torch"}, "torch lives in models"),
        ({"runs": "from rich.table import Table"}, "rich lives in cli, terminal"),
        ({"models__base": "import pickle"}, "no pickle"),
        ({"engine": "def f():\n    from lsbatch import grid", "grid": ""}, "inside a function"),
        ({"engine": "def f():\n    import json"}, "inside a function"),
        ({"grid": "from lsbatch.layers import a", "layers": "from lsbatch.grid import b"}, "import cycle"),
        ({"archive__a": "from . import b", "archive__b": "from .a import x"}, "import cycle"),
        ({"helpers": ""}, "helpers has no floor"),
    ],
)
def test_breach_is_found(tmp_path: Path, sources: dict[str, str], fault: str) -> None:
    assert any(fault in each for each in faults(house(tmp_path, **sources)))


@pytest.mark.parametrize(
    "sources",
    [
        {"engine": "from lsbatch.grid import Grid\nimport dask", "grid": "from odc.geo.geobox import GeoBox"},
        {"cli": "def f():\n    from lsbatch import engine", "engine": ""},
        {"archive__a": "from . import b", "archive__b": ""},
    ],
)
def test_sound_house_has_no_fault(tmp_path: Path, sources: dict[str, str]) -> None:
    assert faults(house(tmp_path, **sources)) == []


def test_long_modules_and_functions_are_seen(tmp_path: Path) -> None:
    package = house(tmp_path, grid="def f():\n" + "    x = 1\n" * 400)
    assert lengths(package)["grid.py"] == 401
    assert function_lengths(package) == {"grid.f:1": 401}
