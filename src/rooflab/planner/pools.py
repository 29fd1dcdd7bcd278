"""Pools of engines for prompts and for answers, beside the engines of one kind that a plan ranks.

For each engine that hands caches over (vLLM, SGLang): tensor degrees and counts of both pools, in the formats of the
plan's best choice of that engine, priced in closed form; those that meet the targets, in the order of the objective,
are proven by simulation as choices are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from rooflab.errors import InputError, RooflabError, unknown
from rooflab.estimator.serving.answer import Estimate
from rooflab.estimator.serving.pools import estimate_pools
from rooflab.launch.label import pools_label
from rooflab.planner.objective import Objective
from rooflab.planner.proof import Proof, prove
from rooflab.planner.result import Choice, Plan
from rooflab.scenario.cluster import Pool
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.slo import SLO
from rooflab.scenario.write import written_deployment

__all__ = ["DISAGGREGATED", "SPACES", "Pooled", "check_space", "plan_with_pools"]

DISAGGREGATED: Final = ("vllm", "sglang")
"""Engines whose prefill and decode pools are priced and simulated."""
SPACES: Final = ("pools",)
_NOT_SEARCHED: Final = {
    "speculation": "how many drafts are accepted is measured, not searched: give deployment.speculation (tokens, "
    "acceptance), and every candidate has it",
    "offload": "what a device does not hold goes to the CPU by itself (llama.cpp), in every plan",
}
_DEGREES: Final = (1, 2, 4, 8)
_COUNTS: Final = (1, 2, 3, 4, 6, 8)
_MOST: Final = 160
"""Pairs of pools priced for an engine, those of fewest devices first."""
_DEARER: Final = ("usd_per_mtok", "devices", "usd_per_hour")
"""Objectives to which every device adds, under a rate."""
_ENOUGH: Final = 8
"""Pairs that meet the targets after which more devices are not tried where each of them costs."""
_PROVEN: Final = 6
_RUNS: Final = 10


@dataclass(frozen=True, slots=True)
class Pooled:
    """Two pools that meet the targets: the estimate, what simulations say (None: not tried), and the gain in the
    objective over the plan's first choice (above 1: better; NaN without one)."""

    estimate: Estimate
    proof: Proof | None
    gain: float

    @property
    def label(self) -> str:
        """Engine, formats, and both pools in a few words."""
        return pools_label(self.estimate.scenario)

    @property
    def seen(self) -> dict[str, Any]:
        """Metrics, those of the simulations where there are any."""
        return self.estimate.metrics | ({} if self.proof is None else dict(self.proof.metrics))

    def record(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "label": self.label,
            "deployment": written_deployment(self.estimate.scenario.deployment),
            "devices": _devices(self.estimate.scenario.deployment),
            "gain": self.gain if np.isfinite(self.gain) else None,
            "metrics": self.estimate.record(),
            "proof": None if self.proof is None else self.proof.record(),
        }


def check_space(names: tuple[str, ...], scenario: Scenario) -> None:
    """Refuse what a plan does not search beside its own dimensions, and pools where they are of no use: for batches,
    engines without them, models that generate nothing. Raises InputError with what to do instead."""
    for name in names:
        if name in _NOT_SEARCHED:
            raise InputError(f"{name} is no dimension: {_NOT_SEARCHED[name]}", "--space")
        if name not in SPACES:
            raise unknown("space", name, [*SPACES, *_NOT_SEARCHED], "--space")
    named = scenario.deployment.runtime.engine
    if named and named not in DISAGGREGATED:
        raise InputError(f"no pools of {named} are priced; of {' and '.join(DISAGGREGATED)} they are", "--space")
    if scenario.workload.mode not in ("open", "closed") or scenario.model.kind != "decoder":
        raise InputError("pools serve a rate or users of a model that generates", "--space")


def plan_with_pools(scenario: Scenario, plan: Plan, *, top: int = 4) -> list[Pooled]:
    """The best pools that hold within the targets of `plan`, of a scenario as it was asked, in the order of the
    objective. Raises InputError where `check_space` does."""
    check_space(SPACES, scenario)
    named = scenario.deployment.runtime.engine
    found = [e for engine in ((named,) if named else DISAGGREGATED) for e in _priced(scenario, plan, engine)]
    cost = {id(e): float(plan.objective.cost(np.array([e.metrics[plan.objective.metric]]))[0]) for e in found}
    found.sort(key=lambda e: (cost[id(e)], _devices(e.scenario.deployment)))
    out = [Pooled(e, _proof(e, plan.objective), float("nan")) for e in found[:_PROVEN]]
    held = [p for p in out if p.proof is not None and p.proof.holds]
    return [replace(p, gain=_gain(p, plan.best, plan.objective)) for p in held[:top]]


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


def _proof(e: Estimate, target: Objective) -> Proof | None:
    d = e.scenario.deployment
    return prove(e.scenario, [d], target, wanted=1, runs=_RUNS, most=1).found.get(d)


def _gain(p: Pooled, best: Choice | None, target: Objective) -> float:
    if best is None:
        return float("nan")
    got, base = float(p.seen[target.metric]), float(best.seen[target.metric])
    return got / base if target.more_is_better else base / got
