"""When requests come: open-loop arrival processes as arrays of times.

Gaps are drawn at rate 1 and divided by the rate, so that two rates see the same process at two speeds.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from rooflab.scenario.traffic import Diurnal
from rooflab.scenario.workload import Workload

__all__ = ["arrival_times"]

F64 = npt.NDArray[np.float64]


def arrival_times(workload: Workload, n: int, rate_per_s: float, rng: np.random.Generator) -> F64:
    """`n` arrival times (s, not decreasing) at a mean of `rate_per_s`, by the process that `workload.arrivals` names.

    poisson: exponential gaps. gamma: gaps of shape 1/cv². uniform: equal gaps from 0. burst: groups of
    `burst_size`, the groups Poisson. diurnal: Poisson of a varying rate, by inverting its integral.
    """
    if workload.arrivals == "uniform":
        return np.arange(n) / rate_per_s
    if workload.arrivals == "burst":
        size = workload.burst_size
        groups = -(-n // size)
        return np.repeat(np.cumsum(rng.standard_exponential(groups)) * (size / rate_per_s), size)[:n]
    if workload.arrivals == "gamma" and workload.arrivals_cv != 1.0:
        cv2 = workload.arrivals_cv**2
        return np.cumsum(rng.standard_gamma(1 / cv2, n)) * (cv2 / rate_per_s)
    at_unit_rate = np.cumsum(rng.standard_exponential(n))
    if workload.arrivals == "diurnal":
        return _diurnal(at_unit_rate / rate_per_s, workload.diurnal)
    return at_unit_rate / rate_per_s


def _diurnal(even: F64, diurnal: Diurnal) -> F64:
    """Times t with t − swing · P/2π · sin(2πt/P) = `even`: a Poisson process of constant rate, bent so that its rate
    swings."""
    whole, part = np.divmod(even / diurnal.period_s, 1.0)
    grid = np.linspace(0.0, 1.0, 4097)
    integral = grid - diurnal.swing / (2 * math.pi) * np.sin(2 * math.pi * grid)
    return np.maximum.accumulate((whole + np.interp(part, integral, grid)) * diurnal.period_s)
