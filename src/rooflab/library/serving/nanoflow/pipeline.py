"""Layers cut into nano-batches, run operation by operation with the interference of kernels that share a device.

Each resource runs its nano-operations in a given order, one at a time, as soon as what they wait for is done. A kernel
bound by memory or network that was given the share R of the units runs at the rate P(R) of its own; a product that runs
meanwhile has what the others leave, 1 − ΣR; ΣR never passes 1 (section 4, resource map). What is read off is the time
from one layer to the next once the pipeline is full.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from rooflab.library.serving.nanoflow.profile import COMPUTE, Profile

__all__ = ["Order", "Run", "Slot", "run"]

F64 = npt.NDArray[np.float64]
_Place = tuple[int, int, int]
"""Layer, operation, nano-batch."""

_LAYERS: Final = 10
_FULL: Final = slice(3, 7)
"""Layers between whose ends the period is read: the pipeline fills before and empties after."""
_DONE: Final = 1e-9
"""Share of a nano-operation that counts as finished."""


@dataclass(frozen=True, slots=True)
class Order:
    """When nano-operations come: `phase` of operation × nano-batch in layers, and the `share` of units of each
    operation."""

    phase: F64
    share: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Slot:
    """A nano-operation of one layer in the full pipeline, in seconds from the layer's first."""

    operation: int
    nano_batch: int
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Run:
    """`period_s` from layer to layer; `hidden_s` of each resource (memory, network): its time less what it added to
    the period; a layer's slots."""

    period_s: float
    hidden_s: Mapping[str, float]
    slots: tuple[Slot, ...]


@dataclass(slots=True, kw_only=True)
class _Kernel:
    layer: int
    operation: int
    nano_batch: int
    left_s: float
    rate: float
    share: float
    least_s: float
    waits: tuple[_Place, ...]
    start_s: float = 0.0


@dataclass(slots=True)
class _State:
    """Time, what has ended, and what ran beside what within the window of full layers."""

    now_s: float = 0.0
    done: set[_Place] = field(default_factory=set)
    slots: list[tuple[int, Slot]] = field(default_factory=list)
    hidden: list[tuple[float, str, float]] = field(default_factory=list)


def run(profile: Profile, seconds: F64, order: Order) -> Run | None:
    """Run layers of nano-operations that take `seconds` alone (operations × nano-batches) in `order`; None for an order
    that waits for itself."""
    queues = _queues(profile, seconds, order)
    state, active = _State(), dict[str, _Kernel]()
    while True:
        for resource, queue in queues.items():
            if resource not in active and queue and _ready(queue[0], active, state.done):
                active[resource] = queue.popleft()
                active[resource].start_s = state.now_s
        if not active:
            break
        _advance(active, state)
    return None if any(queues.values()) else _read(profile, state)


def _queues(profile: Profile, seconds: F64, order: Order) -> dict[str, deque[_Kernel]]:
    """Nano-operations of all layers by resource, in the order of their phases."""
    found: dict[str, deque[_Kernel]] = {}
    phases, alone = order.phase.tolist(), seconds.tolist()
    for resource in sorted({op.resource for op in profile.operations}):
        turns = sorted(
            (layer + phases[o][b], layer, o, b)
            for o in profile.of(resource)
            for b in range(seconds.shape[1])
            for layer in range(_LAYERS)
        )
        rates = {o: dict(profile.operations[o].rates).get(order.share[o], 1.0) for o in profile.of(resource)}
        found[resource] = deque(
            _Kernel(
                layer=layer, operation=o, nano_batch=b, left_s=alone[o][b], rate=rates[o],
                share=0.0 if resource == COMPUTE else order.share[o], least_s=alone[o][b] * _DONE,
                waits=_waits(profile, layer, o, b),
            )
            for _, layer, o, b in turns
        )  # fmt: skip
    return found


def _waits(profile: Profile, layer: int, operation: int, nano_batch: int) -> tuple[_Place, ...]:
    """What a nano-operation waits for: operations of its layer, or the last ones of the layer before."""
    after = profile.operations[operation].after
    if after:
        return tuple((layer, o, nano_batch) for o in after)
    return tuple((layer - 1, o, nano_batch) for o in profile.last) if layer else ()


def _ready(k: _Kernel, active: Mapping[str, _Kernel], done: set[_Place]) -> bool:
    """Whether a kernel may start: what it waits for is done, and the device has units left for its share (products
    take what there is)."""
    for place in k.waits:
        if place not in done:
            return False
    return k.share + sum([other.share for other in active.values()]) <= 1.0


def _advance(active: dict[str, _Kernel], state: _State) -> None:
    """Run what is active until the first of it ends."""
    product = active.get(COMPUTE)
    beside = [(r, k) for r, k in active.items() if k is not product]
    taken = 0.0
    step_s = np.inf
    for _, k in beside:
        taken += k.share
        step_s = min(step_s, k.left_s / k.rate)
    if product is not None:
        product.rate = 1.0 - taken
        if product.rate > 0:
            step_s = min(step_s, product.left_s / product.rate)
    for r, k in beside:
        # of a second that passes, a product loses the share; without one, those beside each other share its cost
        cost = 1.0 / len(beside) if product is None else k.share
        state.hidden.append((state.now_s, r, (k.rate - cost) * step_s))
    state.now_s += step_s
    for r, k in list(active.items()):
        k.left_s -= step_s * k.rate
        if k.left_s <= k.least_s:
            state.done.add((k.layer, k.operation, k.nano_batch))
            state.slots.append((k.layer, Slot(k.operation, k.nano_batch, k.start_s, state.now_s)))
            del active[r]


def _read(profile: Profile, state: _State) -> Run:
    ends = [max(s.end_s for layer, s in state.slots if layer == x) for x in range(_LAYERS)]
    begin, end = ends[_FULL][0], ends[_FULL][-1]
    layers = len(ends[_FULL]) - 1
    hidden: dict[str, float] = {op.resource: 0.0 for op in profile.operations if op.resource != COMPUTE}
    for at_s, resource, seconds in state.hidden:
        if begin <= at_s < end:
            hidden[resource] += seconds / layers
    own = [s for layer, s in state.slots if layer == _FULL.stop - 2]
    zero = min(s.start_s for s in own)
    slots = sorted(
        (Slot(s.operation, s.nano_batch, s.start_s - zero, s.end_s - zero) for s in own),
        key=lambda s: (s.start_s, s.operation, s.nano_batch),
    )
    return Run((end - begin) / layers, hidden, tuple(slots))
