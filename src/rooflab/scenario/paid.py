"""How much of each kind of work is paid for: what engines, memory and power accounts ask when something is taken to be
cheaper than it is.

    with paying(weight_reads=0.0):
        estimate(scenario)            # the same engine whose weights cost nothing to read

Time, bytes, FLOPs and joules of a kind of work count `share` of what they are, all else counts in full; so an answer is
that of the whole engine, with its overlaps, batches and queues, and not a part of a bar.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields
from typing import Final

from rooflab.errors import InputError

__all__ = ["LEAST_MEMORY", "WORK", "Paid", "paid", "paying"]

LEAST_MEMORY: Final = 1e-3
"""Share of its size that data takes at the least: memory that costs nothing is a thousand times as large, beyond what
any scheduler fills."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """Shares from 0 (free) to 1 (as it is).

    `weight_reads`: weights read by products and experts, on the device or from a tier behind it.  `kv_reads`: keys,
    values and states read and written, queries and outputs of attention among them.  `attention`: arithmetic of
    attention and of recurrent mixers.  `products`: arithmetic of products and experts, their activations, and the
    passes between them.  `communication`: collectives and sends between stages.  `host`: scheduling,
    launches of kernels, frontends, changes of side.  `recomputation`: prompt tokens that were computed
    before, whatever the prefix cache, and what is computed anew after a preemption.  `memory`: the size of weights,
    caches and buffers against the device's memory and the tiers behind it.  `waiting`: seconds that a request waits
    for others, before its first token and while prompts of others stop its tokens.  `joules`: what work draws beyond
    rest, its time as it is.  `idle_power`: what devices draw at rest, and their hosts.
    """

    weight_reads: float = 1.0
    kv_reads: float = 1.0
    attention: float = 1.0
    products: float = 1.0
    communication: float = 1.0
    host: float = 1.0
    recomputation: float = 1.0
    memory: float = 1.0
    waiting: float = 1.0
    joules: float = 1.0
    idle_power: float = 1.0

    def __post_init__(self) -> None:
        for f in fields(self):
            share = getattr(self, f.name)
            if not 0.0 <= share <= 1.0:
                raise InputError(f"{share!r} is not a share from 0 (free) to 1 (as it is)", f.name)

    def rate(self, work: str, of: float) -> float:
        """A rate `of` work whose time counts in part: without end where it is free."""
        share: float = getattr(self, work)
        return of / share if share > 0.0 else float("inf")


WORK: Final = tuple(f.name for f in fields(Paid))
"""Kinds of work, in the order in which they are shown."""
_PAID: Final[ContextVar[Paid | None]] = ContextVar("rooflab_paid", default=None)
_ALL: Final = Paid()


def paid() -> Paid:
    """The shares in force."""
    return _PAID.get() or _ALL


@contextmanager
def paying(**shares: float) -> Iterator[None]:
    """In this block work counts in `shares`, what is not named as it is. Raises InputError for a share beyond 0 to
    1."""
    token = _PAID.set(Paid(**shares))
    try:
        yield
    finally:
        _PAID.reset(token)
