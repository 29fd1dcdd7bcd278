"""Routers: which replica takes a request, from what a router can see of each.

    round-robin       the next one in turn
    least-loaded      fewest tokens (prompt and predicted answer) of requests present
    jsq               join the shortest queue: fewest requests present
    power-of-two      the shorter of two drawn at random (Mitzenmacher 2001)
    prefix-affinity   the longest cached prefix, unless that replica is much busier than the least busy one
    session           sessions stay where they began (by number); others take turns

Prefill and decode pools take their own part of the work; a cluster that spills lends decode replicas to prompts.
Prefix affinity gives way to balance as SGLang's router does: when the busiest replica has more than `balance_gap`
requests and `balance_ratio` times those of the least busy, the shortest queue is joined.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from rooflab.errors import unknown
from rooflab.simulator.serving.compiled import compiled
from rooflab.simulator.serving.prefix import cached_by
from rooflab.simulator.serving.state import DECODE, PREFILL, UP

__all__ = ["ROUTERS", "RouteFunction", "could_hold", "possible", "route", "route_signature", "router_number"]

ROUTERS: Final = ("round-robin", "least-loaded", "jsq", "power-of-two", "prefix-affinity", "session")
ROUTER_ALIASES: Final = {"join-shortest-queue": "jsq", "po2": "power-of-two", "cache-aware": "prefix-affinity"}
CUSTOM: Final = len(ROUTERS)

RouteFunction = Callable[..., int]
"""A user's router: (now_s, input_tokens, session, client, eligible, waiting, running, load_tokens, free_blocks,
cached_tokens) -> replica.

The last six are int64 arrays over replicas; `eligible` is 1 where the request may go, and the answer must be one of
those (any other means the first eligible one). Called once for each request."""


def route_signature() -> Any:
    """numba's signature of a RouteFunction."""
    from numba import types

    return types.int64(types.float64, types.int64, types.int64, types.int64, *[types.int64[::1]] * 6)


def router_number(router: str | RouteFunction, where: str = "deployment.router") -> int:
    """How the loop knows a router: its place in ROUTERS, or CUSTOM."""
    if not isinstance(router, str):
        return CUSTOM
    name = ROUTER_ALIASES.get(router, router)
    if name not in ROUTERS:
        raise unknown("router", router, (*ROUTERS, *ROUTER_ALIASES), where)
    return ROUTERS.index(name)


@compiled
def could_hold(sim: Any, r: int, i: int, decode: bool) -> bool:
    """Whether replica r, up or not, takes this part of the work and could ever hold the request."""
    rep = sim.reps[r]
    job = sim.jobs[i]
    if rep.role == (PREFILL if decode else DECODE):
        return False
    tokens = job.input + job.made if rep.role == PREFILL else job.input + job.output - 1
    return bool(tokens <= rep.capacity_tokens)


@compiled
def eligible(sim: Any, r: int, i: int, decode: bool) -> bool:
    """Whether replica r is up, takes this part of the work, and could ever hold the request."""
    return bool(sim.reps[r].state == UP and could_hold(sim, r, i, decode))


@compiled
def possible(sim: Any, i: int) -> bool:
    """Whether some replica, up or not, could ever hold job i's prompt (with the tokens that it made before its engine
    died), and some its whole sequence."""
    starts = False
    ends = False
    for r in range(len(sim.reps)):
        starts = starts or could_hold(sim, r, i, False)
        ends = ends or could_hold(sim, r, i, True)
    return starts and ends


@compiled
def draw(sim: Any, n: int) -> int:
    """A number below n from the router's own random stream (Lehmer's, modulo 2^31 − 1)."""
    g = sim.g[0]
    g.random = g.random * 48271 % 2147483647
    return int(g.random % n)


@compiled
def route(sim: Any, route_to: Any, i: int, decode: bool, now: float) -> int:
    """Replica for job i (its decode part, if `decode`), or −1 when none is eligible."""
    g = sim.g[0]
    n = len(sim.reps)
    if n == 1:
        return 0 if eligible(sim, 0, i, decode) else -1
    if g.spill > 0 and not decode:
        other = _spilled(sim, i)
        if other >= 0:
            return other
    if g.router == 0:
        return _take_turns(sim, i, decode)
    if g.router == 3:
        return _of_two(sim, i, decode)
    if g.router == 4 and not decode:
        return _by_prefix(sim, i)
    if g.router == 5:
        return _by_session(sim, i, decode)
    if g.router == 6 and not decode:
        return _custom(sim, route_to, i, now)
    return _shortest(sim, i, decode, g.router == 1)


@compiled
def _spilled(sim: Any, i: int) -> int:
    """The least loaded decode replica when every replica for prompts holds more than `spill` tokens; −1 when one has
    room.

    Not the other way round: a prefill replica keeps blocks of prompts that nobody has pulled, so its room is not its
    own to give.
    """
    job = sim.jobs[i]
    best = -1
    for r in range(len(sim.reps)):
        rep = sim.reps[r]
        if rep.state != UP:
            continue
        if rep.role != DECODE:
            if rep.load_tokens <= sim.g[0].spill:
                return -1
        elif job.input + job.output - 1 <= rep.capacity_tokens and (
            best < 0 or rep.load_tokens < sim.reps[best].load_tokens
        ):
            best = r
    return int(best)


@compiled
def _take_turns(sim: Any, i: int, decode: bool) -> int:
    n = len(sim.reps)
    turn = _turn(sim, decode)
    for step in range(n):
        r = (turn + step) % n
        if eligible(sim, r, i, decode):
            _set_turn(sim, decode, (r + 1) % n)
            return int(r)
    return -1


@compiled
def _turn(sim: Any, decode: bool) -> int:
    g = sim.g[0]
    return int(g.turn_decode if decode else g.turn)


@compiled
def _set_turn(sim: Any, decode: bool, r: int) -> None:
    g = sim.g[0]
    if decode:
        g.turn_decode = r
    else:
        g.turn = r


@compiled
def _shortest(sim: Any, i: int, decode: bool, by_tokens: bool) -> int:
    """Fewest requests (or tokens) present; ties are broken in turn, so that an idle cluster fills evenly."""
    n = len(sim.reps)
    best = -1
    least = 0
    turn = _turn(sim, decode)
    for step in range(n):
        r = (turn + step) % n
        if eligible(sim, r, i, decode):
            load = sim.reps[r].load_tokens if by_tokens else sim.reps[r].present
            if best < 0 or load < least:
                best = r
                least = load
    if best >= 0:
        _set_turn(sim, decode, (best + 1) % n)
    return int(best)


@compiled
def _of_two(sim: Any, i: int, decode: bool) -> int:
    candidates = 0
    for r in range(len(sim.reps)):
        if eligible(sim, r, i, decode):
            sim.views[0, candidates] = r
            candidates += 1
    if candidates == 0:
        return -1
    a = sim.views[0, draw(sim, candidates)]
    b = sim.views[0, draw(sim, candidates)]
    return int(b if sim.reps[b].present < sim.reps[a].present else a)


@compiled
def _by_session(sim: Any, i: int, decode: bool) -> int:
    session = sim.jobs[i].session
    n = len(sim.reps)
    if session < 0:
        return _take_turns(sim, i, decode)
    for step in range(n):
        r = (session + step) % n
        if eligible(sim, r, i, decode):
            return int(r)
    return -1


@compiled
def _by_prefix(sim: Any, i: int) -> int:
    g = sim.g[0]
    n = len(sim.reps)
    least = -1
    most = 0
    for r in range(n):
        if eligible(sim, r, i, False):
            present = sim.reps[r].present
            least = present if least < 0 else min(least, present)
            most = max(most, present)
    if least < 0:
        return -1
    if most - least > g.balance_gap and most > g.balance_ratio * least:
        return _shortest(sim, i, False, False)
    best = _longest_prefix(sim, i)
    return best if best >= 0 else _shortest(sim, i, False, False)


@compiled
def _longest_prefix(sim: Any, i: int) -> int:
    """The eligible replica that caches most of job i's prompt (then the one with fewest requests), or −1 if none caches
    any."""
    start = sim.prefix_start[i]
    most = min(sim.prefix_start[i + 1] - start, (sim.jobs[i].goal - 1) // sim.g[0].unit_tokens)
    best = -1
    best_units = 0
    if most <= 0:
        return -1
    for word in range(sim.holders.shape[1]):
        bits = sim.holders[sim.prefix_block[start], word]
        r = word * 32
        while bits > 0:
            if bits & 1 and eligible(sim, r, i, False):
                units = cached_by(sim, i, r)
                if units > best_units or (
                    units == best_units and best >= 0 and sim.reps[r].present < sim.reps[best].present
                ):
                    best = r
                    best_units = units
            bits >>= 1
            r += 1
    return int(best)


@compiled
def _custom(sim: Any, route_to: Any, i: int, now: float) -> int:
    job = sim.jobs[i]
    views = sim.views
    first = -1
    for r in range(len(sim.reps)):
        rep = sim.reps[r]
        fits = eligible(sim, r, i, False)
        if fits and first < 0:
            first = r
        views[0, r] = 1 if fits else 0
        views[1, r] = rep.waiting
        views[2, r] = rep.running
        views[3, r] = rep.load_tokens
        views[4, r] = rep.free_blocks + rep.idle_units * rep.unit_blocks
        views[5, r] = cached_by(sim, i, r) * sim.g[0].unit_tokens if len(sim.holders) > 0 else 0
    if first < 0:
        return -1
    chosen = route_to(
        now, job.input, job.session, job.client, views[0], views[1], views[2], views[3], views[4], views[5]
    )
    return int(chosen if 0 <= chosen < len(sim.reps) and views[0, chosen] == 1 else first)
