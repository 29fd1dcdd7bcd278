"""Candidates against the targets: which fit, sustain the load and meet every service level, and by how much the others
miss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rooflab.estimator.serving.engines import Columns, evaluate_columns
from rooflab.planner.result import Violation
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.slo import SLO

__all__ = ["Judged", "judge", "judge_columns", "judge_rows", "means_meet", "violations"]

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Columns over candidates. `worst`: the largest ratio of a latency to its limit (or of the load to what is
    served)."""

    deployments: list[Deployment]
    metrics: dict[str, Array]
    fits: Mask
    overloaded: Mask
    worst: Array
    feasible: Mask
    capacity: Array
    length: Array

    def joined(self, other: Judged) -> Judged:
        """Both sets of candidates."""
        columns = {
            name: np.concatenate([getattr(self, name), getattr(other, name)])
            for name in ("fits", "overloaded", "worst", "feasible", "capacity", "length")
        }
        metrics = {name: np.concatenate([values, other.metrics[name]]) for name, values in self.metrics.items()}
        return Judged(deployments=self.deployments + other.deployments, metrics=metrics, **columns)


def judge(scenario: Scenario, deployments: list[Deployment]) -> Judged:
    """Price `deployments` under the scenario's workload and compare with its targets."""
    return judge_rows([scenario] * len(deployments), deployments)


def judge_rows(scenarios: list[Scenario], deployments: list[Deployment]) -> Judged:
    """As `judge`, a scenario a row; they share model, hardware and targets."""
    return judge_columns(scenarios, deployments, evaluate_columns(scenarios, deployments))


def judge_columns(scenarios: Sequence[Scenario], deployments: Sequence[Deployment], columns: Columns) -> Judged:
    """What `judge_rows` says of metrics that are known."""
    opened = np.array([s.workload.mode in ("open", "trace") for s in scenarios])
    rate = np.array([s.workload.rate or 0.0 for s in scenarios])
    overloaded = columns.saturated & opened
    served = np.maximum(columns.metrics["requests_per_s"], 1e-12)
    worst = np.where(overloaded, rate / served, 0.0)
    for key, limit in scenarios[0].slo:
        got = columns.metrics[SLO.metric(key)]
        ratio = np.where(np.isnan(got), np.inf, got / limit)
        worst = np.where(overloaded, worst, np.maximum(worst, ratio))
    feasible = columns.fits & ~overloaded & (worst <= 1.0)
    return Judged(
        deployments=list(deployments),
        metrics=columns.metrics,
        fits=columns.fits,
        overloaded=overloaded,
        worst=worst,
        feasible=feasible,
        capacity=columns.capacity,
        length=columns.length,
    )


def means_meet(scenario: Scenario, judged: Judged) -> Mask:
    """Rows whose mean latencies are within the targets, whatever their percentiles."""
    met: Mask = np.ones(len(judged.deployments), dtype=bool)
    for key, limit in scenario.slo:
        met &= judged.metrics[f"{key.partition('_')[0]}_s_mean"] <= limit
    return met


def violations(scenario: Scenario, judged: Judged, row: int) -> tuple[Violation, ...]:
    """The bounds that a row breaks, worst first."""
    m = judged.metrics
    if not judged.fits[row]:
        return (Violation("memory", float(judged.capacity[row]), 1.0, float("inf")),)
    if judged.overloaded[row]:
        served, rate = float(m["requests_per_s"][row]), scenario.workload.rate or 0.0
        return (Violation("rate", served, rate, rate / max(served, 1e-12)),)
    broken = []
    for key, limit in scenario.slo:
        got = float(m[SLO.metric(key)][row])
        if not got <= limit:
            broken.append(Violation(key, got, limit, got / limit))
    return tuple(sorted(broken, key=lambda v: -v.over))
