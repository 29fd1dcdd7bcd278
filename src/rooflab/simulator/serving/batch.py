"""The running batch of a replica: who joins, who leaves, and what each holds."""

from __future__ import annotations

import numpy as np

from rooflab.simulator.serving.adapters import drop_adapter, use_adapter
from rooflab.simulator.serving.compiled import compiled
from rooflab.simulator.serving.kv import blocks_for, give
from rooflab.simulator.serving.lines import line_of
from rooflab.simulator.serving.observe import see_waiting
from rooflab.simulator.serving.prefix import register, release
from rooflab.simulator.serving.queues import heap_push, heap_remove, push, timers
from rooflab.simulator.serving.rows import Job, Rep
from rooflab.simulator.serving.state import COMPACTED, DECODING, ENDED, FINISHED, HELD, PAGED, WHOLE, Sim
from rooflab.simulator.work.requests import SHARED

__all__ = [
    "drop_copy",
    "end",
    "enter",
    "finish",
    "free",
    "join_decode",
    "leave",
    "leave_decode",
    "release_successors",
    "tidy",
]


@compiled
def enter(sim: Sim, r: int, i: int, now: float) -> None:
    """Job i joins the running list of replica r, at its end."""
    rep = sim.reps[r]
    job = sim.jobs[i]
    if np.isnan(job.first_scheduled_s):
        job.first_scheduled_s = now
    job.previous = rep.tail
    job.next = -1
    if rep.tail >= 0:
        sim.jobs[rep.tail].next = i
    else:
        rep.head = i
    rep.tail = i
    rep.running += 1
    if sim.has_adapters:
        use_adapter(sim, r, job.adapter, now)


@compiled
def leave(sim: Sim, r: int, i: int) -> None:
    """Job i leaves the running list of replica r."""
    rep = sim.reps[r]
    job = sim.jobs[i]
    if job.previous >= 0:
        sim.jobs[job.previous].next = job.next
    else:
        rep.head = job.next
    if job.next >= 0:
        sim.jobs[job.next].previous = job.previous
    else:
        rep.tail = job.previous
    rep.running -= 1
    if rep.partial == i:
        rep.partial = -1
    if sim.has_adapters:
        drop_adapter(sim, r, job.adapter)


@compiled
def join_decode(sim: Sim, r: int, i: int, since: float) -> None:
    """Job i, whose `done` tokens have KV on replica r, joins the decode batch; its last token came at `since`."""
    rep = sim.reps[r]
    job = sim.jobs[i]
    job.state = DECODING
    job.decode_replica = r
    job.anchor = job.done - rep.tokens
    job.finish_at = rep.tokens + max(rep.longest if rep.gated else 0, job.output - job.made)
    heap_push(sim, r, i)
    rep.n_decode += 1
    rep.anchor_sum += job.anchor
    rep.finish_sum += job.finish_at
    rep.output_sum += job.output
    if rep.reserve != WHOLE:
        sim.phases[r, job.anchor % rep.block_size] += 1
    if sim.has_buffers and rep.buffers != PAGED:
        take_slot(sim, r, i)
    line = sim.queues[line_of(sim, r, i)]
    line.n_decode += 1
    line.joined_sum += rep.tokens
    rep.newcomers += 1
    rep.newcomer_sum_s += since


@compiled
def leave_decode(sim: Sim, r: int, i: int) -> None:
    """Job i leaves the decode batch; `done`, `made` and `private` are brought up to date."""
    rep = sim.reps[r]
    job = sim.jobs[i]
    heap_remove(sim, r, i)
    rep.n_decode -= 1
    rep.anchor_sum -= job.anchor
    rep.finish_sum -= job.finish_at
    rep.output_sum -= job.output
    joined = job.done - job.anchor
    gained = min(rep.tokens - joined, job.output - job.made) if rep.gated else rep.tokens - joined
    job.done += gained
    job.made = min(job.made + gained, job.output)
    if rep.reserve != WHOLE:
        sim.phases[r, job.anchor % rep.block_size] -= 1
        job.private = blocks_for(rep, job.done) - job.shared * rep.unit_blocks
    if sim.has_buffers and rep.buffers != PAGED:
        sim.slots[r, job.slot] = -1
        rep.holes += 1
    line = sim.queues[line_of(sim, r, i)]
    line.n_decode -= 1
    line.joined_sum -= joined
    line.service += 2.0 * gained


@compiled
def take_slot(sim: Sim, r: int, i: int) -> None:
    """Job i gets the slot behind the window of replica r; a window of all slots has a hole, which it gets."""
    rep = sim.reps[r]
    size = sim.slots.shape[1]
    k = (rep.first_slot + rep.window) % size
    if rep.window < size:
        rep.window += 1
    else:
        while sim.slots[r, k] >= 0:
            k = (k + 1) % size
        give_up(sim, r, k)
    sim.slots[r, k] = i
    sim.jobs[i].slot = k


@compiled
def give_up(sim: Sim, r: int, k: int) -> None:
    """Slot k is a hole no more; memory that stayed in it is free."""
    owner = -2 - sim.slots[r, k]
    if owner >= 0:
        sim.reps[r].held_tokens -= sim.jobs[owner].done
        free(sim, r, owner)
    sim.slots[r, k] = -1
    sim.reps[r].holes -= 1


@compiled
def tidy(sim: Sim, r: int) -> None:
    """The window of replica r ends where its first and last sequences are; between them holes are filled from its end,
    unless they are held."""
    rep = sim.reps[r]
    size = sim.slots.shape[1]
    if rep.holes == 0:
        return
    while rep.window > 0 and sim.slots[r, rep.first_slot] < 0:
        give_up(sim, r, rep.first_slot)
        rep.first_slot = (rep.first_slot + 1) % size
        rep.window -= 1
    _cut_end(sim, r)
    k = rep.first_slot
    while rep.buffers == COMPACTED and rep.holes > 0:
        while sim.slots[r, k] >= 0:
            k = (k + 1) % size
        last = (rep.first_slot + rep.window - 1) % size
        i = sim.slots[r, last]
        sim.slots[r, k] = i
        sim.jobs[i].slot = k
        sim.slots[r, last] = -1
        # buffers were given out for whole answers, and are copied so
        tokens = sim.jobs[i].input + sim.jobs[i].output
        rep.moves_s += tokens * rep.move_s_per_token
        sim.totals[r].moved_tokens += tokens
        _cut_end(sim, r)


@compiled
def _cut_end(sim: Sim, r: int) -> None:
    rep = sim.reps[r]
    size = sim.slots.shape[1]
    while rep.window > 0 and sim.slots[r, (rep.first_slot + rep.window - 1) % size] < 0:
        give_up(sim, r, (rep.first_slot + rep.window - 1) % size)
        rep.window -= 1


@compiled
def free(sim: Sim, r: int, i: int) -> None:
    """Job i gives back all blocks it holds on replica r."""
    if sim.has_prefixes:
        release(sim, r, i)
    give(sim, r, sim.jobs[i].private)
    sim.jobs[i].private = 0


@compiled
def drop_copy(rep: Rep, job: Job) -> None:
    """The host forgets the copy that it kept of a job which runs."""
    rep.swap_used -= job.on_host
    job.on_host = 0


@compiled
def end(sim: Sim, r: int, i: int, now: float, status: int) -> None:
    """Job i is over and what waited for it is released."""
    g = sim.g[0]
    rep = sim.reps[r]
    job = sim.jobs[i]
    see_waiting(sim, r, now)
    rep.present -= 1
    rep.load_tokens -= job.input + job.predicted
    job.state = ENDED
    job.status = status
    g.ended += 1
    if status == FINISHED:
        job.last_token_s = now
        job.decode_replica = r
        sim.totals[r].finished += 1
    release_successors(sim, i, now)


@compiled
def release_successors(sim: Sim, i: int, now: float) -> None:
    """Requests that waited for job i come after their think time; so does the next of those that keep the number in
    flight."""
    g = sim.g[0]
    j = sim.jobs[i].successor
    while j >= 0:
        push(sim, timers(sim), j, now + sim.jobs[j].think_s)
        j = sim.jobs[j].sibling
    while g.next_shared < g.n_jobs and sim.jobs[g.next_shared].after != SHARED:
        g.next_shared += 1
    if g.next_shared < g.n_jobs:
        push(sim, timers(sim), g.next_shared, now + sim.jobs[g.next_shared].think_s)
        g.next_shared += 1


@compiled
def finish(sim: Sim, r: int, i: int, now: float) -> None:
    """Job i has its last token: it leaves replica r, and its answer stays in the prefix cache."""
    job = sim.jobs[i]
    if job.state == DECODING:
        leave_decode(sim, r, i)
    if sim.has_prefixes:
        register(sim, r, i, job.done)
    if sim.has_swap:
        drop_copy(sim.reps[r], job)
    leave(sim, r, i)
    if sim.has_buffers and sim.reps[r].buffers == HELD and job.slot >= 0:
        sim.slots[r, job.slot] = -2 - i
        sim.reps[r].held_tokens += job.done
    else:
        free(sim, r, i)
    end(sim, r, i, now, FINISHED)
