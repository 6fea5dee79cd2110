"""Draw the picture of docs/architecture.md: the rooms by level, how they import each other, and the way of a tile.

    python docs/draw_rooms.py [docs/rooms.svg]

Levels and imports are read from the law test and from the sources, so the picture shows what is there.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.laws import test_rooms as law  # noqa: E402

PACKAGE = ROOT / "lsbatch"
WIDTH, ROW_PX, BOX_PX = 980, 62, 38

#: What each room holds, in a few words.
HOLDS = {
    "values": "errors, grid, bands, settings",
    "kernels": "arrays in, arrays out",
    "synthetic": "synthetic country",
    "storage": "files, cube, receipts",
    "catalog": "STAC search, plan",
    "models": "model families, training",
    "imagery": "scenes to pixels",
    "pipeline": "stages of a tile",
    "inventory": "landslide records",
    "report": "HTML report",
    "accuracy": "sample, intervals",
    "review": "review page",
    "engine": "tiles on Dask workers",
    "commands": "what a command does",
    "cli": "command line",
    "notebook": "Python interface",
}

#: The way of a tile from archive to record: artefact, and the room that makes it.
WAY = (
    ("archive", ""),
    ("plan", "catalog"),
    ("scenes", "imagery"),
    ("STACK", "pipeline"),
    ("PROBABILITY", "models"),
    ("MASK", "pipeline"),
    ("outlines", "pipeline"),
    ("records", "inventory"),
    ("report", "report"),
)


def rooms_by_level() -> dict[int, list[str]]:
    """Return the rooms of each level, the values as one room."""
    levels: dict[int, list[str]] = {}
    for name, level in law.LEVELS.items():
        if level and name != "__init__":
            levels.setdefault(level, []).append(name)
    return {0: ["values"], **dict(sorted(levels.items()))}


def imports() -> set[tuple[str, str]]:
    """Return the pairs (room, room that it imports), without pairs that follow from others."""

    def shared(name: str) -> str:
        return "values" if law.LEVELS.get(name) == 0 else name

    direct = {
        (shared(law.room(each.importer)), shared(law.room(each.name))) for each in law.imports(PACKAGE) if each.own
    }
    direct = {(a, b) for a, b in direct if a != b and "__init__" not in (a, b)}
    reach: dict[str, set[str]] = {}

    def below(room: str) -> set[str]:
        if room not in reach:
            reach[room] = set()
            for a, b in direct:
                if a == room:
                    reach[room] |= {b} | below(b)
        return reach[room]

    return {(a, b) for a, b in direct if not any(b in below(c) for d, c in direct if d == a and c != b)}


def draw() -> str:
    """Return the picture as SVG."""
    levels = rooms_by_level()
    height = ROW_PX * len(levels) + 125
    boxes: dict[str, tuple[float, float, float]] = {}
    for row, (_, names) in enumerate(sorted(levels.items(), reverse=True)):
        side = (WIDTH - 20) / len(names)
        width = min(side - 14, 250)
        for i, name in enumerate(names):
            boxes[name] = (10 + side * (i + 0.5) - width / 2, 46 + ROW_PX * row, width)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        '<text x="10" y="24" font-size="15" font-weight="bold">Rooms: each imports only from rooms below it</text>',
    ]
    for a, b in sorted(imports()):
        (ax, ay, aw), (bx, by, bw) = boxes[a], boxes[b]
        parts.append(
            f'<line x1="{ax + aw / 2:.0f}" y1="{ay + BOX_PX:.0f}" x2="{bx + bw / 2:.0f}" y2="{by:.0f}" stroke="#99a"/>'
        )
    for name, (x, y, width) in boxes.items():
        middle = x + width / 2
        parts += [
            f'<rect x="{x:.0f}" y="{y}" width="{width:.0f}" height="{BOX_PX}" rx="4" fill="#eef3f8" stroke="#456"/>',
            f'<text x="{middle:.0f}" y="{y + 16}" text-anchor="middle" font-weight="bold">{name}</text>',
            f'<text x="{middle:.0f}" y="{y + 31}" text-anchor="middle" fill="#333">{HOLDS[name]}</text>',
        ]
    top = 46 + ROW_PX * len(levels) + 26
    parts.append(f'<text x="10" y="{top - 8}" font-size="15" font-weight="bold">A tile, from archive to record</text>')
    step = (WIDTH - 20) / len(WAY)
    for i, (what, room) in enumerate(WAY):
        x = 10 + step * i
        parts += [
            f'<rect x="{x:.0f}" y="{top}" width="{step - 22:.0f}" height="{BOX_PX}" rx="4" fill="#fdf3e4" '
            'stroke="#864"/>',
            f'<text x="{x + step / 2 - 11:.0f}" y="{top + 16}" text-anchor="middle" font-weight="bold" '
            f'font-size="11">{what}</text>',
            f'<text x="{x + step / 2 - 11:.0f}" y="{top + 31}" text-anchor="middle" fill="#333" '
            f'font-size="11">{room}</text>',
        ]
        if i:
            parts.append(f'<text x="{x - 16:.0f}" y="{top + 24}" font-size="14">&#8594;</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "docs" / "rooms.svg").write_text(draw(), encoding="utf-8")
