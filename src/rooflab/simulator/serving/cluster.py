"""What happens between engines: arrivals, hand-overs, failures and recoveries, clocks."""

from __future__ import annotations

from typing import Any

import numpy as np

from rooflab.simulator.serving.batch import (
    end,
    enqueue,
    finish,
    free,
    join_decode,
    leave,
    leave_decode,
    line_of,
    release_successors,
)
from rooflab.simulator.serving.compiled import compiled
from rooflab.simulator.serving.disaggregation import give_home
from rooflab.simulator.serving.engine import commit, cut, steps_by
from rooflab.simulator.serving.observe import gap, see_waiting, up_until
from rooflab.simulator.serving.prefix import forget, register
from rooflab.simulator.serving.queues import empty_queue, peek, pop, push, set_wake
from rooflab.simulator.serving.router import possible, route
from rooflab.simulator.serving.state import (
    DECODING,
    DRAINING,
    ENDED,
    FAIL,
    FAILED,
    OFF,
    PREFILL,
    RECEIVING,
    RECOVER,
    RESTING,
    STEPPING,
    UNBORN,
    UP,
)  # fmt: skip

__all__ = ["advance_prompts", "arrive", "due", "happen", "place_limbo", "ring", "switch_off", "switch_on"]


@compiled
def arrive(sim: Any, key_of: Any, route_to: Any, i: int, now: float) -> None:
    """Request i arrives and is routed."""
    sim.jobs[i].arrival_s = now
    place(sim, key_of, route_to, i, now)


@compiled
def place(sim: Any, key_of: Any, route_to: Any, i: int, now: float) -> None:
    """Route job i (its decode part, if a home holds its KV) to a waiting line; with no replica up it waits in limbo, at
    a full one it is turned away, and it is refused if nothing could ever hold it."""
    job = sim.jobs[i]
    if job.home < 0 and not possible(sim, i):
        job.state = ENDED
        job.status = 3
        sim.g[0].ended += 1
        release_successors(sim, i, now)
        return
    r = route(sim, route_to, i, job.home >= 0, now)
    if r < 0:
        job.state = UNBORN
        push(sim, sim.g[0].n_queues - 2, i, job.arrival_s)
        return
    rep = sim.reps[r]
    see_waiting(sim, r, now)
    rep.present += 1
    rep.load_tokens += job.input + job.predicted
    if rep.waiting >= rep.max_waiting and job.requeues == 0 and job.home < 0:
        end(sim, r, i, now, 2)
        return
    line_up(sim, key_of, r, i, now)


@compiled
def line_up(sim: Any, key_of: Any, r: int, i: int, now: float) -> None:
    """Job i waits at replica r, whose run of steps is cut if it could be admitted."""
    rep = sim.reps[r]
    hopeless = (
        rep.running >= rep.max_num_seqs
        or (rep.gated == 1 and rep.running > 0)
        or (rep.policy == 0 and rep.waiting > 0 and rep.max_adapters == 0 and rep.rotate_steps == 0)
    )
    enqueue(sim, key_of, r, i, now)
    if not hopeless or rep.phase == RESTING:
        cut(sim, r, now)


@compiled
def advance_prompts(sim: Any, key_of: Any, route_to: Any, r: int, now: float) -> None:
    """Prompts of the step just done advance; a complete one has its next token, and may be over or go elsewhere to
    decode."""
    rep = sim.reps[r]
    i = rep.chunk_head
    while i >= 0:
        job = sim.jobs[i]
        following = job.chunk_next
        job.done += job.chunk
        if job.done >= job.goal:
            register(sim, r, i, job.goal)
            _token_of_prompt(sim, key_of, route_to, r, i, now)
        i = following
    rep.chunk_head = -1
    rep.n_chunks = 0
    rep.chunk_tokens = 0


@compiled
def _token_of_prompt(sim: Any, key_of: Any, route_to: Any, r: int, i: int, now: float) -> None:
    rep = sim.reps[r]
    job = sim.jobs[i]
    job.made += 1
    rep.fruitless = 0
    sim.queues[line_of(sim, r, i)].service += 2.0
    if np.isnan(job.first_token_s):
        job.first_token_s = now
        job.replica = r
    else:
        gap(sim, now - job.stalled_since_s)
    if job.made >= job.output and (rep.gated == 0 or rep.role == PREFILL or rep.longest == 0):
        finish(sim, r, i, now)
    elif rep.role == PREFILL:
        _hand_over(sim, key_of, route_to, r, i, now)
    else:
        join_decode(sim, r, i, now)


@compiled
def _hand_over(sim: Any, key_of: Any, route_to: Any, r: int, i: int, now: float) -> None:
    """Job i leaves prefill replica r for a decode replica; its KV stays until that one pulls it."""
    rep = sim.reps[r]
    job = sim.jobs[i]
    leave(sim, r, i)
    see_waiting(sim, r, now)
    rep.present -= 1
    rep.load_tokens -= job.input + job.predicted
    job.stalled_since_s = now
    job.home = r
    job.home_private = job.private
    job.private = 0
    job.hidden_s = (now - rep.start_s) * (1.0 - 1.0 / rep.link_layers)
    place(sim, key_of, route_to, i, now)


@compiled
def _start_over(sim: Any, key_of: Any, route_to: Any, i: int, now: float) -> None:
    """Job i has lost its KV and its place: it keeps the tokens it made (but for a last one that its batch still held
    back) and is routed again."""
    job = sim.jobs[i]
    home = job.home
    if home >= 0:
        give_home(sim, i)
        cut(sim, home, now)
    job.private = 0
    job.swapped = 0
    job.on_host = 0
    job.done = 0
    job.made = min(job.made, job.output - 1)
    job.goal = job.input + job.made
    job.requeues += 1
    place(sim, key_of, route_to, i, now)


@compiled
def ring(sim: Any, key_of: Any, route_to: Any, now: float) -> None:
    """The first timer is due: a request is released, or KV has come to a decode replica."""
    i = pop(sim, sim.g[0].n_queues - 1)
    job = sim.jobs[i]
    if job.state != RECEIVING:
        arrive(sim, key_of, route_to, i, now)
        return
    d = job.decode_replica
    if job.epoch != sim.reps[d].epoch:
        _start_over(sim, key_of, route_to, i, now)
        return
    home = job.home
    if home >= 0 or job.swapped == 1:
        if home >= 0:
            give_home(sim, i)
            cut(sim, home, now)
        job.chunk_next = sim.reps[d].ready_head
        sim.reps[d].ready_head = i
    else:
        sim.reps[d].receiving -= 1
        leave(sim, d, i)
        free(sim, d, i)
        job.done = 0
        job.goal = job.input + job.made
        enqueue(sim, key_of, d, i, now)
    cut(sim, d, now)


@compiled
def happen(sim: Any, key_of: Any, route_to: Any, now: float) -> None:
    """The next cluster event takes place."""
    g = sim.g[0]
    event = sim.events[g.next_event]
    g.next_event += 1
    r = event.replica
    rep = sim.reps[r]
    if event.kind == FAIL:
        if rep.state != FAILED:
            _fail(sim, key_of, route_to, r, now)
    elif event.kind == RECOVER:
        if rep.state == FAILED:
            switch_on(sim, key_of, route_to, r, now)
    else:
        rep.slow = event.slow
        rep.power = event.power
        cut(sim, r, now)


@compiled
def _fail(sim: Any, key_of: Any, route_to: Any, r: int, now: float) -> None:
    """Replica r dies: the step in progress and all KV are lost, every request there is routed again, none is lost."""
    rep = sim.reps[r]
    if rep.phase == STEPPING:
        whole = steps_by(rep, now) - 1
        end_s = rep.start_s + rep.step_s * whole + rep.slope_s * (0.5 * whole * (whole - 1))
        if whole > 0:
            commit(sim, key_of, r, whole, end_s)
        sim.totals[r, 1] += max(now - end_s, 0.0)
    if rep.state in (UP, DRAINING):
        up_until(sim, r, now)
    rep.state = FAILED
    rep.phase = RESTING
    set_wake(sim, r, np.inf)
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
    _lose_sent(sim, r)
    rep.receiving = 0
    rep.partial = -1
    rep.epoch += 1
    rep.swap_used = 0
    rep.extra_s = 0.0
    rep.newcomers = 0
    rep.newcomer_sum_s = 0.0
    if rep.unit_blocks > 0:
        forget(sim, r)
    see_waiting(sim, r, now)
    _empty(sim, key_of, route_to, r, first, now)


@compiled
def _lose_sent(sim: Any, r: int) -> None:
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
def _empty(sim: Any, key_of: Any, route_to: Any, r: int, first: int, now: float) -> None:
    """Route the requests of dead replica r again: the running ones, from `first` on, then its waiting lines."""
    rep = sim.reps[r]
    clients = sim.g[0].n_clients
    for q in range(r * clients, (r + 1) * clients):
        while sim.queues[q].n > 0:
            i = pop(sim, q)
            rep.waiting -= 1
            rep.present -= 1
            rep.load_tokens -= sim.jobs[i].input + sim.jobs[i].predicted
            _start_over(sim, key_of, route_to, i, now)
    while first >= 0:
        following = sim.jobs[first].link
        rep.present -= 1
        rep.load_tokens -= sim.jobs[first].input + sim.jobs[first].predicted
        _start_over(sim, key_of, route_to, first, now)
        first = following


@compiled
def switch_on(sim: Any, key_of: Any, route_to: Any, r: int, now: float) -> None:
    """Replica r is up."""
    rep = sim.reps[r]
    rep.state = UP
    rep.up_since_s = now
    rep.phase = RESTING
    set_wake(sim, r, np.inf)
    place_limbo(sim, key_of, route_to, now)


@compiled
def place_limbo(sim: Any, key_of: Any, route_to: Any, now: float) -> None:
    """A replica has come up: whoever had nowhere to go is routed again, in order of arrival."""
    ahead = -1
    last = empty_queue(sim, sim.g[0].n_queues - 2)
    while last >= 0:
        i = last
        last = sim.jobs[i].chunk_next
        sim.jobs[i].chunk_next = ahead
        ahead = i
    while ahead >= 0:
        i = ahead
        ahead = sim.jobs[i].chunk_next
        place(sim, key_of, route_to, i, now)


@compiled
def switch_off(sim: Any, r: int, now: float) -> None:
    """A draining replica has nothing left to do."""
    up_until(sim, r, now)
    sim.reps[r].state = OFF


@compiled
def due(sim: Any) -> bool:
    """Whether an arrival or a timer is due at this very moment, so that a step boundary must wait for it."""
    g = sim.g[0]
    i = peek(sim, g.n_queues - 1)
    if i >= 0 and sim.jobs[i].key <= g.now_s:
        return True
    return bool(g.next_open < g.n_jobs and sim.jobs[g.next_open].arrival_s <= g.now_s)
