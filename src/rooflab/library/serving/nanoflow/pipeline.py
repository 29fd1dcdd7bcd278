"""Layers cut into nano-batches, run operation by operation with the interference of kernels that share a device.

Each resource runs its nano-operations in a given order, one at a time, as soon as what they wait for is done. A kernel
bound by memory or network that was given the share R of the units runs at the rate P(R) of its own; a product that runs
meanwhile has what the others leave, 1 − ΣR; ΣR never passes 1 (section 4, resource map). What is read off is the time
from one layer to the next once the pipeline is full.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from rooflab.library.serving.nanoflow.profile import COMPUTE, Profile

__all__ = ["Order", "Pipeline", "Run", "Slot"]

F64 = npt.NDArray[np.float64]

_LAYERS: Final = 10
_FULL: Final = slice(3, 7)
"""Layers between whose ends the period is read: the pipeline fills before, and is as full after."""
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


class Pipeline:
    """Layers of nano-operations that take `seconds` alone (operations × nano-batches), to be run in many orders.

    The place of a nano-operation is (layer · operations + operation) · nano-batches + nano-batch.
    """

    def __init__(self, profile: Profile, seconds: F64) -> None:
        self.profile = profile
        self.operations: int = seconds.shape[0]
        self.count: int = seconds.shape[1]
        self.alone: list[float] = seconds.ravel().tolist()
        self.resources = sorted({op.resource for op in profile.operations})
        self.product = self.resources.index(COMPUTE) if COMPUTE in self.resources else -1
        last = profile.last
        self.waits = [
            self._waited(layer, o, b, last)
            for layer in range(_LAYERS)
            for o in range(self.operations)
            for b in range(self.count)
        ]
        self._queues: dict[bytes, list[list[int]]] = {}

    def run(self, order: Order, within_s: float = np.inf) -> Run | None:
        """What `order` does; None where it waits for itself, or where a layer takes `within_s` or longer."""
        flow = _Flow(self, order)
        most_s = within_s * flow.layers
        while flow.left:
            flow.start()
            if not flow.active:
                return None
            flow.advance()
            if flow.full and flow.now_s - flow.begin_s >= most_s:
                return None
        return flow.read()

    def queues(self, phase: F64) -> list[list[int]]:
        """Places of all layers by resource, in the order of their phases."""
        key = phase.tobytes()
        if key not in self._queues:
            phases = phase.tolist()
            self._queues[key] = [self._turns(resource, phases) for resource in self.resources]
        return self._queues[key]

    def _turns(self, resource: str, phases: Sequence[Sequence[float]]) -> list[int]:
        turns = sorted(
            (layer + phases[o][b], layer, o, b)
            for o in self.profile.of(resource)
            for b in range(self.count)
            for layer in range(_LAYERS)
        )
        return [self._place(layer, o, b) for _, layer, o, b in turns]

    def _place(self, layer: int, operation: int, nano_batch: int) -> int:
        return (layer * self.operations + operation) * self.count + nano_batch

    def _waited(self, layer: int, operation: int, nano_batch: int, last: Sequence[int]) -> tuple[int, ...]:
        """What a nano-operation waits for: operations of its layer, or the last ones of the layer before."""
        after = self.profile.operations[operation].after
        if after:
            return tuple(self._place(layer, o, nano_batch) for o in after)
        return tuple(self._place(layer - 1, o, nano_batch) for o in last) if layer else ()


@dataclass(slots=True)
class _Kernel:
    place: int
    left_s: float
    rate: float
    share: float
    least_s: float
    start_s: float


class _Flow:
    """One run: what is `active` on each resource (by its number), how many nano-operations are `left` of the layers up
    to the last one that is read, and what ran beside what since the pipeline is `full`."""

    __slots__ = (
        "_done", "_heads", "_hidden_s", "_open", "_own", "_pipeline", "_queues", "_rates", "_shares", "active",
        "begin_s", "full", "layers", "left", "now_s",
    )  # fmt: skip

    def __init__(self, pipeline: Pipeline, order: Order) -> None:
        self._pipeline = pipeline
        self._queues, self._heads = pipeline.queues(order.phase), [0] * len(pipeline.resources)
        operations = pipeline.profile.operations
        self._rates = [dict(op.rates).get(r, 1.0) for op, r in zip(operations, order.share, strict=True)]
        self._shares = [
            0.0 if op.resource == COMPUTE else r for op, r in zip(operations, order.share, strict=True)
        ]  # fmt: skip
        self._done = bytearray(len(pipeline.waits))
        self._open = [len(pipeline.alone)] * _LAYERS
        self._own: list[tuple[int, float, float]] = []
        self._hidden_s = [0.0] * len(pipeline.resources)
        self.active: dict[int, _Kernel] = {}
        self.layers, self.left = _FULL.stop - 1 - _FULL.start, _FULL.stop * len(pipeline.alone)
        self.now_s = self.begin_s = 0.0
        self.full = False

    def start(self) -> None:
        """Start what may start: what it waits for is done, and the device has units left for its share (products take
        what there is)."""
        active, done, heads, alone = self.active, self._done, self._heads, self._pipeline.alone
        for r, queue in enumerate(self._queues):
            if r in active or heads[r] == len(queue):
                continue
            place = queue[heads[r]]
            if not all(map(done.__getitem__, self._pipeline.waits[place])):
                continue
            own = place % len(alone)
            share = self._shares[own // self._pipeline.count]
            if share + sum([other.share for other in active.values()]) <= 1.0:
                heads[r] += 1
                rate = self._rates[own // self._pipeline.count]
                active[r] = _Kernel(place, alone[own], rate, share, alone[own] * _DONE, self.now_s)

    def advance(self) -> None:
        """Run what is active until the first of it ends."""
        active = self.active
        product = active.get(self._pipeline.product)
        taken, step_s, beside = 0.0, np.inf, 0
        for k in active.values():
            if k is not product:
                beside += 1
                taken += k.share
                step_s = min(step_s, k.left_s / k.rate)
        if product is not None:
            product.rate = 1.0 - taken
            if product.rate > 0:
                step_s = min(step_s, product.left_s / product.rate)
        if self.full:
            for r, k in active.items():
                if k is not product:
                    # of a second that passes, a product loses the share; without one, those beside each other share
                    # its cost
                    cost = 1.0 / beside if product is None else k.share
                    self._hidden_s[r] += (k.rate - cost) * step_s / self.layers
        self.now_s += step_s
        for r, k in list(active.items()):
            k.left_s -= step_s * k.rate
            if k.left_s <= k.least_s:
                self._end(k)
                del active[r]

    def _end(self, k: _Kernel) -> None:
        self._done[k.place] = 1
        layer, own = divmod(k.place, len(self._pipeline.alone))
        self._open[layer] -= 1
        if layer < _FULL.stop:
            self.left -= 1
        if layer == _FULL.stop - 2:
            self._own.append((own, k.start_s, self.now_s))
        if layer == _FULL.start and not self._open[layer]:
            self.full, self.begin_s = True, self.now_s

    def read(self) -> Run:
        """The period, what each resource hid, and one layer."""
        zero, count = min(start_s for _, start_s, _ in self._own), self._pipeline.count
        slots = sorted(
            (Slot(own // count, own % count, start_s - zero, end_s - zero) for own, start_s, end_s in self._own),
            key=lambda s: (s.start_s, s.operation, s.nano_batch),
        )
        hidden_s = zip(self._pipeline.resources, self._hidden_s, strict=True)
        return Run((self.now_s - self.begin_s) / self.layers, {r: s for r, s in hidden_s if r != COMPUTE}, tuple(slots))
