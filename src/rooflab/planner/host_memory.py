"""Memory of the host beside a plan's own choices: what comes back to a cache, and weights that do not fit.

Evicted prefixes are kept in the host's memory (vLLM's offloading connector, SGLang's hierarchical cache) where requests
come back to them; only a simulation sees what that gives.  Weights are streamed from there every step (vLLM), or the
CPU computes the layers that a device does not hold (llama.cpp, on a machine of any size).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from rooflab.errors import InputError, RooflabError
from rooflab.estimator.serving.engines import evaluate
from rooflab.planner.engines import engines_for
from rooflab.planner.result import Plan, Proposed
from rooflab.planner.search import plan as search
from rooflab.scenario.cluster import KVTier
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.offload import Offload
from rooflab.scenario.scenario import Scenario

__all__ = ["OFFLOADING", "check_offload", "with_host_memory"]

OFFLOADING: Final = ("vllm", "sglang", "llamacpp")
"""Engines that use the host's memory."""
_TIERED: Final = ("vllm", "sglang")
_SHARE: Final = 0.5
"""Of a device's share of the host's memory: the rest is left to the system and to copies; a choice of ours."""
_CANDIDATES: Final = 2000


def check_offload(scenario: Scenario) -> None:
    """Refuse what the host's memory does not help. Raises InputError with what to do instead."""
    named = scenario.deployment.runtime.engine
    if named and named not in OFFLOADING:
        raise InputError(f"no memory of the host is planned for {named}; for {', '.join(OFFLOADING)} it is", "--space")
    if scenario.deployment.runtime.offload is not None:
        raise InputError("the scenario gives deployment.offload, which every candidate has", "--space")
    if not _host_bytes(scenario):
        raise InputError(
            "the host's memory is not known, or is the device's own; give hardware.tiers a dram tier", "--space"
        )
    if scenario.model.kind != "decoder" or scenario.workload.mode == "trace":
        raise InputError("the host's memory serves users, rates and batches of a model that generates", "--space")


def with_host_memory(scenario: Scenario, plan: Plan) -> list[Proposed]:
    """Deployments of `plan` and those that it left out, with prefixes kept by the host; the best with weights in the
    host's memory."""
    return [*_tiered(scenario, plan), *_streamed(scenario, plan)]


def _host_bytes(scenario: Scenario) -> float:
    return sum(t.bytes for t in scenario.hardware.tiers if t.name == "dram")


def _tiered(scenario: Scenario, plan: Plan) -> Iterator[Proposed]:
    w = scenario.workload
    if not (w.sessions or w.prefixes or w.shared_prefix):
        return
    known = [c.deployment for c in plan.choices] + [r.deployment for r in plan.rejected]
    for d in dict.fromkeys(known):
        if d.runtime.engine not in _TIERED or not d.limits.prefix_caching or not d.cluster.replicas:
            continue
        room = _SHARE * _host_bytes(scenario) * d.split.devices_per_replica
        e = _priced(plan.scenario, d.changed(kv_tiers=KVTier(host_bytes=room)))
        if e is not None:
            yield e


def _priced(base: Scenario, d: Deployment) -> Proposed | None:
    try:
        found = evaluate([base], [d])[0]
    except RooflabError:
        return None
    return None if isinstance(found, RooflabError) else Proposed(found)


def _streamed(scenario: Scenario, plan: Plan) -> Iterator[Proposed]:
    direction = "maximise" if plan.objective.more_is_better else "minimise"
    named = scenario.deployment.runtime.engine
    tried = (named,) if named else (*engines_for(scenario.model, scenario.hardware), "llamacpp")
    options: dict[str, Any] = {direction: plan.objective.metric, "explain": False, "prove": False, "top": 2}
    for engine in dict.fromkeys(e for e in tried if e in ("vllm", "llamacpp")):
        asked = scenario.with_deployment(engine=engine, offload=Offload(weights="dram"))
        try:
            found = search(asked, limit=_CANDIDATES, **options)
        except RooflabError:
            continue
        for c in found.choices:
            if c.deployment.runtime.offload is not None:  # else all of it fits
                yield Proposed(c.estimate, kind=engine)
