"""The event loop: the earliest of arrivals, timers, step boundaries, cluster events and the autoscaler's look.

At equal times requests come before step boundaries (a request that arrives as a step ends joins the next),
and those before cluster events.  The loop runs a bounded number of events and hands control back.

When nothing can happen any more, those who have not ended are stranded: the engines that could take them are down for
good, or requests take turns so often that none of them gets to its next token.
"""

from __future__ import annotations

import numpy as np

from rooflab.simulator.serving.autoscale import scale
from rooflab.simulator.serving.cluster import advance_prompts, arrive, due, ring
from rooflab.simulator.serving.compiled import compiled, entry
from rooflab.simulator.serving.observe import cover, see_waiting, up_until
from rooflab.simulator.serving.outages import happen, switch_off, switch_on
from rooflab.simulator.serving.queues import peek, set_wake, timers
from rooflab.simulator.serving.state import (
    BOUNDARY,
    DRAINING,
    MOST_FRUITLESS,
    SOONEST,
    STARTING,
    STEPPING,
    UP,
    Sim,
)
from rooflab.simulator.serving.step import begin, commit
from rooflab.simulator.work.requests import OPEN

__all__ = ["advance"]


@entry
def advance(sim: Sim, events: int, close: bool) -> bool:
    """Run up to `events` events; True when nothing is left to do. With `close` the accounts are settled as well."""
    over = False
    for _ in range(events):
        over = not step(sim)
        if over:
            break
    if close:
        settle(sim)
    return over


@compiled
def step(sim: Sim) -> bool:
    """One event; False when there is none left, all requests are over, or the time is up."""
    g = sim.g[0]
    while g.next_open < g.n_jobs and sim.jobs[g.next_open].after != OPEN:
        g.next_open += 1
    arrival_s = sim.jobs[g.next_open].arrival_s if g.next_open < g.n_jobs else np.inf
    timer = peek(sim, timers(sim))
    timer_s = sim.jobs[timer].key if timer >= 0 else np.inf
    request_s = min(arrival_s, timer_s)
    r = sim.winners[SOONEST]
    wake_s = sim.wakes[r]
    change_s = _change_s(sim) if sim.has_events or sim.has_autoscale else np.inf
    now = min(request_s, wake_s, change_s)
    if g.ended == g.n_jobs or now > g.stop_s:
        return False
    if now == np.inf:
        g.stranded = g.n_jobs - g.ended
        return False
    g.now_s = now
    if request_s <= now:
        if timer_s <= arrival_s:
            ring(sim, now)
        else:
            g.next_open += 1
            arrive(sim, g.next_open - 1, now)
    elif wake_s <= now:
        wake(sim, r, now)
        if sim.has_turns and sim.reps[r].fruitless > MOST_FRUITLESS:
            g.stranded = g.n_jobs - g.ended
            return False
    elif sim.has_events or sim.has_autoscale:
        _change(sim, now, request_s == np.inf and wake_s == np.inf)
    return True


@compiled
def _event_s(sim: Sim) -> float:
    """When the next cluster event is."""
    g = sim.g[0]
    return sim.events[g.next_event].time_s if g.next_event < len(sim.events) else np.inf


@compiled
def _change_s(sim: Sim) -> float:
    """When the cluster changes next, or the autoscaler looks at it."""
    return min(_event_s(sim), sim.g[0].next_tick_s)


@compiled
def _change(sim: Sim, now: float, alone: bool) -> None:
    """The cluster's next change, or the autoscaler's look; `alone`: nothing else is going to happen."""
    g = sim.g[0]
    if sim.has_events and _event_s(sim) <= g.next_tick_s:
        happen(sim, now)
    elif sim.has_autoscale:
        changed = scale(sim, now)
        g.next_tick_s += g.tick_s
        if alone and not changed and _event_s(sim) == np.inf:
            # the autoscaler is all that is left, and it will decide as it has decided now for ever
            g.next_tick_s = np.inf


@compiled
def wake(sim: Sim, r: int, now: float) -> None:
    """Replica r ends its step, starts one, or comes up."""
    rep = sim.reps[r]
    if sim.has_outages and rep.state == STARTING:
        switch_on(sim, r, now)
        return
    if rep.phase == STEPPING:
        commit(sim, r, rep.k, now)
        advance_prompts(sim, r, now)
        if due(sim):
            rep.phase = BOUNDARY
            set_wake(sim, r, now)
            return
    begin(sim, r, now)
    if sim.has_outages and rep.state == DRAINING and rep.present == 0 and rep.phase != STEPPING:
        switch_off(sim, r, now)


@compiled
def settle(sim: Sim) -> None:
    """Bring the accounts of every replica up to now."""
    now = sim.g[0].now_s
    cover(sim, now)
    for r in range(len(sim.reps)):
        see_waiting(sim, r, now)
        if sim.reps[r].state in (UP, DRAINING):
            up_until(sim, r, now)
