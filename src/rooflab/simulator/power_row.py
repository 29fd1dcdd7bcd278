"""A row of servers under one power budget, in steps of a second or two, for days or weeks.

Each server serves jobs of its own, first come first served: a phase of prompts, then one of tokens, each with a time
and a power that depend on the clock.  Once a step the row's power is read, and the rules of its capping policy lower or
restore clocks of classes of servers; a command takes `delay_s` to act.  Above the budget the brake holds every server
at the lowest clock.

The loop is compiled (power_loop.py); its work grows with the phases of jobs, some 20 ns each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rooflab.simulator.power_jobs import Jobs
from rooflab.simulator.power_loop import Budget, Doing, Limit, Server, State, Use, advance
from rooflab.simulator.power_phases import Phases
from rooflab.simulator.power_rules import NO_CAPS, Caps, two_classes
from rooflab.simulator.serving.record import Rows, dtype_of

__all__ = ["Row", "RowResult", "budget_of", "row_of", "rules_of", "run_row"]

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Servers of one or more classes.

    `group` (N,) class of each server; tables are (classes, clocks), clock 0 the full one: seconds of a job's prompt
    phase and token phase (of a mean job), and server power (W) in each and idle.  `budget_w` is the row's.
    """

    group: I64
    prompt_s: F64
    token_s: F64
    prompt_w: F64
    token_w: F64
    idle_w: F64
    budget_w: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RowResult:
    """Power at each step as a share of the budget, latency of each job (NaN: not finished; empty where not asked for),
    brakes, seconds that each rule held, and that any of them or the brake did."""

    power: F64
    latency_s: F64
    brakes: int
    held_s: F64
    capped_s: float
    step_s: float

    @property
    def peak(self) -> float:
        """Highest power."""
        return float(self.power.max())

    def largest_rise(self, within_s: float) -> float:
        """Largest rise of power between two readings at most `within_s` apart."""
        steps = max(round(within_s / self.step_s), 1)
        low, best = self.power, 0.0
        for k in range(1, steps + 1):
            best = max(best, float((low[k:] - low[:-k]).max(initial=0.0)))
        return best


def row_of(phases: Phases, servers: int, *, budget_w: float, share_high: float = 0.0) -> Row:
    """So many alike servers, the share `share_high` of them of class 1, in a budget."""
    tables = [
        np.array([x, x]) for x in (phases.prompt_s, phases.token_s, phases.prompt_w, phases.token_w, phases.idle_w)
    ]
    return Row(
        group=two_classes(share_high, servers), prompt_s=tables[0], token_s=tables[1], prompt_w=tables[2],
        token_w=tables[3], idle_w=tables[4], budget_w=budget_w,
    )  # fmt: skip


def run_row(
    row: Row,
    jobs: Jobs,
    span_s: float,
    caps: Caps = NO_CAPS,
    *,
    step_s: float = 2.0,
    stop_at_brake: bool = False,
    latencies: bool = True,
) -> RowResult:
    """Run `row` for `span_s` seconds under `caps`, read every `step_s`.

    `stop_at_brake` ends the run at the first brake; without `latencies` none are kept.
    """
    state = _state(row, jobs, int(span_s / step_s), caps, step_s=step_s, latencies=latencies)
    state.budget[0].stop = stop_at_brake
    advance(state)
    rules: Any = state.rules
    budget = state.budget[0]
    return RowResult(
        power=state.power, latency_s=state.latency_s, brakes=int(budget.brakes), held_s=rules.held_s.copy(),
        capped_s=float(budget.capped_s), step_s=step_s,
    )  # fmt: skip


def budget_of(budget_w: float, caps: Caps, *, step_s: float) -> Rows[Budget]:
    """A row's budget, its brake not engaged."""
    budget = _records(1, Budget)
    budget.budget_w, budget.step_s, budget.delay_s = budget_w, step_s, caps.delay_s
    budget.brake, budget.brake_s = caps.brake, caps.brake_s
    budget.brake_due_s = budget.brake_end_s = np.inf
    found: Rows[Budget] = budget
    return found


def rules_of(caps: Caps) -> Rows[Limit]:
    """The rules of a policy, none in force."""
    rules = _records(len(caps.rules), Limit)
    for held, rule in zip(rules, caps.rules, strict=True):
        held.group, held.above, held.below = rule.group, rule.above, rule.below
        held.clock, held.after, held.due_s = rule.clock, rule.after, np.inf
    found: Rows[Limit] = rules
    return found


def _state(row: Row, jobs: Jobs, steps: int, caps: Caps, *, step_s: float, latencies: bool) -> State:
    """The row before its first step: nobody works, no rule is in force."""
    table = _records(row.prompt_s.shape, Use)
    for name in table.dtype.names:
        table[name] = getattr(row, name)
    servers = _records(len(row.group), Server)
    servers.group, servers.job, servers.end = row.group, jobs.start[:-1], jobs.start[1:]
    return State(
        budget=budget_of(row.budget_w, caps, step_s=step_s), table=table, use=table[:, 0].copy(),
        doing=_records(len(table), Doing), rules=rules_of(caps), servers=servers, until_s=np.zeros(len(servers)),
        jobs=jobs.table, latency_s=np.full(len(jobs.table) if latencies else 0, np.nan), power=np.zeros(steps),
    )  # fmt: skip


def _records(n: int | tuple[int, ...], row: type) -> Any:
    return np.zeros(n, dtype_of(row)).view(np.recarray)
