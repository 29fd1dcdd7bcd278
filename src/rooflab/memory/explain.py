"""Why a model does not fit, and the smallest changes that would make it fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from rooflab.memory.account import MemoryAccount, account
from rooflab.operators.formats import formats_of
from rooflab.operators.split import split_problem
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.hardware import Hardware
from rooflab.scenario.model import Model
from rooflab.units import format_quantity

__all__ = ["Misfit", "does_not_fit"]


def does_not_fit(model: Model, hardware: Hardware, deployment: Deployment, length: float) -> str:
    """One line: what is needed, what there is, and up to three changes, smallest first, with what they would hold."""
    return Misfit(model, hardware, deployment).why(length)


class Misfit:
    """Explains why a deployment does not fit, for any length of sequence; accounts of the changes it tries are kept."""

    def __init__(self, model: Model, hardware: Hardware, deployment: Deployment) -> None:
        self.model, self.hardware, self.deployment = model, hardware, deployment
        self._memory = account(model, hardware, [deployment])
        self._rooms: dict[Any, _Room] = {}

    def why(self, length: float) -> str:
        """The line of `does_not_fit`."""
        model, hardware, deployment = self.model, self.hardware, self.deployment
        memory = self._memory
        if memory.fits[0] and not memory.starts[0]:
            return self._does_not_start()
        devices = deployment.split.devices_per_replica
        formats = formats_of(model, hardware.device, deployment)
        weights = float(memory.weights_bytes[0])
        name = formats.experts.name if model.is_moe else formats.weights.name

        def size(per_device: float) -> str:
            return format_quantity(per_device * devices, "B")

        held = f"{devices} x {hardware.device.key} hold {size(hardware.device.memory_bytes)}"
        given = float(memory.capacity_bytes[0])
        if given < weights <= hardware.device.memory_bytes:
            held += f", of which the engine gets {size(given)}"
        need = f"{model.name} {name} needs {size(weights)} of weights, {held}"
        if deployment.runtime.offload is not None and (
            tier := deployment.runtime.offload.weights or deployment.runtime.offload.kv
        ):
            held_behind = next((t.bytes for t in hardware.tiers if t.name == tier), 0.0)
            need = (
                f"{model.name} {name} beside {size(held_behind)} of {tier} keeps {size(weights)} of weights on "
                f"devices, {held}"
            )
        if short := self._behind(size):
            need = f"{model.name} {name} {short}"
        elif weights < given:
            left = size(max(float(memory.free_bytes[0]), 0.0))
            wanted = size(float(memory.sequence_bytes(np.array([length]))[0]))
            need += (
                f"; {left} remain beside activations and reserve, one sequence of {length:,.0f} tokens wants {wanted}"
            )
        changes = self._changes(length)
        return f"does not fit: {need}. " + (
            "; ".join(changes) + "." if changes else "No single change of format or split fits it."
        )

    def _behind(self, size: Callable[[float], str]) -> str:
        """What lies in a tier that does not hold it; empty where it does."""
        offload = self.deployment.runtime.offload
        tier = "dram" if offload is not None and offload.computes else (offload.weights if offload else None)
        held = next((t.bytes for t in self.hardware.tiers if t.name == tier), 0.0)
        behind = float(self._memory.behind_bytes[0])
        if not behind or behind <= held:
            return ""
        return (
            f"keeps {size(float(self._memory.weights_bytes[0]))} of weights on {self.hardware.device.key} and leaves "
            f"{size(behind)} to {tier}, which holds {size(held)}"
        )

    def _does_not_start(self) -> str:
        """An engine that is told to take longer sequences than its cache holds."""
        memory, most = self._memory, float(self._memory.least_length[0])
        wanted = float(memory.sequence_bytes(np.array([most]))[0])
        free = float(memory.free_bytes[0])
        low, high = 0.0, most
        while high - low > 1.0:
            middle = (low + high) / 2.0
            fits = float(memory.sequence_bytes(np.array([middle]))[0]) <= free
            low, high = (middle, high) if fits else (low, middle)
        return (
            f"does not start: max_model_len {most:,.0f} wants {format_quantity(wanted, 'B')} of cache on a device, and "
            f"{format_quantity(free, 'B')} are free; at most {low:,.0f} tokens do."
        )

    def _changes(self, length: float) -> list[str]:
        found = []
        for name, room in self._formats():
            if room.sequences(length) >= 1:
                found.append(
                    f"{name} weights on these devices hold {room.sequences(length):,.0f} sequences of {length:,.0f}"
                )
                break
        for tp, room in self._wider():
            if room.sequences(length) >= 1:
                found.append(f"tp {tp} ({room.devices} devices) holds {room.sequences(length):,.0f}")
                break
        for pp, room in self._deeper():
            if room.sequences(length) >= 1:
                found.append(f"{room.devices} devices (pp {pp}) hold {room.sequences(length):,.0f} in the same format")
                break
        return found[:3]

    def _formats(self) -> Iterator[tuple[str, _Room]]:
        for weights in ("q8_0", "q4_k_m") if self.deployment.runtime.engine == "llamacpp" else ("fp8", "int4"):
            yield weights, self._room(weights=weights, experts=None)

    def _wider(self) -> Iterator[tuple[int, _Room]]:
        """Wider tensor parallelism within a host."""
        tp, hardware = self.deployment.split.tp or 0, self.hardware
        for wider in (2, 4, 8, 16, 32, 64):
            devices = self.deployment.split.devices_per_replica // max(tp, 1) * wider
            if 0 < tp < wider <= hardware.devices_per_host and devices <= max(
                hardware.count, hardware.devices_per_host
            ):
                room = self._room(tp=wider)
                if room.possible:
                    yield wider, room

    def _deeper(self) -> Iterator[tuple[int, _Room]]:
        """More pipeline stages, on as many more devices."""
        for times in (2, 3, 4, 6, 8, 16):
            room = self._room(pp=self.deployment.split.pp * times)
            if room.possible:
                yield self.deployment.split.pp * times, room

    def _room(self, **changes: Any) -> _Room:
        """What a changed deployment has room for; kept, since every length asks the same."""
        place = tuple(changes.items())
        known = self._rooms.get(place)
        if known is None:
            trial = self.deployment.changed(**changes)
            possible = "weights" in changes or not split_problem(self.model, trial)
            memory = account(self.model, self.hardware, [trial]) if possible else None
            known = self._rooms[place] = _Room(possible, trial.split.devices_per_replica, memory)
        return known


class _Room:
    """The memory of one engine as plain numbers: how many sequences of a length it holds."""

    def __init__(self, possible: bool, devices: int, memory: MemoryAccount | None) -> None:
        self.possible, self.devices = possible, devices
        if memory is not None:
            self.free, self.state, self.cp, self.dp = (
                float(a[0]) for a in (memory.free_bytes, memory.state_bytes, memory.cp, memory.dp)
            )
            self.kinds = [(float(size[0]), window) for size, window in memory.kinds]
            self.starts = bool(memory.starts[0])

    def sequences(self, length: float) -> float:
        """Whole sequences of `length` tokens; see `MemoryAccount.sequences`."""
        if not self.starts or self.free < 0:
            return 0.0
        size = self.state + sum(each * min(length, window) for each, window in self.kinds) / self.cp
        return math.floor(max(self.free, 0.0) / size * self.dp) if size > 0 else math.inf
