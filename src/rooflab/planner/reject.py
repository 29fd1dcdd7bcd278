"""The candidates that nearly made it: which bound each breaks and by how much, and what the ones that do not fit would
need."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from rooflab.launch.label import (
    bound_name,
    bound_value,
    deployment_label,
    formats_label,
    hardware_label,
    load_label,
    sentence,
    slo_label,
    split_label,
)
from rooflab.memory.explain import does_not_fit
from rooflab.planner.judge import Judged, means_meet, violations
from rooflab.planner.objective import Objective
from rooflab.planner.proof import Proof, Proofs
from rooflab.planner.result import Rejected, Violation
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.formats import Formats
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.slo import SLO
from rooflab.units import significant

__all__ = ["closest", "miss", "missed_in_simulation", "near_misses", "nothing_holds"]

_SHOWN = 5
_SIMULATED = 3
_SHARED = ("usd_per_mtok", "j_per_token", "gco2e_per_mtok")
"""Objectives that are a cost shared by the tokens served."""


def near_misses(base: Scenario, judged: Judged, target: Objective, proofs: Proofs | None) -> tuple[Rejected, ...]:
    """Up to five candidates that the objective prefers to the best one and that break a bound by least, none of a shape
    that was simulated, then up to two that do not fit."""
    cost = target.cost(judged.metrics[target.metric])
    if base.workload.rate and (target.more_is_better or target.metric in _SHARED):
        # as if it carried the whole load: what it falls short of is the reason, not its price
        short = np.maximum(base.workload.rate / np.maximum(judged.metrics["requests_per_s"], 1e-12), 1.0)
        cost = np.where(judged.overloaded, cost * short if target.more_is_better else cost / short, cost)
    held = float(np.min(cost[judged.feasible])) if judged.feasible.any() else np.inf
    shape_of = _Shapes(base)
    good = {shape_of(judged.deployments[i]) for i in np.flatnonzero(judged.feasible)}
    good |= {shape_of(d) for d in proofs.found} if proofs else set()
    out = judged.fits & ~judged.feasible
    if proofs is not None:  # a tail of the closed form alone is no reason beside simulations
        out &= judged.overloaded | ~means_meet(base, judged)
    rows = np.flatnonzero(out & (cost <= held + 1e-6 * abs(held)))
    rows = rows[np.argsort(judged.worst[rows], kind="stable")]
    seen: dict[tuple[object, ...], int] = {}
    for i in rows:
        shape = shape_of(judged.deployments[i])
        if shape not in good:
            seen.setdefault(shape, int(i))
        if len(seen) == _SHOWN:
            break
    return tuple(miss(base, judged, i) for i in seen.values()) + _too_large(base, judged)


def missed_in_simulation(base: Scenario, proofs: Proofs | None) -> tuple[Rejected, ...]:
    """Up to three candidates that the closed form would take and simulations do not, nearest first."""
    if proofs is None:
        return ()
    out = []
    for d, proof in proofs.missed[:_SIMULATED]:
        words, broken = _simulated_words(base, proof)
        label = deployment_label(replace(base, deployment=d))
        out.append(
            Rejected(d, label, f"meets the targets in {proof.met} of {proof.runs} simulated runs: {words}", broken)
        )
    return tuple(out)


def nothing_holds(base: Scenario, d: Deployment, proof: Proof, untried: int) -> str:
    """That what the closed form would take does not hold in simulation, with the nearest."""
    words, _ = _simulated_words(base, proof)
    label = sentence(deployment_label(replace(base, deployment=d)))
    asked = slo_label(base) or load_label(base)
    return (
        f"No deployment on {hardware_label(base)} meets {asked} in nine of ten simulated runs. The closest, "
        f"{label}, does in {proof.met} of {proof.runs}: {words}."
        + (f" {untried} candidates further down were not simulated." if untried else "")
    )


def _simulated_words(base: Scenario, proof: Proof) -> tuple[str, Violation | None]:
    """The bounds that runs break, with the median and the highest of each."""
    words, worst = [], None
    for key, limit in base.slo:
        low, high = proof.ranges.get(SLO.metric(key), (0.0, float("inf")))
        middle = proof.metrics.get(SLO.metric(key), float("nan"))
        if high <= limit:
            continue
        between = f"{bound_value(key, low)} to {bound_value(key, high)}"
        above = f", {_percent(middle / limit - 1)} above" if middle > limit else " against"
        words.append(f"{bound_name(key)} {bound_value(key, middle)} ({between}){above} {bound_value(key, limit)}")
        if worst is None or high / limit > worst.over:
            worst = Violation(key, middle, limit, high / limit)
    return ", ".join(words) or "its load is not carried", worst


@dataclass(slots=True)
class _Shapes:
    """What two deployments have in common that read the same but for the limits of a step and the format of the cache;
    labels are made once."""

    base: Scenario
    labels: dict[tuple[str, Formats], str] = field(default_factory=dict)

    def __call__(self, d: Deployment) -> tuple[object, ...]:
        key = d.runtime.engine, d.formats
        if key not in self.labels:
            self.labels[key] = formats_label(replace(self.base, deployment=d)).partition(" + ")[0]
        return d.runtime.engine, d.split, d.cluster.replicas, self.labels[key]


def closest(judged: Judged) -> int | None:
    """The candidate that breaks its bounds by least, of those that carry the load where any does: in a line without end
    every latency is missed. None when none fits."""
    carried = judged.fits & ~judged.overloaded
    rows = np.flatnonzero(carried if carried.any() else judged.fits)
    return int(rows[np.argmin(judged.worst[rows])]) if len(rows) else None


def miss(base: Scenario, judged: Judged, row: int) -> Rejected:
    """A rejected row with the bounds that it breaks in words."""
    d = judged.deployments[row]
    broken = violations(base, judged, row)
    label = deployment_label(replace(base, deployment=d))
    return Rejected(d, label, "; ".join(_words(base, judged, row, v) for v in broken), broken[0] if broken else None)


def _words(base: Scenario, judged: Judged, row: int, v: Violation) -> str:
    if v.bound != "rate":
        return (
            f"{bound_name(v.bound)} {bound_value(v.bound, v.got)}, {_percent(v.over - 1)} above "
            f"{bound_value(v.bound, v.limit)}"
        )
    m = judged.metrics
    text = f"serves {significant(v.got)} of {significant(v.limit)} requests/s"
    if v.got > 0.995 * v.limit:
        text = f"serves a little less than the {significant(v.limit)} requests/s that arrive: waits grow without end"
    room = float(m["max_running"][row])
    needed = v.limit * base.workload.mean_output_tokens * float(m["tpot_s_mean"][row])
    return (
        f"{text}; room for {room:,.0f} sequences, the load needs {needed:,.0f}" if round(needed) > round(room) else text
    )


def _percent(share: float) -> str:
    return f"{share * 100:,.0f} %" if share >= 0.01 else f"{share * 100:.1g} %"


def _engine(d: Deployment) -> tuple[object, ...]:
    return d.split, d.formats.weights


def _step(d: Deployment) -> int:
    return d.limits.max_num_batched_tokens + d.limits.max_num_seqs


def _too_large(base: Scenario, judged: Judged) -> tuple[Rejected, ...]:
    """For each weight format: the largest engine that does not hold one sequence whatever its limits."""
    largest: dict[str | None, Deployment] = {}
    held = {_engine(judged.deployments[i]) for i in np.flatnonzero(judged.fits)}
    for i in np.flatnonzero(~judged.fits):
        d = judged.deployments[i]
        if _engine(d) in held:
            continue
        old = largest.get(d.formats.weights)
        if old is None or (d.split.devices_per_replica, -_step(d)) > (old.split.devices_per_replica, -_step(old)):
            largest[d.formats.weights] = d
    out = []
    length = float(judged.length[0])
    for d in sorted(largest.values(), key=lambda d: -d.split.devices_per_replica)[:2]:
        reason = does_not_fit(base.model, base.hardware, d, length).removeprefix("does not fit: ")
        label = f"{formats_label(replace(base, deployment=d))} {split_label(d.changed(replicas=1))}"
        out.append(Rejected(d, label, reason, Violation("memory", 0.0, 1.0, float("inf"))))
    return tuple(out)
