"""What pages are made of, as data: the answer, tiles, cards with charts, tables.

Texts are plain; the templates of ``parts.html.j2`` escape and draw them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rooflab.charts.marks import Key
from rooflab.charts.tree import Svg

__all__ = ["Answer", "Card", "Cell", "Column", "Row", "Table", "Tile", "table"]


@dataclass(frozen=True, slots=True)
class Answer:
    """The sentence that answers: a verdict, good or bad, and the rest."""

    text: str
    verdict: str = ""
    good: bool = True


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure, what it is, and what is said on hover."""

    value: str
    words: str
    hover: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """Charts one below the other under a heading, with their legend and a note.

    A `wide` one takes the whole row and scrolls where the screen is narrow.
    """

    charts: Sequence[Svg] = ()
    heading: str = ""
    aside: str = ""
    keys: Sequence[Key] = ()
    note: str = ""
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """A column of figures, or of `text`, which stands to the left and wraps."""

    name: str
    text: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell: its text, the figure that it is sorted by, what is said on hover, and "good" or "bad"."""

    text: str
    figure: float = math.nan
    hover: str = ""
    tone: str = ""

    @property
    def key(self) -> str:
        """The figure as the sorting script reads it; empty where there is none."""
        return f"{self.figure:.9g}" if math.isfinite(self.figure) else ""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table; a `strong` one is printed bold."""

    cells: Sequence[Cell]
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table that sorts by a click on a heading; the first column is text."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    dense: bool = False


def table(columns: Sequence[Column | str], rows: Sequence[Sequence[Cell | str]]) -> Table:
    """A table of rows of cells; plain text stands for a column of figures and for a cell without one."""
    return Table(
        [Column(c) if isinstance(c, str) else c for c in columns],
        [Row([Cell(c) if isinstance(c, str) else c for c in row]) for row in rows],
    )
