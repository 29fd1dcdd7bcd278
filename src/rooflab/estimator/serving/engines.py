"""Scenarios → closed-form serving metrics, one or a hundred thousand at a time.

Scenarios are grouped by model and hardware; each group's distinct deployments are priced once and every
scenario is then a row of arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from rooflab.costs.step import StepCosts
from rooflab.deploy.complete import resident_tokens
from rooflab.deploy.engine import Engine
from rooflab.deploy.stack import EngineStack, stack
from rooflab.errors import Infeasible, RooflabError
from rooflab.estimator.serving.answer import Estimate, ValueOf
from rooflab.estimator.serving.arrivals import Arrivals
from rooflab.estimator.serving.burst_batches import batch_after_batch
from rooflab.estimator.serving.bursts import burst
from rooflab.estimator.serving.columns import Table
from rooflab.estimator.serving.first_token import Client
from rooflab.estimator.serving.groups import groups_of
from rooflab.estimator.serving.load import Case, Steady, steady_state
from rooflab.estimator.serving.loops import Users, closed_loop, open_loop
from rooflab.estimator.serving.metrics import metrics_of
from rooflab.estimator.serving.modes import in_step, static_batch
from rooflab.estimator.serving.outcome import Outcome, joined
from rooflab.estimator.serving.unhindered import unhindered
from rooflab.memory.explain import Misfit
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.paid import paid
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.workload import Workload

__all__ = [
    "Columns", "estimate_alike", "evaluate", "evaluate_columns", "evaluate_engine", "evaluate_stack", "mean_step",
]  # fmt: skip

Array = npt.NDArray[np.float64]


def estimate_alike(scenarios: Sequence[Scenario], value_of: ValueOf | None = None) -> list[Estimate | RooflabError]:
    """Metrics of each scenario without pools, in order, or the error that says why it cannot be done."""
    results: list[Estimate | RooflabError | None] = [None] * len(scenarios)
    groups, errors = groups_of(scenarios)
    for row, error in errors.items():
        results[row] = error
    for group in groups:
        for row, result in zip(group.rows, evaluate(group.scenarios, group.deployments, value_of), strict=True):
            results[row] = result
    return [r for r in results if r is not None]


@dataclass(frozen=True, slots=True)
class Columns:
    """Metrics of many rows as arrays, without an object a row.

    `capacity`: whole sequences of full length that an engine holds; a row whose capacity is below 1 does not fit and
    its metrics mean nothing. `saturated`: more is asked for than the deployment serves.
    """

    metrics: dict[str, Array]
    saturated: npt.NDArray[np.bool_]
    capacity: Array
    length: Array

    @property
    def fits(self) -> npt.NDArray[np.bool_]:
        """Whether a row's weights leave room for one sequence."""
        return self.capacity >= 1.0


def evaluate(
    scenarios: Sequence[Scenario], deployments: Sequence[Deployment], value_of: ValueOf | None = None
) -> list[Estimate | RooflabError]:
    """Metrics of scenarios that share model, hardware and rewrites, under completed `deployments`."""
    return _answers(scenarios, deployments, evaluate_columns(scenarios, deployments), value_of)


def evaluate_columns(scenarios: Sequence[Scenario], deployments: Sequence[Deployment]) -> Columns:
    """What `evaluate` computes, as columns: a search over thousands of deployments reads these."""
    first = scenarios[0]
    place: dict[Deployment, int] = {}
    seen = {id(d): place.setdefault(d, len(place)) for d in {id(d): d for d in deployments}.values()}
    which = np.array([seen[id(d)] for d in deployments], dtype=np.intp)
    _, cross = resident_tokens(first.model, first.workload)
    return _columns(scenarios, stack(first.model, first.hardware, list(place), first.rewrites, cross), which)


def evaluate_stack(scenarios: Sequence[Scenario], engines: EngineStack, which: npt.NDArray[np.intp]) -> Columns:
    """What `evaluate_columns` computes, of `engines` that are priced already; `which` of them serves each scenario."""
    return _columns(scenarios, engines, which)


def evaluate_engine(engine: Engine, workloads: Sequence[Workload]) -> list[Estimate | RooflabError]:
    """Metrics of one engine (all its replicas) under each of `workloads`."""
    scenarios = [
        Scenario(
            model=engine.model,
            hardware=engine.hardware,
            workload=w,
            deployment=engine.deployment,
            rewrites=engine.rewrites,
        )
        for w in workloads
    ]
    columns = _columns(scenarios, engine.stack(), np.zeros(len(scenarios), dtype=np.intp))
    return _answers(scenarios, [engine.deployment] * len(scenarios), columns)


def _answers(
    scenarios: Sequence[Scenario],
    deployments: Sequence[Deployment],
    columns: Columns,
    value_of: ValueOf | None = None,
) -> list[Estimate | RooflabError]:
    """Columns as an answer a row, or the reason why it does not fit."""
    out: list[Estimate | RooflabError] = []
    names = list(columns.metrics)
    rows = np.array([columns.metrics[name] for name in names]).T.tolist()
    misfits: dict[Deployment, Misfit] = {}
    for i, scenario in enumerate(scenarios):
        if not columns.capacity[i] >= 1.0:
            misfit = misfits.setdefault(deployments[i], Misfit(scenario.model, scenario.hardware, deployments[i]))
            out.append(Infeasible(misfit.why(float(columns.length[i]))))
            continue
        final = replace(scenario, deployment=deployments[i])
        metrics = dict(zip(names, rows[i], strict=True))
        if scenario.workload.mode != "burst":  # nothing else has an end
            del metrics["duration_s"]
        out.append(Estimate(final, metrics, columns.saturated[i].item(), value_of))
    return out


def _columns(scenarios: Sequence[Scenario], engines: EngineStack, which: npt.NDArray[np.intp]) -> Columns:
    """Metrics of scenarios, each served by one of `engines`."""
    table = Table(scenarios, engines, which)
    price = engines.priced_row[which]
    outcome = _solve(table, engines.costs, engines.encoder, price)
    metrics = metrics_of(table, outcome, engines.costs, price, engines.bill)
    return Columns(metrics, outcome.saturated, table.capacity, table.length)


def mean_step(engine: Engine, workload: Workload, running: float, flow: float | None = None) -> Steady:
    """The steady state of one engine in whose batch `running` of the requests of `workload` are; `flow` as in
    `steady_state`. Arrays of one."""
    scenario = Scenario(
        model=engine.model, hardware=engine.hardware, workload=workload, deployment=engine.deployment,
        rewrites=engine.rewrites,
    )  # fmt: skip
    engines, which = engine.stack(), np.zeros(1, dtype=np.intp)
    case = _case(Table([scenario], engines, which), engines.encoder, engines.priced_row[which])
    return steady_state(engines.costs, case, np.array([running]), None if flow is None else np.array([flow]))


def _case(t: Table, encoder: StepCosts | None, which: npt.NDArray[np.intp]) -> Case:
    """What loads the engine of each row."""
    return Case(
        which=which, isl=t.isl, prompt=t.prompt, standing=t.standing, osl=np.maximum(t.osl, 1.0),
        written=np.maximum(t.written, 0.5), chunk=t.chunk, mixed=t.mixed,
        lanes=t.lanes, stage_balance=t.balance, yields=t.yields, causal=t.causal, beams=t.beams, isl_cv=t.isl_cv,
        isl_shape=t.isl_shape, osl_shape=t.osl_shape, relay=t.relay, encoder=encoder,
    )  # fmt: skip


def _solve(t: Table, costs: StepCosts, encoder: StepCosts | None, which: npt.NDArray[np.intp]) -> Outcome:
    """Outcomes of all rows, each by its mode."""
    case = _case(t, encoder, which)
    limit = np.maximum(np.minimum(t.capacity_steady, t.max_seqs), 1.0)
    parts: list[tuple[npt.NDArray[np.bool_], Outcome]] = []
    static, closed, opened, bursts = (t.mode == i for i in range(4))
    if static.any():
        c = case.take(static)
        batch = np.maximum(t.batch[static], 1.0) / t.in_use[static]
        capacity = np.maximum(np.floor(t.capacity[static]), 1.0)
        parts.append((static, static_batch(costs, c, batch, capacity)))
    endless = closed & (t.users == 0)
    gated = closed & t.gated & t.causal & ~endless
    together = endless | (closed & t.lockstep & ~gated)
    if gated.any():
        parts.append((gated, batch_after_batch(costs, case.take(gated), t.sent(gated), t.rounds[gated])))
    if together.any():
        parts.append((together, _together(t, costs, case, together, limit)))
    apart = closed & ~together & ~gated
    if apart.any():
        users = t.users[apart] / t.in_use[apart]
        count = Users(
            count=users, rounds=t.rounds[apart], burst=t.burst[apart], answers_cv=t.osl_cv[apart],
            engines=t.in_use[apart],
        )  # fmt: skip
        frontend_s = t.frontend_s[apart] + t.frontend_user_s[apart] * users
        found = closed_loop(
            costs, case.take(apart), count, limit[apart], growing=t.growing[apart], frontend_s=frontend_s,
            admission=t.admission(apart),
        )  # fmt: skip
        parts.append((apart, found))
    if opened.any():
        arrivals = Arrivals(
            rate=t.rate[opened] / t.in_use[opened], engines=t.in_use[opened], gaps_cv=t.arrivals_cv[opened],
            group=t.group[opened], answers_cv=t.osl_cv[opened],
        )  # fmt: skip
        found = open_loop(
            costs, case.take(opened), arrivals, limit[opened], growing=t.growing[opened],
            frontend_s=t.frontend_s[opened], admission=t.admission(opened),
        )  # fmt: skip
        parts.append((opened, found))
    if bursts.any():
        parts.append((bursts, burst(costs, case.take(bursts), t.sent(bursts))))
    found = joined(parts, len(t.isl))
    share = paid().waiting
    return found if share == 1.0 else unhindered(costs, case, t.frontend_s, found, share)


def _together(t: Table, costs: StepCosts, case: Case, rows: npt.NDArray[np.bool_], limit: Array) -> Outcome:
    """Outcomes of closed loops in step, and of loads without an end."""
    endless = t.users[rows] == 0
    users = np.where(endless, limit[rows], t.users[rows] / t.in_use[rows])
    return in_step(
        costs, case.take(rows), users, limit[rows], client=Client(t.rounds[rows], t.lockstep[rows], t.osl_cv[rows]),
        frontend_s=t.frontend_s[rows] + t.frontend_user_s[rows] * users, convoy=t.convoy[rows],
        admission=t.admission(rows), endless=endless,
    )  # fmt: skip
