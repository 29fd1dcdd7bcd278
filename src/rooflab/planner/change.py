"""What would change the answer: more load, other lengths, looser targets, more devices, smaller formats."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace
from typing import Any, Final

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
from rooflab.planner.judge import Judged, judge, judge_rows, violations
from rooflab.planner.objective import Objective
from rooflab.planner.proof import Proof, Proofs
from rooflab.planner.reject import closest, miss, nothing_holds
from rooflab.planner.result import Choice, Limit, Shift
from rooflab.planner.space import space_of
from rooflab.planner.why import reasons
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.lengths import Lengths
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.workload import Workload
from rooflab.units import significant

__all__ = ["limit_of", "nothing_meets", "scaled_load", "sensitivity", "with_reasons"]

_MORE = tuple(round(1.05**k, 3) for k in range(1, 48))
"""Factors on the load at which a choice is tried: 5 % steps to about ten times."""


def limit_of(choices: tuple[Choice, ...]) -> Limit | None:
    """The bandwidth, arithmetic or link bound of the best choice's own work."""
    if not choices:
        return None
    m = choices[0].metrics
    per_gpu, ratio = float(m["limit_output_tokens_per_s_per_gpu"]), float(m["limit_ratio"])
    if not per_gpu > 0:
        per_gpu = float(m["requests_per_s_per_gpu"]) / ratio if ratio else math.nan
        return Limit(per_gpu, ratio, f"the same work at datasheet peaks takes {ratio * 100:.0f} % of the time")
    busy = min(float(m["utilisation"]), 1.0)
    text = (
        f"{significant(per_gpu)} tok/s/GPU if each step ran at datasheet peaks; it reaches {ratio * 100:.0f} % of that"
    )
    return Limit(per_gpu, ratio, f"{text}, at {busy * 100:.0f} % load" if busy < 0.995 else text)


_LOADS: Final = ("rate", "burst", "concurrency", "batch")
"""Fields of a workload that say how much is asked for; the first that is given does."""


def scaled_load(workload: Workload, factor: float) -> Workload | None:
    """The workload with `factor` times the load; None where the load is open-ended."""
    if workload.rate is not None:
        return replace(workload, rate=workload.rate * factor)
    if workload.burst is not None:
        return replace(workload, burst=max(round(workload.burst * factor), 1))
    if workload.concurrency is not None:
        return replace(workload, concurrency=max(round(workload.concurrency * factor), 1))
    if workload.batch is not None:
        return replace(workload, batch=max(round(workload.batch * factor), 1))
    return None


def scaled_lengths(lengths: Lengths, factor: float) -> Lengths:
    """The distribution stretched by `factor`."""
    table = tuple(x * factor for x in lengths.table)
    return replace(
        lengths, mean=lengths.mean * factor, low=lengths.low * factor, high=lengths.high * factor, table=table
    )


def sensitivity(best: Choice, target: Objective) -> tuple[Shift, ...]:
    """The best deployment under 20 % less and more load, prompt length and output length; nothing where the closed form
    does not see that it meets the targets now."""
    if best.estimate.meets():
        return ()
    s, w = best.scenario, best.scenario.workload
    variants: list[tuple[str, float, Workload]] = []
    for factor in (0.8, 1.2):
        load = scaled_load(w, factor)
        if load is not None and load != w:
            name = next(n for n in _LOADS if getattr(w, n) is not None)
            variants.append((name, factor, load))
        if not s.model.vision:
            variants.append(("isl", factor, replace(w, isl=scaled_lengths(w.isl, factor))))
        if s.model.kind in ("decoder", "encoder-decoder"):
            variants.append(("osl", factor, replace(w, osl=scaled_lengths(w.osl, factor))))
    if not variants:
        return ()
    variants.sort(key=lambda v: ([*_LOADS, "isl", "osl"].index(v[0]), v[1]))
    scenarios = [replace(s, workload=load) for _, _, load in variants]
    judged = judge_rows(scenarios, [s.deployment] * len(variants))
    now = float(best.metrics[target.metric])
    out = []
    for i, (name, factor, _) in enumerate(variants):
        value = float(judged.metrics[target.metric][i])
        out.append(
            Shift(name, factor, value, value / now - 1 if now else math.nan, violations(scenarios[i], judged, i))
        )
    return tuple(out)


def with_reasons(
    base: Scenario, judged: Judged, proofs: Proofs | None, target: Objective, choices: tuple[Choice, ...]
) -> tuple[Choice, ...]:
    """The choices with why each stands where it does and what would have to change."""
    rooms = _headroom(choices)
    why = reasons(base, judged, {} if proofs is None else proofs.found, target, choices)
    return tuple(
        replace(c, why=why[i], change=tuple(x for x in (rooms[i], _tightest(c)) if x)) for i, c in enumerate(choices)
    )


def _headroom(choices: tuple[Choice, ...]) -> list[str]:
    """For each choice: up to which load it holds, and what breaks then."""
    w = choices[0].scenario.workload
    loads = [scaled_load(w, f) for f in _MORE]
    if w.mode == "static" or any(x is None for x in loads) or not (w.rate or choices[0].scenario.slo):
        return ["" for _ in choices]
    scenarios, deployments = [], []
    for c in choices:
        for load in loads:
            assert load is not None
            scenarios.append(replace(c.scenario, workload=load))
            deployments.append(c.deployment)
    judged = judge_rows(scenarios, deployments)
    out = []
    for i in range(len(choices)):
        rows = range(i * len(loads), (i + 1) * len(loads))
        broken = next((r for r in rows if not judged.feasible[r]), None)
        out.append("" if choices[i].estimate.meets() else _until(scenarios, judged, rows, broken))
    return out


def _until(scenarios: list[Scenario], judged: Judged, rows: range, broken: int | None) -> str:
    def load(r: int) -> str:
        w = scenarios[r].workload
        if w.burst is not None:
            return f"a burst of {w.burst:,}"
        return f"{significant(w.rate)} requests/s" if w.rate is not None else f"{w.concurrency} users"

    if broken is None:
        return f"holds beyond {load(rows[-1])}"
    v = violations(scenarios[broken], judged, broken)[0]
    what = (
        "it no longer keeps up"
        if v.bound == "rate"
        else f"{bound_name(v.bound)} passes {bound_value(v.bound, v.limit)}"
    )
    return f"holds up to about {load(max(broken - 1, rows[0]))}; then {what}"


def _tightest(c: Choice) -> str:
    """The target nearest to its limit, as simulated where it was."""
    found = c.tightest
    if found is None:
        return ""
    key, got, limit = found
    return (
        f"tightest target: {bound_name(key)} {bound_value(key, got)} of {bound_value(key, limit)} "
        f"({got / limit * 100:.0f} %)"
    )


def nothing_meets(
    base: Scenario, judged: Judged, proofs: Proofs | None, *, fixed: Collection[str], quantise: bool
) -> str:
    """Why nothing will do: the bound that the closest candidate breaks, by how much, and the smallest changes that
    would do."""
    row = closest(judged)
    if row is None:
        largest = max(judged.deployments, key=lambda d: d.split.devices_per_replica)
        text = does_not_fit(base.model, base.hardware, largest, float(judged.length[0]))
        return f"{text} (the largest of {len(judged.deployments):,} candidates)"
    if proofs is not None and proofs.missed:
        d, proof = proofs.missed[0]
        text = nothing_holds(base, d, proof, proofs.untried)
        looser, least = _looser_than(base, proof), 1
    else:
        d, near = judged.deployments[row], miss(base, judged, row)
        asked = slo_label(base) or load_label(base)
        text = (
            f"No deployment on {hardware_label(base)} meets {asked}. The closest, {sentence(near.label)}: "
            f"{near.reason}."
        )
        looser, least = _looser(base, judged, row), 0
    less = _less_load(base, judged, least)
    options = {"fixed": fixed, "limit": 3000}
    like = base.with_deployment(engine=d.runtime.engine)
    changes = [looser, less, _more_devices(like, options | {"quantise": quantise}, hopeless=not less)]
    if not quantise:
        changes.append(_smaller(like, options))
    found = [c for c in changes if c]
    return (
        f"{text} What would do: {'; or '.join(found)}."
        if found
        else f"{text} Neither less load nor more devices nor a smaller format helps."
    )


def _looser_than(base: Scenario, proof: Proof) -> str:
    """Targets that every simulated run would have met."""
    highest = {key: proof.ranges.get(base.slo.metric(key), (0.0, math.inf))[1] for key, _ in base.slo}
    missed = [key for key, limit in base.slo if highest[key] > limit]
    if not all(math.isfinite(highest[key]) for key in missed):
        return ""
    return " and ".join(f"{bound_name(key)} ≤ {bound_value(key, _up(highest[key]))}" for key in missed)


def _looser(base: Scenario, judged: Judged, row: int) -> str:
    if judged.overloaded[row]:
        return ""
    broken = violations(base, judged, row)
    return " and ".join(f"{bound_name(v.bound)} ≤ {bound_value(v.bound, _up(v.got))}" for v in broken)


def _up(value: float) -> float:
    """`value` rounded up to two digits."""
    digits = math.floor(math.log10(value)) - 1
    step = 10.0**digits
    return math.ceil(value / step - 1e-9) * step


def _less_load(base: Scenario, judged: Judged, least: int) -> str:
    """The largest share of the load that these devices carry within the targets, `least` (1: less than all of it)
    coarse steps down."""
    if base.workload.mode in ("static", "max-throughput"):
        return ""
    rows = _sample(judged)
    coarse = _carried(base, rows, [0.95 ** (8 * k) for k in range(least, 12)])
    if coarse is None:
        return ""
    factor = _carried(base, rows, [coarse / 0.95**k for k in range(7, -1, -1)])
    load = scaled_load(base.workload, coarse if factor is None else factor)
    assert load is not None
    return f"a load of {load_label(replace(base, workload=load)).split(',')[0]}"


def _sample(judged: Judged) -> list[Deployment]:
    """A few limits of each shape that uses more than half of the devices in question."""
    shapes: dict[tuple[Any, ...], list[Deployment]] = {}
    fitting = [judged.deployments[i] for i in np.flatnonzero(judged.fits)]
    widest = max(d.devices for d in fitting)
    for d in fitting:
        if d.devices > widest // 2:
            shapes.setdefault((d.split, d.formats, d.cluster.replicas), []).append(d)
    return [d for same in shapes.values() for d in same[:: max(len(same) // 4, 1)]]


def _carried(base: Scenario, deployments: list[Deployment], factors: list[float]) -> float | None:
    """The first of `factors` on the load at which one of `deployments` meets everything; None when none does."""
    scenarios: list[Scenario] = []
    for factor in factors:
        load = scaled_load(base.workload, factor)
        assert load is not None
        scenarios += [replace(base, workload=load)] * len(deployments)
    feasible = judge_rows(scenarios, deployments * len(factors)).feasible
    each = len(deployments)
    return next((f for k, f in enumerate(factors) if feasible[k * each : (k + 1) * each].any()), None)


def _more_devices(base: Scenario, options: dict[str, Any], *, hopeless: bool) -> str:
    """The fewest devices that do, of up to 8 times as many; not asked where even a trickle of load misses the targets
    at every split."""
    hardware = base.hardware
    if "replicas" in options["fixed"] or base.deployment.cluster.replicas:
        return ""
    for times in (2, 4, 8):
        # without load to share, further devices only widen an engine, and that ends at a few hosts
        if hopeless and hardware.count * times > 2 * hardware.devices_per_host:
            break
        wider = replace(base, hardware=replace(hardware, count=hardware.count * times))
        found = judge(wider, list(space_of(wider, **options)))
        rows = [i for i in np.flatnonzero(found.feasible) if found.deployments[i].devices > hardware.count]
        if rows:
            d = min((found.deployments[i] for i in rows), key=lambda d: d.devices)
            return f"{d.devices} devices ({formats_label(replace(base, deployment=d))} {split_label(d)})"
    return ""


def _smaller(base: Scenario, options: dict[str, Any]) -> str:
    space = space_of(base, quantise=True, **options)
    wanted = tuple(w for w in space.weights if w not in space_of(base, **options).weights)
    if not wanted:
        return ""
    found = judge(base, list(replace(space, weights=wanted)))
    rows = np.flatnonzero(found.feasible)
    if not len(rows):
        return ""
    d = min((found.deployments[i] for i in rows), key=lambda d: d.devices)
    return f"4-bit weights, at an unknown cost in quality ({sentence(deployment_label(replace(base, deployment=d)))})"
