"""Fit the constants of the cost model to a user's rows, starting from the shipped ones.

Kernel timings come first, since they say what operators cost; then engine constants and device factors on serving rows
(`calibrate_engine`), under the kernels just fitted; then power, under the times just fitted.  A constant that the rows
cannot tell (posterior nearly as wide as the prior) is left as shipped and named with the reason.  A group whose
left-out errors do not get better keeps the shipped constants altogether.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rooflab.costs.engine_constants import ServingCalibration, active, using
from rooflab.evidence.calibrate.engine import fit_engines
from rooflab.evidence.calibrate.kernel_csv import KernelRows
from rooflab.evidence.calibrate.kernels import fit_kernels
from rooflab.evidence.calibrate.power import fit_power
from rooflab.evidence.calibrate.rows import fit_rows
from rooflab.evidence.fit.identify import Constant, Stage
from rooflab.evidence.fit.serving import FitRow
from rooflab.evidence.rows.predict import predict

__all__ = ["Calibration", "Constant", "Stage", "calibrate", "fit_rows"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Calibration:
    """The constants, the fits that they came from, predictions of each serving row before and after (in its unit), rows
    unused."""

    table: ServingCalibration
    stages: tuple[Stage, ...]
    before: Mapping[str, float]
    after: Mapping[str, float]
    unused: Mapping[str, str]

    @property
    def changed(self) -> bool:
        """Whether any constant was fitted."""
        return any(s.kept for s in self.stages)


def calibrate(rows: Sequence[FitRow], date: str, kernels: Sequence[KernelRows] = ()) -> Calibration:
    """Fit what `rows` and timings of `kernels` can tell; `date` is kept with every fitted constant."""
    questions = [r.question for r in rows]
    stages, table, unused = fit_kernels(kernels, active(), date)
    before = predict(questions) if questions else np.zeros(0)
    usable = np.isfinite(before) & (before > 0)
    unused |= {r.question.id: "has no finite prediction" for r, ok in zip(rows, usable, strict=True) if not ok}
    good = [r for r, ok in zip(rows, usable, strict=True) if ok]
    for fit in (fit_engines, fit_power):
        found, table, too_few = fit(good, table, date)
        stages += found
        unused |= too_few
    used = {i for s in stages for i in s.rows}
    unused = {i: reason for i, reason in unused.items() if i not in used}
    unused |= {
        r.question.id: f"{r.question.metric} takes no part in a fit"
        for r in good
        if r.question.id not in used | unused.keys()
    }
    with using(table):
        after = predict(questions) if questions else before

    def by_id(values: Array) -> dict[str, float]:
        return {r.question.id: float(v) for r, v in zip(rows, values, strict=True)}

    return Calibration(table, tuple(stages), by_id(before), by_id(after), unused)
