"""A row of servers under one power budget, in steps of a second or two, for days or weeks.

Each server serves jobs of its own, first come first served: a phase of prompts, then one of tokens, each with a time
and a power that depend on the clock.  Once a step the row's power is read, and the rules of its capping policy lower or
restore clocks of classes of servers; a command takes `delay_s` to act.  Above the budget the brake holds every server
at the lowest clock.

The loop is compiled; its work grows with servers × steps, about 5 ns each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt

from rooflab.scenario.traffic import Diurnal
from rooflab.scenario.workload import Workload
from rooflab.simulator.work.arrivals import arrival_times

__all__ = ["NO_CAPS", "Caps", "Jobs", "Row", "RowResult", "Rule", "diurnal_jobs", "quantiles", "run_row", "two_classes"]

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

_HELD: Final = 60.0
"""Seconds that the brake holds at the least."""


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
    steps = int(days * 86400.0 / step_s)
    rules = np.array([[r.group, r.above, r.below, r.clock, r.after] for r in caps.rules], dtype=np.float64).reshape(
        -1, 5
    )
    power, latency, held = np.zeros(steps), np.full(len(jobs.at_s), np.nan), np.zeros(len(rules))
    tables = np.stack([row.prompt_s, row.token_s, row.prompt_w, row.token_w, row.idle_w])
    brakes = _loop(
        row.group, tables, row.budget_w, jobs.start, jobs.at_s, jobs.length, rules, caps.delay_s, caps.brake,
        caps.brake_s, step_s,
        power, latency, held,
    )  # fmt: skip
    return RowResult(power, latency, int(brakes), held, step_s)


def two_classes(share_high: float, servers: int) -> I64:
    """Class of each of `servers`: 1 for the share `share_high` (spread evenly, so that any first ones have it), else
    0."""
    i = np.arange(servers + 1)
    out: I64 = np.diff(np.floor(i * share_high + 0.5).astype(np.int64))
    return out


def _compile(function: Any) -> Any:
    return numba.njit(cache=True, error_model="numpy", nogil=True)(function)


@_compile
def _set_clocks(use: Any, tables: Any, rules: Any, on: Any, braked: bool, brake: Any) -> None:
    """Times and powers of each class at the clock that the rules in force and the brake leave it (the lowest: the
    highest index)."""
    for g in range(len(use)):
        clock = 0
        for k in range(len(rules)):
            if on[k] and int(rules[k, 0]) == g:
                clock = max(clock, int(rules[k, 3]))
        if braked:
            clock = max(clock, brake)
        for x in range(5):
            use[g, x] = tables[x, g, clock]


@_compile
def _decide(p: float, now: float, rules: Any, on: Any, due: Any, delay_s: Any) -> None:
    """Give the commands that a reading `p` calls for; each takes effect `delay_s` later."""
    for k in range(len(rules)):
        if due[k] < np.inf:
            continue
        first = int(rules[k, 4])
        if (p < rules[k, 2]) if on[k] else (p > rules[k, 1] and (first < 0 or on[first])):
            due[k] = now + delay_s


@_compile
def _serve(
    i: Any, joules: float, now: float, step_s: Any, use: Any, busy: Any, prompt_left: Any, token_left: Any, next_s: Any,
    job: Any,
    start: Any, at_s: Any, length: Any, latency: Any,
) -> float:  # fmt: skip
    """Take server `i` through one step in which it may begin, change or end its work; `joules` with what it drew."""
    t, left = now, step_s
    while left > 1e-9:
        if not busy[i]:
            j, arrival = job[i], next_s[i]
            if arrival > t:
                rest = min(left, arrival - t)
                joules += rest * use[4]
                t += rest
                left -= rest
                continue
            # work left is in shares of a whole phase, so that a change of clock stretches only what is left
            busy[i], prompt_left[i], token_left[i] = True, 1.0, length[j]
        if prompt_left[i] > 0.0:
            whole = use[0]
            spent = min(left, prompt_left[i] * whole)
            prompt_left[i] -= spent / whole
            if prompt_left[i] < 1e-9:
                prompt_left[i] = 0.0
            joules += spent * use[2]
        else:
            whole = use[1]
            spent = min(left, token_left[i] * whole)
            token_left[i] -= spent / whole
            joules += spent * use[3]
        t += spent
        left -= spent
        if prompt_left[i] == 0.0 and token_left[i] < 1e-9:
            latency[job[i]] = t - at_s[job[i]]
            job[i] += 1
            next_s[i] = at_s[job[i]] if job[i] < start[i + 1] else np.inf
            busy[i] = False
    return joules


@_compile
def _loop(
    group: Any, tables: Any, budget_w: Any, start: Any, at_s: Any, length: Any, rules: Any, delay_s: Any, brake: Any,
    brake_s: Any,
    step_s: Any, power: Any, latency: Any, held: Any,
) -> int:  # fmt: skip
    """Advance every server by a step, add up its energy, read the power, let the rules decide."""
    n, n_rules = len(group), len(rules)
    job = start[:-1].copy()
    prompt_left, token_left = np.zeros(n), np.zeros(n)
    busy, use, next_s = np.zeros(n, dtype=np.bool_), np.zeros((tables.shape[1], 5)), np.full(n, np.inf)
    for i in range(n):
        if start[i] < start[i + 1]:
            next_s[i] = at_s[start[i]]
    on, due = np.zeros(n_rules, dtype=np.bool_), np.full(n_rules, np.inf)
    braked, brake_due, brake_end, brakes = False, np.inf, np.inf, 0
    for step in range(len(power)):
        now = step * step_s
        for k in range(n_rules):
            if now >= due[k]:
                on[k] = not on[k]
                due[k] = np.inf
            if on[k]:
                held[k] += step_s
        if now >= brake_due:
            braked, brake_due, brake_end = True, np.inf, now + _HELD
            brakes += 1
        _set_clocks(use, tables, rules, on, braked, brake)
        joules = 0.0
        for i in range(n):
            g = group[i]
            # most servers do one thing all through the step
            if busy[i]:
                if prompt_left[i] == 0.0 and token_left[i] * use[g, 1] > step_s:
                    token_left[i] -= step_s / use[g, 1]
                    joules += step_s * use[g, 3]
                    continue
            elif next_s[i] > now + step_s:
                joules += step_s * use[g, 4]
                continue
            joules = _serve(
                i, joules, now, step_s, use[g], busy, prompt_left, token_left, next_s, job, start, at_s, length,
                latency,
            )  # fmt: skip
        p = joules / step_s / budget_w
        power[step] = p
        if brake >= 0 and not braked and p > 1.0 and brake_due == np.inf:
            brake_due = now + brake_s
        if braked and now >= brake_end and p < 1.0:
            braked = False
        _decide(p, now, rules, on, due, delay_s)
    return brakes


def quantiles(
    result: RowResult, jobs: Jobs, group: I64, which: int, levels: Sequence[float] = (0.5, 0.99)
) -> tuple[float, ...]:
    """Latency quantiles (s) of the finished jobs of class `which`."""
    mine = np.repeat(group == which, np.diff(jobs.start)) & np.isfinite(result.latency_s)
    return tuple(float(x) for x in np.quantile(result.latency_s[mine], levels))
