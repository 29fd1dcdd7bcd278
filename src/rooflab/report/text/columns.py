"""Columns of text for any width of screen: what does not fit beside stands beneath, wrapped.

One line a row. Columns are as wide as their cells need. Where a screen is too narrow, columns that it can do without
go, then those that may shrink do, the widest first. A cell that is then too long folds where its column is text, is cut
where that is said, and else stands beneath the row with its column's name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Final

from rooflab.report.text.console import console, literal

__all__ = ["Column", "Line", "show_columns"]

_GAP: Final = "  "
_ELSEWHERE: Final = "↓"
_INDENT: Final = 4
"""Columns that what stands beneath a row is moved in."""
_NARROWEST: Final = 20
"""Columns of text, however narrow the screen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column. `least` is how narrow it may become (0: no narrower than its cells); `folds` says that its cells are
    text, `cut` that they end with … where there is no room. One that is not `needed` goes from a narrow screen."""

    name: str
    right: bool = False
    least: int = 0
    folds: bool = False
    cut: bool = False
    needed: bool = True


@dataclass(frozen=True, slots=True)
class Line:
    """Cells of a row, a style for each (none: plain), and paragraphs beneath it (not those that a cell shows whole)."""

    cells: Sequence[str]
    styles: Sequence[str] = ()
    below: Sequence[str] = ()


def show_columns(columns: Sequence[Column], lines: Sequence[Line], *, indent: int = 0) -> None:
    """Print the rows under their headings; a column in which no row says anything is left out."""
    if not lines:
        return
    out = console()
    placed, space = _placed(columns, lines, out.width - indent), " " * indent
    if any(column.name for column, _, _ in placed):
        names = Line([c.name for c in columns], ["bold"] * len(columns))
        out.print("\n".join(_drawn(names, placed, space)), soft_wrap=True)
    for line in lines:
        whole = [line.cells[j] for _, j, width in placed if len(line.cells[j]) <= width]
        moved = "; ".join(f"{c.name}: {line.cells[j]}" for c, j, width in placed if _moves(c, line.cells[j], width))
        drawn = list(_drawn(line, placed, space))
        for text in filter(None, [moved, *(text for text in line.below if text not in whole)]):
            parts = wrap(text, max(out.width - indent - _INDENT, _NARROWEST))
            drawn += [literal(f"{space}{' ' * _INDENT}{part}") for part in parts]
        out.print("\n".join(drawn), soft_wrap=True)


def _placed(columns: Sequence[Column], lines: Sequence[Line], room: int) -> list[tuple[Column, int, int]]:
    """The columns that are shown, each with its number and its width."""
    natural = [max([len(c.name), *(len(line.cells[j]) for line in lines)]) for j, c in enumerate(columns)]
    chosen = [j for j in range(len(columns)) if any(line.cells[j] for line in lines)]

    def least(j: int) -> int:
        """What a column takes at least before others have to shrink for it."""
        return natural[j] if columns[j].needed else min(columns[j].least or natural[j], natural[j])

    while sum(map(least, chosen)) + len(_GAP) * (len(chosen) - 1) > room:
        spare = [j for j in chosen if not columns[j].needed]
        if not spare:
            break
        chosen.remove(spare[-1])
    widths = {j: natural[j] for j in chosen}
    while sum(widths.values()) + len(_GAP) * (len(chosen) - 1) > room:
        narrower = [j for j in chosen if columns[j].least and widths[j] > columns[j].least]
        if not narrower:
            break
        widths[max(narrower, key=lambda j: widths[j])] -= 1
    return [(columns[j], j, widths[j]) for j in chosen]


def _moves(column: Column, cell: str, width: int) -> bool:
    return len(cell) > width and not column.folds and not column.cut


def _drawn(line: Line, placed: Sequence[tuple[Column, int, int]], space: str) -> Iterator[str]:
    """The lines that a row takes, as markup."""
    folded = []
    for column, j, width in placed:
        cell = line.cells[j]
        if column.folds:
            folded.append(wrap(cell, width) or [""])
        else:
            fits = len(cell) <= width
            folded.append([cell if fits else f"{cell[: width - 1]}…" if column.cut else _ELSEWHERE])
    for i in range(max(map(len, folded))):
        text = space
        for (column, j, width), parts in zip(placed, folded, strict=True):
            part = parts[i] if i < len(parts) else ""
            last = placed[-1][1] == j and not column.right
            padded = literal(part if last else f"{part:>{width}}" if column.right else f"{part:<{width}}")
            style = line.styles[j] if j < len(line.styles) else ""
            text += ("" if placed[0][1] == j else _GAP) + (f"[{style}]{padded}[/]" if style and part else padded)
        yield text.rstrip()
