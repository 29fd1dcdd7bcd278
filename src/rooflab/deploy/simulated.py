"""What the closed form does not see of a scenario: rules and loads that only a simulation follows."""

from __future__ import annotations

from typing import Final

from rooflab.scenario.deployment import Deployment
from rooflab.scenario.scenario import Scenario

__all__ = ["SIMULATED_ONLY", "simulated_only"]

SIMULATED_ONLY: Final = (
    "policy", "preemption", "swap", "rotation", "buffers", "max_waiting", "router", "spill_tokens", "kv_tiers",
    "autoscale", "failures", "speed",
)  # fmt: skip
"""Fields of a deployment that no closed form reads."""


def simulated_only(scenario: Scenario) -> tuple[str, ...]:
    """Those of `SIMULATED_ONLY` that a scenario's deployment sets to anything but their defaults, and what no closed
    form reads of its load: a rate that goes up and down, and adapters."""
    own, usual = scenario.deployment.flat(), Deployment().flat()
    load = scenario.workload
    unseen = {"diurnal": load.mode == "open" and load.arrivals == "diurnal", "adapters": load.adapters is not None}
    return tuple(name for name in SIMULATED_ONLY if own[name] != usual[name]) + tuple(k for k, v in unseen.items() if v)
