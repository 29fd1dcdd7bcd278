"""The search: every candidate priced at once in closed form, judged against the targets, ranked and explained.

    candidates ─ evaluate (arrays) ─▶ fits? sustains the load? meets the SLO? ─▶ rank by the objective ─▶ Plan

A change of formats has an unknown cost in quality, so it must win 3 % to be preferred.  Equal objectives are broken in
this order: no change of quality, more served where the load is open-ended, no pipeline stages, headroom to the tightest
target (or latency), nearness to the engine's default limits.  In max-throughput the engines are taken in their
steady state: an opening burst of all users would be the client's doing, not the deployment's.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.deploy.bill import bill
from rooflab.deploy.complete import resident_tokens
from rooflab.deploy.context import beyond_context
from rooflab.deploy.host_split import chooses_by_itself, with_host_split
from rooflab.errors import Infeasible, InputError, RooflabError
from rooflab.estimator.serving.answer import Estimate
from rooflab.estimator.serving.engines import evaluate
from rooflab.launch.label import SCHEDULING, deployment_label, sentence, slo_label
from rooflab.memory.account import account
from rooflab.planner.change import limit_of, nothing_meets, sensitivity, with_reasons
from rooflab.planner.front import cloud, front
from rooflab.planner.judge import Judged, judge
from rooflab.planner.objective import Objective, objective
from rooflab.planner.proof import Proofs
from rooflab.planner.proof import prove as prove_all
from rooflab.planner.reject import missed_in_simulation, near_misses, nothing_holds
from rooflab.planner.result import Choice, Plan
from rooflab.planner.space import Space, fill_replicas, fill_sequences, quality, space_of
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.formats import Formats
from rooflab.scenario.offload import Offload
from rooflab.scenario.scenario import Scenario
from rooflab.units import significant

__all__ = ["QUALITY_WORTH", "plan"]

Array = npt.NDArray[np.float64]

QUALITY_WORTH: Final = 0.03
"""What each change of formats must gain in the objective to be preferred; a choice of ours, where no quality cost is
known."""


def plan(
    scenario: Scenario,
    *,
    minimise: str | None = None,
    maximise: str | None = None,
    fixed: Collection[str] = (),
    quantise: bool = False,
    formats: Sequence[str] | None = None,
    top: int = 8,
    limit: int = 20_000,
    explain: bool = True,
    prove: bool = False,
) -> Plan:
    """The best deployments of a scenario under its service levels.

    `minimise` or `maximise` names the objective (default: USD per million tokens, or throughput per GPU without a
    price). `fixed`: deployment fields that stay although they have their default.  `quantise` allows 4-bit weights,
    `formats` names the weight formats to try.  `top` choices are ranked, of at most `limit` candidates.
    `explain=False` leaves out reasons and sensitivity; with `prove` only what holds in simulation is a choice
    (`rooflab.planner.proof`).  Raises InputError for impossible fields; a plan that nothing
    meets has no choices and says why.
    """
    base = _steady(scenario)
    _check(base)
    money = bill(base.hardware)
    target = objective(minimise, maximise, priced=money.usd_per_device_hour > 0, generates=_generates(base))
    space = space_of(base, fixed=fixed, quantise=quantise, formats=formats, limit=limit)
    base = replace(base, deployment=space.base)
    judged = judge(base, _with_host_splits(base, _worth_pricing(base, space)))
    if not judged.fits.any() and (desktop := _with_the_host(scenario)) is not None:
        kept: dict[str, Any] = {"fixed": fixed, "quantise": quantise, "formats": formats, "top": top, "limit": limit}
        return plan(desktop, minimise=minimise, maximise=maximise, explain=explain, prove=prove, **kept)
    judged = _between(base, judged, target, space)
    order = rank(base, judged, target)
    shapes = _best_of_each_shape(judged, order)
    ranked = _apart(base, [judged.deployments[i] for i in shapes])
    if open_ended := base.workload.mode == "max-throughput":  # one engine more or less is the same choice
        ranked = list({_shape(d.changed(replicas=1)): d for d in reversed(ranked)}.values())[::-1]
    proofs = _proofs(base, judged, target, top) if prove and _simulated(base) else None
    ranked = proofs.held if proofs else ranked
    choices = _choices(base, ranked[:top], proofs)
    by_devices = _choices(base, _by_count(base, ranked, open_ended=open_ended))
    metric = "tpot_s_p99" if _generates(base) else "e2e_s_mean"
    best_trades = _choices(base, front(judged, order.tolist() if open_ended else shapes, target, metric))
    points = cloud(base, judged, shapes, metric, _shape, per_gpu=_rate(base))
    rejected = missed_in_simulation(base, proofs) + near_misses(base, judged, target)
    message = _sentence(base, target, choices) if choices else nothing_holds(base, proofs)
    message = message or nothing_meets(base, judged, rejected, fixed=fixed, quantise=quantise)
    plan_ = Plan(
        scenario=base, objective=target, choices=choices, by_devices=by_devices, front=best_trades, rejected=rejected,
        points=points, latency_metric=metric, limit=limit_of(choices), sensitivity=(),
        considered=len(space), feasible=len(order), message=message,
        price_source=base.hardware.sources.get("usd_per_device_hour", money.price_source),
    )  # fmt: skip
    if not explain or not choices:
        return plan_
    return replace(
        plan_, choices=with_reasons(base, judged, target, choices), sensitivity=sensitivity(choices[0], target)
    )


def _simulated(base: Scenario) -> bool:
    """Whether a plan's load can be run event by event: tokens of its own requests, not a trace known by its rate."""
    return base.model.kind == "decoder" and base.workload.mode != "trace"


_NEARLY: Final = 1.4
"""How far beyond a target the closed form may think a candidate that is simulated all the same."""
_RUNS: Final = 10
_MOST: Final = 24
"""Simulations of a candidate, and candidates that are simulated at most."""


def _proofs(base: Scenario, judged: Judged, target: Objective, top: int) -> Proofs:
    """The best of each shape, and what the closed form puts just out of reach, in the order of the objective."""
    nearly = replace(judged, feasible=judged.fits & ~judged.overloaded & (judged.worst <= _NEARLY))
    shapes = _best_of_each_shape(judged, rank(base, nearly, target))
    candidates = _apart(base, [judged.deployments[i] for i in shapes])
    return prove_all(base, candidates, target, wanted=top, runs=_RUNS, most=max(_MOST, top))


def _apart(base: Scenario, deployments: list[Deployment]) -> list[Deployment]:
    """Without those that another is in other words: a cache in the format that the engine takes by itself."""
    return list({deployment_label(replace(base, deployment=d)): d for d in reversed(deployments)}.values())[::-1]


def _rate(base: Scenario) -> str:
    return "output_tokens_per_s_per_gpu" if _generates(base) else "requests_per_s_per_gpu"


def _with_the_host(scenario: Scenario) -> Scenario | None:
    """The same with llama.cpp and what does not fit left to the host, where no engine is asked for and the machine is
    one that people do so on: one device in a desktop or laptop."""
    d, hardware = scenario.deployment, scenario.hardware
    free = not d.runtime.engine and d.runtime.offload is None
    at_home = (
        hardware.count == 1 and hardware.device.kind == "gpu" and hardware.host in ("desktop", "laptop", "machine")
    )
    if not (free and at_home and scenario.model.kind == "decoder" and any(t.name == "dram" for t in hardware.tiers)):
        return None
    return scenario.with_deployment(engine="llamacpp", offload=Offload(weights="dram"))


def _with_host_splits(base: Scenario, deployments: list[Deployment]) -> list[Deployment]:
    """The deployments with what the CPU computes chosen, where their engine chooses it."""
    if not chooses_by_itself(base.deployment):
        return deployments
    length, cross = resident_tokens(base.model, base.workload)
    return list(dict.fromkeys(with_host_split(base.model, base.hardware, d, length, cross) for d in deployments))


def _steady(scenario: Scenario) -> Scenario:
    return scenario.with_workload(start="staggered") if scenario.workload.mode == "max-throughput" else scenario


def _generates(scenario: Scenario) -> bool:
    return scenario.model.kind in ("decoder", "encoder-decoder") and scenario.workload.mean_output_tokens > 1


def _check(scenario: Scenario) -> None:
    if scenario.workload.mode == "trace" and not scenario.workload.rate:
        raise InputError("a plan needs the trace's mean rate; add rate", "workload")
    if too_long := beyond_context(scenario):
        raise Infeasible(too_long)
    if scenario.deployment.cluster.pools:
        raise InputError("a plan chooses engines of one kind; leave pools out, or simulate them", "deployment.pools")
    for key, _ in scenario.slo:
        if key.startswith("tpot") and not _generates(scenario):
            raise InputError(
                "there is no time per output token without generated tokens; use ttft or e2e", f"slo.{key}"
            )


def _worth_pricing(base: Scenario, space: Space) -> list[Deployment]:
    """The candidates of engines that hold a sequence with the smallest limits; of each other engine one, to say why it
    does not."""
    deployments = list(space)
    smallest: dict[tuple[Any, ...], Deployment] = {}
    for d in deployments:
        engine = (d.split, d.formats)
        old = smallest.get(engine)
        if old is None or (d.limits.max_num_seqs, d.limits.max_num_batched_tokens) < (
            old.limits.max_num_seqs,
            old.limits.max_num_batched_tokens,
        ):
            smallest[engine] = d
    length, cross = resident_tokens(base.model, base.workload)
    room = account(base.model, base.hardware, list(smallest.values())).sequences(np.array([length]), cross)
    held = {engine for engine, n in zip(smallest, room, strict=True) if n >= 1.0}
    return [d for d in deployments if (e := (d.split, d.formats)) in held or d is smallest[e]]


def rank(base: Scenario, judged: Judged, target: Objective) -> npt.NDArray[np.intp]:
    """Rows that meet everything, best first."""
    rows = np.flatnonzero(judged.feasible)
    m = judged.metrics
    cost = target.cost(m[target.metric][rows])
    rows, cost = rows[np.isfinite(cost)], cost[np.isfinite(cost)]
    if not len(rows):
        return rows
    changes = np.array([_changes(q) for q in _qualities(base, judged, rows)])
    worth = np.log1p(QUALITY_WORTH) * changes
    # the logarithm falls with a throughput, whose cost is negative
    tied = np.round((np.sign(cost) * np.log(np.maximum(np.abs(cost), 1e-300)) + worth) * 1e6)
    open_ended = base.workload.mode == "max-throughput"
    served = (
        -np.round(np.log(np.maximum(m["requests_per_s"][rows], 1e-12)) * 1e3) if open_ended else np.zeros(len(rows))
    )
    slack = judged.worst[rows] if base.slo else np.log(np.maximum(m["e2e_s_mean"][rows], 1e-12))
    slack = np.round(np.where(np.isfinite(slack), slack, 1e9) * 10)  # a tenth apart is the same
    usual = np.array([_distance(judged.deployments[i]) for i in rows])
    staged = np.array([judged.deployments[i].split.pp > 1 for i in rows])
    return rows[np.lexsort((usual, slack, staged, served, changes, tied))]


def _changes(kept: str) -> int:
    """How many things a deployment changes about the model's answers."""
    return 0 if kept == "as the checkpoint" else kept.count(",") + 1


def _qualities(base: Scenario, judged: Judged, rows: npt.NDArray[np.intp]) -> list[str]:
    known: dict[Formats, str] = {}
    out = []
    for i in rows:
        d: Deployment = judged.deployments[i]
        if d.formats not in known:
            known[d.formats] = quality(base, d)
        out.append(known[d.formats])
    return out


def _distance(d: Deployment) -> float:
    """How far the limits are from the defaults that engines ship with, in octaves; whole prompts count as more of
    them."""
    if d.runtime.engine not in SCHEDULING:
        return float(d.limits.max_num_seqs)  # llama.cpp cuts its context into as many slots
    apart = abs(math.log2(d.limits.max_num_seqs / 256)) + abs(math.log2(d.limits.max_num_batched_tokens / 8192))
    return apart + (0.0 if d.limits.chunked_prefill else 4.0)


def _shape(d: Deployment) -> tuple[Any, ...]:
    return d.split, d.formats, d.cluster.replicas


def _best_of_each_shape(judged: Judged, order: npt.NDArray[np.intp]) -> list[int]:
    seen: dict[tuple[Any, ...], int] = {}
    for i in order:
        seen.setdefault(_shape(judged.deployments[i]), int(i))
    return list(seen.values())


def _between(base: Scenario, judged: Judged, target: Objective, space: Space) -> Judged:
    """Also the values between those tried: sequences of an open-ended load, replicas where they were thinned."""
    shapes = _best_of_each_shape(judged, rank(base, judged, target))[:32]
    best = [judged.deployments[i] for i in shapes]
    tried = {n for _, counts in space.splits for n in counts}
    if base.workload.mode == "max-throughput":
        several = len({seqs for seqs, _, _ in space.limits}) > 1
        more = fill_sequences(best) if several else []
    elif tried and max(tried) > len(tried):
        more = fill_replicas(best, tried)
    else:
        return judged
    return judged.joined(judge(base, more)) if more else judged


def _choices(base: Scenario, deployments: Sequence[Deployment], proofs: Proofs | None = None) -> tuple[Choice, ...]:
    if not deployments:
        return ()
    estimates = evaluate([base] * len(deployments), deployments)
    out: list[Choice] = []
    for e in estimates:
        if isinstance(e, RooflabError):
            raise Infeasible(str(e))
        proof = None if proofs is None else proofs.found.get(deployments[len(out)])
        out.append(Choice(len(out) + 1, e, quality(base, e.scenario.deployment), proof=proof))
    return tuple(out)


def _by_count(base: Scenario, ranked: list[Deployment], *, open_ended: bool) -> list[Deployment]:
    """The best deployment for each number of devices, fewest first; engines of an open-ended load are as good on their
    own."""
    first: dict[int, Deployment] = {}
    for d in ranked:
        first.setdefault(d.devices, d)
    if open_ended and not base.deployment.cluster.replicas:
        for n in {1 << k for k in range(base.hardware.count.bit_length())} | {base.hardware.count}:
            fitting = [d for d in ranked if n % d.split.devices_per_replica == 0]
            if fitting:
                first[n] = fitting[0].changed(replicas=n // fitting[0].split.devices_per_replica)
    return [first[n] for n in sorted(first)]


def _sentence(base: Scenario, target: Objective, choices: tuple[Choice, ...]) -> str:
    best: Estimate = choices[0].estimate
    value = significant(float(best.metrics[target.metric]))
    meets = f", within {slo_label(base)}" if base.slo else ""
    devices = choices[0].devices
    return (
        f"{sentence(choices[0].label)} on {devices} {'device' if devices == 1 else 'devices'}: {value} "
        f"{target.unit}{meets}."
    )
