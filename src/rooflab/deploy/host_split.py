"""Which layers and experts llama.cpp leaves to the CPU when a model does not fit: as few as memory allows.

Experts go first, since a token reads few of them and attention stays where the bandwidth is; then whole layers.  As
llama.cpp itself does (``--fit``), a gibibyte of the device stays free beside the cache of the lengths that are asked
for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from rooflab.memory.account import account
from rooflab.operators.offload import mixtures_of
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.hardware import Hardware, Tier
from rooflab.scenario.model import Model
from rooflab.scenario.offload import Offload

__all__ = ["chooses_by_itself", "with_host_split"]

_MARGIN_BYTES: Final = 2.0**30
"""``--fit-target`` of llama.cpp's server."""


def chooses_by_itself(deployment: Deployment) -> bool:
    """Whether an engine decides what the CPU computes: llama.cpp, told that weights may lie in the host's memory."""
    offload = deployment.runtime.offload
    return deployment.runtime.engine == "llamacpp" and offload is not None and offload.weights == "dram"


def with_host_split(
    model: Model, hardware: Hardware, deployment: Deployment, length: float, cross: float
) -> Deployment:
    """`deployment` with the split between device and host chosen so that a sequence of `length` tokens fits the
    device; without any where all of it does. Whether the host holds what is left to it is not asked: it is the least
    that a device can leave."""
    endless = replace(hardware, tiers=(Tier("dram", np.inf, 1.0),))

    def fits(offload: Offload | None) -> bool:
        trial = deployment.changed(offload=offload, tp=deployment.split.tp or 1)
        memory = account(model, endless, [trial])
        one = float(memory.sequence_bytes(np.array([length]), cross)[0])
        beyond = hardware.device.memory_bytes - float(memory.capacity_bytes[0])
        return float(memory.free_bytes[0]) >= one + max(_MARGIN_BYTES - beyond, 0.0)

    if fits(None):
        return deployment.changed(offload=None)
    mixtures = mixtures_of(model)
    if mixtures and fits(Offload(cpu_experts=mixtures)):
        fewest = _least(mixtures, lambda n: fits(Offload(cpu_experts=n)))
        return deployment.changed(offload=Offload(cpu_experts=fewest))
    experts = mixtures or None
    off = _least(model.layers, lambda n: fits(Offload(gpu_layers=model.layers - n, cpu_experts=experts)))
    return deployment.changed(offload=Offload(gpu_layers=model.layers - off, cpu_experts=experts))


def _least(most: int, enough: Callable[[int], bool]) -> int:
    """The least number in 1..most that is enough, most where none is; more is never worse."""
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
