"""The search: every candidate priced at once in closed form, judged against the targets, ranked and explained.

    candidates ─ evaluate (arrays) ─▶ fits? sustains the load? meets the SLO? ─▶ rank by the objective ─▶ prove ─▶ Plan

Where the scenario names no engine, the candidates are those of every engine that serves the model.  In max-throughput
the engines are taken in their steady state: an opening burst of all users would be the client's doing, not the
deployment's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Final

import numpy as np

from rooflab.deploy.bill import bill
from rooflab.deploy.complete import resident_tokens
from rooflab.deploy.context import beyond_context
from rooflab.deploy.host_split import chooses_by_itself, with_host_split
from rooflab.deploy.runs_on import runs_elsewhere
from rooflab.errors import Infeasible, InputError, RooflabError
from rooflab.estimator.serving.engines import evaluate
from rooflab.launch.label import deployment_label, sentence, slo_label
from rooflab.memory.account import account
from rooflab.planner.change import limit_of, nothing_meets, sensitivity, with_reasons
from rooflab.planner.engines import at_home, engines_for
from rooflab.planner.front import cloud, front
from rooflab.planner.judge import Judged, judge, means_meet
from rooflab.planner.objective import Objective, objective
from rooflab.planner.order import as_simulated, best_of_each_shape, rank
from rooflab.planner.proof import Proofs, confirm
from rooflab.planner.proof import prove as prove_all
from rooflab.planner.reject import missed_in_simulation, near_misses
from rooflab.planner.result import Choice, Plan
from rooflab.planner.space import Space, engine_shape, fill_replicas, fill_sequences, quality, shape, space_of
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.offload import Offload
from rooflab.scenario.scenario import Scenario
from rooflab.units import significant

__all__ = ["Field", "check", "judged_field", "plan"]


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
    """The best deployments of a scenario under its service levels, of every engine that serves it where it names none.

    `minimise` or `maximise` names the objective (default: USD per million tokens, or throughput per GPU without a
    price). `fixed`: deployment fields that stay although they have their default.  `quantise` allows 4-bit weights,
    `formats` names the weight formats to try.  `top` choices are ranked, of at most `limit` candidates.
    `explain=False` leaves out reasons and sensitivity; with `prove` only what holds in simulation is a choice
    (`rooflab.planner.proof`).  Raises InputError for impossible fields; a plan that nothing
    meets has no choices and says why.
    """
    check(scenario)
    money = bill(scenario.hardware)
    target = objective(minimise, maximise, priced=money.usd_per_device_hour > 0, generates=_generates(scenario))
    options: dict[str, Any] = {"fixed": fixed, "quantise": quantise, "formats": formats, "limit": limit}
    field = judged_field(scenario, target, options)
    if not field.judged.fits.any() and (desktop := _with_the_host(scenario)) is not None:
        # nobody leaves half of a model to the CPU where four bits of it fit: what that costs in quality is said
        field = judged_field(desktop, target, options | {"quantise": True})
    base, judged = field.base, field.judged
    order = rank(base, judged, target)
    shapes = best_of_each_shape(judged, order)
    ranked = _apart(base, [judged.deployments[i] for i in shapes])
    open_ended = base.workload.mode == "max-throughput"
    proofs = _proofs(base, judged, target, top) if prove and _simulated(base) else None
    ranked = _confirmed(base, proofs, target) if proofs else ranked
    choices = _choices(base, _first(ranked, engine_shape)[:top], proofs)
    metric = "tpot_s_p99" if _generates(base) else "e2e_s_mean"
    rejected = missed_in_simulation(base, proofs) + near_misses(base, judged, target, proofs)
    plan_ = Plan(
        scenario=base, objective=target, choices=choices,
        by_devices=_choices(base, _by_count(base, ranked, open_ended=open_ended), proofs),
        front=_choices(base, front(judged, order.tolist() if open_ended else shapes, target, metric)),
        rejected=rejected, points=cloud(base, judged, shapes, metric, shape, per_gpu=_rate(base)),
        latency_metric=metric, limit=limit_of(choices), sensitivity=(),
        considered=field.considered, feasible=len(order),
        message=_sentence(base, target, choices)
        if choices
        else nothing_meets(base, judged, proofs, fixed=fixed, quantise=quantise),
        price_source=base.hardware.sources.get("usd_per_device_hour", money.price_source),
    )  # fmt: skip
    if not explain or not choices:
        return plan_
    return replace(
        plan_, choices=with_reasons(base, judged, proofs, target, choices), sensitivity=sensitivity(choices[0], target)
    )


@dataclass(frozen=True, slots=True)
class Field:
    """What was priced: a scenario whose engine is the usual one, the candidates of all engines, how many there are."""

    base: Scenario
    judged: Judged
    considered: int

    def joined(self, other: Field) -> Field:
        """Both sets of candidates."""
        return Field(self.base, self.judged.joined(other.judged), self.considered + other.considered)


def judged_field(scenario: Scenario, target: Objective, options: dict[str, Any]) -> Field:
    """The candidates of the scenario's engine, or else of each that serves it, judged. Raises the first error where no
    engine has any."""
    named = scenario.deployment.runtime.engine
    engines = (named,) if named else engines_for(scenario.model, scenario.hardware)
    most = max(options["limit"] // len(engines), 1)
    found: list[Field] = []
    errors: list[RooflabError] = []
    for engine in engines:
        try:
            found.append(_of_one(scenario.with_deployment(engine=engine), target, options | {"limit": most}))
        except RooflabError as error:
            errors.append(error)
    if not found:
        raise errors[0]
    return reduce(Field.joined, found)


def _of_one(scenario: Scenario, target: Objective, options: dict[str, Any]) -> Field:
    base = _steady(scenario)
    space = space_of(base, **options)
    base = replace(base, deployment=space.base)
    judged = judge(base, _with_host_splits(base, _worth_pricing(base, space)))
    return Field(base, _between(base, judged, target, space), len(space))


def _simulated(base: Scenario) -> bool:
    """Whether a plan's load can be run event by event: tokens of its own requests, not a trace known by its rate."""
    return base.model.kind == "decoder" and base.workload.mode != "trace"


_NEARLY: Final = 1.4
"""How far beyond a target the closed form may think a candidate that is simulated all the same."""
_RUNS: Final = 10
_MOST: Final = 24
"""Simulations of a candidate, and candidates that are simulated at most."""
_DOUBTED: Final = 4
"""Candidates whose means alone meet the targets that are simulated among the others: the closed form's tails are the
least sure of its figures."""


def _proofs(base: Scenario, judged: Judged, target: Objective, top: int) -> Proofs:
    """The best of each shape, and what the closed form puts just out of reach, in the order of the objective; where
    none of them holds, those whose means meet the targets, nearest first."""
    within = judged.fits & ~judged.overloaded
    likely = within & (judged.worst <= _NEARLY)
    order = rank(base, replace(judged, feasible=likely | (within & means_meet(base, judged))), target)
    row_of = {judged.deployments[i]: i for i in best_of_each_shape(judged, order)}
    candidates = _engines_first(_apart(base, list(row_of)))
    doubted = [d for d in candidates if not likely[row_of[d]]]
    later = sorted(doubted[_DOUBTED:], key=lambda d: float(judged.worst[row_of[d]]))
    first = [d for d in candidates if d not in set(later)]
    proofs = prove_all(base, first, target, wanted=top, runs=_RUNS, most=max(_MOST, top))
    if later and not proofs.held:
        more = prove_all(base, later, target, wanted=top, runs=_RUNS, most=_MOST)
        proofs.found |= more.found
        proofs.untried += more.untried
    return proofs


def _confirmed(base: Scenario, proofs: Proofs, target: Objective) -> list[Deployment]:
    """Those that hold, best first, where the first holds beyond doubt."""
    while True:
        ranked = as_simulated(base, proofs.found, target)
        if not ranked or not proofs.found[ranked[0]].doubtful:
            return ranked
        confirm(base, proofs, ranked[0], target)


def _engines_first(deployments: list[Deployment]) -> list[Deployment]:
    """The best of each engine, then the others: an engine that the closed form puts behind another may be before it."""
    first = _first(deployments, lambda d: d.runtime.engine)
    return [d for d in deployments if d in first] + [d for d in deployments if d not in first]


def _apart(base: Scenario, deployments: list[Deployment]) -> list[Deployment]:
    """Without those that another is in other words: a cache in the format that the engine takes by itself."""
    return _first(deployments, lambda d: deployment_label(replace(base, deployment=d)))


def _first(deployments: list[Deployment], key: Callable[[Deployment], Hashable]) -> list[Deployment]:
    """The first deployment of each key."""
    found: dict[Hashable, Deployment] = {}
    for d in deployments:
        found.setdefault(key(d), d)
    return list(found.values())


def _rate(base: Scenario) -> str:
    return "output_tokens_per_s_per_gpu" if _generates(base) else "requests_per_s_per_gpu"


def _with_the_host(scenario: Scenario) -> Scenario | None:
    """The same with llama.cpp and what does not fit left to the host, where no engine is asked for and the machine is
    one that people do so on: one device in a desktop or laptop."""
    d, hardware = scenario.deployment, scenario.hardware
    free = not d.runtime.engine and d.runtime.offload is None
    if not (
        free
        and at_home(hardware)
        and scenario.model.kind == "decoder"
        and any(t.name == "dram" for t in hardware.tiers)
    ):
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


def check(scenario: Scenario) -> None:
    """Refuse what no plan can be made for. Raises InputError, Infeasible for requests beyond the model's context."""
    if scenario.workload.mode == "trace" and not scenario.workload.rate:
        raise InputError("a plan needs the trace's mean rate; add rate", "workload")
    if too_long := beyond_context(scenario):
        raise Infeasible(too_long)
    if why := runs_elsewhere(scenario.deployment.runtime.engine, scenario.hardware.device):
        raise InputError(why, "deployment.engine")
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


_ROUNDS: Final = 3
"""How often counts of replicas are filled in: 32 between two that were tried, then what is between those."""


def _between(base: Scenario, judged: Judged, target: Objective, space: Space) -> Judged:
    """Also the values between those tried: sequences of an open-ended load, replicas where they were thinned."""
    tried = {n for _, counts in space.splits for n in counts}
    if base.workload.mode == "max-throughput":
        several = len({seqs for seqs, _, _ in space.limits}) > 1
        more = fill_sequences(_best(base, judged, target)) if several else []
        return judged.joined(judge(base, more)) if more else judged
    if not tried or max(tried) <= len(tried):
        return judged
    for _ in range(_ROUNDS):
        counts: dict[tuple[Any, ...], set[int]] = {}
        for d in judged.deployments:
            counts.setdefault(engine_shape(d), set()).add(d.cluster.replicas or 1)
        best = _best(base, judged, target)
        more = [d for one in best for d in fill_replicas([one], counts[engine_shape(one)])]
        if not more:
            break
        judged = judged.joined(judge(base, more))
    return judged


def _best(base: Scenario, judged: Judged, target: Objective) -> list[Deployment]:
    return [judged.deployments[i] for i in best_of_each_shape(judged, rank(base, judged, target))[:32]]


def _choices(base: Scenario, deployments: Sequence[Deployment], proofs: Proofs | None = None) -> tuple[Choice, ...]:
    if not deployments:
        return ()
    estimates = evaluate([base] * len(deployments), deployments)
    out: list[Choice] = []
    for e in estimates:
        if isinstance(e, RooflabError):
            raise Infeasible(str(e))
        proof = None if proofs is None else proofs.found.get(deployments[len(out)])
        answers = quality(base, e.scenario.deployment)
        out.append(Choice(rank=len(out) + 1, estimate=e, quality=answers, proof=proof))
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
    value = significant(float(choices[0].seen[target.metric]))
    meets = f", within {slo_label(base)}" if base.slo else ""
    devices = choices[0].devices
    return (
        f"{sentence(choices[0].label)} on {devices} {'device' if devices == 1 else 'devices'}: {value} "
        f"{target.unit}{meets}."
    )
