"""A validation as text: the answer, errors by group, the worst rows, what is not modelled and why."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from rooflab.report.text.console import literal
from rooflab.units import significant

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from rooflab.evidence.publish.bounds import Breach
    from rooflab.evidence.score.validate import Group, Judged, Validation

__all__ = ["percent", "show_breaches", "show_validation"]

_TITLES: Final = {
    "by_family": "what is predicted", "by_metric": "metric", "by_source": "source", "by_engine": "engine",
    "by_gpu": "accelerator",
    "by_model": "model", "by_scenario": "scenario", "by_verdict": "verdict",
}  # fmt: skip
_BRIEF: Final = 12
"""Groups of a grouping that are shown unless all are asked for."""


def show_validation(validation: Validation, out: Console, *, everything: bool = False, worst: int = 10) -> None:
    """Print a validation."""
    v = validation
    rows = v.rows
    counts = [
        f"[bold]{len(rows):,}[/] of {v.total:,} measurements",
        f"{len({j.row.source for j in rows})} sources",
        f"{len({j.row.gpu for j in rows})} accelerators",
        f"{len({j.row.model for j in rows})} models",
    ]
    left = f" ({len(v.unsupported):,} rows not scored: reasons below)" if v.unsupported else ""
    out.print(" · ".join(counts) + left, soft_wrap=True)
    if rows:
        overall = v.overall()
        out.print(
            f"median error [bold]{percent(overall.median_ape)}[/], p90 {percent(overall.p90_ape)}, bias "
            f"{_signed(overall.bias)}; "
            f"the 90 % interval holds {percent(overall.coverage_90)} of rows",
            soft_wrap=True,
        )
        groups = v.groups()
        for name, title in _TITLES.items():
            _table(groups[name], title, out, len(groups[name]) if everything or name == "by_family" else _BRIEF)
        _worst(v.worst(worst), out)
    _reasons(v, out, everything)


def _table(groups: dict[str, Group], title: str, out: Console, most: int) -> None:
    if not groups:
        return
    out.print()
    table = _plain(title, "rows", "median", "p90", "bias", "90 % interval holds")
    for name, g in list(groups.items())[:most]:
        table.add_row(
            literal(name),
            f"{g.n:,}",
            percent(g.median_ape),
            percent(g.p90_ape),
            _signed(g.bias),
            percent(g.coverage_90),
        )
    out.print(table)
    if len(groups) > most:
        out.print(f"[dim]and {len(groups) - most} more (--all)[/]")


def _plain(first: str, *rest: str) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    table.add_column(first, justify="left", min_width=40, max_width=64, no_wrap=True)
    for name in rest:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _worst(rows: list[Judged], out: Console) -> None:
    if not rows:
        return
    out.print()
    out.print("[dim]furthest off[/]")
    for j in rows:
        r = j.row
        times = r.predicted / r.measured
        how = f"{significant(times)} ×" if times >= 1 else f"1/{significant(1 / times)}"
        what = f"{r.metric} {significant(r.measured)}, predicted {significant(r.predicted)} ({how})"
        out.print(
            literal(f"  {r.id}: {r.model.rsplit('/', 1)[-1]}, {r.gpu}, {r.engine}, {r.scenario}: {what}"),
            soft_wrap=True,
        )


def _reasons(v: Validation, out: Console, everything: bool) -> None:
    if not v.unsupported:
        return
    out.print()
    out.print("[dim]not scored[/]")
    for reason, n in v.reasons.items():
        out.print(literal(f"  {n:>6,}  {reason}"), soft_wrap=True)
    if v.suspect and everything:
        out.print(literal(f"  suspect rows: {', '.join(v.suspect)}"), soft_wrap=True)


def show_breaches(breaches: list[Breach], checked: int, out: Console) -> None:
    """Print the groups that have got worse than their recorded bounds."""
    out.print()
    if not breaches:
        out.print(f"[green]all {checked} recorded bounds hold[/]")
    for b in breaches:
        out.print(
            f"[red]worse than recorded[/]: {b.grouping} {literal(b.name)}: {b.figure} {percent(b.got)}, bound "
            f"{percent(b.bound)}",
            soft_wrap=True,
        )


def percent(share: float) -> str:
    """A share of 1 as text: ``12.5 %``, without decimals from ten times on."""
    return "–" if math.isnan(share) else f"{share * 100:.1f} %" if share < 10 else f"{share * 100:,.0f} %"


def _signed(share: float) -> str:
    return "–" if math.isnan(share) else f"{share * 100:+.1f} %"
