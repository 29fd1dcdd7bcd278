"""Metrics of a scenario while some of its work is paid for in part: by the closed form, or event by event.

Prices, memory and power are those of the engine in either (`rooflab.scenario.paid`).  What a simulation has no price
of:

    waiting         latencies beyond those of the same requests one at a time count in part
    recomputation   the prefix cache is on, and memory as large as is paid for: nothing is thrown out
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from rooflab.estimator.serving.front import estimate
from rooflab.papers.compare import with_requests
from rooflab.scenario.paid import paying
from rooflab.scenario.scenario import Scenario

__all__ = ["estimated", "simulated"]

_ALONE: Final = 100
"""Requests of a run in which each is alone."""
_LATENCIES: Final = ("ttft_s", "tpot_s", "e2e_s")


def estimated(scenario: Scenario, shares: Mapping[str, float]) -> dict[str, Any]:
    """Metrics in closed form while work counts in `shares`. Raises Infeasible where it does not fit."""
    with paying(**shares):
        return dict(estimate(scenario).metrics)


def simulated(scenario: Scenario, shares: Mapping[str, float]) -> dict[str, Any]:
    """Metrics of a simulation of the scenario's requests while work counts in `shares`. Raises Infeasible where it does
    not fit."""
    repeats, waits = shares.get("recomputation", 1.0), shares.get("waiting", 1.0)
    asked = scenario if repeats == 1.0 else scenario.with_deployment(prefix_caching=True)
    with paying(**{**shares, "memory": min(shares.get("memory", 1.0), repeats)}):
        found = _run(asked)
        if waits == 1.0:
            return found
        alone = _run(with_requests(_one_at_a_time(asked), _ALONE))
    return {name: _less(name, value, alone, waits) for name, value in found.items()}


def _run(scenario: Scenario) -> dict[str, Any]:
    from rooflab.simulator.serving.scenario import simulate  # what needs no simulation must not wait for the compiler

    return dict(simulate(scenario, partial=False).metrics)


def _one_at_a_time(scenario: Scenario) -> Scenario:
    """The same requests, the next one when the last is answered."""
    return scenario.with_workload(
        rate=None, batch=None, burst=None, scenario=None, concurrency=1, arrivals="poisson", start="burst"
    ).with_deployment(replicas=1)


def _less(name: str, value: Any, alone: Mapping[str, Any], share: float) -> Any:
    """A latency of which what is beyond that of a request alone counts in part; anything else as it is."""
    if not name.startswith(_LATENCIES) or not isinstance(value, float) or not math.isfinite(value):
        return value
    least = alone.get(name, math.nan)
    return value - (1.0 - share) * max(value - least, 0.0) if math.isfinite(least) else value
