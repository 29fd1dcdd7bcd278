"""Rows predicted by constants that did not know them: without their group, or a whole source, device or model."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from rooflab.evidence.intervals.conformal import Ratio
from rooflab.evidence.intervals.intervals import IntervalTable
from rooflab.evidence.intervals.likeness import Nearness, Neighbours, near_of
from rooflab.evidence.intervals.support import Needed
from rooflab.evidence.score.score import Scored

__all__ = ["WHOLES", "LeftOut", "held_out_rows", "ratios_of", "read_held_out"]

WHOLES: Final[Mapping[str, Callable[[Scored], str]]] = {
    "source": lambda r: r.source,
    "device": lambda r: r.gpu,
    "model": lambda r: r.key.shape if r.key else "",
}
"""What is left out whole, and how a row names its own."""


def read_held_out(path: Path) -> dict[str, float]:
    """Held-out predictions by row id, in the rows' units."""
    with path.open(encoding="utf-8", newline="") as file:
        return {row["id"]: float(row["held_out"]) for row in csv.DictReader(file)}


def held_out_rows(rows: Sequence[Scored], held: Mapping[str, float]) -> list[Scored]:
    """Rows with the predictions that were made without their own group."""
    return [replace(r, predicted=held.get(r.id, r.predicted)) for r in rows]


def ratios_of(rows: Sequence[Scored]) -> list[Ratio]:
    """Rows for the conformal table; a row's nearness is judged without its own group."""
    known = Neighbours.of((_group(r), r.key, r.domain.load) for r in rows if r.key)
    out = []
    for r in rows:
        domain = replace(r.domain, near=near_of(known, r.key, r.domain, _group(r))) if r.key else r.domain
        out.append(Ratio(r.ratio, domain.wider(), domain.pools(), r.group))
    return out


def _group(row: Scored) -> str:
    return f"{row.group}|{row.key.engine if row.key else ''}"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Rows predicted without their whole source, device or model (`whole` names each row's), each with the nearness
    that is left without it."""

    rows: tuple[Scored, ...]
    near: tuple[Nearness, ...]
    whole: tuple[str, ...]

    @classmethod
    def of(cls, left: Sequence[Scored], everything: Sequence[Scored], by: Callable[[Scored], str]) -> LeftOut:
        """Rows `left`, whose `by` was left out, among `everything`."""
        known = {
            name: Neighbours.of((_group(r), r.key, r.domain.load) for r in everything if r.key and by(r) != name)
            for name in {by(r) for r in left}
        }
        kept = [(r, r.key) for r in left if r.key]
        near = tuple(near_of(known[by(r)], key, r.domain) for r, key in kept)
        return cls(tuple(r for r, _ in kept), near, tuple(by(r) for r, _ in kept))

    def only(self, whole: str) -> LeftOut:
        """The rows of one source, device or model."""
        mine = [i for i, name in enumerate(self.whole) if name == whole]
        return LeftOut(tuple(self.rows[i] for i in mine), tuple(self.near[i] for i in mine), (whole,) * len(mine))

    def needed(self, table: IntervalTable) -> list[Needed]:
        """By how much the table's interval of each row, as wide as its level makes it, must be stretched to hold it."""
        out = []
        for r, near in zip(self.rows, self.near, strict=True):
            domain = replace(r.domain, near=near)
            spread = table.unstretched(domain)[1]
            side = spread.high if r.ratio > 0 else spread.low
            group = f"{r.source}|{r.gpu}|{r.engine}"
            out.append(Needed(domain.support, near == "outside", r.source, group, r.ratio / side))
        return out

    def coverage(self, table: IntervalTable) -> list[bool]:
        """For each row, whether its interval holds it, as wide as its nearness makes it."""
        held = []
        for r, near in zip(self.rows, self.near, strict=True):
            spread = table.factors(replace(r.domain, near=near))[1]
            held.append(spread.low <= r.ratio <= spread.high)
        return held
