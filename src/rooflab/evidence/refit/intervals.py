"""Make `data/intervals.json` from measured rows and held-out predictions.

    python -m rooflab.evidence.refit.intervals ROWS.csv ... --held-out HELD.csv [--source-out S.csv] [--device-out
    D.csv]
        [--model-out M.csv] --date DATE

HELD.csv holds predictions of `rooflab.evidence.refit.serving --held-out`, each made by constants that were fitted
without the row's group (source, model, device), and with `--energy` those of ML.ENERGY's energy rows.  A row that took
no part in a fit stands with its present prediction.  S.csv, D.csv and M.csv hold predictions of
`rooflab.evidence.refit.left_out`, without the row's whole source, device or model; they tell how much wider intervals
must be outside the evidence.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from rooflab.evidence.intervals.conformal import LEVEL, Ratio, covered, levels_of, spreads
from rooflab.evidence.intervals.intervals import IntervalTable
from rooflab.evidence.intervals.likeness import Key, Nearness, Neighbours
from rooflab.evidence.rows.tables import read_table
from rooflab.evidence.score.score import Scored, score

__all__ = ["WHOLES", "LeftOut", "held_out_rows", "make_table", "ratios_of", "read_held_out"]

WHOLES: Final[Mapping[str, Callable[[Scored], str]]] = {
    "source": lambda r: r.source,
    "device": lambda r: r.gpu,
    "model": lambda r: r.key.shape if r.key else "",
}
"""What is left out whole, and how a row names its own."""
_FEWEST: Final = 50
"""Rows outside the evidence that it takes to say how much wider their intervals must be."""
_OUT: Final = Path(__file__).parents[1] / "data" / "intervals.json"


def read_held_out(path: Path) -> dict[str, float]:
    """Held-out predictions by row id, in the rows' units."""
    with path.open(encoding="utf-8", newline="") as file:
        return {row["id"]: float(row["held_out"]) for row in csv.DictReader(file)}


def held_out_rows(rows: Sequence[Scored], held: Mapping[str, float]) -> list[Scored]:
    """Rows with the predictions that were made without their own group."""
    return [replace(r, predicted=held.get(r.id, r.predicted)) for r in rows]


def ratios_of(rows: Sequence[Scored]) -> list[Ratio]:
    """Rows for the conformal table; a row's nearness is judged without its own group."""
    neighbours = Neighbours.of({_group(r): r.key for r in rows if r.key})
    out = []
    for r in rows:
        domain = replace(r.domain, near=neighbours.nearness(r.key, _group(r))) if r.key else r.domain
        out.append(Ratio(r.ratio, domain.wider(), domain.pools(), r.group))
    return out


def _group(row: Scored) -> str:
    return f"{row.group}|{row.key.engine if row.key else ''}"


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


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Rows predicted without their whole source, device or model, each with the nearness that is left without it."""

    rows: tuple[Scored, ...]
    near: tuple[Nearness, ...]

    @classmethod
    def of(cls, left: Sequence[Scored], everything: Sequence[Scored], by: Callable[[Scored], str]) -> LeftOut:
        """Rows `left`, whose `by` was left out, among `everything`."""
        known = {
            name: Neighbours.of({_group(r): r.key for r in everything if r.key and by(r) != name})
            for name in {by(r) for r in left}
        }
        kept = [r for r in left if r.key]
        return cls(tuple(kept), tuple(known[by(r)].nearness(r.key) for r in kept if r.key))

    def stretch(self, table: IntervalTable) -> list[float]:
        """How many times wider (in logarithms) the interval of each row outside the evidence had to be to hold it."""
        out = []
        for r, near in zip(self.rows, self.near, strict=True):
            if near == "outside":
                spread = table.factors(replace(r.domain, near="near"))[1]
                side = spread.high if r.ratio > 0 else spread.low
                out.append(r.ratio / side if side else 1.0)
        return out

    def coverage(self, table: IntervalTable) -> float:
        """Share of rows that their interval holds, as wide as their nearness makes it."""
        held = []
        for r, near in zip(self.rows, self.near, strict=True):
            spread = table.factors(replace(r.domain, near=near))[1]
            held.append(spread.low <= r.ratio <= spread.high)
        return float(np.mean(held))


def text(record: Mapping[str, Any]) -> str:
    """JSON with one line a domain and a key of evidence."""

    def value(held: Any) -> str:
        if isinstance(held, Mapping) and held and isinstance(next(iter(held.values())), list):
            return "{\n" + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in held.items()) + "\n }"
        if isinstance(held, list):
            return "[\n" + ",\n".join(f"  {json.dumps(v)}" for v in held) + "\n ]"
        return json.dumps(held)

    return "{\n" + ",\n".join(f" {json.dumps(k)}: {value(v)}" for k, v in record.items()) + "\n}\n"


def main(arguments: list[str] | None = None) -> None:
    """Command line of the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", type=Path, nargs="+")
    parser.add_argument("--held-out", type=Path, required=True)
    for what in WHOLES:
        parser.add_argument(f"--{what}-out", type=Path)
    parser.add_argument("--date", required=True)
    parser.add_argument("--out", type=Path, default=_OUT)
    options = parser.parse_args(arguments)
    held = read_held_out(options.held_out)
    now = [r for path in options.rows for r in score(read_table(path)).scored]
    rows = [r for r in held_out_rows(now, held) if math.isfinite(r.predicted) and r.predicted > 0]
    table = make_table(rows, options.date)
    outs = {
        f"a whole {what} out": LeftOut.of([r for r in held_out_rows(now, found) if r.id in found], rows, by)
        for what, by in WHOLES.items()
        if (path := getattr(options, f"{what}_out")) and (found := read_held_out(path))
    }
    needed = [x for out in outs.values() for x in out.stretch(table)]
    if len(needed) >= _FEWEST:
        table = replace(table, stretch=max(float(np.quantile(needed, LEVEL)), table.stretch))
    table = replace(table, coverage={**table.coverage, **{name: out.coverage(table) for name, out in outs.items()}})
    options.out.write_text(text(table.record()), encoding="utf-8")
    print(json.dumps({k: round(v, 3) for k, v in table.coverage.items()}))


if __name__ == "__main__":
    main(sys.argv[1:])
