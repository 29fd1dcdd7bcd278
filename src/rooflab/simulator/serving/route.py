"""Which replica takes a request: the routers (router.py) and what they see."""

from __future__ import annotations

from rooflab.simulator.serving.compiled import compiled
from rooflab.simulator.serving.kv import available
from rooflab.simulator.serving.prefix import cached_by
from rooflab.simulator.serving.router import LEAST_LOADED, OWN, POWER_OF_TWO, PREFIX_AFFINITY, ROUND_ROBIN, SESSION
from rooflab.simulator.serving.state import (
    DECODE,
    PREFILL,
    SEES_CACHED,
    SEES_ELIGIBLE,
    SEES_FREE,
    SEES_LOAD,
    SEES_RUNNING,
    SEES_WAITING,
    UP,
    Sim,
)

__all__ = ["could_hold", "possible", "route"]


@compiled
def could_hold(sim: Sim, r: int, i: int, decode: bool) -> bool:
    """Whether replica r, up or not, takes this part of the work and could ever hold the request."""
    rep = sim.reps[r]
    job = sim.jobs[i]
    if rep.role == (PREFILL if decode else DECODE):
        return False
    tokens = job.input + job.made if rep.role == PREFILL else job.input + job.output - 1
    return tokens <= rep.capacity_tokens


@compiled
def eligible(sim: Sim, r: int, i: int, decode: bool) -> bool:
    """Whether replica r is up, takes this part of the work, and could ever hold the request."""
    return sim.reps[r].state == UP and could_hold(sim, r, i, decode)


@compiled
def possible(sim: Sim, i: int) -> bool:
    """Whether some replica, up or not, could ever hold job i's prompt (with the tokens that it made before its engine
    died), and some its whole sequence."""
    starts = False
    ends = False
    for r in range(len(sim.reps)):
        starts = starts or could_hold(sim, r, i, False)
        ends = ends or could_hold(sim, r, i, True)
        if starts and ends:
            return True
    return False


@compiled
def draw(sim: Sim, n: int) -> int:
    """A number below n from the router's own random stream (Lehmer's, modulo 2^31 − 1)."""
    g = sim.g[0]
    g.random = g.random * 48271 % 2147483647
    return int(g.random % n)


@compiled
def route(sim: Sim, i: int, now: float) -> int:
    """Replica for job i (its decode part, if a home holds its KV), or −1 when none is eligible."""
    if sim.has_replicas and len(sim.reps) > 1:
        return _choose(sim, i, now)
    return 0 if eligible(sim, 0, i, sim.jobs[i].home >= 0) else -1


@compiled
def _choose(sim: Sim, i: int, now: float) -> int:
    """What the router says for job i."""
    g = sim.g[0]
    decode = sim.jobs[i].home >= 0
    if sim.has_pools and g.spill > 0 and not decode:
        other = _spilled(sim, i)
        if other >= 0:
            return other
    if g.router == ROUND_ROBIN:
        return _take_turns(sim, i, decode)
    if g.router == POWER_OF_TWO:
        return _of_two(sim, i, decode)
    if g.router == PREFIX_AFFINITY and not decode:
        return _by_prefix(sim, i)
    if g.router == SESSION:
        return _by_session(sim, i, decode)
    if sim.has_own_router and g.router == OWN and not decode:
        return _by_own(sim, i, now)
    return _shortest(sim, i, decode, g.router == LEAST_LOADED)


@compiled
def _spilled(sim: Sim, i: int) -> int:
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
def _take_turns(sim: Sim, i: int, decode: bool) -> int:
    n = len(sim.reps)
    turn = _turn(sim, decode)
    for step in range(n):
        r = (turn + step) % n
        if eligible(sim, r, i, decode):
            _set_turn(sim, decode, (r + 1) % n)
            return int(r)
    return -1


@compiled
def _turn(sim: Sim, decode: bool) -> int:
    g = sim.g[0]
    return int(g.turn_decode if decode else g.turn)


@compiled
def _set_turn(sim: Sim, decode: bool, r: int) -> None:
    g = sim.g[0]
    if decode:
        g.turn_decode = r
    else:
        g.turn = r


@compiled
def _shortest(sim: Sim, i: int, decode: bool, by_tokens: bool) -> int:
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
def _of_two(sim: Sim, i: int, decode: bool) -> int:
    candidates = 0
    for r in range(len(sim.reps)):
        if eligible(sim, r, i, decode):
            sim.views[SEES_ELIGIBLE, candidates] = r
            candidates += 1
    if candidates == 0:
        return -1
    a = sim.views[SEES_ELIGIBLE, draw(sim, candidates)]
    b = sim.views[SEES_ELIGIBLE, draw(sim, candidates)]
    return int(b if sim.reps[b].present < sim.reps[a].present else a)


@compiled
def _by_session(sim: Sim, i: int, decode: bool) -> int:
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
def _by_prefix(sim: Sim, i: int) -> int:
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
    best = _longest_prefix(sim, i) if sim.has_prefixes else -1
    return best if best >= 0 else _shortest(sim, i, False, False)


@compiled
def _longest_prefix(sim: Sim, i: int) -> int:
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
def _by_own(sim: Sim, i: int, now: float) -> int:
    job = sim.jobs[i]
    views = sim.views
    first = -1
    for r in range(len(sim.reps)):
        rep = sim.reps[r]
        fits = eligible(sim, r, i, False)
        if fits and first < 0:
            first = r
        views[SEES_ELIGIBLE, r] = 1 if fits else 0
        views[SEES_WAITING, r] = rep.waiting
        views[SEES_RUNNING, r] = rep.running
        views[SEES_LOAD, r] = rep.load_tokens
        views[SEES_FREE, r] = available(rep)
        views[SEES_CACHED, r] = 0
        if sim.has_prefixes and len(sim.holders) > 0:
            views[SEES_CACHED, r] = cached_by(sim, i, r) * sim.g[0].unit_tokens
    if first < 0:
        return -1
    chosen = sim.route_to(
        now, job.input, job.session, job.client, views[SEES_ELIGIBLE], views[SEES_WAITING], views[SEES_RUNNING],
        views[SEES_LOAD], views[SEES_FREE], views[SEES_CACHED],
    )  # fmt: skip
    return int(chosen if 0 <= chosen < len(sim.reps) and views[SEES_ELIGIBLE, chosen] == 1 else first)
