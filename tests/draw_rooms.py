"""Draw the rooms as they are: ``python tests/draw_rooms.py`` makes table and drawing of docs/explanation/design.md.

The drawing is a matrix: a dot in the row of a room and the column of another says that the first imports the second.
Rooms stand in the order of the layers, so a dot above the diagonal would be an import upwards.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from imports_graph import imports, modules
from test_rooms import ROOMS, room

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "explanation" / "design.md"
DRAWING = ROOT / "docs" / "explanation" / "rooms.svg"
BEGIN, END = "<!-- rooms: made by tests/draw_rooms.py -->", "<!-- /rooms -->"
CELL, LEFT, TOP = 20, 112, 92


def rooms() -> list[str]:
    """Rooms that exist, from the ground up."""
    there = {room(m) for m in modules()}
    return [name for layer in ROOMS for name in layer if name in there]


def says(name: str) -> str:
    """The first paragraph of a room's docstring."""
    text = ast.get_docstring(ast.parse(modules()[f"rooflab.{name}"].read_text("utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split()).replace("|", "\\|")


def table() -> str:
    """Rooms by layer, each with what it is for."""
    lines = ["| room | what it is for |", "|---|---|"]
    for layer in ROOMS:
        lines += [f"| `{name}` | {says(name)} |" for name in layer if name in rooms()]
    return "\n".join(lines)


def drawing() -> str:
    """The matrix of imports as SVG."""
    names = rooms()
    edges = {(room(i.importer), room(i.imported)) for i in imports() if i.how != "string"}
    size = CELL * len(names)
    width, height = LEFT + size + 12, TOP + size + 12
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img" aria-label="which room imports which" font-family="system-ui, sans-serif" font-size="12">',
        "<style>text{fill:#1f2937}.grid{stroke:#d1d5db}.self{fill:#e5e7eb}.dot{fill:#2563eb}.layer{stroke:#6b7280}"
        "@media (prefers-color-scheme:dark){text{fill:#e5e7eb}.grid{stroke:#374151}"
        ".self{fill:#374151}.dot{fill:#60a5fa}"
        ".layer{stroke:#9ca3af}}</style>",
    ]
    for k in range(len(names) + 1):
        at = CELL * k
        out.append(f'<path class="grid" d="M{LEFT} {TOP + at}h{size}M{LEFT + at} {TOP}v{size}"/>')
    done = 0
    for layer in ROOMS:
        done += sum(name in names for name in layer)
        out.append(f'<path class="layer" d="M{LEFT - 100} {TOP + CELL * done}h{size + 100}"/>')
    for row, name in enumerate(names):
        y = TOP + CELL * row
        out.append(f'<text x="{LEFT - 6}" y="{y + 14}" text-anchor="end">{name}</text>')
        out.append(f'<text transform="translate({LEFT + CELL * row + 14} {TOP - 6}) rotate(-60)">{name}</text>')
        out.append(f'<rect class="self" x="{LEFT + CELL * row}" y="{y}" width="{CELL}" height="{CELL}"/>')
        for column, other in enumerate(names):
            if (name, other) in edges and name != other:
                x = LEFT + CELL * column + CELL / 2
                out.append(f'<circle class="dot" cx="{x:g}" cy="{y + CELL / 2:g}" r="5"/>')
    return "\n".join([*out, "</svg>", ""])


def page() -> str:
    """docs/explanation/design.md with the table in it made anew."""
    text = PAGE.read_text("utf-8")
    start, end = text.index(BEGIN), text.index(END)
    return f"{text[:start]}{BEGIN}\n\n{table()}\n\n![Which room imports which](rooms.svg)\n\n{text[end:]}"


def main() -> int:
    """Write page and drawing."""
    PAGE.write_text(page(), "utf-8")
    DRAWING.write_text(drawing(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
