"""Law of the model families: one interface, one registry, no decision by name outside `lsbatch.models`."""

import ast
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

from lsbatch.bands import DATING, MIRRORING, OWN_BANDS
from lsbatch.models.cards import Card
from lsbatch.models.families import FAMILIES
from lsbatch.models.family import Family, NetworkRecipe
from lsbatch.settings import ModelSettings, PredictSettings

PACKAGE = Path(__file__).parents[2] / "lsbatch"

#: Family: how it is trained, and its abilities. A new family adds a row.
TABLE: dict[str, tuple[str, frozenset[str]]] = {
    "unet": ("network", frozenset({"mirrors", "is_unet"})),
    "cart": ("own", frozenset({"needs_points"})),
    "tehrani": ("own", frozenset({"makes_segments"})),
    "prakash": ("network", frozenset()),
    "ccdc": ("none", frozenset({"reads_archive", "dates_pixels"})),
    "disturbance": ("none", frozenset({"has_false_alarm_rate"})),
    "smp": ("network", frozenset({"mirrors"})),
    "onnx": ("none", frozenset()),
}
ABILITIES = (
    "needs_points",
    "reads_archive",
    "dates_pixels",
    "mirrors",
    "is_unet",
    "makes_segments",
    "has_false_alarm_rate",
)


def comparisons(source: str) -> Iterator[int]:
    """Yield the lines that compare the name of a family: a variable `family`, or a name as text."""
    for node in ast.walk(ast.parse(source)):
        if _compares(node):
            yield typing.cast(ast.expr | ast.stmt, node).lineno


def _compares(node: ast.AST) -> bool:
    if isinstance(node, ast.Compare):
        return any(_is_name(side) for side in (node.left, *node.comparators))
    if isinstance(node, ast.Match):
        return any(_matches(node.subject, case.pattern) for case in node.cases)
    return isinstance(node, ast.Subscript) and isinstance(node.value, ast.Dict) and _is_name(node.slice)


def _is_name(node: ast.expr) -> bool:
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return any(_is_name(each) for each in node.elts)
    return (isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in FAMILIES) or (
        isinstance(node, ast.Name) and node.id == "family"
    )


def _matches(subject: ast.expr, pattern: ast.pattern) -> bool:
    values = [each.value for each in ast.walk(pattern) if isinstance(each, ast.MatchValue)]
    return _is_name(subject) or any(_is_name(value) for value in values)


def test_only_the_models_compare_the_name_of_a_family() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.relative_to(PACKAGE).parts[0] != "models"
        for line in comparisons(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        'if config.model.family == "ccdc": pass',
        'x = 1 if "unet" != name else 2',
        'if name in ("cart", "tehrani"): pass',
        "if family not in OWN_BANDS: pass",
        'match config.model.family:\n    case "prakash" | "cart": pass',
        'run = {"unet": 1}[family]',
    ],
)
def test_a_comparison_is_found(source: str) -> None:
    assert list(comparisons(source))


@pytest.mark.parametrize(
    "source", ["if name == config.model.name: pass", "x = families.of(config).mirrors", 'DEFAULT = "unet"']
)
def test_other_code_is_no_comparison(source: str) -> None:
    assert not list(comparisons(source))


def test_the_registry_holds_the_families_of_the_settings() -> None:
    assert list(FAMILIES) == list(typing.get_args(ModelSettings.model_fields["family"].annotation)) == list(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_family_fulfils_the_interface(name: str) -> None:
    family: Family = FAMILIES[name]
    members = {member for member in dir(Family) if not member.startswith("_")}
    assert {member for member in members if not hasattr(family, member)} == set()
    assert family.name == name
    assert family.summary
    training, abilities = TABLE[name]
    kind = "network" if isinstance(family.training, NetworkRecipe) else "own" if callable(family.training) else "none"
    assert (kind, {ability for ability in ABILITIES if getattr(family, ability)}) == (training, abilities)


@pytest.mark.parametrize("name", TABLE)
def test_the_facts_of_the_settings_agree_with_the_family(name: str) -> None:
    """`lsbatch.bands` repeats three facts, because settings are checked before a model can be imported."""
    family = FAMILIES[name]
    assert family.own_bands == OWN_BANDS.get(name)
    assert family.mirrors == (name in MIRRORING)
    assert family.dates_pixels == (name in DATING)


def test_halo_is_that_of_the_card_unless_windows_are_blended() -> None:
    for name, family in FAMILIES.items():
        if name != "disturbance":
            assert family.halo_px(Card(name, (), (), (), {}, 64, 1), PredictSettings(), 10) == 64
