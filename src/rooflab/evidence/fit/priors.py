"""What is expected of each constant before any row is seen: its value, how far it may stray, its bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = [
    "CONTENDED_PRIORS",
    "DEVICE_PRIORS",
    "EAGER_PRIORS",
    "ENGINE_PRIORS",
    "EXPERT_PRIORS",
    "FIRST_TOKEN_DEVIATIONS",
    "FIRST_TOKEN_PRIORS",
    "HANDOFF_PRIORS",
    "KERNEL_PRIORS",
    "LAUNCHED_PRIORS",
    "READ_PRIORS",
    "RELATIVE_PRIORS",
    "SLOW_HOST_PRIORS",
    "Prior",
]


@dataclass(frozen=True, slots=True)
class Prior:
    """A constant's expected value, how far it may stray (one standard deviation), its bounds and the nudge for its
    slope."""

    mean: float
    width: float
    low: float
    high: float
    nudge: float


ENGINE_PRIORS: Final[Mapping[str, Prior]] = {
    "fixed_s": Prior(5e-4, 3e-3, 0.0, 5e-2, 1e-3),
    "layer_s": Prior(5e-6, 1.5e-5, 0.0, 2e-3, 1e-5),
    "sequence_s": Prior(1e-5, 5e-5, 0.0, 1e-3, 1e-5),
    "skew": Prior(1.5, 1.0, 0.3, 8.0, 0.5),
    "launch": Prior(1.0, 0.2, 0.3, 2.0, -0.2),
    "quantise": Prior(1.0, 0.4, 0.0, 1.5, -0.5),
}
"""A graph is launched once a step, and the tables' kernels hold their own launch floors, so little is left a layer.
Ranks reach an all-reduce one after the other, which a table's ranks in a tight loop do not: `skew` is above 1."""
LAUNCHED_PRIORS: Final[Mapping[str, Prior]] = {"layer_s": Prior(5e-6, 5e-5, 0.0, 2e-3, 1e-5)}
"""Backends of other vendors, of which it is not known how a layer is launched."""
KERNEL_PRIORS: Final[Mapping[str, Prior]] = {
    "arithmetic": Prior(1.0, 0.5, 0.8, 20.0, 0.2),
    "unpacking": Prior(1.0, 0.5, 0.8, 20.0, 0.2),
    "memory": Prior(1.0, 0.15, 0.2, 1.3, -0.05),
    "prefill_attention": Prior(1.0, 1.0, 0.7, 100.0, 0.5),
    "decode_attention": Prior(1.0, 0.3, 0.7, 10.0, 0.2),
    "regroup": Prior(0.0, 0.1, 0.0, 1.0, 0.05),
    "prompt_s": Prior(0.0, 1e-2, 0.0, 0.1, 2e-3),
}
"""What kernels of an engine's own add to ENGINE_PRIORS."""
READ_PRIORS: Final[Mapping[str, Prior]] = {"read_s_per_byte": Prior(0.0, 1e-12, 0.0, 2e-11, 1e-13)}
"""Engines whose matrix-vector kernels keep few reads in flight."""
EAGER_PRIORS: Final[Mapping[str, Prior]] = {
    "fixed_s": Prior(5e-4, 1e-3, 0.0, 3e-3, 3e-4),
    "layer_s": Prior(5e-4, 5e-4, 0.0, 3e-3, 2e-5),
    "sequence_s": Prior(1e-5, 5e-5, 0.0, 1e-3, 1e-5),
    "launches_4bit": Prior(1.0, 0.3, 0.7, 3.0, 0.05),
    "launches_8bit": Prior(1.0, 0.3, 0.7, 3.0, 0.05),
    "prefill_attention": Prior(1.0, 1.0, 0.7, 100.0, 0.5),
    "decode_attention": Prior(1.0, 1.0, 0.7, 30.0, 0.3),
    "regroup": Prior(1.0, 1.0, 0.0, 6.0, 0.2),
}
"""Eager engines, whose launches run beside their kernels: host time is proportional to layers, the cache of each group
is written out for every one of its heads and read again."""
EXPERT_PRIORS: Final[Mapping[str, Prior]] = {"block_experts": Prior(1.0, 0.5, 0.5, 4.0, 0.3)}
"""What mixtures with block-scaled experts add to ENGINE_PRIORS."""
DEVICE_PRIORS: Final[Mapping[str, Prior]] = {
    "memory": Prior(1.0, 0.4, 0.1, 1.6, -0.1),
    "compute": Prior(1.0, 0.5, 0.05, 2.5, -0.1),
}
FIRST_TOKEN_PRIORS: Final[Mapping[str, Prior]] = {
    "frontend_s": Prior(0.012, 0.06, 0.0, 1.0, 0.01),
    "frontend_user_s": Prior(0.0, 0.003, 0.0, 0.1, 0.001),
    "convoy": Prior(1.5, 3.0, 1.0, 64.0, 0.5),
}
FIRST_TOKEN_DEVIATIONS: Final[Mapping[str, Prior]] = {
    "frontend_s": Prior(0.0, 0.02, -0.2, 0.2, 0.01),
    "frontend_user_s": Prior(0.0, 0.001, -0.02, 0.02, 0.0005),
    "convoy": Prior(0.0, 1.0, -8.0, 8.0, 0.5),
}
"""By how much a kind of model may differ from its engine."""
HANDOFF_PRIORS: Final[Mapping[str, Prior]] = {"handoff_s": Prior(0.1, 0.1, 0.0, 2.0, 0.05)}
SLOW_HOST_PRIORS: Final[Mapping[str, Prior]] = {
    "fixed_s": Prior(0.0, 5e-3, 0.0, 5e-2, 1e-3),
    "sequence_s": Prior(0.0, 5e-5, 0.0, 1e-3, 1e-5),
}
CONTENDED_PRIORS: Final[Mapping[str, Prior]] = {
    "fixed_s": Prior(1e-2, 2e-2, 0.0, 1e-1, 2e-3),
    "sequence_s": Prior(0.0, 5e-5, 0.0, 1e-3, 1e-5),
}
RELATIVE_PRIORS: Final[Mapping[str, Prior]] = {
    "memory": Prior(1.0, 0.15, 0.5, 1.4, -0.1),
    "compute": Prior(1.0, 0.4, 0.3, 2.0, -0.1),
}
