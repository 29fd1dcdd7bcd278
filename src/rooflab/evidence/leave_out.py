"""Predictions of rows whose whole source, or whole accelerator, took no part in the fit.

    python -m rooflab.evidence.leave_out ROWS.csv --by source --out HELD.csv [--only NAME ...]
    python -m rooflab.evidence.leave_out ROWS.csv --by device --out HELD.csv

Harder than leaving out one group of a source: nothing of the same client, host or recipe is left.  Every fit is made anew
from the constants that engines without a fit have, so a source that alone taught an engine takes that engine with it.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Final

import numpy as np

from rooflab.costs.engine import ServingCalibration, active, using
from rooflab.evidence.serving_fit import FitRow, predict
from rooflab.evidence.serving_train import read_rows, train

__all__ = ["left_out", "unfitted"]

_FEWEST: Final = 8


def unfitted(table: ServingCalibration) -> ServingCalibration:
    """A calibration without what was fitted to rows: only assumptions are left."""
    return replace(
        table,
        engines={k: e for k, e in table.engines.items() if e.provenance != "fitted"},
        devices={k: d for k, d in table.devices.items() if d.provenance != "fitted"},
        slow_host=replace(table.slow_host, fixed_s=0.0, sequence_s=0.0),
    )


def left_out(rows: Sequence[FitRow], by: str, only: Sequence[str] = ()) -> Iterator[tuple[str, Mapping[str, float]]]:
    """(name, predictions by row id) of each source or device in turn, fitted on all other rows."""
    named = [row.source if by == "source" else row.question.scenarios[0].hardware.device.key for row in rows]
    bare = unfitted(active())
    for name in sorted(set(named)):
        if only and name not in only:
            continue
        inside = [r for r, n in zip(rows, named, strict=True) if n == name]
        if len(inside) < _FEWEST:
            continue
        with using(bare), redirect_stdout(StringIO()):
            table, _, _ = train([r for r, n in zip(rows, named, strict=True) if n != name], "")
        with using(table):
            values = predict([r.question for r in inside])
        yield name, {r.question.id: float(v) for r, v in zip(inside, values, strict=True) if np.isfinite(v) and v > 0}


def main(arguments: list[str] | None = None) -> None:
    """Command line of the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", type=Path)
    parser.add_argument("--by", choices=("source", "device"), required=True)
    parser.add_argument("--only", nargs="*", default=())
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    with options.out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "held_out"])
        for name, held in left_out(read_rows(options.rows), options.by, options.only):
            writer.writerows([i, f"{v:.6g}"] for i, v in sorted(held.items()))
            file.flush()
            print(name, len(held), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
