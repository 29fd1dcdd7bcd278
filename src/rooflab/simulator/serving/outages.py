"""Engines that come and go, and change their speed: what happens to the cluster at set times."""

from __future__ import annotations

import numpy as np

from rooflab.simulator.serving.batch import free, leave, leave_decode
from rooflab.simulator.serving.cluster import place, start_over
from rooflab.simulator.serving.compiled import compiled
from rooflab.simulator.serving.disaggregation import give_home
from rooflab.simulator.serving.observe import see_waiting, up_until
from rooflab.simulator.serving.prefix import forget
from rooflab.simulator.serving.queues import empty_queue, limbo, pop, set_wake
from rooflab.simulator.serving.state import (
    DECODING,
    DRAINING,
    FAIL,
    FAILED,
    OFF,
    RECEIVING,
    RECOVER,
    RESTING,
    STEPPING,
    UNBORN,
    UP,
    Sim,
)
from rooflab.simulator.serving.step import commit, cut, steps_by

__all__ = ["happen", "place_limbo", "switch_off", "switch_on"]


@compiled
def happen(sim: Sim, now: float) -> None:
    """The next cluster event takes place."""
    g = sim.g[0]
    event = sim.events[g.next_event]
    g.next_event += 1
    r = event.replica
    rep = sim.reps[r]
    if sim.has_outages and event.kind == FAIL:
        if rep.state != FAILED:
            _fail(sim, r, now)
    elif sim.has_outages and event.kind == RECOVER:
        if rep.state == FAILED:
            switch_on(sim, r, now)
    else:
        rep.slow = event.slow
        rep.power = event.power
        cut(sim, r, now)


@compiled
def _fail(sim: Sim, r: int, now: float) -> None:
    """Replica r dies: the step in progress and all KV are lost, every request there is routed again, none is lost."""
    rep = sim.reps[r]
    if rep.phase == STEPPING:
        whole = steps_by(rep, now) - 1
        end_s = rep.start_s + rep.step_s * whole + rep.slope_s * (0.5 * whole * (whole - 1))
        if whole > 0:
            commit(sim, r, whole, end_s)
        sim.totals[r].busy_s += max(now - end_s, 0.0)
    if rep.state in (UP, DRAINING):
        up_until(sim, r, now)
    rep.state = FAILED
    rep.phase = RESTING
    set_wake(sim, r, np.inf)
    if sim.has_transfers:
        while rep.ready_head >= 0:
            i = rep.ready_head
            rep.ready_head = sim.jobs[i].chunk_next
            sim.jobs[i].state = UNBORN
    first = -1
    while rep.tail >= 0:
        i = rep.tail
        job = sim.jobs[i]
        if job.state == DECODING:
            leave_decode(sim, r, i)
            job.stalled_since_s = rep.emitted_s
        leave(sim, r, i)
        if job.state != RECEIVING:
            free(sim, r, i)
            job.link = first
            first = i
        else:
            rep.free_blocks += job.private
            see_waiting(sim, r, now)
            rep.present -= 1
            rep.load_tokens -= job.input + job.predicted
    if sim.has_pools:
        _lose_sent(sim, r)
    rep.receiving = 0
    rep.partial = -1
    rep.epoch += 1
    rep.swap_used = 0
    rep.extra_s = 0.0
    rep.moves_s = 0.0
    rep.newcomers = 0
    rep.newcomer_sum_s = 0.0
    if sim.has_prefixes and rep.unit_blocks > 0:
        forget(sim, r)
    see_waiting(sim, r, now)
    _empty(sim, r, first, now)


@compiled
def _lose_sent(sim: Sim, r: int) -> None:
    """KV that waited on dead replica r to be pulled is lost: its requests compute their prompts again where they
    are."""
    for i in range(len(sim.jobs)):
        job = sim.jobs[i]
        if job.home == r:
            give_home(sim, i)
            if job.state != RECEIVING:
                job.done = 0
                job.goal = job.input + job.made


@compiled
def _empty(sim: Sim, r: int, first: int, now: float) -> None:
    """Route the requests of dead replica r again: the running ones, from `first` on, then its waiting lines."""
    rep = sim.reps[r]
    clients = sim.g[0].n_clients
    for q in range(r * clients, (r + 1) * clients):
        while sim.queues[q].n > 0:
            i = pop(sim, q)
            rep.waiting -= 1
            rep.present -= 1
            rep.load_tokens -= sim.jobs[i].input + sim.jobs[i].predicted
            start_over(sim, i, now)
    while first >= 0:
        following = sim.jobs[first].link
        rep.present -= 1
        rep.load_tokens -= sim.jobs[first].input + sim.jobs[first].predicted
        start_over(sim, first, now)
        first = following


@compiled
def switch_on(sim: Sim, r: int, now: float) -> None:
    """Replica r is up."""
    rep = sim.reps[r]
    rep.state = UP
    rep.up_since_s = now
    rep.phase = RESTING
    set_wake(sim, r, np.inf)
    place_limbo(sim, now)


@compiled
def place_limbo(sim: Sim, now: float) -> None:
    """A replica has come up: whoever had nowhere to go is routed again, in order of arrival."""
    ahead = -1
    last = empty_queue(sim, limbo(sim))
    while last >= 0:
        i = last
        last = sim.jobs[i].chunk_next
        sim.jobs[i].chunk_next = ahead
        ahead = i
    while ahead >= 0:
        i = ahead
        ahead = sim.jobs[i].chunk_next
        place(sim, i, now)


@compiled
def switch_off(sim: Sim, r: int, now: float) -> None:
    """A draining replica has nothing left to do."""
    up_until(sim, r, now)
    sim.reps[r].state = OFF
