"""The feed for a scenario as one HTML page: what each paper could give at the most, what it gives, what it promises."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rooflab.feed.at_most import LITTLE
from rooflab.planner.spares import works_of
from rooflab.report.outcomes import gain_words
from rooflab.report.pages.parts import Answer, Cell, Column, Table, table
from rooflab.report.pages.render import render
from rooflab.report.text.ceiling import at_most_words
from rooflab.report.text.headline import load_words, title

if TYPE_CHECKING:
    from rooflab.feed.at_most import AtMost
    from rooflab.planner.ceiling import Ceiling

__all__ = ["at_most_page"]


def at_most_page(papers: Sequence[AtMost], top: Ceiling) -> str:
    """The page as text."""
    s, what = top.scenario, top.objective.title
    worth = [a for a in papers if a.worthwhile]
    unbounded = [a.card.key for a in papers if not a.bounded]
    notes = [f"{len(papers) - len(worth) - len(unbounded)} papers could give less than 3 %, or are about other work."]
    if unbounded:
        notes.append(f"No bound for {', '.join(unbounded)}: next to all work is spared, or none is named.")
    return render(
        "at_most.html.j2",
        name=title(s),
        load=load_words(s.workload, s.model),
        answer=_answer(worth, what),
        papers=_table(worth) if worth else None,
        said=[f"{a.card.key}: {a.note}" for a in worth if a.claim_exceeds and a.note],
        notes=notes,
    )


def _answer(worth: Sequence[AtMost], what: str) -> Answer:
    tried = [a for a in worth if a.real is not None and a.real.gain > LITTLE]
    if not worth:
        return Answer(f"No paper here could give you more than 3 % in {what}.")
    best = max(tried, key=lambda a: a.real.gain if a.real else 0.0, default=None)
    said = f"{len(worth)} papers could give you something in {what}"
    if best is None or best.real is None:
        return Answer(f"{said}; of those that run here none gives more than 3 %.")
    return Answer(
        f"{said}; of those that run here {best.card.name} gives most: {gain_words(best.real.gain)} {best.real.of}."
    )


def _table(worth: Sequence[AtMost]) -> Table:
    columns: list[Column | str] = [
        "paper", "at most", "halved", Column("it gives", text=True), "abstract", "day",
        Column("spares", text=True),
    ]  # fmt: skip
    rows = []
    for a in worth:
        real = a.real if a.real is not None and not math.isnan(a.real.gain) else None
        rows.append(
            [
                Cell(f"{'▶ ' if a.card.runnable else ''}{a.card.name}", hover=a.card.does),
                Cell(at_most_words(a.gain), a.gain),
                Cell(at_most_words(a.halved), a.halved),
                Cell(f"{gain_words(real.gain)} {real.of}" if real is not None else ""),
                Cell(f"{a.card.claimed:g} ×" if a.card.claimed is not None else "–", a.card.claimed or math.nan),
                Cell(a.card.date),
                Cell(", ".join(s for s in a.card.saves if works_of([s]))),
            ]
        )
    return table(columns, rows)
