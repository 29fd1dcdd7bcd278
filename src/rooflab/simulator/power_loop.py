"""The compiled loop of a row of servers (power_row.py): once a step the row's power is read and the rules decide.

A step costs a comparison a server, and work only for those whose phase ends in it: what all of them draw follows from
how many of each class do what.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from rooflab.simulator.serving.record import Grid, Rows

__all__ = [
    "Budget", "Doing", "Job", "Limit", "Server", "State", "Use", "advance", "clock_of", "command", "compiled", "react",
]  # fmt: skip

_HELD: Final = 60.0
"""Seconds that the brake holds at the least."""
_IDLE, _PROMPT, _TOKEN = 0, 1, 2


class Use:
    """What a server of some class takes at some clock: seconds of a mean job's phases, watts in each and idle."""

    prompt_s: float
    token_s: float
    prompt_w: float
    token_w: float
    idle_w: float


class Doing:
    """Servers of a class by what they do, and the clock that they run at."""

    idle: int
    prompt: int
    token: int
    clock: int


class Limit:
    """A rule of the capping policy, whether it is in force, when that changes, and seconds that it was."""

    group: int
    above: float
    below: float
    clock: int
    after: int
    on: int
    due_s: float
    held_s: float


class Server:
    """Its class, its jobs up to `end`, and what it does."""

    group: int
    job: int
    end: int
    phase: int


class Job:
    """When a job comes, and its answer's length over the mean one."""

    at_s: float
    length: float


class Budget:
    """The row: its power budget, how often it is read, how long a command takes, its brake, and seconds under any cap.

    `stop`: whether the run ends at the first brake.
    """

    budget_w: float
    step_s: float
    delay_s: float
    brake: int
    brake_s: float
    braked: int
    brake_due_s: float
    brake_end_s: float
    brakes: int
    capped_s: float
    stop: int


class State(NamedTuple):
    """Everything: one budget, what servers of each class take at each clock and at the present one, what they do, the
    rules, the servers and until when each does it, their jobs with their latencies (NaN: not finished; empty where
    nobody asks), and the power read at each step as a share of the budget."""

    budget: Rows[Budget]
    table: Grid[Use]
    use: Any
    doing: Rows[Doing]
    rules: Rows[Limit]
    servers: Rows[Server]
    until_s: npt.NDArray[np.float64]
    jobs: Rows[Job]
    latency_s: npt.NDArray[np.float64]
    power: npt.NDArray[np.float64]


def compiled(function: Any) -> Any:
    """A function of this loop, compiled once on a machine."""
    return numba.njit(cache=True, error_model="numpy", nogil=True)(function)


@compiled
def clock_of(s: Any, group: int) -> int:
    """The clock that the rules in force and the brake leave a class (the lowest: the highest index)."""
    clock = 0
    for k in range(len(s.rules)):
        if s.rules[k].on and s.rules[k].group == group:
            clock = max(clock, s.rules[k].clock)
    return max(clock, s.budget[0].brake) if s.budget[0].braked else clock


@compiled
def _set_clocks(s: State, now: float) -> None:
    """Give each class its clock, and stretch what is left of its servers' phases."""
    for g in range(len(s.use)):
        clock = clock_of(s, g)
        if clock == s.doing[g].clock:
            continue
        prompt = s.table[g, clock].prompt_s / s.use[g].prompt_s
        token = s.table[g, clock].token_s / s.use[g].token_s
        for i in range(len(s.servers)):
            server = s.servers[i]
            if server.group == g and server.phase != _IDLE:
                s.until_s[i] = now + (s.until_s[i] - now) * (prompt if server.phase == _PROMPT else token)
        s.doing[g].clock = clock
        s.use[g] = s.table[g, clock]


@compiled
def _serve(s: State, i: int, end: float) -> float:
    """Take server `i` through the phases that end before `end`; joules that it draws more than it would have without
    these changes."""
    server = s.servers[i]
    use, doing = s.use[server.group], s.doing[server.group]
    joules, t = 0.0, s.until_s[i]
    while t < end:
        left = end - t
        if server.phase == _PROMPT:
            server.phase = _TOKEN
            doing.prompt -= 1
            doing.token += 1
            joules += left * (use.token_w - use.prompt_w)
            t += use.token_s * s.jobs[server.job].length
        elif server.phase == _TOKEN:
            if len(s.latency_s):
                s.latency_s[server.job] = t - s.jobs[server.job].at_s
            server.job += 1
            server.phase = _IDLE
            doing.token -= 1
            doing.idle += 1
            joules += left * (use.idle_w - use.token_w)
            t = np.inf if server.job == server.end else max(s.jobs[server.job].at_s, t)
        else:
            server.phase = _PROMPT
            doing.idle -= 1
            doing.prompt += 1
            joules += left * (use.prompt_w - use.idle_w)
            t += use.prompt_s
    s.until_s[i] = t
    return joules


@compiled
def _energy(s: State, now: float) -> float:
    """Joules that all servers draw in the step from `now` on."""
    step_s = s.budget[0].step_s
    watts = 0.0
    for g in range(len(s.use)):
        use, doing = s.use[g], s.doing[g]
        watts += doing.idle * use.idle_w + doing.prompt * use.prompt_w + doing.token * use.token_w
    joules, end = watts * step_s, now + step_s
    for i in range(len(s.until_s)):
        if s.until_s[i] < end:
            joules += _serve(s, i, end)
    return joules


@compiled
def command(s: Any, now: float) -> bool:
    """Let rules and the brake take effect that are due; whether any did."""
    row, changed, capped = s.budget[0], False, False
    for k in range(len(s.rules)):
        rule = s.rules[k]
        if now >= rule.due_s:
            rule.on = 0 if rule.on else 1
            rule.due_s = np.inf
            changed = True
        if rule.on:
            rule.held_s += row.step_s
            capped = True
    if now >= row.brake_due_s:
        row.braked, row.brake_due_s, row.brake_end_s = 1, np.inf, now + _HELD
        row.brakes += 1
        changed = True
    if capped or row.braked:
        row.capped_s += row.step_s
    return changed


@compiled
def react(s: Any, p: float, now: float) -> bool:
    """Give the commands that a reading `p` calls for, each of which takes effect `delay_s` later; whether the brake is
    let go."""
    row = s.budget[0]
    if row.brake >= 0 and not row.braked and p > 1.0 and row.brake_due_s == np.inf:
        row.brake_due_s = now + row.brake_s
    released: bool = row.braked == 1 and now >= row.brake_end_s and p < 1.0
    if released:
        row.braked = 0
    for k in range(len(s.rules)):
        rule = s.rules[k]
        if rule.due_s < np.inf:
            continue
        if (p < rule.below) if rule.on else (p > rule.above and (rule.after < 0 or s.rules[rule.after].on)):
            rule.due_s = now + row.delay_s
    return released


@compiled
def advance(s: State) -> None:
    """Advance every server by a step, add up its energy, read the power, let the rules decide: to the end."""
    row = s.budget[0]
    for i in range(len(s.servers)):
        server = s.servers[i]
        s.until_s[i] = s.jobs[server.job].at_s if server.job < server.end else np.inf
        s.doing[server.group].idle += 1
    released = False
    for step in range(len(s.power)):
        now = step * row.step_s
        if command(s, now) or released:
            _set_clocks(s, now)
        if row.stop and row.brakes:
            return
        s.power[step] = _energy(s, now) / row.step_s / row.budget_w
        released = react(s, s.power[step], now)
