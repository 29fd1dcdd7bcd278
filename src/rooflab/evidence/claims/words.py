"""Statements, figures and tallies of claims as text, the same on a terminal and on a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rooflab.evidence.claims.row import STATUSES, Row, counts, findings
from rooflab.papers.claim import KINDS
from rooflab.units import format_quantity, format_seconds, significant

__all__ = ["expected", "figure", "shown", "tally"]


def tally(rows: Sequence[Row]) -> str:
    """How many figures are reproduced by what kind of evidence, how many have which other status, how many
    findings are whole, and how many numbers of the code have no source."""
    n, whole = counts(rows), findings(rows)
    others = ", ".join(f"{n[s]} {s}" for s in STATUSES[1:] if n[s])
    kinds = [(k, sum(r.status == "reproduced" and r.kind == k for r in rows)) for k in KINDS]
    by = ", ".join(f"{count} {kind}" for kind, count in kinds if count)
    said = f"{n['reproduced']} of {n['claims']} figures reproduced" + (f" ({by})" if by else "")
    said += f", {others}" if others else ""
    said += f"; {n['audited']} audited; {whole['reproduced']} of {whole['findings']} findings whole"
    bare = sum({r.paper: r.unsourced for r in rows}.values())
    return f"{said}; {bare} numbers of the code without a source." if bare else f"{said}."


def expected(stated: Any, unit: str) -> str:
    """A published statement as text: a number, two ends, a bound, an order, a curve."""
    if stated is None:
        return "–"
    if isinstance(stated, (tuple, list)):
        return f"{significant(stated[0])} – {figure(stated[1], unit)}"
    if not isinstance(stated, dict):
        return figure(stated, unit, 4)
    sort, said = next(iter(stated.items()))
    if sort in ("at least", "at most"):
        return ("≥ " if sort == "at least" else "≤ ") + figure(said, unit, 4)
    if sort == "order":
        return " < ".join(said)
    if sort == "curve":
        return ", ".join(f"{x}: {figure(y, unit)}" for x, y in said.items())
    return f"{sort} {figure(said, '' if sort == 'no difference' else unit, 4)}"


def shown(got: Any, unit: str) -> str:
    """What was computed as text: a number, members, values by name."""
    if isinstance(got, (tuple, list)):
        return f"{significant(min(got), 4)} – {figure(max(got), unit, 4)}" if got else "–"
    if isinstance(got, dict):
        return ", ".join(f"{name}: {figure(value, unit)}" for name, value in got.items())
    return figure(got, unit, 4)


def figure(value: float | None, unit: str, digits: int = 3) -> str:
    """A figure with its unit, prefixed where the unit takes a prefix."""
    if value is None:
        return "–"
    if unit in ("s", "B", "FLOP", "FLOP/s", "B/s", "W", "J") and value:
        return format_seconds(value, digits) if unit == "s" else format_quantity(value, unit, digits)
    return f"{significant(value, digits)} {unit}".strip()
