"""The compiled loop of a row of servers (power_row.py): every server is taken through a step, the row's power is read,
the rules decide."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from rooflab.simulator.serving.record import Grid, Rows

__all__ = ["Budget", "Job", "Limit", "Server", "State", "Use", "advance"]

_HELD: Final = 60.0
"""Seconds that the brake holds at the least."""


class Use:
    """What a server of some class takes at some clock: seconds of a mean job's phases, watts in each and idle."""

    prompt_s: float
    token_s: float
    prompt_w: float
    token_w: float
    idle_w: float


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
    """Its class, its jobs up to `end`, and the one it works at: what is left of each phase, in shares of the whole."""

    group: int
    job: int
    end: int
    busy: int
    next_s: float
    prompt_left: float
    token_left: float


class Job:
    """A job: its answer's length over the mean one, and its latency (NaN: not finished)."""

    at_s: float
    length: float
    latency_s: float


class Budget:
    """The row: its power budget, how often it is read, how long a command takes, and its brake."""

    budget_w: float
    step_s: float
    delay_s: float
    brake: int
    brake_s: float
    braked: int
    brake_due_s: float
    brake_end_s: float
    brakes: int


class State(NamedTuple):
    """Everything: one budget, what servers of each class take at each clock and at the present one, the rules, the
    servers, their jobs, and the power read at each step as a share of the budget."""

    budget: Rows[Budget]
    table: Grid[Use]
    use: Any
    rules: Rows[Limit]
    servers: Rows[Server]
    jobs: Rows[Job]
    power: npt.NDArray[np.float64]


def _compile(function: Any) -> Any:
    return numba.njit(cache=True, error_model="numpy", nogil=True)(function)


@_compile
def _set_clocks(s: State) -> None:
    """What each class takes at the clock that the rules in force and the brake leave it (the lowest: the highest
    index)."""
    for g in range(len(s.use)):
        clock = 0
        for k in range(len(s.rules)):
            if s.rules[k].on and s.rules[k].group == g:
                clock = max(clock, s.rules[k].clock)
        if s.budget[0].braked:
            clock = max(clock, s.budget[0].brake)
        s.use[g] = s.table[g, clock]


@_compile
def _decide(s: State, p: float, now: float) -> None:
    """Give the commands that a reading `p` calls for; each takes effect `delay_s` later."""
    for k in range(len(s.rules)):
        rule = s.rules[k]
        if rule.due_s < np.inf:
            continue
        if (p < rule.below) if rule.on else (p > rule.above and (rule.after < 0 or s.rules[rule.after].on)):
            rule.due_s = now + s.budget[0].delay_s


@_compile
def _serve(s: State, i: int, joules: float, now: float) -> float:
    """Take server `i` through one step in which it may begin, change or end its work; `joules` with what it drew."""
    server = s.servers[i]
    use = s.use[server.group]
    t, left = now, s.budget[0].step_s
    while left > 1e-9:
        if not server.busy:
            if server.next_s > t:
                rest = min(left, server.next_s - t)
                joules += rest * use.idle_w
                t += rest
                left -= rest
                continue
            # work left is in shares of a whole phase, so that a change of clock stretches only what is left
            server.busy, server.prompt_left, server.token_left = 1, 1.0, s.jobs[server.job].length
        if server.prompt_left > 0.0:
            spent = min(left, server.prompt_left * use.prompt_s)
            server.prompt_left -= spent / use.prompt_s
            if server.prompt_left < 1e-9:
                server.prompt_left = 0.0
            joules += spent * use.prompt_w
        else:
            spent = min(left, server.token_left * use.token_s)
            server.token_left -= spent / use.token_s
            joules += spent * use.token_w
        t += spent
        left -= spent
        if server.prompt_left == 0.0 and server.token_left < 1e-9:
            s.jobs[server.job].latency_s = t - s.jobs[server.job].at_s
            server.job += 1
            server.next_s = s.jobs[server.job].at_s if server.job < server.end else np.inf
            server.busy = 0
    return joules


@_compile
def _energy(s: State, now: float) -> float:
    """Joules that all servers draw in the step from `now` on."""
    step_s = s.budget[0].step_s
    joules = 0.0
    for i in range(len(s.servers)):
        server = s.servers[i]
        use = s.use[server.group]
        # most servers do one thing all through the step
        if server.busy:
            if server.prompt_left == 0.0 and server.token_left * use.token_s > step_s:
                server.token_left -= step_s / use.token_s
                joules += step_s * use.token_w
                continue
        elif server.next_s > now + step_s:
            joules += step_s * use.idle_w
            continue
        joules = _serve(s, i, joules, now)
    return joules


@_compile
def advance(s: State) -> None:
    """Advance every server by a step, add up its energy, read the power, let the rules decide: to the end."""
    row = s.budget[0]
    for i in range(len(s.servers)):
        if s.servers[i].job < s.servers[i].end:
            s.servers[i].next_s = s.jobs[s.servers[i].job].at_s
    for step in range(len(s.power)):
        now = step * row.step_s
        for k in range(len(s.rules)):
            rule = s.rules[k]
            if now >= rule.due_s:
                rule.on = 0 if rule.on else 1
                rule.due_s = np.inf
            if rule.on:
                rule.held_s += row.step_s
        if now >= row.brake_due_s:
            row.braked, row.brake_due_s, row.brake_end_s = 1, np.inf, now + _HELD
            row.brakes += 1
        _set_clocks(s)
        p = _energy(s, now) / row.step_s / row.budget_w
        s.power[step] = p
        if row.brake >= 0 and not row.braked and p > 1.0 and row.brake_due_s == np.inf:
            row.brake_due_s = now + row.brake_s
        if row.braked and now >= row.brake_end_s and p < 1.0:
            row.braked = 0
        _decide(s, p, now)
