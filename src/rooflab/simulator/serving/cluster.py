"""What happens to a request between engines: arrival, its line, its first token, the way to a decode replica."""

from __future__ import annotations

import numpy as np

from rooflab.simulator.serving.batch import end, finish, free, join_decode, leave, release_successors
from rooflab.simulator.serving.compiled import compiled
from rooflab.simulator.serving.disaggregation import give_home
from rooflab.simulator.serving.lines import enqueue, line_of
from rooflab.simulator.serving.observe import gap, see_waiting
from rooflab.simulator.serving.prefix import register
from rooflab.simulator.serving.queues import limbo, peek, pop, push, timers
from rooflab.simulator.serving.route import possible, route
from rooflab.simulator.serving.rules import FCFS
from rooflab.simulator.serving.state import (
    ENDED,
    IMPOSSIBLE,
    PREFILL,
    RECEIVING,
    REJECTED,
    RESTING,
    UNBORN,
    Sim,
)
from rooflab.simulator.serving.step import cut

__all__ = ["advance_prompts", "arrive", "due", "place", "ring", "start_over"]


@compiled
def arrive(sim: Sim, i: int, now: float) -> None:
    """Request i arrives and is routed."""
    sim.jobs[i].arrival_s = now
    place(sim, i, now)


@compiled
def place(sim: Sim, i: int, now: float) -> None:
    """Route job i (its decode part, if a home holds its KV) to a waiting line; with no replica up it waits in limbo, at
    a full one it is turned away, and it is refused if nothing could ever hold it."""
    job = sim.jobs[i]
    if job.home < 0 and not possible(sim, i):
        job.state = ENDED
        job.status = IMPOSSIBLE
        sim.g[0].ended += 1
        release_successors(sim, i, now)
        return
    r = route(sim, i, now)
    if sim.has_outages and r < 0:
        job.state = UNBORN
        push(sim, limbo(sim), i, job.arrival_s)
        return
    rep = sim.reps[r]
    see_waiting(sim, r, now)
    rep.present += 1
    rep.load_tokens += job.input + job.predicted
    if rep.waiting >= rep.max_waiting and job.requeues == 0 and job.home < 0:
        end(sim, r, i, now, REJECTED)
        return
    line_up(sim, r, i, now)


@compiled
def line_up(sim: Sim, r: int, i: int, now: float) -> None:
    """Job i waits at replica r, whose run of steps is cut if it could be admitted."""
    rep = sim.reps[r]
    hopeless = (
        rep.running >= rep.max_num_seqs
        or (rep.gated == 1 and rep.running > 0)
        or (rep.policy == FCFS and rep.waiting > 0 and rep.max_adapters == 0 and rep.rotate_steps == 0)
    )
    enqueue(sim, r, i, now)
    if not hopeless or rep.phase == RESTING:
        cut(sim, r, now)


@compiled
def advance_prompts(sim: Sim, r: int, now: float) -> None:
    """Prompts of the step just done advance; a complete one has its next token, and may be over or go elsewhere to
    decode."""
    rep = sim.reps[r]
    i = rep.chunk_head
    while i >= 0:
        job = sim.jobs[i]
        following = job.chunk_next
        job.done += job.chunk
        if job.done >= job.goal:
            if sim.has_prefixes:
                register(sim, r, i, job.goal)
            _token_of_prompt(sim, r, i, now)
        i = following
    rep.chunk_head = -1
    rep.n_chunks = 0
    rep.chunk_tokens = 0


@compiled
def _token_of_prompt(sim: Sim, r: int, i: int, now: float) -> None:
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
    elif sim.has_pools and rep.role == PREFILL:
        _hand_over(sim, r, i, now)
    else:
        join_decode(sim, r, i, now)


@compiled
def _hand_over(sim: Sim, r: int, i: int, now: float) -> None:
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
    place(sim, i, now)


@compiled
def start_over(sim: Sim, i: int, now: float) -> None:
    """Job i has lost its KV and its place: it keeps the tokens it made (but for a last one that its batch still held
    back) and is routed again."""
    job = sim.jobs[i]
    home = job.home
    if sim.has_pools and home >= 0:
        give_home(sim, i)
        cut(sim, home, now)
    job.private = 0
    job.swapped = 0
    job.on_host = 0
    job.done = 0
    job.made = min(job.made, job.output - 1)
    job.goal = job.input + job.made
    job.requeues += 1
    place(sim, i, now)


@compiled
def ring(sim: Sim, now: float) -> None:
    """The first timer is due: a request is released, or KV has come to a decode replica."""
    i = pop(sim, timers(sim))
    if sim.has_transfers and sim.jobs[i].state == RECEIVING:
        _come(sim, i, now)
    else:
        arrive(sim, i, now)


@compiled
def _come(sim: Sim, i: int, now: float) -> None:
    """Job i's KV has come: it joins the next step, unless the replica that asked for it or the one that had it is
    dead."""
    job = sim.jobs[i]
    d = job.decode_replica
    rep = sim.reps[d]
    if sim.has_outages and job.epoch != rep.epoch:
        start_over(sim, i, now)
        return
    home = job.home
    if home >= 0 or job.swapped == 1:
        if sim.has_pools and home >= 0:
            give_home(sim, i)
            cut(sim, home, now)
        job.chunk_next = rep.ready_head
        rep.ready_head = i
    else:
        rep.receiving -= 1
        leave(sim, d, i)
        free(sim, d, i)
        job.done = 0
        job.goal = job.input + job.made
        enqueue(sim, d, i, now)
    cut(sim, d, now)


@compiled
def due(sim: Sim) -> bool:
    """Whether an arrival or a timer is due at this very moment, so that a step boundary must wait for it."""
    g = sim.g[0]
    i = peek(sim, timers(sim))
    if i >= 0 and sim.jobs[i].key <= g.now_s:
        return True
    return g.next_open < g.n_jobs and sim.jobs[g.next_open].arrival_s <= g.now_s
