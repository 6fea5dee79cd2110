"""The page of a plan: one square a tile and kind of scenes, coloured by its number of scenes."""

import dataclasses
from html.parser import HTMLParser

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from lsbatch.catalog import planning
from lsbatch.catalog.plan import Plan
from lsbatch.grid import tile_id
from lsbatch.report import plan_page

HOSTILE = "scene </pre><script>alert(1)</script><img src=x onerror=alert(1)> & co"


class Elements(HTMLParser):
    """All elements of a page with their attributes, and the text of each title."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="module")
def made(planned_survey) -> Plan:  # type: ignore[no-untyped-def]
    """A plan with a gap, and a reason that comes from a hostile catalogue."""
    plan = planning.make(planned_survey.config)
    first = tile_id(*plan.tiles[0])
    scenes = {**plan.by_tile[first].scenes, "post_s2": ()}
    by_tile = {**plan.by_tile, first: dataclasses.replace(plan.by_tile[first], scenes=scenes)}
    return dataclasses.replace(plan, by_tile=by_tile, summary={**plan.summary, "left_out": [HOSTILE]})


def test_every_tile_has_a_square_in_each_map(made: Plan, planned_survey) -> None:  # type: ignore[no-untyped-def]
    page = plan_page.render(made, planned_survey.config)
    elements = Elements(page)
    squares = elements.named("rect")
    assert len(squares) == 4 * len(made.tiles) == 16
    assert sum(square["fill"] == plan_page.GAP for square in squares) == 1
    assert f"Without scenes: {tile_id(*made.tiles[0])}." in page
    for row, col in made.tiles:
        for key in plan_page.TITLES:
            count = len(made.by_tile[tile_id(row, col)].scenes[key])
            assert f"<title>{tile_id(row, col)}: {count or 'no'} scene" in page
    # nothing is loaded, nothing runs, and texts of a catalogue stay texts
    assert not elements.named("script")
    assert not elements.named("img")
    assert "&lt;script&gt;alert(1)" in page


def test_squares_lie_where_the_tiles_are(made: Plan, planned_survey) -> None:  # type: ignore[no-untyped-def]
    elements = Elements(plan_page.render(made, planned_survey.config))
    left, bottom, right, top = made.grid.bounds
    metres = max(right - left, top - bottom) / plan_page.MAP_UNITS
    for square, (row, col) in zip(elements.named("rect"), made.tiles * 4, strict=True):
        box = made.grid.tile(row, col).geobox.boundingbox
        x, y, width, height = (float(str(square[name])) for name in ("x", "y", "width", "height"))
        assert (left + x * metres, top - y * metres) == pytest.approx((box.left, box.top), abs=metres / 50)
        assert (width * metres, height * metres) == pytest.approx((box.span_x, box.span_y), abs=metres / 50)


def test_an_outline_is_in_map_units() -> None:
    frame = plan_page.Frame(100.0, 900.0, 0.5, 50.0, 50.0)
    holed = shapely.Polygon([(100, 900), (200, 900), (200, 800)], [[(150, 890), (160, 890), (160, 880)]])
    assert frame.path([holed]) == (
        "M0.0 0.0L50.0 0.0L50.0 50.0L0.0 0.0Z" "M25.0 5.0L30.0 5.0L30.0 10.0L25.0 5.0Z"
    )  # fmt: skip


@given(st.lists(st.integers(0, 500), max_size=60))
def test_classes_of_colour(counts: list[int]) -> None:
    """Ascending, at most as many as colours, the first holds the smallest count; more scenes are never lighter."""
    edges = plan_page.class_edges(counts)
    some = [count for count in counts if count]
    assert edges == sorted(set(edges))
    assert len(edges) <= len(plan_page.COLOURS)
    assert bool(edges) == bool(some)
    if some:
        assert edges[0] == min(some)
        shades = [plan_page.COLOURS.index(plan_page._colour(count, edges)) for count in sorted(some)]
        assert shades == sorted(shades)
        legend = plan_page._legend(edges, 0 in counts)
        assert len(legend) == len(edges) + (0 in counts)
