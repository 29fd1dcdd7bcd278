"""The order of candidates: by the objective, a change of formats at a discount, ties broken by what people would rather
run.

A change of formats has an unknown cost in quality, so it must win 3 % to be preferred.  Equal objectives are broken in
this order: no change of quality, more served where the load is open-ended, no pipeline stages, headroom to the tightest
target (or latency), nearness to the engine's default limits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.launch.label import SCHEDULING
from rooflab.planner.judge import Judged
from rooflab.planner.objective import Objective
from rooflab.planner.proof import Proof
from rooflab.planner.space import quality, shape
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.formats import Formats
from rooflab.scenario.scenario import Scenario

__all__ = ["QUALITY_WORTH", "as_simulated", "best_of_each_shape", "rank"]

QUALITY_WORTH: Final = 0.03
"""What each change of formats must gain in the objective to be preferred; a choice of ours, where no quality cost is
known."""
_SAME: Final = math.log(1.03)
"""Simulated objectives so near each other (logarithms) are the same: the closed form's order stands."""


def best_of_each_shape(judged: Judged, order: npt.NDArray[np.intp]) -> list[int]:
    """The first row of each shape, in order."""
    seen: dict[tuple[Any, ...], int] = {}
    for i in order:
        seen.setdefault(shape(judged.deployments[i]), int(i))
    return list(seen.values())


def rank(base: Scenario, judged: Judged, target: Objective) -> npt.NDArray[np.intp]:
    """Rows that meet everything, best first."""
    rows = np.flatnonzero(judged.feasible)
    m = judged.metrics
    cost = target.cost(m[target.metric][rows])
    rows, cost = rows[np.isfinite(cost)], cost[np.isfinite(cost)]
    if not len(rows):
        return rows
    changes = np.array([_changes(q) for q in _qualities(base, [judged.deployments[i] for i in rows])])
    tied = np.round(_discounted(cost, changes) * 1e6)
    open_ended = base.workload.mode == "max-throughput"
    served = (
        -np.round(np.log(np.maximum(m["requests_per_s"][rows], 1e-12)) * 1e3) if open_ended else np.zeros(len(rows))
    )
    slack = judged.worst[rows] if base.slo else np.log(np.maximum(m["e2e_s_mean"][rows], 1e-12))
    slack = np.round(np.where(np.isfinite(slack), slack, 1e9) * 10)  # a tenth apart is the same
    usual = np.array([_distance(judged.deployments[i]) for i in rows])
    staged = np.array([judged.deployments[i].split.pp > 1 for i in rows])
    return rows[np.lexsort((usual, slack, staged, served, changes, tied))]


def as_simulated(base: Scenario, found: Mapping[Deployment, Proof], target: Objective) -> list[Deployment]:
    """Those that hold by the objective as simulated; within 3 % of the best of them the order of `found` stands."""
    held = [d for d, proof in found.items() if proof.holds]
    cost = target.cost(np.array([found[d].metrics.get(target.metric, math.nan) for d in held], dtype=float))
    changes = np.array([_changes(q) for q in _qualities(base, held)])
    logs = _discounted(cost, changes)
    step, start = np.zeros(len(held), dtype=int), -math.inf
    group = 0
    for i in np.argsort(logs, kind="stable"):
        if logs[i] > start + _SAME:
            group, start = group + 1, float(logs[i])
        step[i] = group
    return [held[i] for i in np.argsort(step, kind="stable")]


def _discounted(cost: npt.NDArray[np.float64], changes: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The logarithm of each cost, in which a change of formats counts as 3 % more; less is better."""
    # the logarithm falls with a throughput, whose cost is negative
    logs = np.sign(cost) * np.log(np.maximum(np.abs(cost), 1e-300))
    return np.asarray(np.where(np.isfinite(cost), logs, 1e300) + np.log1p(QUALITY_WORTH) * changes, dtype=float)


def _changes(kept: str) -> int:
    """How many things a deployment changes about the model's answers."""
    return 0 if kept == "as the checkpoint" else kept.count(",") + 1


def _qualities(base: Scenario, deployments: Sequence[Deployment]) -> list[str]:
    known: dict[tuple[str, Formats], str] = {}
    out = []
    for d in deployments:
        key = d.runtime.engine, d.formats
        if key not in known:
            known[key] = quality(base, d)
        out.append(known[key])
    return out


def _distance(d: Deployment) -> float:
    """How far the limits are from the defaults that engines ship with, in octaves; whole prompts count as more of
    them."""
    if d.runtime.engine not in SCHEDULING:
        return float(d.limits.max_num_seqs)  # llama.cpp cuts its context into as many slots
    apart = abs(math.log2(d.limits.max_num_seqs / 256)) + abs(math.log2(d.limits.max_num_batched_tokens / 8192))
    return apart + (0.0 if d.limits.chunked_prefill else 4.0)
