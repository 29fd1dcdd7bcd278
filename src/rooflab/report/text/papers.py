"""Papers as text: lists, a paper and its claims, before and after, rankings."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final

from rooflab.report.text.columns import Column, Line, show_columns
from rooflab.report.text.console import console, literal
from rooflab.units import significant

if TYPE_CHECKING:
    from rich.table import Table

    from rooflab.evidence.claims.row import Row
    from rooflab.papers.cards import Card
    from rooflab.papers.paper import Paper
    from rooflab.planner.techniques import Option

__all__ = ["show_card", "show_found", "show_list", "show_options", "show_paper"]

_WHOLE: Final = ("day", "key", "kind", "paper")
"""Columns whose cells stay on one line."""


_NAMED: Final = (Column(name=""), Column(name="", least=30, folds=True))
_PARAMETERS: Final = (
    Column(name="parameter"), Column(name="unless said"), Column(name="may be", least=20, folds=True)
)  # fmt: skip


def _table(*headings: tuple[str, str]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name, justify in headings:
        table.add_column(name, justify=justify, no_wrap=justify == "right" or name in _WHOLE)  # type: ignore[arg-type]
    return table


def show_list(found: Sequence[Card], *, quiet: bool = False) -> None:
    """Papers by day."""
    from rooflab.feed.listing import by_day

    out = console()
    table = _table(
        ("day", "left"), ("key", "left"), ("", "left"), ("kind", "left"), ("saves", "left"), ("title", "left")
    )
    for day, group in by_day(found):
        for i, e in enumerate(group):
            mark = "▶" if e.runnable else ""
            table.add_row(day if i == 0 else "", e.key, mark, e.kind, ", ".join(e.saves), literal(e.title))
    out.print(table)
    if not quiet:
        months = sum(len(e.date) == len("2024-08") for e in found)
        if months:
            out.print(f"\nA month stands where the day is not known ({months} of {len(found)}).")
        runnable = sum(e.runnable for e in found)
        out.print(
            f"\n{len(found)} papers, {runnable} runnable (▶). Next: rooflab papers show KEY · rooflab papers rank "
            f"SCENARIO"
        )


def show_found(found: Sequence[Card], query: str, *, quiet: bool = False) -> None:
    """Search results, best first."""
    out = console()
    if not found:
        out.print(f"nothing about {query!r}", markup=False)
        return
    for e in found:
        out.print(f"[bold]{e.key}[/bold]  {literal(e.title)} ({e.date[:4]}, {e.status})", highlight=False)
        out.print(f"    {e.does}", markup=False)


def show_card(e: Card) -> None:
    """A paper that cannot be run yet."""
    out = console()
    _head(e, out)
    out.print("Not runnable yet.")


def _head(e: Card, out: Any) -> None:
    title = e.title if e.title.startswith(e.name) else f"{e.name}: {e.title}"
    seed = f"seed {e.seed}, " if e.seed else ""
    saves = f" Saves {', '.join(e.saves)}." if e.saves else ""
    for style, text in (
        ("bold", title), ("", f"{seed}{e.date}, {e.url}"), ("", f"{e.does} Kind: {e.kind}.{saves}")
    ):  # fmt: skip
        for line in wrap(text, out.width):
            out.print(literal(line), style=style or None, soft_wrap=True)


def show_paper(e: Card, p: Paper, rows: Sequence[Row]) -> None:
    """A runnable paper: what is what, its techniques and methods with their parameters, its claims recomputed."""
    # a listing needs nothing of this
    from rooflab.papers.execute import kind_read
    from rooflab.papers.parameters import described
    from rooflab.report.text.claims import show_claims

    out = console()
    _head(e, out)
    out.print()
    said = (("Executed", p.executed), ("Modelled", p.modelled), ("Assumed", p.assumed))
    show_columns(_NAMED, [Line((name, text), ("bold",)) for name, text in said])
    for sort, known in (("technique on a scenario", p.techniques), ("method", p.methods)):
        for key, cls in known.items():
            kind = kind_read(cls)
            reads = "" if sort != "method" else f" on {'a scenario' if kind is None else kind.name}"
            out.print(f"\n[bold]{key}[/], {sort}{reads}", soft_wrap=True)
            summary = " ".join((cls.__doc__ or "").split("\n\n", maxsplit=1)[0].split())
            for line in wrap(summary, out.width - 2):
                out.print(f"  {literal(line)}", soft_wrap=True)
            show_columns(_PARAMETERS, [Line((d.name, d.usual or "has to be given", d.allowed)) for d in described(cls)],
                         indent=2)  # fmt: skip
    out.print()
    show_claims(rows, texts=True)


def show_options(options: Sequence[Option]) -> None:
    """Plans with techniques in them: gain in the objective, the best deployment, quality."""
    from rooflab.report.outcomes import gain_words

    out = console()
    objective = options[0].plan.objective
    out.print(f"\n[bold]Papers[/bold]  {objective.title} with techniques in the plan", highlight=False)
    table = _table(
        ("technique", "left"),
        ("gain", "right"),
        (objective.unit, "right"),
        ("best deployment", "left"),
        ("quality", "left"),
    )
    for o in options:
        best = o.plan.best
        value = "–" if best is None else significant(float(best.metrics[objective.metric]))
        table.add_row(
            literal(str(o)),
            gain_words(o.gain),
            value,
            literal(best.label) if best else "none",
            literal(", ".join(str(c) for c in o.quality)) or "–",
        )
    out.print(table)
