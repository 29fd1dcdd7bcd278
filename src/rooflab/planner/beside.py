"""What a plan tries beside its own dimensions, on request: pools, speculation, memory of the host.

Each space proposes deployments that meet the targets in closed form (or that only a simulation can judge); those of the
best objective are proven as choices are.  What rests on an assumption is proven at the assumption's ends, too.  What
holds stands behind the plan's own choices, with a number of its own that every command takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from rooflab.errors import InputError, unknown
from rooflab.planner.host_memory import check_offload, with_host_memory
from rooflab.planner.objective import Objective
from rooflab.planner.pools import check_pools, pools_of
from rooflab.planner.proof import Proof, confirm, prove
from rooflab.planner.result import Assumed, Beside, Choice, Plan, Proposed
from rooflab.planner.space import quality
from rooflab.planner.speculation import check_speculation, speculations_of
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.scenario import Scenario

__all__ = ["SPACES", "check_spaces", "plan_beside", "spaces_of", "worth_trying"]

_Space = tuple[Callable[[Scenario], None], Callable[[Scenario, Plan], list[Proposed]]]
SPACES: Final[Mapping[str, _Space]] = {
    "pools": (check_pools, pools_of),
    "speculation": (check_speculation, speculations_of),
    "offload": (check_offload, with_host_memory),
}
"""Name -> what refuses a scenario that it is of no use to, and what proposes deployments."""
_PROVEN: Final = 6
_KEPT: Final = 4
"""Proposals without a kind that are simulated, and of those that hold how many are kept."""
_TRIED: Final = 3
"""Proposals of a kind that are simulated until one holds."""
_RUNS: Final = 10
_NEAR: Final = 4.0
"""How far over a target (a factor) the nearest candidate may be for another space to be worth a try: more than four
tokens a step are seldom accepted."""


def spaces_of(names: Sequence[str], scenario: Scenario) -> tuple[str, ...]:
    """The spaces that are asked for, each once; "all": those that serve the scenario. Raises InputError for unknown
    ones, and for one named that is of no use to the scenario."""
    for name in names:
        if name not in SPACES and name != "all":
            raise unknown("space", name, [*SPACES, "all"], "--space")
    for name in names:
        if name in SPACES:
            SPACES[name][0](scenario)
    if "all" not in names:
        return tuple(dict.fromkeys(names))
    return tuple(name for name in SPACES if name in names or name in check_spaces(scenario))


def check_spaces(scenario: Scenario) -> tuple[str, ...]:
    """The spaces that a scenario can be planned in."""
    found = []
    for name, (check, _) in SPACES.items():
        try:
            check(scenario)
        except InputError:
            continue
        found.append(name)
    return tuple(found)


def worth_trying(scenario: Scenario, plan: Plan) -> tuple[str, ...]:
    """Spaces that may do where nothing of a plan does: the host's memory where no candidate fits or prefixes come back,
    drafts where a token takes little too long, pools where prompts and answers are in each other's way."""
    broken = [r.violation for r in plan.rejected if r.violation is not None and r.violation.bound != "memory"]
    w = scenario.workload
    found: set[str] = set()
    if not broken:
        found |= set() if plan.scenario.deployment.runtime.offload is not None else {"offload"}
    elif w.sessions or w.prefixes or w.shared_prefix:
        found.add("offload")
    latencies = {v.bound.partition("_")[0] for v in broken}
    near = min((v.over for v in broken if v.bound != "rate"), default=math.inf)
    if near <= _NEAR:
        found |= {"speculation"} if {"tpot", "e2e"} & latencies else set()
        found |= {"pools"} if {"tpot", "ttft"} & latencies else set()
    return tuple(name for name in check_spaces(scenario) if name in found and name not in plan.spaces)


def plan_beside(scenario: Scenario, plan: Plan, names: Sequence[str]) -> Plan:
    """`plan` of a scenario as it was asked, with the best of each named space that hold behind its choices, best first
    within a space."""
    rows: list[Choice] = []
    for name in names:
        proposed = SPACES[name][1](scenario, plan)
        rows += _held(name, proposed, plan)
    first = len(plan.choices) + 1
    return replace(plan, beside=tuple(replace(c, rank=first + i) for i, c in enumerate(rows)), spaces=tuple(names))


def _held(name: str, proposed: Sequence[Proposed], plan: Plan) -> list[Choice]:
    """Those of a space that hold, best first: of each kind one, of those without a kind a few."""
    target = plan.objective
    kinds: dict[str, list[Proposed]] = {}
    for p in sorted(proposed, key=lambda p: _value(target, p.estimate.metrics)):
        kinds.setdefault(p.kind, []).append(p)
    out: list[Choice] = []
    for kind, members in kinds.items():
        tried, wanted = (_TRIED, 1) if kind else (_PROVEN, _KEPT)
        held: list[Choice] = []
        for p in members[:tried]:
            choice = _proven(name, p, plan)
            held += [] if choice is None else [choice]
            if len(held) == wanted:
                break
        out += held
    return sorted(out, key=lambda c: _value(target, c.seen))


def _proven(name: str, p: Proposed, plan: Plan) -> Choice | None:
    """A proposal as a choice; None where it does not hold."""
    target, d = plan.objective, p.estimate.scenario.deployment
    proof = _proof(plan.scenario, d, target)
    if proof is None or not proof.holds:
        return None
    assumed = None if p.assumed is None else _at_its_ends(plan.scenario, p.assumed, target)
    choice = Choice(rank=0, estimate=p.estimate, quality=quality(plan.scenario, d), proof=proof)
    return replace(choice, beside=Beside(name, _gain(choice, plan.best, target), assumed))


def _gain(c: Choice, best: Choice | None, target: Objective) -> float:
    """How much better `c` is than `best` by the objective (above 1: better); NaN without one."""
    if best is None:
        return float("nan")
    got, base = float(c.seen[target.metric]), float(best.seen[target.metric])
    return got / base if target.more_is_better else base / got


def _value(target: Objective, metrics: Mapping[str, Any]) -> float:
    """The objective so that less is better."""
    return float(target.cost(np.array([float(metrics[target.metric])]))[0])


def _proof(base: Scenario, d: Deployment, target: Objective) -> Proof | None:
    """What simulations say, as many as it takes to be sure."""
    proofs = prove(base, [d], target, wanted=1, runs=_RUNS, most=1)
    if (found := proofs.found.get(d)) is not None and found.doubtful:
        confirm(base, proofs, d, target)
    return proofs.found.get(d)


def _at_its_ends(base: Scenario, assumed: Assumed, target: Objective) -> Assumed:
    """The assumption with what simulations say at both of its ends: the objective, and whether the targets are met."""
    ends = []
    for d in (assumed.low_deployment, assumed.high_deployment):
        proof = _proof(base, d, target)
        value = float("nan") if proof is None else float(proof.metrics.get(target.metric, float("nan")))
        ends.append((value, proof is not None and proof.holds))
    return replace(assumed, objective_low=ends[0][0], objective_high=ends[1][0], holds_low=ends[0][1])
