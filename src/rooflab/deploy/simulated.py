"""What the closed form does not see of a deployment: rules that only a simulation follows."""

from __future__ import annotations

from typing import Final

from rooflab.scenario.deployment import Deployment

__all__ = ["SIMULATED_ONLY", "simulated_only"]

SIMULATED_ONLY: Final = (
    "policy", "preemption", "swap", "rotation", "buffers", "max_waiting", "router", "spill_tokens", "kv_tiers",
    "autoscale", "failures", "speed",
)  # fmt: skip
"""Fields of a deployment that no closed form reads."""


def simulated_only(deployment: Deployment) -> tuple[str, ...]:
    """Those of `SIMULATED_ONLY` that a deployment sets to anything but their defaults."""
    own, usual = deployment.flat(), Deployment().flat()
    return tuple(name for name in SIMULATED_ONLY if own[name] != usual[name])
