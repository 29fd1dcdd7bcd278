"""Scenarios as a kind of input: files of them, and what can be scaled."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from rooflab.errors import InputError
from rooflab.inputs.disturb import exchanging, scaling
from rooflab.inputs.kind import Disturbance, Format, Kind
from rooflab.inputs.perturb import HARDWARE_INPUTS, WORKLOAD_INPUTS
from rooflab.inputs.summary import Column, Summary
from rooflab.scenario.scenario import Resolvers, Scenario, beside, read_file, read_scenario
from rooflab.scenario.write import written

__all__ = ["KIND", "scenario_kind"]


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
