"""The highest rate that a deployment sustains, in the steady state: whatever number of requests is asked for.

A first search with one stream of random numbers says how many requests a steady state takes there; then each of a few
streams is searched on its own, and their mean has a confidence interval.  A rate holds when no request is turned away,
requests do not pile up (`rooflab.simulator.results.steady`), and every target holds for those that arrived in the
steady part of the run.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from rooflab.scenario.scenario import Scenario
from rooflab.search.highest import geometric_when_wide, highest
from rooflab.simulator.results.serving import ServingResult
from rooflab.simulator.results.steady import Steady, steady
from rooflab.simulator.serving.run import Tell
from rooflab.simulator.serving.scenario import simulate
from rooflab.simulator.work.draw import OPEN_REQUESTS
from rooflab.statistics.mean import mean_interval

__all__ = ["Capacity", "capacity"]

_STREAMS: Final = 5
_LEVEL: Final = 0.95
_FEWEST: Final = 3_000
"""Requests of a first run: thirty beyond a 99th percentile."""
_MOST: Final = 200_000
_FILLS: Final = 20.0
"""How often a run should fill the system anew: its steady part, in requests in the system."""
_BEYOND: Final = 30.0
"""Requests beyond the percentile of a target that a run should have."""
_WIDE: Final = 0.05
_LONGER: Final = 40_000
"""Runs are doubled, up to so many requests, until the interval is narrower than 5 % either way."""
_TOLERANCE: Final = 0.003
_MOST_PER_S: Final = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """The highest `rate` (1/s; 0 where not even a trickle holds) with its 95 % interval [`low`, `high`], from `streams`
    searches with runs of `requests` requests; `result` counts within the steady part of a run at it (None: none holds);
    `warnings` in sentences."""

    rate: float
    low: float
    high: float
    streams: int
    requests: int
    result: ServingResult | None
    warnings: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "rate": self.rate, "interval": [self.low, self.high], "streams": self.streams, "requests": self.requests,
            "warnings": list(self.warnings), "metrics": self.result.record() if self.result else None,
        }  # fmt: skip


def capacity(
    scenario: Scenario,
    *,
    progress: Callable[[float, bool], None] | None = None,
    tell: Tell | None = None,
) -> Capacity:
    """The highest rate in the steady state at which every service level holds; without any the highest that is served.

    The workload's `requests` are the fewest of a run: it is as long as a steady state takes, at most 200,000.
    `progress` is told each rate and whether it held, `tell` what `run` has to say.
    """
    asked = scenario.workload.requests or OPEN_REQUESTS
    search = _Search(scenario, progress, tell)
    needed = n = _FEWEST
    rough: float | None = None
    for _ in range(5):
        rough = search.highest(n, scenario.workload.seed, near=rough)
        if rough is None:
            return _none(n)
        needed = _needed(scenario, search.at[rough])
        if needed <= n or n >= _MOST:
            break
        n = min(max(needed, n), _MOST)
    n = max(min(asked, _MOST), n)
    while True:
        found = search.streams(n, rough)
        if not found:
            return _none(n)
        rates = [one.rate if _bound(scenario) else one.served for _, one in found]
        mean = sum(rates) / len(rates)
        half = max(mean_interval(rates, _LEVEL)[1] - mean, _TOLERANCE * mean)
        if half <= _WIDE * mean or 2 * n > _LONGER:
            break
        n *= 2
    nearest = min(found, key=lambda pair: abs(pair[0] - mean))[1]
    return Capacity(
        rate=mean, low=max(mean - half, 0.0), high=mean + half, streams=len(rates), requests=n, result=nearest.result,
        warnings=_warnings(scenario, asked, n, needed, nearest),
    )  # fmt: skip


def _none(n: int) -> Capacity:
    return Capacity(rate=0.0, low=0.0, high=0.0, streams=1, requests=n, result=None)


def _bound(scenario: Scenario) -> bool:
    return bool(scenario.slo) or any(c.slo for c in scenario.workload.classes)


def _needed(scenario: Scenario, at: Steady) -> int:
    """Requests of a run at this rate whose steady part fills the system often, has enough beyond each percentile, and
    lasts well over every target."""
    every = (scenario.slo, *(c.slo for c in scenario.workload.classes if c.slo))
    limits = [(key, limit) for slo in every for key, limit in slo]
    tails = [_BEYOND / (1.0 - float(f"0.{key.rpartition('_p')[2]}")) for key, _ in limits if "_p" in key]
    waits = [_FILLS * at.rate * limit for key, limit in limits if not key.startswith("tpot")]
    return math.ceil(max([_FILLS * at.in_system, *tails, *waits]) / 0.7)


def _warnings(scenario: Scenario, asked: int, n: int, needed: int, at: Steady) -> tuple[str, ...]:
    out = []
    if scenario.workload.requests and asked < n:
        out.append(f"{asked:,} requests are too few for a steady state at this rate: runs of {n:,} were simulated")
    if needed > n:
        out.append(
            f"a steady state takes {needed:,} requests; runs of {n:,} are too short, and the interval too narrow"
        )
    if at.spans < 5.0:
        out.append("the run is short beside the time of a request: part of its ramp-up is in these figures")
    return tuple(out)


@dataclass(slots=True)
class _Search:
    """Searches over rates; `at` holds the steady part of the run at each rate that held."""

    scenario: Scenario
    progress: Callable[[float, bool], None] | None
    tell: Tell | None
    at: dict[float, Steady] = field(default_factory=dict)

    def streams(self, n: int, near: float | None) -> list[tuple[float, Steady]]:
        """The highest rate of each stream with the steady part of its run."""
        out = []
        for k in range(_STREAMS):
            rate = self.highest(n, self.scenario.workload.seed + k, near)
            out += [] if rate is None else [(rate, self.at[rate])]
        return out

    def highest(self, n: int, seed: int, near: float | None) -> float | None:
        """The highest rate of one stream, looked for around `near` first; None where even a trickle fails."""

        def holds(rate: float) -> bool:
            load = self.scenario.with_workload(
                rate=rate, concurrency=None, batch=None, burst=None, scenario=None, requests=n, seed=seed
            )
            found = steady(simulate(load, tell=self.tell, partial=False))
            if found is None or not _holds(found):
                return False
            self.at[rate] = found
            return True

        low, high = (0.01, 1.0) if near is None else (0.9 * near, 1.1 * near)
        for start in (low, 0.5 * low, 0.01):
            rate = highest(
                holds, min(start, low), high if start == low else low, halve=geometric_when_wide, most=_MOST_PER_S,
                calls=20, tolerance=_TOLERANCE, tell=self.progress,
            )  # fmt: skip
            if rate is not None:
                return rate
        return None


def _holds(found: Steady) -> bool:
    m = found.result.metrics
    return found.holds and not (m["pending"] or m["rejected"] or m["impossible"] or found.result.broken())
