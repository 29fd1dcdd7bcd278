"""Claims of papers on a screen: one line each, and beneath it what speaks against those that do not simply hold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from rooflab.evidence.claims.row import STATUSES, counts
from rooflab.evidence.claims.words import expected, figure, tally
from rooflab.report.text.columns import Column, Line, show_columns
from rooflab.report.text.console import console
from rooflab.units import significant

if TYPE_CHECKING:
    from rooflab.evidence.claims.row import Row

__all__ = ["got_words", "published_words", "show_claims"]

_PREFIXED: Final = ("s", "B", "FLOP", "FLOP/s", "B/s", "W", "J")
"""Units that stand with every value, since their prefixes differ."""
_TRAILING: Final = re.compile(r"(\d)(?:\.0+|(\.\d*?[1-9])0+)(?!\d)")
"""Zeros at the end of a number that has a point."""
_BOUNDS: Final = {"at least": "≥", "at most": "≤"}
_MARKS: Final = {"reproduced": "✓", "failing": "✗", "depends": "?"}
_STYLES: Final = {"reproduced": "green", "failing": "red", "depends": "yellow", "calibrated": "dim", "input": "dim"}
_EXPLAINED: Final = ("failing", "depends", "needs-extra")
"""Statuses whose reason is shown beneath."""
_NARROW: Final = 9
"""Columns that a value or a claim's name takes at least where the screen is narrow."""
_COLUMNS: Final = (
    Column(name="claim", least=_NARROW, folds=True), Column(name="role"), Column(name="kind", needed=False),
    Column(name="status"), Column(name="expected", right=True, least=_NARROW),
    Column(name="first", right=True, least=_NARROW), Column(name="now", right=True, least=_NARROW),
    Column(name="error", right=True), Column(name="revised", needed=False),
    Column(name="what it says", least=30, cut=True, needed=False),
)  # fmt: skip


def show_claims(rows: Sequence[Row], *, texts: bool = False) -> None:
    """Claims by paper: what was expected, the first value and the present one, the verdict.

    With `texts` each is followed by what it says; else those are that do not hold.
    """
    out = console()
    for n, (paper, group) in enumerate(groupby(rows, key=lambda r: r.paper)):
        of = list(group)
        if len(of) < len(rows):
            out.print(("\n" if n else "") + f"[bold]{paper}[/]  {_short(of)}", soft_wrap=True)
        show_columns(_COLUMNS, [_line(r, texts=texts) for r in of], indent=2 if len(of) < len(rows) else 0)
    out.print(f"\n{tally(rows)}", markup=False)


def _short(rows: Sequence[Row]) -> str:
    """How many claims have which status."""
    n = counts(rows)
    return ", ".join([f"{n['reproduced']} of {len(rows)} reproduced", *(f"{n[s]} {s}" for s in STATUSES[1:] if n[s])])


def _line(r: Row, *, texts: bool) -> Line:
    mark = _MARKS.get(r.status, " ")
    cells = (
        r.claim, r.role, r.kind, f"{mark} {r.status}", published_words(r.expected, r.unit), got_words(r.first, r.unit),
        got_words(r.got, r.unit), "" if r.error is None else f"{100 * r.error:+.1f} %",
        f"{r.revised} x" if r.revised else "", "" if texts else r.text,
    )  # fmt: skip
    styles = ["", "bold" if r.role == "headline" else "", "", _STYLES.get(r.status, "dim"), "", "", "bold"]
    return Line(cells, styles, tuple(_beneath(r, texts=texts)))


def _beneath(r: Row, *, texts: bool) -> list[str]:
    """What the claim says, why its status is what it is, and the assumptions that turn it."""
    explained = r.status in _EXPLAINED
    said = [r.text] if texts or explained else []
    if r.reason and (explained or texts):
        said.append(r.reason)
    turning = [a for a in r.assumptions if a["name"] in r.flips]
    if turning:
        ends = [f"{a['name']} {_plain(a['value'])} ({_plain(a['low'])} to {_plain(a['high'])})" for a in turning]
        said.append(f"turned by an end of: {'; '.join(ends)}")
    if said and isinstance(r.spread, list) and r.spread and not isinstance(r.spread[0], list):
        said.append(f"over seeds: {got_words(r.spread[0], r.unit)} to {got_words(r.spread[1], r.unit)}")
    return said


def published_words(stated: Any, unit: str) -> str:
    """A published statement as it stands in print: no digits that were not published."""
    if unit in _PREFIXED:
        return _TRAILING.sub(r"\1\2", expected(stated, unit))
    if isinstance(stated, list):
        return f"{_plain(stated[0])} – {_plain(stated[1])} {unit}".strip()
    if isinstance(stated, dict):
        sort, value = next(iter(stated.items()))
        if sort in _BOUNDS:
            return f"{_BOUNDS[sort]} {_plain(value)} {unit}".strip()
    return f"{_plain(stated)} {unit}".strip() if isinstance(stated, (int, float)) else expected(stated, unit)


def got_words(got: Any, unit: str) -> str:
    """What was computed; its unit stands with what was expected."""
    own = unit if unit in _PREFIXED else ""
    if isinstance(got, list):
        return f"{significant(min(got), 4)} – {figure(max(got), own, 4)}" if got else "–"
    if isinstance(got, dict):
        return ", ".join(f"{name} {figure(value, own)}" for name, value in got.items())
    if got is not None and not own and float(got).is_integer():
        return _plain(got)
    return figure(got, own, 4)


def _plain(value: float) -> str:
    return f"{value:,.10g}"
