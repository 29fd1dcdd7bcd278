"""Jobs of the servers of a row: Poisson with a rate that swings by the day, answers as long as a distribution says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from rooflab.scenario.lengths import Lengths, value_at
from rooflab.simulator.power_loop import Job
from rooflab.simulator.serving.record import Rows, dtype_of

__all__ = ["DAY_S", "Jobs", "diurnal_jobs", "shape_of"]

DAY_S: Final = 86400.0
_GRID: Final = 4096
"""Pieces in which a day's rate is inverted."""
_QUANTILES: Final = 512
"""Pieces in which a distribution of lengths is."""
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Jobs:
    """Arrival times (s) and answer lengths over the mean one, server after server: those of server i are at
    start[i]:start[i+1] of `table`, a record array of at_s and length."""

    start: I64
    table: Any

    @classmethod
    def of(cls, start: I64, at_s: F64, length: F64) -> Jobs:
        """Jobs from columns."""
        table = _records(len(at_s))
        table.at_s, table.length = at_s, length
        return cls(start, table)

    @property
    def length(self) -> F64:
        """Answer lengths over the mean one."""
        lengths: F64 = self.table.length
        return lengths

    def take(self, servers: int) -> Jobs:
        """The jobs of the first `servers` servers."""
        return Jobs(self.start[: servers + 1], self.table[: int(self.start[servers])])


def shape_of(lengths: Lengths) -> F64:
    """Quantiles of a distribution of lengths at evenly spaced probabilities, over their mean (513 of them)."""
    at = (np.arange(_QUANTILES + 1) / _QUANTILES).clip(1e-4, 1 - 1e-4)
    values = np.array([value_at(lengths, float(p)) for p in at])
    shape: F64 = values / ((values[:-1] + values[1:]) / 2).mean()
    return shape


def diurnal_jobs(
    servers: int, rate_per_s: float, days: float, *, swing: float, shape: F64, seed: int = 0, hours: float = 24.0
) -> Jobs:
    """Poisson jobs of a mean rate for each server whose rate swings by the day; lengths by the quantiles `shape`.

    Of each day only the busiest `hours` are made, one day's after the other's; the rate is the mean of whole days. The
    first servers have the same jobs however many there are.
    """
    made = _hours(swing, hours * 3600.0, days, rate_per_s)
    mean = made.rate * days * made.span_s
    most = int(mean + 8 * np.sqrt(mean) + 16)
    table, start = _records(servers * most), [0]
    for server in range(servers):
        rng = np.random.default_rng([seed, server])
        gaps, draws = rng.standard_exponential(most), rng.random(most)
        start.append(start[-1] + int(_fill(table[start[-1] : start[-1] + most], gaps, draws, shape, made)))
    return Jobs(np.array(start, dtype=np.int64), table[: start[-1]])


class _Hours(NamedTuple):
    """The busiest hours of so many days, one day's after the other's: their mean rate, their length, and how an even
    process is bent to them: the time at share x of a day's jobs is at[cell] + x · slope[cell], in shares of the hours.
    """

    at: F64
    slope: F64
    rate: float
    span_s: float
    days: float


def _hours(swing: float, span_s: float, days: float, rate_per_s: float) -> _Hours:
    """Hours around noon of a rate 1 − swing · cos(2π t / day): its integral over them, as a share of itself, is
    inverted on an even grid."""
    t = np.linspace(DAY_S / 2 - span_s / 2, DAY_S / 2 + span_s / 2, _GRID + 1)
    integral = t - swing * DAY_S / (2 * np.pi) * np.sin(2 * np.pi * t / DAY_S)
    integral -= integral[0]
    even = np.linspace(0.0, 1.0, _GRID + 1)
    inverse = np.interp(even, integral / integral[-1], (t - t[0]) / span_s)
    slope = np.diff(inverse) * _GRID
    rate = rate_per_s * float(integral[-1]) / span_s
    return _Hours(inverse[:-1] - even[:-1] * slope, slope, rate, span_s, days)


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _fill(jobs: Rows[Job], gaps: F64, draws: F64, shape: F64, hours: _Hours) -> int:
    """Write a server's jobs in these hours; how many there are."""
    even = 0.0
    for k in range(len(gaps)):
        even += gaps[k] / hours.rate
        spans = even / hours.span_s
        if spans >= hours.days:
            return k
        whole = np.floor(spans)
        part = spans - whole
        cell = int(part * len(hours.at))
        jobs[k].at_s = (whole + hours.at[cell] + part * hours.slope[cell]) * hours.span_s
        x = draws[k] * (len(shape) - 1)
        piece = int(x)
        jobs[k].length = shape[piece] + (x - piece) * (shape[piece + 1] - shape[piece])
    return len(gaps)


def _records(n: int) -> Any:
    return np.empty(n, dtype_of(Job)).view(np.recarray)
