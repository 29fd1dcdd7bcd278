"""The running batch of a replica: who joins, who leaves, and what each holds."""

from __future__ import annotations

from typing import Any

import numpy as np

from rooflab.simulator.serving.compiled import compiled
from rooflab.simulator.serving.kv import blocks_for, give
from rooflab.simulator.serving.observe import see_waiting
from rooflab.simulator.serving.prefix import register, release
from rooflab.simulator.serving.queues import heap_push, heap_remove, push
from rooflab.simulator.serving.rules import FAIR, LONGEST_PREFIX, queue_key
from rooflab.simulator.serving.state import DECODING, ENDED, RECEIVING, WAITING, WHOLE

__all__ = [
    "drawn",
    "drop_copy",
    "end",
    "enqueue",
    "enter",
    "free",
    "join_decode",
    "leave",
    "leave_decode",
    "line_of",
    "next_line",
    "preempt",
    "release_successors",
]


@compiled
def line_of(sim: Any, r: int, i: int) -> int:
    """Waiting line of job i at replica r: one a replica, or one for each client under "fair"."""
    clients = sim.g[0].n_clients
    return int(r * clients + (sim.jobs[i].client if clients > 1 else 0))


@compiled
def service_of(sim: Any, r: int, q: int) -> float:
    """Tokens that the client of line q has had from replica r: prompt tokens plus twice the generated ones."""
    line = sim.queues[q]
    return float(line.service + 2.0 * (line.n_decode * sim.reps[r].tokens - line.joined_sum))


@compiled
def next_line(sim: Any, r: int) -> int:
    """The line whose front job goes next, or −1: the least served client's."""
    clients = sim.g[0].n_clients
    if sim.reps[r].waiting == 0:
        return -1
    if clients == 1:
        return r
    best = -1
    least = np.inf
    for q in range(r * clients, (r + 1) * clients):
        if sim.queues[q].n > 0:
            service = service_of(sim, r, q)
            if service < least:
                best = q
                least = service
    return best


@compiled
def drawn(i: int, rotation: int) -> float:
    """Priority of job i after so many rotations: a hash of both in [0, 1), the same in every run."""
    x = (i + 1) * 0x9E3779B1 + (rotation + 1) * 0x85EBCA77
    x = ((x ^ (x >> 15)) * 0x2C1B3C6D) & 0xFFFFFFFF
    x = ((x ^ (x >> 12)) * 0x297A2D39) & 0xFFFFFFFF
    return float((x ^ (x >> 15)) & 0xFFFFFFFF) / 4294967296.0


@compiled
def enqueue(sim: Any, key_of: Any, r: int, i: int, now: float) -> None:
    """Job i joins the waiting line of replica r."""
    rep = sim.reps[r]
    q = line_of(sim, r, i)
    line = sim.queues[q]
    if rep.policy == FAIR and line.n == 0 and line.n_decode == 0:
        busiest = next_line(sim, r)
        if busiest >= 0:
            line.service = max(line.service, service_of(sim, r, busiest))
    see_waiting(sim, r, now)
    sim.jobs[i].state = WAITING
    if rep.rotate_steps > 0:
        push(sim, q, i, drawn(i, rep.rotations))
    else:
        push(sim, q, i, queue_key(sim, key_of, rep.policy, i, service_of(sim, r, q), now))
    rep.waiting += 1


@compiled
def enter(sim: Any, r: int, i: int, now: float) -> None:
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
    if job.adapter >= 0 and rep.max_adapters > 0:
        _use_adapter(sim, r, job.adapter, now)


@compiled
def leave(sim: Any, r: int, i: int) -> None:
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
    if job.adapter >= 0 and rep.max_adapters > 0:
        sim.adapters[r, job.adapter, 0] -= 1
        if sim.adapters[r, job.adapter, 0] == 0:
            rep.active_adapters -= 1


@compiled
def _use_adapter(sim: Any, r: int, adapter: int, now: float) -> None:
    """One more running request of an adapter; one that is not on the GPU is loaded in place of the one unused for
    longest."""
    rep = sim.reps[r]
    table = sim.adapters[r]
    if table[adapter, 0] == 0:
        rep.active_adapters += 1
    table[adapter, 0] += 1
    if table[adapter, 1] < 0:
        rep.extra_s += rep.adapter_load_s
        loaded = 0
        oldest = -1
        for a in range(len(table)):
            if table[a, 1] >= 0:
                loaded += 1
                if table[a, 0] == 0 and (oldest < 0 or table[a, 1] < table[oldest, 1]):
                    oldest = a
        if loaded >= rep.max_adapters:
            table[oldest, 1] = -1.0
    table[adapter, 1] = now


@compiled
def join_decode(sim: Any, r: int, i: int, since: float) -> None:
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
    line = sim.queues[line_of(sim, r, i)]
    line.n_decode += 1
    line.joined_sum += rep.tokens
    rep.newcomers += 1
    rep.newcomer_sum_s += since


@compiled
def leave_decode(sim: Any, r: int, i: int) -> None:
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
    line = sim.queues[line_of(sim, r, i)]
    line.n_decode -= 1
    line.joined_sum -= joined
    line.service += 2.0 * gained


@compiled
def free(sim: Any, r: int, i: int) -> None:
    """Job i gives back all blocks it holds on replica r."""
    release(sim, r, i)
    give(sim, r, sim.jobs[i].private)
    sim.jobs[i].private = 0


@compiled
def preempt(sim: Any, key_of: Any, r: int, i: int, now: float) -> None:
    """Job i loses its blocks and waits again: its KV goes to the host if there is room, else it is computed again."""
    rep = sim.reps[r]
    job = sim.jobs[i]
    decoding = job.state == DECODING
    if decoding:
        leave_decode(sim, r, i)
        job.stalled_since_s = rep.emitted_s
    leave(sim, r, i)
    free(sim, r, i)
    moved = job.done - job.on_host
    if decoding and rep.swap_used + moved <= rep.swap_tokens:
        rep.swap_used += moved
        if rep.swap_async == 1:
            rep.swap_out_free_s = max(now, rep.swap_out_free_s) + moved * rep.swap_s_per_token
        else:
            rep.extra_s += moved * rep.swap_s_per_token
        sim.totals[r, 11] += moved
        job.on_host = job.done if rep.swap_reuse == 1 else 0
        job.swapped = 1
    else:
        drop_copy(rep, job)
        sim.totals[r, 12] += job.done
        job.done = 0
    job.goal = job.input + job.made - (1 if decoding and job.swapped == 1 else 0)
    job.preemptions += 1
    sim.totals[r, 10] += 1
    enqueue(sim, key_of, r, i, now)


@compiled
def drop_copy(rep: Any, job: Any) -> None:
    """The host forgets the copy that it kept of a job which runs."""
    rep.swap_used -= job.on_host
    job.on_host = 0


@compiled
def end(sim: Any, r: int, i: int, now: float, status: int) -> None:
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
    if status == 1:
        job.last_token_s = now
        job.decode_replica = r
        sim.totals[r, 18] += 1
    release_successors(sim, i, now)


@compiled
def release_successors(sim: Any, i: int, now: float) -> None:
    """Requests that waited for job i come after their think time; so does the next of those that keep the number in
    flight."""
    g = sim.g[0]
    timers = g.n_queues - 1
    j = sim.jobs[i].successor
    while j >= 0:
        push(sim, timers, j, now + sim.jobs[j].think_s)
        j = sim.jobs[j].sibling
    while g.next_shared < g.n_jobs and sim.jobs[g.next_shared].after != -2:
        g.next_shared += 1
    if g.next_shared < g.n_jobs:
        push(sim, timers, g.next_shared, now + sim.jobs[g.next_shared].think_s)
        g.next_shared += 1


@compiled
def finish(sim: Any, r: int, i: int, now: float) -> None:
    """Job i has its last token: it leaves replica r, and its answer stays in the prefix cache."""
    job = sim.jobs[i]
    if job.state == DECODING:
        leave_decode(sim, r, i)
    register(sim, r, i, job.done)
    drop_copy(sim.reps[r], job)
    leave(sim, r, i)
    free(sim, r, i)
    end(sim, r, i, now, 1)


@compiled
def victim(sim: Any, r: int) -> int:
    """Who loses its blocks: SGLang's least progress (then longest prompt), the last admitted, or under a policy the
    last in its order.

    A job whose KV is still coming cannot lose it; there must be another."""
    rep = sim.reps[r]
    worst = rep.tail
    while sim.jobs[worst].state == RECEIVING:
        worst = sim.jobs[worst].previous
    if not rep.by_progress and rep.policy in (0, FAIR, LONGEST_PREFIX) and rep.rotate_steps == 0:
        return int(worst)
    i = sim.jobs[worst].previous
    while i >= 0:
        if sim.jobs[i].state != RECEIVING and _goes_first(sim, r, i, worst):
            worst = i
        i = sim.jobs[i].previous
    return int(worst)


@compiled
def _goes_first(sim: Any, r: int, i: int, worst: int) -> bool:
    a = sim.jobs[i]
    b = sim.jobs[worst]
    if not sim.reps[r].by_progress or sim.reps[r].rotate_steps > 0:
        return bool(a.key > b.key)
    tokens = sim.reps[r].tokens
    made_a = a.made + (tokens - a.done + a.anchor if a.state == DECODING else 0)
    made_b = b.made + (tokens - b.done + b.anchor if b.state == DECODING else 0)
    return bool(made_a < made_b or (made_a == made_b and a.input > b.input))
