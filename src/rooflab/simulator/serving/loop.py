"""The event loop: the earliest of arrivals, timers, step boundaries, cluster events and the autoscaler's look.

At equal times requests come before step boundaries (a request that arrives as a step ends joins the next),
and those before cluster events.  The loop runs a bounded number of events and hands control back.

When nothing can happen any more, those who have not ended are stranded: the engines that could take them are down for
good, or requests take turns so often that none of them gets to its next token.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rooflab.simulator.serving.autoscale import scale
from rooflab.simulator.serving.cluster import advance_prompts, arrive, due, happen, ring, switch_off, switch_on
from rooflab.simulator.serving.compiled import compiled, entry
from rooflab.simulator.serving.engine import begin, commit
from rooflab.simulator.serving.observe import cover, see_waiting, up_until
from rooflab.simulator.serving.queues import peek, set_wake
from rooflab.simulator.serving.state import BOUNDARY, DRAINING, MOST_FRUITLESS, STARTING, STEPPING, UP

__all__ = ["advance"]


@entry
def advance(sim: Any, key_of: Any, route_to: Any, events: int, close: bool) -> bool:
    """Run up to `events` events; True when nothing is left to do. With `close` the accounts are settled as well."""
    over = False
    for _ in range(events):
        over = not step(sim, key_of, route_to)
        if over:
            break
    if close:
        settle(sim)
    return over


@compiled
def step(sim: Any, key_of: Any, route_to: Any) -> bool:
    """One event; False when there is none left, all requests are over, or the time is up."""
    g = sim.g[0]
    while g.next_open < g.n_jobs and sim.jobs[g.next_open].after != -1:
        g.next_open += 1
    arrival_s = sim.jobs[g.next_open].arrival_s if g.next_open < g.n_jobs else np.inf
    timer = peek(sim, g.n_queues - 1)
    timer_s = sim.jobs[timer].key if timer >= 0 else np.inf
    r = sim.winners[1]
    event_s = sim.events[g.next_event].time_s if g.next_event < len(sim.events) else np.inf
    request_s = min(arrival_s, timer_s)
    change_s = min(event_s, g.next_tick_s)
    now = min(request_s, sim.wakes[r], change_s)
    if g.ended == g.n_jobs or now > g.stop_s:
        return False
    if now == np.inf:
        g.stranded = g.n_jobs - g.ended
        return False
    g.now_s = now
    if request_s <= now:
        if timer_s <= arrival_s:
            ring(sim, key_of, route_to, now)
        else:
            g.next_open += 1
            arrive(sim, key_of, route_to, g.next_open - 1, now)
    elif sim.wakes[r] <= now:
        wake(sim, key_of, route_to, r, now)
        if sim.reps[r].fruitless > MOST_FRUITLESS:
            g.stranded = g.n_jobs - g.ended
            return False
    elif event_s <= g.next_tick_s:
        happen(sim, key_of, route_to, now)
    else:
        changed = scale(sim, key_of, route_to, now)
        g.next_tick_s += g.tick_s
        if not changed and request_s == np.inf and sim.wakes[r] == np.inf and event_s == np.inf:
            # the autoscaler is all that is left, and it will decide as it has decided now for ever
            g.next_tick_s = np.inf
    return True


@compiled
def wake(sim: Any, key_of: Any, route_to: Any, r: int, now: float) -> None:
    """Replica r ends its step, starts one, or comes up."""
    rep = sim.reps[r]
    if rep.state == STARTING:
        switch_on(sim, key_of, route_to, r, now)
        return
    if rep.phase == STEPPING:
        commit(sim, key_of, r, rep.k, now)
        advance_prompts(sim, key_of, route_to, r, now)
        if due(sim):
            rep.phase = BOUNDARY
            set_wake(sim, r, now)
            return
    begin(sim, key_of, r, now)
    if rep.state == DRAINING and rep.present == 0 and rep.phase != STEPPING:
        switch_off(sim, r, now)


@compiled
def settle(sim: Any) -> None:
    """Bring the accounts of every replica up to now."""
    now = sim.g[0].now_s
    cover(sim, now)
    for r in range(len(sim.reps)):
        see_waiting(sim, r, now)
        if sim.reps[r].state == UP or sim.reps[r].state == DRAINING:
            up_until(sim, r, now)
