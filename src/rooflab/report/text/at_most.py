"""The feed for a scenario on a screen: at most, really, and as the abstract says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from rooflab.planner.spares import works_of
from rooflab.report.outcomes import gain_words
from rooflab.report.text.ceiling import at_most_words
from rooflab.report.text.columns import Column, Line, show_columns
from rooflab.report.text.console import console, literal
from rooflab.report.text.headline import load_words, title

if TYPE_CHECKING:
    from rooflab.feed.at_most import AtMost
    from rooflab.planner.ceiling import Ceiling

__all__ = ["show_at_most"]

_COLUMNS: Final = (
    Column(name="at most", right=True), Column(name="halved", right=True), Column(name="paper"), Column(name=""),
    Column(name="it gives", least=12, folds=True), Column(name="abstract", right=True), Column(name="day"),
    Column(name="spares", least=16, folds=True, needed=False),
)  # fmt: skip


def show_at_most(papers: Sequence[AtMost], top: Ceiling, path: str, limit: int, *, quiet: bool = False) -> None:
    """Papers that could give something, the most first; how many could not."""
    out = console()
    s = top.scenario
    out.print(literal(f"{title(s)}, {load_words(s.workload, s.model)}"), soft_wrap=True)
    out.print(literal(f"What papers could give you at the most in {top.objective.title}\n"), style="bold")
    open_ = [a for a in papers if not a.bounded]
    worth = [a for a in papers if a.worthwhile]
    show_columns(_COLUMNS, [_line(a) for a in worth[:limit]])
    if not worth:
        out.print("nothing here could give you more than 3 %", markup=False)
    said = [f"{len(worth) - limit} more (-n {len(worth)})"] if len(worth) > limit else []
    little = len(papers) - len(worth) - len(open_)
    said += [f"{little} could give less than 3 %, or are about other work"] if little else []
    named = ", ".join(a.card.key for a in open_)
    said += [f"no bound for {named}: next to all work is spared, or none is named"] if open_ else []
    if said:
        out.print(literal(f"\n{'; '.join(said)}."), soft_wrap=True)
    if not quiet and worth:
        first = next((a.card.key for a in worth if a.card.runnable), None)
        runs = f"rooflab papers run {first} {path}     " if first else ""
        out.print(literal(f"\nNext    {runs}rooflab ceiling {path}"), soft_wrap=True)


def _line(a: AtMost) -> Line:
    claimed = f"{a.card.claimed:g} ×" if a.card.claimed is not None else ""
    really = f"{gain_words(a.real.gain)} {a.real.of}" if a.real is not None and not math.isnan(a.real.gain) else ""
    spared = ", ".join(s for s in a.card.saves if works_of([s]))
    cells = (
        at_most_words(a.gain),
        at_most_words(a.halved),
        a.card.key,
        "▶" if a.card.runnable else "",
        really,
        claimed,
        a.card.date,
        spared,
    )
    return Line(cells, ["bold", "", "bold"], [a.note] if a.note else [])
