"""The table of intervals, from measured rows and held-out predictions.

Each held-out prediction was made by constants that were fitted without the row's group (source, model, device).  A row
that took no part in a fit stands with its present prediction.  Predictions without the row's whole source tell how much
wider intervals must be on a server that no row came from, and with those without its device or model how much wider
outside the evidence.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rooflab.evidence.intervals.conformal import covered, levels_of, spreads
from rooflab.evidence.intervals.intervals import IntervalTable
from rooflab.evidence.intervals.likeness import Key, Neighbours
from rooflab.evidence.intervals.support import Needed, stretches
from rooflab.evidence.score.held_out import WHOLES, LeftOut, held_out_rows, ratios_of
from rooflab.evidence.score.score import Scored

__all__ = ["as_text", "held_without_source", "interval_table", "make_table"]


def make_table(rows: Sequence[Scored], date: str) -> IntervalTable:
    """The table of rows whose predictions are held out."""
    ratios = ratios_of(rows)
    held = covered(ratios)
    coverage = {"overall": float(np.mean(held))}
    for metric in sorted({r.metric for r in rows}):
        coverage[metric] = float(np.mean([c for c, r in zip(held, rows, strict=True) if r.metric == metric]))
    of: dict[Key, list[Scored]] = {}
    for r in rows:
        if r.key:
            of.setdefault(r.key, []).append(r)
    evidence = {
        k: (len(v), float(np.median([r.error for r in v])), tuple(sorted({r.domain.load for r in v})))
        for k, v in sorted(of.items(), key=lambda item: str(item[0]))
    }
    return IntervalTable(
        date=date,
        rows=len(rows),
        spreads=spreads(ratios),
        evidence=evidence,
        neighbours=Neighbours.of(()),
        coverage=coverage,
        levels=levels_of(ratios),
    )


def interval_table(
    now: Sequence[Scored], held: Mapping[str, float], outs: Mapping[str, Mapping[str, float]], date: str
) -> IntervalTable:
    """The table of rows as scored now, predictions `held` out by group and, by what is left out whole, `outs`."""
    rows = [r for r in held_out_rows(now, held) if math.isfinite(r.predicted) and r.predicted > 0]
    table = make_table(rows, date)
    left = _left({what: [r for r in held_out_rows(now, found) if r.id in found] for what, found in outs.items()}, rows)
    table = replace(table, stretches=stretches(_evidence(left, table)))
    shares = {f"a whole {what} out": float(np.mean(out.coverage(table))) for what, out in left.items()}
    return replace(table, coverage={**table.coverage, **shares})


def held_without_source(rows: Sequence[Scored], left: Mapping[str, Sequence[Scored]]) -> dict[str, bool]:
    """For each row whose source was left out, by id, whether its interval holds it when stretched by what other sources
    need. `rows` are held out by group, `left` by what is left out whole."""
    table, found = make_table(rows, ""), _left(left, rows)
    if "source" not in found:
        return {}
    out, evidence = found["source"], _evidence(found, table)
    held: dict[str, bool] = {}
    for name in sorted(set(out.whole)):
        others = replace(table, stretches=stretches([n for n in evidence if n.source != name]))
        part = out.only(name)
        held |= dict(zip([r.id for r in part.rows], part.coverage(others), strict=True))
    return held


def _left(left: Mapping[str, Sequence[Scored]], rows: Sequence[Scored]) -> dict[str, LeftOut]:
    return {what: LeftOut.of(mine, rows, WHOLES[what]) for what, mine in left.items() if mine}


def _evidence(left: Mapping[str, LeftOut], table: IntervalTable) -> list[Needed]:
    """What makes the stretches: rows without their source, which is what a user's server is; outside the evidence those
    without their device or model, too."""
    return [n for what, out in left.items() for n in out.needed(table) if what == "source" or n.outside]


def as_text(table: IntervalTable) -> str:
    """The table as its file holds it: one line a domain and a key of evidence."""

    def value(held: Any) -> str:
        if isinstance(held, Mapping) and held and isinstance(next(iter(held.values())), list):
            return "{\n" + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in held.items()) + "\n }"
        if isinstance(held, list):
            return "[\n" + ",\n".join(f"  {json.dumps(v)}" for v in held) + "\n ]"
        return json.dumps(held)

    return "{\n" + ",\n".join(f" {json.dumps(k)}: {value(v)}" for k, v in table.record().items()) + "\n}\n"
