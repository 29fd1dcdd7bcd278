"""A plan over every engine that serves a model on its hardware, where the scenario names none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from rooflab.deploy.complete import default_engine
from rooflab.deploy.context import beyond_context
from rooflab.errors import Infeasible, RooflabError
from rooflab.planner.result import Choice, Plan
from rooflab.planner.search import plan
from rooflab.scenario.hardware import Hardware
from rooflab.scenario.model import Model
from rooflab.scenario.scenario import Scenario

__all__ = ["engines_for", "plan_over_engines"]

_SERVERS = {"NVIDIA": ("vllm", "sglang", "trtllm"), "AMD": ("vllm", "sglang")}
"""Servers of language models by vendor of the device; others have the usual one of their kind."""


def engines_for(model: Model, hardware: Hardware) -> tuple[str, ...]:
    """The engines that people serve `model` with on `hardware`, the usual one first."""
    usual = default_engine(model, hardware)
    if model.kind != "decoder" or usual != "vllm":
        return (usual,)
    return _SERVERS.get(hardware.device.vendor, (usual,))


def plan_over_engines(scenario: Scenario, *, top: int = 8, limit: int = 20_000, **options: Any) -> Plan:
    """As `rooflab.planner.search.plan`, with the choices of every engine of `engines_for` in one ranking; only the
    scenario's own where it names one. Raises what `plan` does where no engine has a plan."""
    engines = engines_for(scenario.model, scenario.hardware)
    if scenario.deployment.runtime.engine or len(engines) == 1:
        return plan(scenario, top=top, limit=limit, **options)
    if too_long := beyond_context(scenario):
        raise Infeasible(too_long)
    plans: list[Plan] = []
    errors: list[RooflabError] = []
    for engine in engines:
        try:
            plans.append(
                plan(scenario.with_deployment(engine=engine), top=top, limit=max(limit // len(engines), 1), **options)
            )
        except RooflabError as error:
            errors.append(error)
    if not plans:
        raise errors[0]
    if not any(p.choices for p in plans):  # a card at home has another way, which `plan` knows
        return plan(scenario, top=top, limit=limit, **options) if _may_use_host(plans) else _nearest(plans)
    return _merged([p for p in plans if p.choices], plans, top)


def _may_use_host(plans: list[Plan]) -> bool:
    return all(r.violation is not None and r.violation.bound == "memory" for p in plans for r in p.rejected[:1])


def _nearest(plans: list[Plan]) -> Plan:
    """The plan whose nearest miss misses by least."""
    return min(plans, key=lambda p: min((r.violation.over for r in p.rejected if r.violation), default=np.inf))


def _merged(answered: list[Plan], plans: list[Plan], top: int) -> Plan:
    """The choices of all plans by their objective, in the frame of the plan whose choice comes first."""
    target = answered[0].objective

    def cost(choice: Choice) -> float:
        simulated = choice.proof.metrics.get(target.metric) if choice.proof is not None else None
        value = choice.metrics[target.metric] if simulated is None else simulated
        return float(target.cost(np.array([float(value)]))[0])

    pairs = sorted(((cost(c), i, p, c) for i, p in enumerate(answered) for c in p.choices), key=lambda x: x[:2])
    chosen = tuple(replace(c, rank=n) for n, (_, _, _, c) in enumerate(pairs[:top], 1))
    first = pairs[0][2]
    by_devices: dict[int, tuple[float, Choice]] = {}
    for p in answered:
        for c in p.by_devices:
            if c.devices not in by_devices or cost(c) < by_devices[c.devices][0]:
                by_devices[c.devices] = cost(c), c
    rejected = sorted((r for p in plans for r in p.rejected), key=lambda r: r.violation.over if r.violation else np.inf)
    return replace(
        first,
        choices=chosen,
        by_devices=tuple(by_devices[n][1] for n in sorted(by_devices)),
        rejected=tuple(rejected[: len(first.rejected) or 5]),
        considered=sum(p.considered for p in plans),
        feasible=sum(p.feasible for p in plans),
    )
