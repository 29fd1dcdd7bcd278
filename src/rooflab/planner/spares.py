"""What a paper that saves a resource could make cheaper: the resources of the feed's cards as kinds of work of an
engine.

The bound of a paper is that of all its kinds of work free together (`rooflab.planner.ceiling`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from rooflab.scenario.paid import WORK

__all__ = ["ENDS", "SPARES", "works_of"]

SPARES: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "compute": (("products", "attention"), "arithmetic, of products and of attention"),
    "bandwidth": (("weight_reads", "kv_reads"), "what is read from memory in a step: weights and caches"),
    "memory": (
        ("memory", "recomputation"),
        "what has to lie in memory; what finds room is not thrown out and computed again",
    ),
    "network": (("communication",), "what devices send each other"),
    "latency": (
        ("waiting", "host", "recomputation"),
        "what a request stands still for: others, the host, a prompt that was read before",
    ),
    "power": (("joules", "idle_power"), "watts, of the work and at rest; its time stays"),
    "energy": (("joules", "idle_power"), "joules, of the work and at rest; its time stays"),
    "tokens": (WORK, "a token that is not asked for takes no work at all"),
    "storage": ((), "no engine reads a drive in a step"),
    "labour": ((), "people's time: an engine spends none"),
    "money": ((), "an end: what is spared for it stands beside it"),
}
"""Kinds of work by what a card says is saved, each with the reason."""
ENDS: Final = ("money",)
"""What says nothing of the work that is spared: a card of nothing else has no bound."""


def works_of(saves: Iterable[str]) -> tuple[str, ...]:
    """The kinds of work that saving `saves` could make cheaper; of what the table has not (a third party's word)
    nothing."""
    spared = {work for s in saves if s in SPARES for work in SPARES[s][0]}
    return tuple(work for work in WORK if work in spared)
