"""Physical inputs of a scenario, each scaled by a factor: how the audit asks whether a figure depends on anything.

An input has a name that people use ("memory bandwidth") and a function on hardware or on workload. Scaled hardware
carries a mark among its sources, so that one built by a lab and handed back to it is not scaled twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from rooflab.scenario.hardware import Device, Hardware, Link
from rooflab.scenario.lengths import Lengths
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.workload import Workload

__all__ = ["HARDWARE_INPUTS", "WORKLOAD_INPUTS", "Perturbation"]

_MARK: Final = "scaled by the audit"


def _faster(link: Link, factor: float) -> Link:
    return replace(link, bytes_per_s=link.bytes_per_s * factor)


def _device(**scaled: Callable[[Device, float], Any]) -> Callable[[Hardware, float], Hardware]:
    def change(h: Hardware, factor: float) -> Hardware:
        return replace(h, device=replace(h.device, **{name: value(h.device, factor) for name, value in scaled.items()}))

    return change


def _links(h: Hardware, factor: float) -> Hardware:
    return replace(
        h, device=replace(h.device, scale_up=_faster(h.device.scale_up, factor)), network=_faster(h.network, factor)
    )


def _host(h: Hardware, factor: float) -> Hardware:
    tiers = tuple(replace(t, bytes_per_s=t.bytes_per_s * factor) for t in h.tiers)
    return replace(
        h, device=replace(h.device, host_link=_faster(h.device.host_link, factor)), tiers=tiers,
        host_memory_bytes_per_s=h.host_memory_bytes_per_s * factor,
    )  # fmt: skip


def _power(h: Hardware, factor: float) -> Hardware:
    scaled = replace(h, device=replace(h.device, tdp_w=h.device.tdp_w * factor, idle_w=h.device.idle_w * factor))
    return replace(
        scaled, host_power_w=h.host_power_w * factor, power_limit_w=h.power_limit_w and h.power_limit_w * factor
    )


def _price(h: Hardware, factor: float) -> Hardware:
    own = h.usd_per_device_hour if h.usd_per_device_hour is not None else h.device.usd_per_hour
    return replace(h, usd_per_device_hour=None if own is None else own * factor)


HARDWARE_INPUTS: Final[dict[str, Callable[[Hardware, float], Hardware]]] = {
    "memory bandwidth": _device(memory_bytes_per_s=lambda d, f: d.memory_bytes_per_s * f),
    "peak arithmetic": _device(peak_flops=lambda d, f: {k: v * f for k, v in d.peak_flops.items()}),
    "memory size": _device(memory_bytes=lambda d, f: d.memory_bytes * f),
    "link rate": _links,
    "host link rate": _host,
    "power": _power,
    "price": _price,
}
"""Inputs of hardware by name."""


def _lengths(lengths: Lengths, factor: float) -> Lengths:
    table = tuple(x * factor for x in lengths.table)
    return replace(
        lengths, mean=lengths.mean * factor, low=max(lengths.low * factor, 1.0), high=lengths.high * factor, table=table
    )


def _whole(value: int | None, factor: float) -> int | None:
    return None if value is None else max(round(value * factor), 1)


def _load(w: Workload, factor: float) -> Workload:
    rate = None if w.rate is None else w.rate * factor
    return replace(w, rate=rate, concurrency=_whole(w.concurrency, factor), batch=_whole(w.batch, factor))


WORKLOAD_INPUTS: Final[dict[str, Callable[[Workload, float], Workload]]] = {
    "prompt length": lambda w, f: replace(w, isl=_lengths(w.isl, f)),
    "answer length": lambda w, f: replace(w, osl=_lengths(w.osl, f)),
    "load": _load,
}
"""Inputs of a workload by name; "load" is the rate, the concurrency or the batch."""


@dataclass(frozen=True, slots=True)
class Perturbation:
    """One input multiplied by `factor`; an input that starts with "data: " is a datum that a lab hands over."""

    input: str
    factor: float

    def hardware(self, h: Hardware) -> Hardware:
        """`h` with the input scaled, once."""
        if self.input not in HARDWARE_INPUTS or _MARK in h.sources:
            return h
        return _marked(HARDWARE_INPUTS[self.input](h, self.factor))

    def scenario(self, s: Scenario) -> Scenario:
        """`s` with the input scaled, once."""
        if _MARK in s.hardware.sources:
            return s
        workload = s.workload
        if self.input in WORKLOAD_INPUTS:
            workload = WORKLOAD_INPUTS[self.input](workload, self.factor)
        hardware = _marked(HARDWARE_INPUTS.get(self.input, _unchanged)(s.hardware, self.factor))
        return replace(s, workload=workload, hardware=hardware)

    def datum(self, name: str, value: Any) -> Any:
        """`value` with its numbers scaled, if it is the datum meant; whole numbers stay whole, truth values stay."""
        return _scaled(value, self.factor) if self.input == f"data: {name}" else value


def _unchanged(h: Hardware, factor: float) -> Hardware:
    return h


def _marked(h: Hardware) -> Hardware:
    return replace(h, sources={**h.sources, _MARK: "yes"})


def _scaled(value: Any, factor: float) -> Any:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return round(value * factor)
    if isinstance(value, float):
        return value * factor
    if isinstance(value, dict):
        return {k: _scaled(v, factor) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_scaled(v, factor) for v in value)
    dtype = getattr(value, "dtype", None)
    if dtype is None:
        return value
    return (
        value if dtype.kind == "b" else (value * factor).round().astype(dtype) if dtype.kind in "iu" else value * factor
    )
