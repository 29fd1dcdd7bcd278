"""Cost against latency: the candidates that no other beats in both, and a cloud of the rest for a chart."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

import numpy as np

from rooflab.launch.label import formats_label, split_label
from rooflab.planner.judge import Judged
from rooflab.planner.objective import Objective
from rooflab.planner.result import Point
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.scenario import Scenario
from rooflab.search import front as pareto

__all__ = ["cloud", "front"]

_CLOUD = 400
"""Points kept for the chart."""
_FRONT = 12
"""Deployments kept of the front, its ends among them."""


def front(judged: Judged, rows: Sequence[int], target: Objective, metric: str) -> list[Deployment]:
    """Of `rows` those that no other beats in both the objective (devices a request, where that is the latency itself)
    and `metric`."""
    if not len(rows):
        return []
    m, at = judged.metrics, np.asarray(rows)
    cost = target.cost(m[target.metric][at])
    if target.metric == metric:
        cost = m["devices"][at] / np.maximum(m["requests_per_s"][at], 1e-12)
    latency = m[metric][at]
    out = [int(at[k]) for k in pareto.front(np.column_stack((cost, latency)), tolerance=1e-6)]
    if len(out) > _FRONT:  # spread evenly over the range of latencies
        logs = np.log([m[metric][i] for i in out])
        wanted = np.linspace(logs[0], logs[-1], _FRONT)
        out = [out[k] for k in sorted({int(np.argmin(np.abs(logs - w))) for w in wanted})]
    return [judged.deployments[i] for i in out]


def cloud(
    base: Scenario,
    judged: Judged,
    shapes: Sequence[int],
    metric: str,
    shape: Callable[[Deployment], Hashable],
    *,
    per_gpu: str,
) -> tuple[Point, ...]:
    """A point for each shape: its best row, or the row that breaks a target least; where the load is open-ended also
    other limits."""
    seen: dict[Hashable, int] = {}

    def key(i: int) -> Hashable:
        d = judged.deployments[i]
        if base.workload.mode != "max-throughput":
            return shape(d)
        return shape(d), round(2 * np.log2(d.limits.max_num_seqs))

    for i in shapes:
        seen.setdefault(key(int(i)), int(i))
    sustained = np.flatnonzero(judged.fits & ~judged.overloaded)
    order = np.lexsort((judged.worst[sustained], ~judged.feasible[sustained]))
    for i in sustained[order]:
        seen.setdefault(key(int(i)), int(i))
    rows = list(seen.values())
    if len(rows) > _CLOUD:
        kept = min(len(shapes), _CLOUD // 4)
        rows = rows[:kept] + rows[kept :: max(-(-(len(rows) - kept) // (_CLOUD - kept)), 1)]
    m = judged.metrics
    out = []
    for i in rows:
        d = judged.deployments[i]
        label = f"{formats_label(replace(base, deployment=d))} {split_label(d)}"
        cost, rate, latency = (float(m[name][i]) for name in ("usd_per_mtok", per_gpu, metric))
        out.append(Point(label, d.devices, cost, rate, latency, bool(judged.feasible[i])))
    return tuple(out)
