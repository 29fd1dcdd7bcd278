"""A row of servers under one power budget, in steps of a second or two, for days or weeks.

Each server serves jobs of its own, first come first served: a phase of prompts, then one of tokens, each with a time
and a power that depend on the clock.  Once a step the row's power is read, and the rules of its capping policy lower or
restore clocks of classes of servers; a command takes `delay_s` to act.  Above the budget the brake holds every server
at the lowest clock.

The loop is compiled (power_loop.py); its work grows with servers × steps, about 5 ns each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.scenario.traffic import Diurnal
from rooflab.scenario.workload import Workload
from rooflab.simulator.power_loop import Budget, Job, Limit, Server, State, Use, advance
from rooflab.simulator.serving.record import dtype_of
from rooflab.simulator.work.arrivals import arrival_times

__all__ = ["NO_CAPS", "Caps", "Jobs", "Row", "RowResult", "Rule", "diurnal_jobs", "quantiles", "run_row", "two_classes"]

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rule:
    """Servers of class `group` run at clock number `clock` from when power exceeds `above` of the budget until it is
    under `below`.

    `after`: number of the rule that must be in effect first (−1: none).
    """

    group: int
    above: float
    below: float
    clock: int
    after: int = -1


@dataclass(frozen=True, slots=True)
class Caps:
    """A capping policy: its rules, how long a command takes to act, and the brake above the budget (a clock; −1: there
    is none)."""

    rules: tuple[Rule, ...] = ()
    delay_s: float = 40.0
    brake: int = -1
    brake_s: float = 5.0


NO_CAPS: Final = Caps()


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


@dataclass(frozen=True, slots=True)
class Jobs:
    """Arrival times (s) and answer lengths over the mean one, server after server: those of server i are at
    start[i]:start[i+1]."""

    start: I64
    at_s: F64
    length: F64

    def take(self, servers: int) -> Jobs:
        """The jobs of the first `servers` servers."""
        end = int(self.start[servers])
        return Jobs(self.start[: servers + 1], self.at_s[:end], self.length[:end])


@dataclass(frozen=True, slots=True)
class RowResult:
    """Power at each step as a share of the budget, latency of each job (NaN: not finished), brakes, and seconds that a
    rule held."""

    power: F64
    latency_s: F64
    brakes: int
    held_s: F64
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


def diurnal_jobs(
    servers: int, rate_per_s: float, days: float, *, swing: float, length_cv: float = 1.0, seed: int = 0
) -> Jobs:
    """Poisson jobs of a mean rate for each server whose rate swings by the day, with gamma-distributed answer lengths.

    The first servers have the same jobs however many there are.
    """
    span_s = days * 86400.0
    starts, times, lengths = [0], [], []
    load = Workload(arrivals="diurnal", rate=1.0, diurnal=Diurnal(86400.0, swing))
    most = int(rate_per_s * span_s + 8 * np.sqrt(rate_per_s * span_s) + 16)
    for server in range(servers):
        rng = np.random.default_rng([seed, server])
        at = arrival_times(load, most, rate_per_s, rng)
        at = at[at < span_s]
        shape = 1.0 / max(length_cv, 1e-3) ** 2
        times.append(at)
        lengths.append(rng.standard_gamma(shape, len(at)) / shape)
        starts.append(starts[-1] + len(at))
    return Jobs(np.array(starts, dtype=np.int64), np.concatenate(times), np.concatenate(lengths))


def run_row(row: Row, jobs: Jobs, days: float, caps: Caps = NO_CAPS, *, step_s: float = 2.0) -> RowResult:
    """Run `row` for `days` under `caps`, read every `step_s`."""
    state = _state(row, jobs, int(days * 86400.0 / step_s), caps, step_s)
    advance(state)
    rules: Any = state.rules
    done: Any = state.jobs
    return RowResult(state.power, done.latency_s.copy(), int(state.budget[0].brakes), rules.held_s.copy(), step_s)


def _state(row: Row, jobs: Jobs, steps: int, caps: Caps, step_s: float) -> State:
    """The row before its first step: nobody works, no rule is in force."""
    budget = _records(1, Budget)
    budget.budget_w, budget.step_s, budget.delay_s = row.budget_w, step_s, caps.delay_s
    budget.brake, budget.brake_s = caps.brake, caps.brake_s
    budget.brake_due_s = budget.brake_end_s = np.inf
    table = _records(row.prompt_s.shape, Use)
    for name in table.dtype.names:
        table[name] = getattr(row, name)
    rules = _records(len(caps.rules), Limit)
    for held, rule in zip(rules, caps.rules, strict=True):
        held.group, held.above, held.below = rule.group, rule.above, rule.below
        held.clock, held.after, held.due_s = rule.clock, rule.after, np.inf
    servers = _records(len(row.group), Server)
    servers.group, servers.job, servers.end, servers.next_s = row.group, jobs.start[:-1], jobs.start[1:], np.inf
    work = _records(len(jobs.at_s), Job)
    work.at_s, work.length, work.latency_s = jobs.at_s, jobs.length, np.nan
    return State(budget, table, table[:, 0].copy(), rules, servers, work, np.zeros(steps))


def _records(shape: int | tuple[int, ...], row: type) -> Any:
    return np.zeros(shape, dtype_of(row)).view(np.recarray)


def two_classes(share_high: float, servers: int) -> I64:
    """Class of each of `servers`: 1 for the share `share_high` (spread evenly, so that any first ones have it), else
    0."""
    i = np.arange(servers + 1)
    out: I64 = np.diff(np.floor(i * share_high + 0.5).astype(np.int64))
    return out


def quantiles(
    result: RowResult, jobs: Jobs, group: I64, which: int, levels: Sequence[float] = (0.5, 0.99)
) -> tuple[float, ...]:
    """Latency quantiles (s) of the finished jobs of class `which`."""
    mine = np.repeat(group == which, np.diff(jobs.start)) & np.isfinite(result.latency_s)
    return tuple(float(x) for x in np.quantile(result.latency_s[mine], levels))
