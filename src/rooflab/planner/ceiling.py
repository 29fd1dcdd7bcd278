"""The ceiling: what a scenario could gain at the most if one kind of work cost nothing, or half (Amdahl 1967).

    gain(work) = objective now / objective with that work free

The whole engine is asked again, with its overlaps, batches and queues (`rooflab.scenario.paid`): for money the plan is
made anew, since what becomes cheap moves the best deployment, and where requests come at a rate engines are filled to
the rate that they carry within the targets (`rooflab.planner.filled`); other objectives are of the deployment as it
stands, in closed form or by simulation.

Nobody has to take what is free: a step that is done sooner holds fewer sequences and may cost more joules a token, and
whoever minds pays as before.  So a gain is the best of paying all, half and nothing:

    1 ≤ halved ≤ free ≤ together        together: all kinds of work at once free

The gains do not add up and do not multiply to `together`: work that overlaps is worth nothing alone and all of it
together, work in the way of the same target is worth it once.  What holds for each pair is max(a, b) ≤ both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final

import numpy as np

from rooflab.deploy.bill import bill
from rooflab.deploy.complete import complete
from rooflab.errors import Infeasible, InputError, unknown
from rooflab.estimator.serving.front import estimate
from rooflab.launch.label import deployment_label
from rooflab.metrics.registry import METRICS
from rooflab.papers.compare import at_capacity, with_requests
from rooflab.planner import answers
from rooflab.planner.filled import Filled, Found
from rooflab.planner.objective import OBJECTIVES, Objective, objective
from rooflab.planner.replan import Replan
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.paid import WORK
from rooflab.scenario.scenario import Scenario

__all__ = ["FREE", "OBJECTIVE_NAMES", "Ceiling", "Headroom", "best_gain", "ceiling", "gain_of"]

Read = Callable[[Mapping[str, float]], float]
"""An objective while work counts in shares."""

_NAMES: Final = {
    "cost": "usd_per_mtok", "throughput": "output_tokens_per_s_per_gpu", "ttft": "ttft_s_p99", "tpot": "tpot_s_p99",
    "joules": "j_per_token", "grams": "gco2e_per_mtok",
}  # fmt: skip
OBJECTIVE_NAMES: Final = tuple(_NAMES)
_REQUESTS: Final = 500
"""Requests of a simulation, where the scenario names no number."""
_HALF: Final = 0.5
FREE: Final = 1e-6
"""Share of a kind of work that is free: a millionth, so that what is left when all of it is free has a size."""
_SEVERAL: Final = 2
_UNPAID: Final = ("joules", "idle_power")
"""Work that a plan's objective, money by the device-hour, is no part of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Headroom:
    """What one kind of work stands for: `free` and `halved`, times that the objective gets better (infinite where it
    becomes possible at all), `value` of it with the work free; where the plan is made anew `label` of the deployment
    that it moves to, and the fewest `devices` for the scenario's load (NaN elsewhere)."""

    work: str
    free: float
    halved: float
    value: float
    label: str = ""
    devices: float = math.nan

    def record(self) -> dict[str, Any]:
        """As plain JSON values."""
        numbers = ("free", "halved", "value", "devices")
        return {"work": self.work, "label": self.label} | {n: _plain(getattr(self, n)) for n in numbers}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """What `scenario` could gain in `objective`: `value` of it now (infinite: not possible now, `why` says why), each
    kind of work, and all of them `together`; `label` is the deployment. Of cost under a rate also `load`, the rate that
    one engine carries within the targets, and the fewest `devices` for the scenario's (NaN elsewhere). `asked` is how
    `bound` asks for several kinds of work free together."""

    scenario: Scenario
    objective: Objective
    how: str
    value: float
    label: str
    works: tuple[Headroom, ...]
    together: float
    load: float = math.nan
    devices: float = math.nan
    why: str = ""
    asked: Callable[[tuple[str, ...], float], float] = field(default=lambda *_: 1.0, repr=False, compare=False)

    def bound(self, works: Iterable[str]) -> tuple[float, float]:
        """Times better at the most with all of `works` free together, and halved: at least what each gives alone."""
        every = tuple(sorted(set(works)))
        if len(every) < _SEVERAL:
            return (self[every[0]].free, self[every[0]].halved) if every else (1.0, 1.0)
        # nobody has to take the room that there would be
        taken = [every, *([rest] if "memory" in every and (rest := tuple(w for w in every if w != "memory")) else [])]
        halved = max(*(self.asked(t, _HALF) for t in taken), *(self[w].halved for w in every))
        return max(*(self.asked(t, FREE) for t in taken), halved, *(self[w].free for w in every)), halved

    def __getitem__(self, work: str) -> Headroom:
        for w in self.works:
            if w.work == work:
                return w
        raise unknown("kind of work", work, WORK)

    def record(self) -> dict[str, Any]:
        """As plain JSON values; what is not finite is null."""
        numbers = ("value", "load", "devices", "together")
        return {
            "objective": self.objective.metric, "unit": self.objective.unit, "how": self.how, "deployment": self.label,
            "why": self.why, "works": [w.record() for w in self.works],
        } | {name: _plain(getattr(self, name)) for name in numbers}  # fmt: skip


def ceiling(scenario: Scenario, goal: str = "", *, simulated: bool = False) -> Ceiling:
    """The ceiling of `scenario`: of `goal` "cost" (the default where a price is known), "throughput" (of engines kept
    full; the default elsewhere), "ttft", "tpot" (99th percentiles), "joules" (a token), "grams" (CO2e a million
    tokens), or of any objective of a plan.

    Cost is that of the plan in closed form; other goals are of the deployment as it stands, by estimate, or `simulated`
    event by event. Raises InputError for an unknown goal, and what a plan, an estimate or a simulation does, but for
    what does not fit: then each kind of work says whether it would.
    """
    target = _target(scenario, goal)
    if scenario.deployment.cluster.pools:
        raise InputError("a ceiling is of engines of one kind; leave pools out", "deployment.pools")
    if target.metric.startswith("usd"):
        if simulated:
            raise InputError("cost is that of a plan; simulate throughput, ttft, tpot, joules or grams", "objective")
        return _of_plan(scenario, target)
    return _of_metric(scenario, target, simulated=simulated)


def best_gain(read: Read, works: Iterable[str], now: float, *, more: bool) -> float:
    """Times that an objective gets better with all of `works` free: the best of paying all, half and nothing."""
    every = tuple(works)
    return max(gain_of(now, read(dict.fromkeys(every, share)), more=more) for share in (_HALF, FREE))


def _target(scenario: Scenario, goal: str) -> Objective:
    if goal:
        name = _NAMES.get(goal, goal)
        if name not in OBJECTIVES:
            raise unknown("objective", goal, [*_NAMES, *OBJECTIVES], "objective")
        chosen = OBJECTIVES[name]
        direction = {"maximise" if chosen.more_is_better else "minimise": name}
        return objective(direction.get("minimise"), direction.get("maximise"), priced=_priced(scenario), generates=True)
    return objective(None, None, priced=_priced(scenario), generates=scenario.model.kind not in ("encoder", "vision"))


def _priced(scenario: Scenario) -> bool:
    return bill(scenario.hardware).usd_per_device_hour > 0


def gain_of(before: float, after: float, *, more: bool) -> float:
    """How many times better `after` is, 1 at the least: 1 where either is not known, infinite where it becomes
    possible or costs nothing; `more` is better."""
    worse, better = (before, after) if more else (after, before)
    if math.isnan(worse) or math.isnan(better) or worse == better:
        return 1.0
    return max(better / worse, 1.0) if worse > 0.0 else math.inf


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _of_plan(scenario: Scenario, target: Objective) -> Ceiling:
    if scenario.workload.mode in ("open", "trace") and target.metric == "usd_per_mtok":
        filled = Filled.of(scenario)
        return _moved(filled.base, target, filled.found)
    plan = Replan.of(scenario, target)
    return _moved(plan.field.base, target, plan.found)


def _moved(base: Scenario, target: Objective, found: Callable[..., Found]) -> Ceiling:
    """The ceiling of a plan that is made anew for each kind of work."""
    now = found({})

    @cache
    def one(work: str) -> Headroom:
        # of prompts that begin apart only what memory throws out is computed anew
        apart = work == "recomputation" and not base.workload.mean_reused_tokens
        if work in _UNPAID or (apart and one("memory").free == 1.0):
            return Headroom(work=work, free=1.0, halved=1.0, value=now.cost, devices=now.devices)
        free = found({work: FREE})
        gain = gain_of(now.cost, free.cost, more=False)
        # who does not come before what there is with the work free does not with half of it
        half = found({work: _HALF}, np.flatnonzero(free.costs < now.cost)) if gain > 1.0 else now
        halved = gain_of(now.cost, half.cost, more=False)
        best = min(free, half, now, key=lambda f: f.cost)
        label = "" if best.engine in (None, now.engine) else deployment_label(_with(base, best.engine))
        return Headroom(
            work=work, free=max(gain, halved), halved=halved, value=best.cost, label=label, devices=best.devices
        )

    works = tuple(one(w) for w in WORK)

    @cache
    def asked(every: tuple[str, ...], share: float) -> float:
        return gain_of(now.cost, found(dict.fromkeys(every, share)).cost, more=False)

    chosen = base if now.engine is None else _with(base, now.engine)
    return Ceiling(
        scenario=chosen, objective=target, how="plan", value=now.cost, works=works, load=now.rate, devices=now.devices,
        label="" if now.engine is None else deployment_label(chosen),
        together=max(asked(WORK, FREE), *(w.free for w in works)), asked=asked,
        why="" if now.engine is not None else "nothing meets the targets, whatever the load",
    )  # fmt: skip


def _with(base: Scenario, d: Deployment | None) -> Scenario:
    return base if d is None else replace(base, deployment=d)


def _of_metric(scenario: Scenario, target: Objective, *, simulated: bool) -> Ceiling:
    asked = _asked(scenario, target, simulated=simulated)
    ask, more = answers.simulated if simulated else answers.estimated, METRICS[target.metric].better == "higher"

    def read(shares: Mapping[str, float]) -> float:
        try:
            return float(ask(asked, shares)[target.metric])
        except Infeasible:
            return 0.0 if more else math.inf

    now = read({})
    works = tuple(_headroom(work, read, now, more=more) for work in WORK)

    @cache
    def bound(every: tuple[str, ...], share: float) -> float:
        return gain_of(now, read(dict.fromkeys(every, share)), more=more)

    return Ceiling(
        scenario=asked, objective=target, how="simulation" if simulated else "estimate", value=now,
        label=deployment_label(asked), works=works, why=_why(asked, now),
        together=max(bound(WORK, FREE), *(w.free for w in works)), asked=bound,
    )  # fmt: skip


def _headroom(work: str, read: Read, now: float, *, more: bool) -> Headroom:
    half, none = (gain_of(now, read({work: share}), more=more) for share in (_HALF, FREE))
    value = read({work: FREE})
    return Headroom(work=work, free=max(half, none), halved=half, value=value)


def _asked(scenario: Scenario, target: Objective, *, simulated: bool) -> Scenario:
    """What is asked: engines kept full where it is about what they get done, the scenario's load for all else; the
    deployment chosen where it is open and something fits."""
    full = "tokens_per_s" in target.metric or target.metric.startswith("requests_per_s")
    asked = at_capacity(scenario) if full else scenario
    if simulated:
        asked = with_requests(asked, asked.workload.requests or _REQUESTS)
    try:
        return complete(asked)
    except Infeasible:
        return asked


def _why(asked: Scenario, now: float) -> str:
    """Why there is no value now."""
    if math.isfinite(now) and now > 0.0:
        return ""
    try:
        estimate(asked)
    except Infeasible as error:
        return str(error)
    return "the load is more than the deployment serves"
