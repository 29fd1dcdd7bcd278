"""Pools of engines for prompts and for answers, beside the engines of one kind that a plan ranks.

For each engine that hands caches over (vLLM, SGLang): tensor degrees and counts of both pools, in the formats of the
plan's best choice of that engine, priced in closed form.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from rooflab.errors import InputError, RooflabError
from rooflab.estimator.serving.answer import Estimate
from rooflab.estimator.serving.pools import estimate_pools
from rooflab.planner.result import Plan, Proposed
from rooflab.scenario.cluster import Pool
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.slo import SLO

__all__ = ["DISAGGREGATED", "check_pools", "pools_of"]

DISAGGREGATED: Final = ("vllm", "sglang")
"""Engines whose prefill and decode pools are priced and simulated."""
_LEAST: Final = 2
_DEGREES: Final = (1, 2, 4, 8)
_COUNTS: Final = (1, 2, 3, 4, 6, 8)
_MOST: Final = 160
"""Pairs of pools priced for an engine, those of fewest devices first."""
_DEARER: Final = ("usd_per_mtok", "devices", "usd_per_hour")
"""Objectives to which every device adds, under a rate."""
_ENOUGH: Final = 8
"""Pairs that meet the targets after which more devices are not tried where each of them costs."""


def check_pools(scenario: Scenario) -> None:
    """Refuse pools where they are of no use: for batches, engines without them, models that generate nothing. Raises
    InputError with what to do instead."""
    named = scenario.deployment.runtime.engine
    if named and named not in DISAGGREGATED:
        raise InputError(f"no pools of {named} are priced; of {' and '.join(DISAGGREGATED)} they are", "--space")
    if scenario.workload.mode not in ("open", "closed") or scenario.model.kind != "decoder":
        raise InputError("pools serve a rate or users of a model that generates", "--space")
    if scenario.hardware.count < _LEAST:
        raise InputError(f"pools take {_LEAST} devices at least, and there is one", "--space")


def pools_of(scenario: Scenario, plan: Plan) -> list[Proposed]:
    """Pools of each engine that meet the targets of `plan` in closed form, those of fewest devices first."""
    named = scenario.deployment.runtime.engine
    found = [e for engine in ((named,) if named else DISAGGREGATED) for e in _priced(scenario, plan, engine)]
    found.sort(key=lambda e: _devices(e.scenario.deployment))
    return [Proposed(e) for e in found]


def _priced(scenario: Scenario, plan: Plan, engine: str) -> list[Estimate]:
    """Pools of one engine that meet the targets in closed form."""
    like = next((c.deployment for c in plan.choices if c.deployment.runtime.engine == engine), None)
    formats = {} if like is None else {"weights": like.formats.weights, "kv": like.formats.kv}
    base = scenario.with_deployment(engine=engine, **formats)
    out: list[Estimate] = []
    for pools in _pairs(scenario.hardware.count):
        d = base.deployment.changed(pools=pools, replicas=None)
        try:
            e = estimate_pools(replace(base, deployment=d))
        except RooflabError:  # a pool does not hold the model, or cannot be split so
            continue
        met = all(float(e.metrics[SLO.metric(key)]) <= limit for key, limit in scenario.slo)
        if met and not e.saturated:
            out.append(e)
        if len(out) >= _ENOUGH and plan.objective.metric in _DEARER:
            break
    return out


def _pairs(count: int) -> Iterator[tuple[Pool, Pool]]:
    """A pool for prompts and one for answers that `count` devices hold, those of fewest devices first."""
    some = [(tp, n) for tp in _DEGREES for n in _COUNTS if tp * n < count]
    pairs = [(a, b) for a in some for b in some if a[0] * a[1] + b[0] * b[1] <= count]
    pairs.sort(key=lambda p: (p[0][0] * p[0][1] + p[1][0] * p[1][1], p))
    for (tp, n), (tp_, n_) in pairs[:_MOST]:
        yield Pool(role="prefill", replicas=n, tp=tp), Pool(role="decode", replicas=n_, tp=tp_)


def _devices(d: Deployment) -> int:
    return sum((p.tp or 1) * p.replicas for p in d.cluster.pools)
