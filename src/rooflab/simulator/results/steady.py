"""The steady state of an open loop: which part of a run is neither warm-up nor ramp-down, and whether requests pile up
in it.

    window   from the later of a fifth of the arrivals' span and two requests' time, to one request's time before the
             last arrival: what arrives later finishes in a shrinking batch
    growth   requests in the system, mean of the window's last third less that of its first, over those that arrived in
             between (two thirds of the window): 0 in a steady state, 1 − served / offered where it is overloaded
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from rooflab.simulator.results.serving import ServingResult
from rooflab.simulator.work.requests import Status

__all__ = ["Steady", "steady", "unsteady_words"]

_POINTS = 60
_GROWTH = 0.005
"""Share of the arrivals by which the system may fill and still count as steady: less than any run can tell."""
_SHORT = 5.0
"""A run whose arrivals span fewer requests' times than this is mostly warm-up and ramp-down."""
_OVERLOADED = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class Steady:
    """A run's steady part: `result` counts within it; `rate` of arrivals in it (1/s), `in_system` requests on average,
    `growth` as above, `spans` of a request's time that the arrivals take."""

    result: ServingResult
    rate: float
    in_system: float
    growth: float
    spans: float
    holds: bool

    @property
    def served(self) -> float:
        """Requests/s that are served of those that arrive."""
        return self.rate * (1.0 - max(self.growth, 0.0))


def steady(result: ServingResult) -> Steady | None:
    """The steady part of an open loop's run; None where fewer than twenty requests finished or arrived in it.

    It `holds` where the system fills by less than half a percent of what arrives, or by less than two standard
    deviations of a Poisson count, which a steady one shows, too.
    """
    records = result.run.records
    done = records.status == Status.FINISHED
    at, out = records.arrival_s, records.last_token_s
    at_all = np.sort(at[np.isfinite(at)])
    if done.sum() < 20:
        return None
    first, last = float(at_all[0]), float(at_all[-1])
    span, taken = last - first, float((out - at)[done].mean())
    begin = first + min(max(0.2 * span, 2.0 * taken), 0.5 * span)
    end = max(last - taken, begin + 0.6 * (last - begin))
    arrived = int(np.searchsorted(at_all, end) - np.searchsorted(at_all, begin))
    if arrived < 20 or end <= begin:
        return None
    times = np.linspace(begin, end, _POINTS)
    inside = np.searchsorted(at_all, times) - np.searchsorted(np.sort(out[done]), times)
    third = _POINTS // 3
    before, after = float(inside[:third].mean()), float(inside[-third:].mean())
    between = arrived * 2.0 / 3.0
    most = max(_GROWTH * between, 2.0 * math.sqrt(2.0 * max(before, 1.0)))
    return Steady(
        result=replace(result, window_s=(begin, end)), rate=arrived / (end - begin), in_system=float(inside.mean()),
        growth=(after - before) / between, spans=span / taken if taken > 0 else math.inf, holds=after - before <= most,
    )  # fmt: skip


def unsteady_words(result: ServingResult) -> str:
    """Why the figures of an open loop's run would be others in a longer one: it is overloaded, or too short; else
    empty."""
    found = steady(result)
    if found is None:
        return "too few requests for a steady state: ramp-up and drain are part of every figure (more --requests)"
    if not found.holds and found.growth > _OVERLOADED:
        return (
            f"overloaded: of {found.rate:.3g} requests/s that arrive {found.served:.3g} are served, and waits grow "
            "with the length of the run"
        )
    if found.spans < _SHORT:
        return (
            f"short: requests arrive for only {found.spans:.2g} times as long as one takes, so ramp-up and drain are "
            "part of every figure (more --requests)"
        )
    return ""
