"""The file that `rooflab calibrate` writes: constants for `read_calibration`, and the data, dates and errors that they
rest on.

data       the files read, with checksums         engines, devices, power, kernels   the constants
measured   devices of the rows, by engine entry
fits       errors before, after, left out; each constant with its uncertainty, or why it was left as shipped
rows       measured, predicted before and after   left_out   reason by id of every row that no fit used
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from rooflab.costs.engine_constants import shipped
from rooflab.costs.user_kernels import UserKernels
from rooflab.evidence.calibrate.calibrate import Calibration, Stage
from rooflab.evidence.calibrate.data import Source
from rooflab.evidence.fit.serving import FitRow

__all__ = ["record"]


def record(
    calibration: Calibration, rows: Sequence[FitRow], *, date: str, name: str, sources: Sequence[Source] = (),
    not_modelled: Mapping[str, str] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The content of the file. Engines and devices are those that differ from the shipped ones, a base calibration's
    included."""
    c, base = calibration, shipped()
    return {
        "name": name,
        "date": date,
        "data": [asdict(s) for s in sources],
        "engines": {k: asdict(v) for k, v in sorted(c.table.engines.items()) if base.engines.get(k) != v},
        "devices": {k: asdict(v) for k, v in sorted(c.table.devices.items()) if base.devices.get(k) != v},
        "power": {k: asdict(v) for k, v in sorted(c.table.power.items())},
        "kernels": {k: _kernels_record(v) for k, v in sorted(c.table.kernels.items())},
        "measured": {k: list(v) for k, v in sorted(c.table.measured.items())},
        "fits": [_stage_record(s) for s in c.stages],
        "rows": [_row_record(c, r) for r in rows],
        "left_out": {**(not_modelled or {}), **c.unused},
    }


def _kernels_record(own: UserKernels) -> dict[str, Any]:
    curves: dict[str, dict[str, Any]] = {}
    for (engine, key), (curve, fit) in own.curves.items():
        errors = {"rows": fit.rows, "median": round(fit.median_error, 4), "p90": round(fit.p90_error, 4)}
        curves.setdefault(engine, {})[key] = {**asdict(curve), **errors}
    return {"source": own.source, "fitted": own.fitted, "curves": curves}


def _stage_record(s: Stage) -> dict[str, Any]:
    errors = {"before": s.before, "after": s.after, "left_out": s.left_out}
    out: dict[str, Any] = {"fit": s.name, "kept": s.kept, "rows": len(s.rows)}
    for label, (median, p90) in errors.items():
        out |= {f"{label}_median": round(median, 4), f"{label}_p90": round(p90, 4)}
    return out | {"constants": [asdict(k) for k in s.constants], "ids": list(s.rows)}


def _row_record(c: Calibration, row: FitRow) -> dict[str, Any]:
    q = row.question
    return {
        "id": q.id, "source": row.source, "measured": q.measured, "before": _plain(c.before[q.id]),
        "after": _plain(c.after[q.id]),
        "unused": c.unused.get(q.id, ""),
    }  # fmt: skip


def _plain(value: float) -> float | None:
    return float(f"{value:.6g}") if np.isfinite(value) else None
