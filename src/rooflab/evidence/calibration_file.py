"""The file that `rooflab calibrate` writes: constants for `read_calibration`, and the rows, dates and errors that they rest on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from rooflab.evidence.calibrate import Calibration, Stage
from rooflab.evidence.serving_fit import FitRow

__all__ = ["record"]


def record(calibration: Calibration, rows: Sequence[FitRow], date: str, name: str) -> dict[str, Any]:
    """The calibration file: constants for `read_calibration`, then the rows, dates and errors that they rest on."""
    c = calibration
    owners = {k.owner for s in c.stages if s.kept for k in s.constants if k.fitted}
    return {
        "name": name,
        "date": date,
        "engines": {k: asdict(v) for k, v in sorted(c.table.engines.items()) if k in owners},
        "devices": {k: asdict(v) for k, v in sorted(c.table.devices.items()) if k in owners},
        "fits": [_stage_record(s) for s in c.stages],
        "rows": [_row_record(c, r) for r in rows],
    }


def _stage_record(s: Stage) -> dict[str, Any]:
    errors = {"before": s.before, "after": s.after, "left_out": s.left_out}
    out: dict[str, Any] = {"fit": s.name, "kept": s.kept, "rows": len(s.rows)}
    for label, (median, p90) in errors.items():
        out |= {f"{label}_median": round(median, 4), f"{label}_p90": round(p90, 4)}
    return out | {"constants": [asdict(k) for k in s.constants]}


def _row_record(c: Calibration, row: FitRow) -> dict[str, Any]:
    q = row.question
    return {
        "id": q.id, "source": row.source, "measured": q.measured, "before": _plain(c.before[q.id]), "after": _plain(c.after[q.id]),
        "unused": c.unused.get(q.id, ""),
    }  # fmt: skip


def _plain(value: float) -> float | None:
    return float(f"{value:.6g}") if np.isfinite(value) else None
