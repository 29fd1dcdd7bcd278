"""What a run of a paper gave, on a screen: each figure with its baseline, how it came about, how far it spreads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

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
from rooflab.report.text.columns import Column, Line, show_columns
from rooflab.report.text.console import console, labelled, literal

if TYPE_CHECKING:
    from rooflab.papers.cards import Card
    from rooflab.papers.execute import Ran, Refused
    from rooflab.papers.outcome import Figure

__all__ = ["show_run"]


def show_run(card: Card, ran: Sequence[Ran], refused: Sequence[Refused], path: str, *, quiet: bool = False) -> None:
    """What came out for each input, and the inputs that it does not apply to."""
    out = console()
    seed = f"seed {card.seed}, " if card.seed else ""
    said = wrap(f"{card.name}: {card.does} ({seed}{card.date[:4]})", out.width)
    out.print(f"[bold]{literal(said[0][: len(card.name)])}[/]{literal(said[0][len(card.name) :])}", soft_wrap=True)
    for line in said[1:]:
        out.print(literal(line), soft_wrap=True)
    for one in ran:
        out.print(f"\n[bold]{literal(one.setup)}[/]", soft_wrap=True)
        for line in wrap(f"{given_words(one)}; {one.method}", out.width):
            out.print(literal(line), soft_wrap=True)
        show_columns(_columns(one), [_line(one, f) for f in one.outcome.figures])
        for name, text in _beneath(one):
            out.print(labelled(name, text, out.width), soft_wrap=True)
    for no in refused:
        out.print(f"\n[bold]{literal(no.setup)}[/]", soft_wrap=True)
        out.print(labelled("No", no.reason, out.width), soft_wrap=True)
    if not quiet:
        ranked = path and any(one.comparison for one in ran)
        next_ = [f"rooflab papers show {card.key}", *([f"rooflab papers rank {path}"] if ranked else [])]
        beside = f"Next    {'     '.join(next_)}"
        text = beside if len(beside) <= out.width else "\n        ".join(["Next    " + next_[0], *next_[1:]])
        out.print(f"\n{text}", markup=False, soft_wrap=True)


def _columns(ran: Ran) -> tuple[Column, ...]:
    compared = any(f.baseline is not None for f in ran.outcome.figures)
    return (
        Column(name="", least=20, folds=True), Column(name="without", right=True),
        Column(name="with" if compared else "", right=True), Column(name="", least=8, folds=True),
        Column(name="", right=True), Column(name="", least=8, folds=True),
        Column(name="spread", least=16, folds=True),
    )  # fmt: skip


def _line(ran: Ran, f: Figure) -> Line:
    before = value_words(f.baseline, f.unit) if f.baseline is not None or ran.comparison is not None else ""
    cells = (
        label(f), before, value_words(f.value, f.unit), unit_words(f), gain_words(f.gain), how_words(f),
        spread_words(f),
    )  # fmt: skip
    return Line(cells, ["", "", "bold"])


def _beneath(ran: Ran) -> Iterator[tuple[str, str]]:
    outcome = ran.outcome
    if outcome.account.partial:
        yield (
            "Partial",
            "interrupted before it was through: figures are of what is finished",
        )
    if ran.comparison is None:
        yield ("So far" if outcome.account.partial else "Because"), outcome.because
    else:
        yield "Verdict", ran.comparison.verdict
        for i, reason in enumerate(ran.comparison.reasons):
            yield "" if i else "Because", str(reason)
    for note in outcome.notes:
        name, colon, text = note.partition(": ")
        named = colon and name in ("quality", "now", "also")
        yield (name.capitalize(), text) if named else ("Note", note)
    for a in outcome.account.assumed:
        yield "Assumed", assumed_words(a)
    for c in outcome.account.cells:
        if c.kept or c.done < c.wanted:
            yield "Done", cells_words(c)
    for name, content in outcome.files.items():
        yield "File", f"{name}, {len(content):,} bytes (--out DIR writes it)"
