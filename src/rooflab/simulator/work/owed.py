"""What a request is owed and what is guessed of it: priority, deadline, and the length that a scheduler expects.

Requests drawn and requests replayed have them alike.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rooflab.scenario.lengths import Lengths
from rooflab.scenario.slo import SLO
from rooflab.scenario.workload import Workload
from rooflab.simulator.work.lengths import stream, to_values

__all__ = ["deadlines", "predicted", "priorities"]

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]


def priorities(workload: Workload, klass: I32) -> I32:
    """The priority of each request's class."""
    if not workload.classes:
        return np.zeros(len(klass), dtype=np.int32)
    return np.array([c.priority for c in workload.classes], dtype=np.int32)[klass]


def deadlines(workload: Workload, klass: I32, slo: SLO) -> F64:
    """Seconds from arrival to the deadline: the tightest TTFT limit of the class (or of the scenario), else its
    tightest e2e limit."""

    def of(limits: SLO) -> float:
        for metric in ("ttft_", "e2e_"):
            found = [limit for key, limit in limits if key.startswith(metric)]
            if found:
                return min(found)
        return float("inf")

    return np.array([of(c.slo or slo) for c in workload.classes] or [of(slo)])[klass]


def predicted(workload: Workload, output: I64) -> I64:
    """Guesses of the output lengths: the truth times a lognormal factor of mean 1 and coefficient of variation
    `predict_cv`."""
    if workload.predict_cv == 0:
        return output
    z = stream(workload.seed, "predictions").standard_normal(len(output))
    guess = output * to_values(Lengths("lognormal", 1.0, workload.predict_cv, 0.0), z)
    return np.maximum((guess + 0.5).astype(np.int64), 1)
