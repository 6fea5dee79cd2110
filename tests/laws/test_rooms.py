"""Law of the rooms: imports go downwards, each heavy library has one home, and sizes are limited.

The sources are read with `ast`. Nothing is imported, and imports inside functions count too.
"""

import ast
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from statistics import median

import pytest

PACKAGE = Path(__file__).parents[2] / "lsbatch"

#: Rooms from the ground up. A room may import only from rooms of a lower level; add a new room here.
LEVELS: Mapping[str, int] = {
    **dict.fromkeys(("errors", "grid", "bands", "settings"), 0),
    "kernels": 1,
    **dict.fromkeys(("storage", "synthetic"), 2),
    **dict.fromkeys(("catalog", "models"), 3),
    "imagery": 4,
    "pipeline": 5,
    "inventory": 6,
    "report": 7,
    **dict.fromkeys(("accuracy", "review", "engine"), 8),
    "commands": 9,
    "cli": 10,
    # the public interface: it offers what the rooms hold, and loads it when it is first used
    **dict.fromkeys(("__init__", "notebook"), 11),
}

#: Modules that may lie directly in the package: the values that all rooms share, and the public interface.
LOOSE = ("__init__", "errors", "grid", "bands", "notebook")

#: Pairs of rooms that must not import each other although their levels allow it.
SEPARATE = (
    ("storage", "kernels"),
    ("catalog", "kernels"),
    ("accuracy", "engine"),
    ("review", "engine"),
)

#: Rooms in which a library may be imported. A library that is not named here may be imported anywhere.
HOMES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("dask", "dask_jobqueue", "prometheus_client"), ("engine",)),
    # the interface names the type of a client
    "distributed": ("engine", "notebook"),
    **dict.fromkeys(("torch", "torchmetrics", "pytorch_lightning", "sklearn", "safetensors", "pyxccd"), ("models",)),
    **dict.fromkeys(("zarr", "obstore"), ("storage",)),
    **dict.fromkeys(("requests", "pystac_client", "rio_stac"), ("catalog",)),
    **dict.fromkeys(("planetary_computer", "odc.stac", "odc.loader", "sarsen"), ("imagery",)),
    # each retries its own kind of request
    "tenacity": ("storage", "catalog", "imagery"),
    # the synthetic country writes the files that the other rooms read
    "rasterio": ("storage", "catalog", "imagery", "synthetic"),
    "pyogrio": ("storage", "inventory", "synthetic"),
    "pystac": ("catalog", "imagery", "inventory", "synthetic"),
    "rioxarray": ("storage", "notebook"),
    "numba": ("kernels",),
    **dict.fromkeys(("typer", "rich"), ("cli",)),
    **dict.fromkeys(("segmentation_models_pytorch", "timm", "torchvision"), ("models",)),
    "matplotlib": ("models", "commands"),
    "jinja2": ("accuracy", "report"),
    "PIL": ("report",),
    "folium": ("notebook",),
    # only to send classes and functions to Dask by value; nothing is loaded
    "cloudpickle": ("engine",),
}

#: Rooms that import inside functions, so that `lsbatch --help` and `import lsbatch` stay quick.
LAZY = ("cli", "__init__", "notebook")
#: Modules that import a network inside functions: torch takes 190 MB and 3 s, and a driver applies no network.
LAZY_MODULES = ("models.families.",)

#: Libraries that load pickles, and the one module that may: it keeps machine code where only its user can write.
FORBIDDEN = ("pickle", "joblib", "dill", "marshal", "shelve")
PICKLES = ("kernels.compilation",)

#: Limits of size: lines of a module; lines of the median function and of nine in ten; modules in a folder; rooms in a
#: chain of imports.
MODULE_LINES = 300
MEDIAN_FUNCTION_LINES, LONG_FUNCTION_LINES, SHORT_SHARE = 8, 30, 0.9
FOLDER_MODULES = 20
CHAIN_ROOMS = 10


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


@cache
def modules(package: Path) -> dict[str, ast.Module]:
    """Dotted names without the package's own, to syntax trees; a folder's `__init__` carries the folder's name."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        name = ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


@cache
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
    found = [f"{name} has no level" for name in modules(package) if room(name) not in LEVELS]
    found += [
        f"{name} lies loose" for name in modules(package) if (package / f"{name}.py").is_file() and name not in LOOSE
    ]
    if found:
        return found
    for each in imports(package):
        found += _own_faults(each) if each.own else _library_faults(each)
    return found + _cycles(package)


def _own_faults(each: Import) -> list[str]:
    importer, imported = room(each.importer), room(each.name)
    found = []
    # the version, which lies in the public interface, is every room's
    if importer not in (imported, "__init__") and imported != "__init__" and LEVELS[imported] >= LEVELS[importer] > 0:
        found.append(f"{each}: not downwards, from level {LEVELS[importer]} to {LEVELS[imported]}")
    if LEVELS[importer] == 0 and LEVELS[imported] > 0:
        found.append(f"{each}: not downwards, from level 0 to {LEVELS[imported]}")
    if (importer, imported) in SEPARATE:
        found.append(f"{each}: {importer} and {imported} are separate")
    if each.inner and importer not in LAZY and not each.importer.startswith(LAZY_MODULES):
        found.append(f"{each}: inside a function; only {', '.join((*LAZY, *LAZY_MODULES))} may")
    return found


def _library_faults(each: Import) -> list[str]:
    for library, homes in HOMES.items():
        if f"{each.name}.".startswith(f"{library}.") and room(each.importer) not in homes:
            return [f"{each}: {library} lives in {', '.join(homes)}"]
    if each.name.partition(".")[0] in FORBIDDEN and each.importer not in PICKLES:
        return [f"{each}: no pickle is ever loaded"]
    if each.inner and room(each.importer) not in LAZY and each.name.partition(".")[0] in sys.stdlib_module_names:
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


def chains(package: Path) -> dict[str, int]:
    """Rooms in the longest chain of imports that starts in each room; the values that all rooms share count as one."""
    graph: dict[str, set[str]] = {}
    for each in imports(package):
        importer, imported = (_shared(room(name)) for name in (each.importer, each.name))
        if each.own and importer != imported and imported not in LAZY:
            graph.setdefault(importer, set()).add(imported)
    found: dict[str, int] = {}
    for name in TopologicalSorter(graph).static_order():
        found[name] = 1 + max((found[other] for other in graph.get(name, ())), default=0)
    return found


def _shared(name: str) -> str:
    return "values" if LEVELS.get(name) == 0 else name


def folders(package: Path) -> dict[str, int]:
    """Modules of each folder, without `__init__`."""
    found = Counter(
        str(path.parent.relative_to(package)) for path in package.rglob("*.py") if path.name != "__init__.py"
    )
    return dict(found)


def test_imports_go_downwards_and_each_library_is_at_home() -> None:
    assert faults(PACKAGE) == []


def test_chain_of_rooms_is_short() -> None:
    found = chains(PACKAGE)
    print(f"longest chain of rooms: {max(found.values())}")
    assert max(found.values()) <= CHAIN_ROOMS, found


def test_folders_are_small() -> None:
    found = folders(PACKAGE)
    print(f"modules in the largest folder: {max(found.values())}")
    assert {name: count for name, count in found.items() if count > FOLDER_MODULES} == {}


def test_modules_are_short() -> None:
    found = lengths(PACKAGE)
    print(f"modules: {len(found)}, median {median(found.values()):.0f} lines, longest {max(found.values())}")
    assert {name: lines for name, lines in found.items() if lines > MODULE_LINES} == {}


def test_functions_are_short() -> None:
    found = function_lengths(PACKAGE)
    long = {name: lines for name, lines in found.items() if lines > LONG_FUNCTION_LINES}
    print(
        f"functions: {len(found)}, median {median(found.values()):.0f} lines, {1 - len(long) / len(found):.1%} at most "
        f"{LONG_FUNCTION_LINES}"
    )
    assert median(found.values()) <= MEDIAN_FUNCTION_LINES
    assert len(long) <= (1 - SHORT_SHARE) * len(found), long


def test_heavy_libraries_stay_out_of_the_command_line() -> None:
    """What `cli` imports at the top is what --help waits for."""
    faces = [each for each in imports(PACKAGE) if room(each.importer) == "cli" and not each.inner]
    # commands import it inside their functions
    at_once = [each for each in faces if each.importer != "cli.terminal"]
    assert at_once
    own = {each.name for each in at_once if each.own}
    assert {each.name.partition(".")[0] for each in at_once if not each.own} - sys.stdlib_module_names <= {
        "typer",
        "rich",
    }
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
        ({"grid": "from lsbatch.engine.todo import a", "engine__todo": ""}, "not downwards, from level 0 to 8"),
        ({"grid": "from lsbatch import engine", "engine__todo": ""}, "not downwards, from level 0 to 8"),
        ({"grid": "import lsbatch.engine", "engine__todo": ""}, "not downwards, from level 0 to 8"),
        ({"catalog__plan": "from ..pipeline import clean", "pipeline__clean": ""}, "not downwards, from level 3 to 5"),
        ({"models__base": "from lsbatch.catalog import plan", "catalog__plan": ""}, "not downwards, from level 3 to 3"),
        (
            {"kernels__focal": "def f():\n    import lsbatch.storage.cube", "storage__cube": ""},
            "not downwards, from level 1",
        ),
        ({"storage__cube": "from lsbatch.kernels.focal import mode", "kernels__focal": ""}, "are separate"),
        ({"storage__cube": "from ..kernels import focal", "kernels__focal": ""}, "are separate"),
        ({"pipeline__clean": "import dask.array as da"}, "dask lives in engine"),
        ({"pipeline__clean": "from odc import stac"}, "odc.stac lives in imagery"),
        ({"engine__todo": "def f():\n    import torch"}, "torch lives in models"),
        ({"commands__run": "from rich.table import Table"}, "rich lives in cli"),
        ({"models__base": "import pickle"}, "no pickle"),
        ({"kernels__focal": "import pickle"}, "no pickle"),
        ({"engine__todo": "def f():\n    from lsbatch import grid", "grid": ""}, "inside a function"),
        ({"engine__todo": "def f():\n    import json"}, "inside a function"),
        ({"grid": "from lsbatch.bands import a", "bands": "from lsbatch.grid import b"}, "import cycle"),
        ({"storage__a": "from . import b", "storage__b": "from .a import x"}, "import cycle"),
        ({"helpers__a": ""}, "helpers has no level"),
        ({"kernels": "", "engine": ""}, "lies loose"),
    ],
)
def test_breach_is_found(tmp_path: Path, sources: dict[str, str], fault: str) -> None:
    assert any(fault in each for each in faults(house(tmp_path, **sources)))


@pytest.mark.parametrize(
    "sources",
    [
        {"engine__todo": "from lsbatch.grid import Grid\nimport dask", "grid": "from odc.geo.geobox import GeoBox"},
        {"cli__program": "def f():\n    from lsbatch.engine import todo", "engine__todo": ""},
        {"storage__a": "from . import b", "storage__b": ""},
        {"kernels__compilation": "import pickle"},
    ],
)
def test_sound_house_has_no_fault(tmp_path: Path, sources: dict[str, str]) -> None:
    assert faults(house(tmp_path, **sources)) == []


def test_long_modules_and_functions_are_seen(tmp_path: Path) -> None:
    package = house(tmp_path, grid="def f():\n" + "    x = 1\n" * 400)
    assert lengths(package)["grid.py"] == 401
    assert function_lengths(package) == {"grid.f:1": 401}


def test_long_chains_and_large_folders_are_seen(tmp_path: Path) -> None:
    chain = {"storage__a": "from lsbatch import grid", "grid": "", "catalog__a": "from lsbatch.storage import a"}
    package = house(tmp_path, **chain, **{f"catalog__b{i}": "" for i in range(30)})
    assert chains(package) == {"values": 1, "storage": 2, "catalog": 3}
    assert folders(package)["catalog"] == 31
