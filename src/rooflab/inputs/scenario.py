"""Scenarios, and their physical inputs, each of which can be scaled: how the audit asks what a figure depends on.

A physical input has a name that people use ("memory bandwidth") and a function on hardware or on workload. Scaled
hardware carries a mark among its sources, so that one built by a lab and handed back to it is not scaled twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from rooflab.errors import InputError
from rooflab.inputs.disturb import exchanging, scaling
from rooflab.inputs.kind import Disturbance, Format, Kind
from rooflab.inputs.summary import Column, Summary
from rooflab.scenario.hardware import Device, Hardware, Link
from rooflab.scenario.lengths import Lengths
from rooflab.scenario.scenario import Resolvers, Scenario, beside, read_file, read_scenario
from rooflab.scenario.workload import Workload
from rooflab.scenario.write import written

__all__ = ["HARDWARE_INPUTS", "KIND", "WORKLOAD_INPUTS", "Perturbation", "scenario_kind"]

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


def _read(fields: Mapping[str, Any]) -> Scenario:
    """A scenario from its fields, names looked up in the catalogue; it has no techniques to apply."""
    from rooflab.catalogue.hardware import hardware
    from rooflab.catalogue.models import model
    from rooflab.catalogue.workloads import resolve

    if fields.get("techniques"):
        raise InputError("are applied by papers; nothing here knows them", "techniques")
    return read_scenario(fields, Resolvers(model, hardware, resolve))


def _to_yaml(s: Scenario) -> bytes:
    import yaml

    return yaml.safe_dump(written(s), sort_keys=False, allow_unicode=True, width=120).encode()


def _to_json(s: Scenario) -> bytes:
    return (json.dumps(written(s), indent=1, ensure_ascii=False) + "\n").encode()


def _describe(s: Scenario) -> Summary:
    device, w = s.hardware.device, s.workload
    loads = {"rate": ("requests/s", w.rate), "concurrency": ("", w.concurrency), "batch": ("", w.batch)}
    rows = [
        ("memory bandwidth", "B/s", device.memory_bytes_per_s), ("memory size", "B", device.memory_bytes),
        ("power", "W", device.tdp_w), ("prompt length", "tokens", w.isl.mean), ("answer length", "tokens", w.osl.mean),
        *((name, unit, value) for name, (unit, value) in loads.items()),
    ]  # fmt: skip
    columns = tuple(
        Column(name=name, type="number", unit=unit, low=float(v), high=float(v)) for name, unit, v in rows if v
    )
    texts = tuple(
        Column(name=name, type="text", example=value)
        for name, value in (
            ("model", s.model.name),
            ("device", device.name),
            ("engine", str(s.deployment.runtime.engine)),
        )
    )
    return Summary(counts={"devices": s.hardware.count}, columns=(*texts, *columns))


def _disturbances(s: Scenario) -> tuple[Disturbance[Scenario], ...]:
    return (
        *(scaling(name, f"{name} times a factor", partial(_scale_hardware, name=name)) for name in HARDWARE_INPUTS),
        *(scaling(name, f"{name} times a factor", partial(_scale_workload, name=name)) for name in WORKLOAD_INPUTS),
        exchanging("prompt and answer", "lengths of prompts and answers", _exchange),
    )


def _scale_hardware(s: Scenario, factor: float, name: str) -> Scenario:
    return replace(s, hardware=HARDWARE_INPUTS[name](s.hardware, factor))


def _scale_workload(s: Scenario, factor: float, name: str) -> Scenario:
    return replace(s, workload=WORKLOAD_INPUTS[name](s.workload, factor))


def _exchange(s: Scenario) -> Scenario:
    return replace(s, workload=replace(s.workload, isl=s.workload.osl, osl=s.workload.isl))


def _example() -> Scenario:
    return KIND.sample()


def scenario_kind(read: Callable[[Mapping[str, Any]], Scenario] = _read) -> Kind[Scenario]:
    """The kind whose scenarios `read` makes of the fields of a file; whoever knows the papers applies techniques."""

    def load(path: Path) -> Scenario:
        return read(beside(read_file(path), path.parent))

    return Kind(
        name="scenario",
        does="A model, on hardware, under a workload, in a deployment, with service levels.",
        data=Scenario,
        formats=(
            Format(suffix=".yaml", what="as docs/reference/scenario.md says", text=True, load=load, dump=_to_yaml),
            Format(suffix=".yml", what="the same", load=load, dump=_to_yaml),
            Format(suffix=".json", what="the same", load=load, dump=_to_json),
        ),
        describe=_describe,
        disturbances=_disturbances,
        example=_example,
        lacks={
            "halve": "it has no rows; half the hardware is `scale`",
            "shuffle": "nothing is learned from it or found in it",
        },
        signs=(frozenset({"model", "hardware"}),),
        parts={
            "model": "an architecture by its shapes",
            "hardware": "devices, hosts and links",
            "workload": "lengths in tokens and how requests come",
            "deployment": "engine, splits, formats, limits",
            "slo": "upper limits on latency, seconds",
            "techniques": "calls of techniques that were applied",
            "rewrites": "changes of a step's operators",
            "name": "what it is called",
        },
    )


KIND: Final[Kind[Scenario]] = scenario_kind()
