"""Papers as text: lists, a paper and its claims, before and after, rankings."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import TYPE_CHECKING, Any, Final

from rooflab.evidence.claims.words import expected, figure, shown, tally
from rooflab.metrics.registry import METRICS
from rooflab.papers.reasons import label
from rooflab.report.text.console import console, literal
from rooflab.units import significant

if TYPE_CHECKING:
    from rich.table import Table

    from rooflab.evidence.claims.row import Row
    from rooflab.papers.cards import Card
    from rooflab.papers.compare import Change, Comparison
    from rooflab.papers.execute import Ran
    from rooflab.papers.paper import Paper
    from rooflab.papers.rank import Ranked, Refused
    from rooflab.planner.techniques import Option
    from rooflab.scenario.scenario import Scenario

__all__ = ["show_card", "show_found", "show_list", "show_options", "show_paper", "show_rank", "show_rows", "show_run"]

_WHOLE: Final = ("day", "key", "kind", "paper")
"""Columns whose cells stay on one line."""
_MARK: Final = {
    "reproduced": "✓", "depends": "(?)", "failing": "✗", "calibrated": "(fit)", "input": "(input)",
    "analogue": "(beside)",
    "needs-extra": "–", "not-modelled": "–",
}  # fmt: skip


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
    show_rows(rows)


def show_rows(rows: Sequence[Row]) -> None:
    """Claims: expected, first and present value, error, status."""
    out = console()
    table = _table(
        ("paper", "left"), ("claim", "left"), ("expected", "right"), ("first", "right"), ("now", "right"),
        ("error", "right"), ("", "left"), ("", "left"),
    )  # fmt: skip
    last = ""
    for r in rows:
        error = "" if r.error is None else f"{r.error:+.1%}"
        revised = f" (revised {r.revised} x)" if r.revised else ""
        text = f"{r.text}{revised}" if not r.reason else f"{r.text}{revised}\n  {r.reason}"
        table.add_row(
            r.paper if r.paper != last else "", literal(text), expected(r.expected, r.unit), shown(r.first, r.unit),
            shown(r.got, r.unit), error, _MARK[r.status], "audited" if r.audited else "",
        )  # fmt: skip
        last = r.paper
    out.print(table)
    out.print(f"\n{tally(rows)}", markup=False)


def show_run(e: Card, ran: Sequence[Ran], path: str, *, quiet: bool = False) -> None:
    """What came out, against its baseline, and why, for each input."""
    out = console()
    seed = f"seed {e.seed}, " if e.seed else ""
    out.print(f"[bold]{literal(e.name)}[/bold]: {literal(e.does)} ({seed}{e.date[:4]})", highlight=False)
    for one in ran:
        if one.comparison is not None:
            _comparison(out, one.setup, one.comparison)
        else:
            _outcome(out, one)
    if not quiet:
        out.print(
            f"\nNext    rooflab papers show {e.key}" + (f"     rooflab papers rank {path}" if path else ""),
            markup=False,
        )


def _outcome(out: Any, ran: Ran) -> None:
    out.print(f"\n{ran.setup}: {ran.method}", markup=False)
    compared = any(f.baseline is not None for f in ran.outcome.figures)
    table = _table(
        ("", "left"), *([("without", "right")] if compared else []), ("", "right"), ("", "right"), ("", "left")
    )
    for f in ran.outcome.figures:
        spread = (
            "" if f.spread is None else f" ({significant(f.spread[0])} – {significant(f.spread[1])}, {f.runs} runs)"
        )
        before = [figure(f.baseline, f.unit)] if compared else []
        table.add_row(literal(f.name), *before, figure(f.value, f.unit) + spread, _gain(f.gain), f.how)
    out.print(table)
    out.print(f"Because  {ran.outcome.because}", markup=False)
    for note in ran.outcome.notes:
        out.print(note, markup=False)
    for name, content in ran.outcome.files.items():
        out.print(f"File     {name}, {len(content):,} bytes (--out DIR writes it)", markup=False)


def _comparison(out: Any, name: str, c: Comparison) -> None:
    s = c.after.scenario
    out.print(literal(f"\n{name}: {s.model.name} on {s.hardware.count} × {s.hardware.device.name}"))
    table = _table(("", "left"), ("now", "right"), (f"with {c.technique}", "right"), ("", "right"))
    if c.after.capacity:
        table.add_row("tok/s/GPU when full", *_sides(c.capacity), _gain(c.capacity.gain))
    for change in c.changes:
        table.add_row(label(change.metric), *_sides(change), _gain(change.gain))
    out.print(table)
    if c.note:
        out.print(f"Now: {c.note}", markup=False)
    out.print(f"Verdict  {c.verdict}", markup=False)
    for i, reason in enumerate(c.reasons):
        out.print(f"{'Because' if i == 0 else '':<9}{reason}", markup=False)
    out.print(f"Quality  {c.quality}", markup=False)


def _sides(c: Change) -> tuple[str, str]:
    unit = METRICS[c.metric].unit if c.metric in METRICS else ""
    return _value(c.before, unit), _value(c.after, unit)


def _value(value: float, unit: str) -> str:
    if isnan(value):
        return "–"
    return figure(value, unit if unit in ("s", "W") else "")


def _gain(gain: float) -> str:
    return "" if isnan(gain) else "same" if abs(gain - 1) < 0.005 else f"{significant(gain)} ×"


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
            _gain(r.gain),
            r.of,
            _gain(tpot),
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
            _gain(o.gain),
            value,
            literal(best.label) if best else "none",
            literal(", ".join(str(c) for c in o.quality)) or "–",
        )
    out.print(table)
