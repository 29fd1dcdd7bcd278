"""The table of intervals, from measured rows and held-out predictions.

Each held-out prediction was made by constants that were fitted without the row's group (source, model, device).  A row
that took no part in a fit stands with its present prediction.  Predictions without the row's whole source, device or
model tell how much wider intervals must be outside the evidence.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from rooflab.evidence.intervals.conformal import LEVEL, covered, levels_of, spreads
from rooflab.evidence.intervals.intervals import IntervalTable
from rooflab.evidence.intervals.likeness import Key, Neighbours
from rooflab.evidence.score.held_out import WHOLES, LeftOut, held_out_rows, ratios_of
from rooflab.evidence.score.score import Scored

__all__ = ["as_text", "interval_table", "make_table"]

_FEWEST: Final = 50
"""Rows outside the evidence that it takes to say how much wider their intervals must be."""


def make_table(rows: Sequence[Scored], date: str) -> IntervalTable:
    """The table of rows whose predictions are held out."""
    ratios = ratios_of(rows)
    held = covered(ratios)
    coverage = {"overall": float(np.mean(held))}
    for metric in sorted({r.metric for r in rows}):
        coverage[metric] = float(np.mean([c for c, r in zip(held, rows, strict=True) if r.metric == metric]))
    errors: dict[Key, list[float]] = {}
    for r in rows:
        if r.key:
            errors.setdefault(r.key, []).append(r.error)
    evidence = {k: (len(v), float(np.median(v))) for k, v in sorted(errors.items(), key=lambda item: str(item[0]))}
    return IntervalTable(
        date=date,
        rows=len(rows),
        spreads=spreads(ratios),
        evidence=evidence,
        neighbours=Neighbours.of({}),
        coverage=coverage,
        levels=levels_of(ratios),
    )


def interval_table(
    now: Sequence[Scored], held: Mapping[str, float], outs: Mapping[str, Mapping[str, float]], date: str
) -> IntervalTable:
    """The table of rows as scored now, predictions `held` out by group and, by what is left out whole, `outs`."""
    rows = [r for r in held_out_rows(now, held) if math.isfinite(r.predicted) and r.predicted > 0]
    table = make_table(rows, date)
    left = {
        f"a whole {what} out": LeftOut.of([r for r in held_out_rows(now, found) if r.id in found], rows, WHOLES[what])
        for what, found in outs.items()
        if found
    }
    needed = [x for out in left.values() for x in out.stretch(table)]
    if len(needed) >= _FEWEST:
        table = replace(table, stretch=max(float(np.quantile(needed, LEVEL)), table.stretch))
    return replace(table, coverage={**table.coverage, **{name: out.coverage(table) for name, out in left.items()}})


def as_text(table: IntervalTable) -> str:
    """The table as its file holds it: one line a domain and a key of evidence."""

    def value(held: Any) -> str:
        if isinstance(held, Mapping) and held and isinstance(next(iter(held.values())), list):
            return "{\n" + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in held.items()) + "\n }"
        if isinstance(held, list):
            return "[\n" + ",\n".join(f"  {json.dumps(v)}" for v in held) + "\n ]"
        return json.dumps(held)

    return "{\n" + ",\n".join(f" {json.dumps(k)}: {value(v)}" for k, v in table.record().items()) + "\n}\n"
