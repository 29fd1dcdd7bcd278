"""A measured series of a row's power, replayed with more servers under a capping policy.

What the servers had to do is read from what they drew: the share of time that one was busy is what it drew above idle
over what a busy one draws above idle. With n servers of a class, demand u and speed r of the present clock (1: full),

    served = min(n · u + backlog, n · r),     power = n · idle + served / r · (busy − idle)

Work that is not served in the reading in which it came is late.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rooflab.simulator.power_loop import Budget, Limit, clock_of, command, compiled, react
from rooflab.simulator.power_phases import Phases
from rooflab.simulator.power_row import budget_of, rules_of
from rooflab.simulator.power_rules import Caps
from rooflab.simulator.serving.record import Rows

__all__ = ["Pace", "Replayed", "demand_of", "pace_of", "replay"]

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pace:
    """A server at each clock: work it does in a second of its time over that at full clock, watts busy and idle."""

    speed: F64
    busy_w: F64
    idle_w: F64


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """Power at each reading as a share of the budget, brakes, shares of time under any cap and the brake, and work of
    each class that is late, as a share of its work."""

    power: F64
    brakes: int
    capped: float
    late: tuple[float, ...]


class _State(NamedTuple):
    """Everything: the row, its rules, readings' times and lengths, demand a server, servers by class, what they do at
    each clock, and power, backlog and late work as they come out."""

    budget: Rows[Budget]
    rules: Rows[Limit]
    time_s: F64
    step_s: F64
    demand: F64
    servers: F64
    speed: F64
    busy_w: F64
    idle_w: F64
    power: F64
    backlog_s: F64
    late_s: F64


def pace_of(phases: Phases, *, idle_w: float | None = None, busy_w: float | None = None) -> Pace:
    """The pace of a server over its mean job, prompt and tokens together.

    One that draws `idle_w` and `busy_w` at full clock in the place of what the phases say (None: that) draws as large a
    share of the difference at a lower clock as they do.
    """
    prompt_s, token_s, prompt_w, token_w, own_idle_w = (
        np.array(x) for x in (phases.prompt_s, phases.token_s, phases.prompt_w, phases.token_w, phases.idle_w)
    )
    seconds = prompt_s + token_s
    above_w = (prompt_s * prompt_w + token_s * token_w) / seconds - own_idle_w
    idle = own_idle_w + (0.0 if idle_w is None else idle_w - own_idle_w[0])
    most_w = above_w[0] if busy_w is None else busy_w - idle[0]
    return Pace(speed=seconds[0] / seconds, busy_w=idle + above_w * most_w / above_w[0], idle_w=idle)


def demand_of(power_w: F64, servers: int, pace: Pace) -> F64:
    """Share of time that each of `servers` was busy at full clock, from what all of them drew (W)."""
    above: F64 = (power_w / servers - pace.idle_w[0]) / (pace.busy_w[0] - pace.idle_w[0])
    return above


def replay(time_s: F64, demand: F64, servers: Sequence[float], pace: Pace, *, budget_w: float, caps: Caps) -> Replayed:
    """Replay `demand` at `time_s` on so many servers of each class under `caps`."""
    step_s = np.diff(time_s, append=time_s[-1] + np.median(np.diff(time_s)))
    budget: Any = budget_of(budget_w, caps, step_s=float(step_s[0]))
    groups = len(servers)
    state = _State(
        budget=budget, rules=rules_of(caps), time_s=time_s - time_s[0], step_s=step_s, demand=demand,
        servers=np.array(servers, dtype=float), speed=pace.speed, busy_w=pace.busy_w, idle_w=pace.idle_w,
        power=np.zeros(len(time_s)), backlog_s=np.zeros(groups), late_s=np.zeros(groups),
    )  # fmt: skip
    _advance(state)
    whole_s, work_s = float(step_s.sum()), float((demand * step_s).sum())
    return Replayed(
        power=state.power, brakes=int(budget[0].brakes), capped=float(budget[0].capped_s) / whole_s,
        late=tuple(float(x) / max(n * work_s, 1e-300) for x, n in zip(state.late_s, servers, strict=True)),
    )  # fmt: skip


@compiled
def _advance(s: _State) -> None:
    row = s.budget[0]
    for k in range(len(s.time_s)):
        now = s.time_s[k]
        row.step_s = s.step_s[k]
        command(s, now)
        watts = 0.0
        for g in range(len(s.servers)):
            clock, servers = clock_of(s, g), s.servers[g]
            came = servers * s.demand[k] * row.step_s
            served = min(came + s.backlog_s[g], servers * s.speed[clock] * row.step_s)
            s.late_s[g] += came - min(max(served - s.backlog_s[g], 0.0), came)
            s.backlog_s[g] += came - served
            busy = served / s.speed[clock] / row.step_s
            watts += servers * s.idle_w[clock] + busy * (s.busy_w[clock] - s.idle_w[clock])
        s.power[k] = watts / row.budget_w
        react(s, s.power[k], now)
