"""How much wider intervals must be on a server that no row came from, by what is known of its device and engine.

    needed of a row   by how much the interval that rows like it make must be stretched to hold it, when its whole
                      source was left out of the fit
    stretch           the 0.9 quantile of what is needed, every (source, device, engine) weighing the same; of few
                      sources that of one group more, whatever it needs: 0.9 · (n + 1)/n of n groups

A user's server is always such a server: the table's rows err together with others of their own client, host and recipe.
Rows that are left outside the evidence (no row of this device and engine remains) make a stretch of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from rooflab.evidence.intervals.conformal import LEVEL
from rooflab.evidence.intervals.likeness import NO_TABLES

__all__ = ["FLOORS", "OUTSIDE", "Needed", "stretch_for", "stretches"]

OUTSIDE: Final = ", outside"
FLOORS: Final[Mapping[str, float]] = {NO_TABLES: 1.14, f"{NO_TABLES}, desktop engine": 1.9}
"""Outside the evidence and without kernel tables an interval reaches at least this far to either side (a logarithm):
t(0.95, 8 degrees of freedom) times the spread 0.61 of the biases of whole backends; and the 0.9 quantile of |log| of
desktop engines whose whole backend was left out."""

FEWEST_ROWS: Final = 30
FEWEST_GROUPS: Final = 4
"""A place of fewer rows or groups takes the stretch of all rows that are as near."""
_FEW_SOURCES: Final = 4
"""Fewer sources than these tell little of what another one needs, however many groups they have."""


@dataclass(frozen=True, slots=True)
class Needed:
    """A row that was predicted without a whole source, device or model: its support, whether it was outside the
    evidence, its source, its (source, device, engine), the stretch that would hold it."""

    support: str
    outside: bool
    source: str
    group: str
    stretch: float


def _place(support: str, outside: bool) -> str:
    """The name of a stretch."""
    return f"{support}{OUTSIDE if outside else ''}"


def stretches(rows: Sequence[Needed]) -> dict[str, float]:
    """The stretch by place and, under "" and ", outside", of all rows; at least 1."""
    out: dict[str, float] = {}
    for outside in (False, True):
        near = [r for r in rows if r.outside == outside]
        for support in ("", *sorted({r.support for r in near})):
            mine = [r for r in near if support in ("", r.support)]
            if len(mine) >= FEWEST_ROWS and len({r.group for r in mine}) >= FEWEST_GROUPS:
                out[_place(support, outside)] = max(_level(mine), 1.0)
    return out


def stretch_for(table: Mapping[str, float], support: str, outside: bool) -> float:
    """The stretch of a place; of all rows as near where it has none of its own."""
    if not support:
        return 1.0
    own = [_place(support, outside), _place("", outside)]
    found = next((table[name] for name in own if name in table), 1.0)
    return max(found, stretch_for(table, support, False)) if outside else found


def _level(rows: Iterable[Needed]) -> float:
    """The quantile of what rows need, each group weighing the same."""
    ordered = sorted(rows, key=lambda r: r.stretch)
    size = Counter(r.group for r in ordered)
    weight = np.cumsum([1.0 / size[r.group] for r in ordered])
    few = len({r.source for r in ordered}) < _FEW_SOURCES
    level = min(LEVEL * (len(size) + 1) / len(size), 1.0) if few else LEVEL
    return float(ordered[min(int(np.searchsorted(weight, level * weight[-1])), len(ordered) - 1)].stretch)
