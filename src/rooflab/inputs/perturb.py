"""Physical inputs of a scenario, each of which can be scaled: how the audit asks what a figure depends on.

An input has a name that people use ("memory bandwidth") and a function on hardware, model, workload or deployment.
What was scaled carries a mark among its sources, so that it is not scaled twice when it is handed back to a lab.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Final

from rooflab.scenario.deployment import Deployment
from rooflab.scenario.hardware import Device, Hardware, Link
from rooflab.scenario.lengths import Lengths
from rooflab.scenario.model import Block, Dense, Experts, Model, Run
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.workload import Workload

__all__ = [
    "DEPLOYMENT_INPUTS", "HARDWARE_INPUTS", "MODEL_INPUTS", "SCENARIO_INPUTS", "WORKLOAD_INPUTS", "Perturbation",
]  # fmt: skip

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


def _layers(m: Model, factor: float) -> Model:
    def runs(some: tuple[Run, ...]) -> tuple[Run, ...]:
        return tuple(replace(r, count=_at_least_one(r.count, factor)) for r in some)

    return replace(m, runs=runs(m.runs), encoder=runs(m.encoder))


def _width(m: Model, factor: float) -> Model:
    def wide(b: Block) -> Block:
        f = b.ffn
        if isinstance(f, Dense):
            return replace(b, ffn=replace(f, width=_at_least_one(f.width, factor)))
        if isinstance(f, Experts):
            shared = round(f.shared_width * factor)
            return replace(b, ffn=replace(f, width=_at_least_one(f.width, factor), shared_width=shared))
        return b

    def runs(some: tuple[Run, ...]) -> tuple[Run, ...]:
        return tuple(replace(r, block=wide(r.block)) for r in some)

    return replace(m, hidden=_at_least_one(m.hidden, factor), runs=runs(m.runs), encoder=runs(m.encoder))


MODEL_INPUTS: Final[dict[str, Callable[[Model, float], Model]]] = {"layers": _layers, "hidden size": _width}
"""Inputs of a model by name; with the hidden size goes the width of feed-forwards, heads stay."""


def _limit(name: str) -> Callable[[Deployment, float], Deployment]:
    def change(d: Deployment, factor: float) -> Deployment:
        given: int = getattr(d.limits, name)
        return d.changed(**{name: _at_least_one(given, factor)}) if given else d

    return change


def _other_engine(d: Deployment, factor: float) -> Deployment:
    """Another engine in the place of the one named: one without overhead, or vLLM for that."""
    return d.changed(engine="vllm" if d.runtime.engine == "ideal" else "ideal", engine_version="")


DEPLOYMENT_INPUTS: Final[dict[str, Callable[[Deployment, float], Deployment]]] = {
    "sequences at once": _limit("max_num_seqs"),
    "tokens a step": _limit("max_num_batched_tokens"),
    "tensor parallelism": lambda d, f: d.changed(tp=_whole(d.split.tp, f)),
    "engine": _other_engine,
    "engine version": lambda d, f: d.changed(engine_version=""),
}
"""Inputs of a deployment by name: limits that are given; engines and versions have no size and are exchanged for
others."""

SCENARIO_INPUTS: Final = (*HARDWARE_INPUTS, *WORKLOAD_INPUTS, *MODEL_INPUTS, *DEPLOYMENT_INPUTS)
"""Names of all that a scenario has."""


def _at_least_one(value: int, factor: float) -> int:
    return max(round(value * factor), 1)


@dataclass(frozen=True, slots=True)
class Perturbation:
    """One input multiplied by `factor`; an input that starts with "data: " is a datum that a lab hands over.

    `part` (bit, value) takes only those numbers of a datum whose place in it has that bit: with both values of each bit
    any two numbers are told apart.
    """

    input: str
    factor: float
    part: tuple[int, int] | None = None

    def hardware(self, h: Hardware) -> Hardware:
        """`h` with the input scaled, once."""
        if self.input not in HARDWARE_INPUTS or _MARK in h.sources:
            return h
        return _marked(HARDWARE_INPUTS[self.input](h, self.factor))

    def model(self, m: Model) -> Model:
        """`m` with the input scaled, once."""
        if self.input not in MODEL_INPUTS or _MARK in m.sources:
            return m
        changed = MODEL_INPUTS[self.input](m, self.factor)
        return replace(changed, sources=(*m.sources, _MARK))

    def scenario(self, s: Scenario) -> Scenario:
        """`s` with the input scaled, once."""
        if _MARK in s.hardware.sources:
            return s
        workload, deployment = s.workload, s.deployment
        if self.input in WORKLOAD_INPUTS:
            workload = WORKLOAD_INPUTS[self.input](workload, self.factor)
        if self.input in DEPLOYMENT_INPUTS:
            deployment = DEPLOYMENT_INPUTS[self.input](deployment, self.factor)
        hardware = _marked(HARDWARE_INPUTS.get(self.input, _unchanged)(s.hardware, self.factor))
        return replace(s, model=self.model(s.model), workload=workload, hardware=hardware, deployment=deployment)

    def datum(self, name: str, value: Any) -> Any:
        """`value` with its numbers scaled, if it is the datum meant; whole numbers stay whole, truth values stay."""
        if self.input != f"data: {name}":
            return value
        return _scaled(value, self.factor, self.part, count())


def _unchanged(h: Hardware, factor: float) -> Hardware:
    return h


def _marked(h: Hardware) -> Hardware:
    return replace(h, sources={**h.sources, _MARK: "yes"})


def _scaled(value: Any, factor: float, part: tuple[int, int] | None, places: Iterator[int]) -> Any:
    """A datum with its numbers scaled, those whose place has the bit `part`; `places` counts them."""
    if isinstance(value, dict):
        return {k: _scaled(v, factor, part, places) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_scaled(v, factor, part, places) for v in value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if not _chosen(next(places), part):
            return value
        return round(value * factor) if isinstance(value, int) else value * factor
    dtype = getattr(value, "dtype", None)
    if dtype is None or dtype.kind not in "iuf":
        return value
    scaled = (value * factor).round().astype(dtype) if dtype.kind in "iu" else value * factor
    if part is None:
        return scaled
    changed = value.copy()
    chosen = [i for i, place in zip(range(value.size), places, strict=False) if _chosen(place, part)]
    changed.ravel()[chosen] = scaled.ravel()[chosen]
    return changed


def _chosen(place: int, part: tuple[int, int] | None) -> bool:
    return part is None or place >> part[0] & 1 == part[1]
