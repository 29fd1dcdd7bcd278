"""A run of a paper as one HTML page: inputs, figures with their baselines and spread, reasons, the plot, what was
assumed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rooflab.charts.bars import Part, Stack, stacks
from rooflab.charts.palette import BAD, GOOD, GREY
from rooflab.files import write_text
from rooflab.report.outcomes import (
    assumed_words,
    cells_words,
    gain_words,
    given_words,
    how_words,
    label,
    spread_words,
    unit_words,
    value_words,
)
from rooflab.report.pages.parts import Answer, Card, Cell, Column, Table, Tile, table
from rooflab.report.pages.render import render

if TYPE_CHECKING:
    from rooflab.papers.cards import Card as Entry
    from rooflab.papers.execute import Ran, Refused
    from rooflab.papers.outcome import Figure

__all__ = ["bar", "paper_page", "write_paper_page"]

_TILES: Final = 4
_FEWEST_GAINS: Final = 3
"""Gains that a chart is drawn of."""
_WIDE: Final = 1000.0
"""Pixels of a chart as wide as the page."""


def write_paper_page(entry: Entry, ran: Sequence[Ran], refused: Sequence[Refused], path: str | Path) -> None:
    """Write the page to `path`, whole or not at all."""
    write_text(path, paper_page(entry, ran, refused))


def paper_page(entry: Entry, ran: Sequence[Ran], refused: Sequence[Refused] = ()) -> str:
    """The page as text."""
    return render(
        "paper.html.j2",
        name=entry.name,
        title=entry.title,
        does=entry.does,
        url=entry.url,
        runs=[_section(one) for one in ran],
        refused=refused,
    )


def _section(ran: Ran) -> dict[str, Any]:
    outcome = ran.outcome
    return {
        "setup": ran.setup,
        "given": given_words(ran),
        "method": ran.method,
        "seeds": ", ".join(map(str, ran.seeds)),
        "answer": _answer(ran),
        "why": _why(ran),
        "tiles": [_tile(f) for f in _foremost(outcome.figures)],
        "figures": _figures(ran),
        "cards": _cards(ran),
        "notes": outcome.notes,
        "assumed": [assumed_words(a) for a in outcome.account.assumed],
        "cells": [cells_words(c) for c in outcome.account.cells],
        "files": [(name, f"{len(content):,}") for name, content in outcome.files.items()],
    }


def _answer(ran: Ran) -> Answer:
    text = _capital(ran.outcome.because if ran.comparison is None else ran.comparison.verdict)
    if ran.outcome.account.partial:
        return Answer(text, "Interrupted: figures are of what was finished.", good=False)
    return Answer(text)


def _why(ran: Ran) -> list[str]:
    """The reasons of a technique one by one; a method's stands in the answer."""
    return [] if ran.comparison is None else [_capital(str(reason)) for reason in ran.comparison.reasons]


def _foremost(figures: Sequence[Figure]) -> list[Figure]:
    """Figures for the tiles: those with a gain first, in their order."""
    gaining = [f for f in figures if not math.isnan(f.gain)]
    return [*gaining, *(f for f in figures if math.isnan(f.gain))][:_TILES]


def _tile(f: Figure) -> Tile:
    gain = gain_words(f.gain)
    words = f"{label(f)}{f' · {gain}' if gain else ''}"
    return Tile(f"{value_words(f.value, f.unit)} {unit_words(f)}".strip(), words, f"{how_words(f)} {spread_words(f)}")


def _figures(ran: Ran) -> Table:
    figures = ran.outcome.figures
    compared = ran.comparison is not None or any(f.baseline is not None for f in figures)
    spread = any(f.spread for f in figures)
    units = any(unit_words(f) for f in figures)
    columns: list[Column | str] = ["figure", *(["without", "with"] if compared else ["value"])]
    columns += [Column("unit", text=True)] * units + ["gain"] * compared + [Column("how", text=True)]
    columns += [Column("spread", text=True)] * spread
    rows = []
    for f in figures:
        row: list[Cell | str] = [label(f)]
        row += [Cell("" if f.baseline is None else value_words(f.baseline, f.unit), _known(f.baseline))] * compared
        row += [Cell(value_words(f.value, f.unit), f.value)]
        row += [unit_words(f)] * units + [_gain(f)] * compared + [how_words(f)] + [spread_words(f)] * spread
        rows.append(row)
    return table(columns, rows)


def _gain(f: Figure) -> Cell:
    words = gain_words(f.gain)
    return Cell(words, f.gain, tone="" if words in ("", "same") else "good" if f.gain > 1 else "bad")


def _known(value: float | None) -> float:
    return math.nan if value is None else value


def _cards(ran: Ran) -> list[Card]:
    """The method's own plot, and the gains side by side where there are several."""
    cards = [] if ran.outcome.plot is None else [Card(charts=[ran.outcome.plot.svg()], wide=True)]
    gains = [f for f in ran.outcome.figures if math.isfinite(f.gain)]
    if len(gains) >= _FEWEST_GAINS:
        rows = [Stack(f"{label(f)}  {gain_words(f.gain)}", bar(f)) for f in gains]
        drawn = stacks(rows, total=max(1.0, *(f.gain for f in gains)), unit="×", label="gains", width=_WIDE)
        cards.append(Card(charts=[drawn], heading="How many times better", aside="1 × is no change", wide=True))
    return cards


def bar(f: Figure) -> list[Part]:
    """A gain as a bar: grey up to no change, then what is gained; less than that in red. What is the same is grey."""
    words = f"{label(f)}: {gain_words(f.gain)}"
    if gain_words(f.gain) == "same":
        return [Part(1.0, words, GREY)]
    if f.gain < 1:
        return [Part(f.gain, words, BAD)]
    return [Part(1.0, words, GREY), Part(f.gain - 1.0, words, GOOD)]


def _capital(text: str) -> str:
    """The text with a capital, unless a name such as vLLM begins it."""
    return text if text[1:2].isupper() else text[:1].upper() + text[1:]
