"""Papers as text: lists, a paper and its claims, before and after, rankings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from rooflab.report.outcomes import gain_words
from rooflab.report.text.claims import show_claims
from rooflab.report.text.console import console, literal
from rooflab.units import significant

if TYPE_CHECKING:
    from rich.table import Table

    from rooflab.evidence.claims.row import Row
    from rooflab.papers.cards import Card
    from rooflab.papers.paper import Paper
    from rooflab.papers.rank import Ranked, Refused
    from rooflab.planner.techniques import Option
    from rooflab.scenario.scenario import Scenario

__all__ = ["show_card", "show_found", "show_list", "show_options", "show_paper", "show_rank"]

_WHOLE: Final = ("day", "key", "kind", "paper")
"""Columns whose cells stay on one line."""


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
    out.print(f"[bold]{literal(e.name)}[/bold]: {literal(e.title)}", highlight=False)
    seed = f"seed {e.seed}, " if e.seed else ""
    out.print(f"{seed}{e.date}, {e.url}", markup=False)
    out.print(f"{e.does} Kind: {e.kind}. Saves {', '.join(e.saves)}.", markup=False)


def show_paper(e: Card, p: Paper, rows: Sequence[Row]) -> None:
    """A runnable paper: what is what, its techniques, its claims recomputed."""
    out = console()
    _head(e, out)
    for name, text in (("Executed", p.executed), ("Modelled", p.modelled), ("Assumed", p.assumed)):
        out.print(f"{name}: {text}", markup=False)
    for name, known in (("Technique", p.techniques), ("Method", p.methods)):
        for key, cls in known.items():
            summary = " ".join((cls.__doc__ or "").split("\n\n", maxsplit=1)[0].split())
            out.print(f"{name} {key}({', '.join(cls.__annotations__)}): {summary}", markup=False)
    out.print()
    show_claims(rows, texts=True)


def show_rank(
    s: Scenario, ranked: Sequence[Ranked], refused: Sequence[Refused], path: str, *, quiet: bool = False
) -> None:
    """Techniques by gain, and those that do not apply with the reason."""
    out = console()
    out.print(literal(f"{s.model.name} on {s.hardware.count} × {s.hardware.device.name}\n"))
    table = _table(
        ("", "right"),
        ("technique", "left"),
        ("gain", "right"),
        ("in", "left"),
        ("TPOT p99", "right"),
        ("quality", "left"),
        ("because", "left"),
    )
    for i, r in enumerate(ranked, 1):
        tpot = next((c.gain for c in r.comparison.changes if c.metric == "tpot_s_p99"), float("nan"))
        table.add_row(
            str(i),
            literal(str(r.technique)),
            gain_words(r.gain),
            r.of,
            gain_words(tpot),
            literal(str(r.comparison.quality)),
            literal(r.comparison.because),
        )
    out.print(table)
    for no in refused:
        out.print(f"  –  {no.key}: {no.reason}", markup=False)
    if not quiet and ranked:
        out.print(f"\nNext    rooflab papers run {ranked[0].technique.paper} {path}".rstrip(), markup=False)


def show_options(options: Sequence[Option]) -> None:
    """Plans with techniques in them: gain in the objective, the best deployment, quality."""
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
