"""Who loses its blocks when others need them, where its KV goes, and how it comes back."""

from __future__ import annotations

from rooflab.simulator.serving.batch import drop_copy, enter, free, join_decode, leave, leave_decode
from rooflab.simulator.serving.compiled import compiled
from rooflab.simulator.serving.kv import available, blocks_for, growth, length_after, take
from rooflab.simulator.serving.lines import enqueue
from rooflab.simulator.serving.queues import push, timers
from rooflab.simulator.serving.rows import Job, Rep
from rooflab.simulator.serving.rules import FAIR, FCFS, LONGEST_PREFIX
from rooflab.simulator.serving.state import DECODING, RECEIVING, WHOLE, Sim

__all__ = ["can_resume", "preempt", "resume", "victim"]


@compiled
def preempt(sim: Sim, r: int, i: int, now: float) -> None:
    """Job i loses its blocks and waits again: its KV goes to the host if there is room, else it is computed again."""
    rep = sim.reps[r]
    job = sim.jobs[i]
    decoding = job.state == DECODING
    if decoding:
        leave_decode(sim, r, i)
        job.stalled_since_s = rep.emitted_s
    leave(sim, r, i)
    free(sim, r, i)
    if sim.has_swap and decoding and rep.swap_used + job.done - job.on_host <= rep.swap_tokens:
        _swap_out(sim, r, i, now)
        job.goal = job.input + job.made - 1
    else:
        if sim.has_swap:
            drop_copy(rep, job)
        sim.totals[r].recomputed_tokens += job.done
        job.done = 0
        job.goal = job.input + job.made
    job.preemptions += 1
    sim.totals[r].preemptions += 1
    enqueue(sim, r, i, now)


@compiled
def _swap_out(sim: Sim, r: int, i: int, now: float) -> None:
    """What the host does not have yet of job i's KV goes there."""
    rep = sim.reps[r]
    job = sim.jobs[i]
    moved = job.done - job.on_host
    rep.swap_used += moved
    if sim.has_transfers and rep.swap_async == 1:
        rep.swap_out_free_s = max(now, rep.swap_out_free_s) + moved * rep.swap_s_per_token
    else:
        rep.extra_s += moved * rep.swap_s_per_token
    sim.totals[r].swapped_tokens += moved
    job.on_host = job.done if rep.swap_reuse == 1 else 0
    job.swapped = 1


@compiled
def victim(sim: Sim, r: int) -> int:
    """Who loses its blocks: SGLang's least progress (then longest prompt), the last admitted, or under a policy the
    last in its order.

    A job whose KV is still coming cannot lose it; there must be another."""
    rep = sim.reps[r]
    worst = rep.tail
    if sim.has_transfers:
        while sim.jobs[worst].state == RECEIVING:
            worst = sim.jobs[worst].previous
    if not rep.by_progress and rep.policy in (FCFS, FAIR, LONGEST_PREFIX) and rep.rotate_steps == 0:
        return int(worst)
    i = sim.jobs[worst].previous
    while i >= 0:
        if sim.jobs[i].state != RECEIVING and _goes_first(sim, r, i, worst):
            worst = i
        i = sim.jobs[i].previous
    return int(worst)


@compiled
def _goes_first(sim: Sim, r: int, i: int, worst: int) -> bool:
    a = sim.jobs[i]
    b = sim.jobs[worst]
    if not sim.reps[r].by_progress or sim.reps[r].rotate_steps > 0:
        return a.key > b.key
    tokens = sim.reps[r].tokens
    made_a = a.made + (tokens - a.done + a.anchor if a.state == DECODING else 0)
    made_b = b.made + (tokens - b.done + b.anchor if b.state == DECODING else 0)
    return made_a < made_b or (made_a == made_b and a.input > b.input)


@compiled
def _blocks(rep: Rep, job: Job) -> int:
    return blocks_for(rep, job.input + job.output - 1 if rep.reserve == WHOLE else job.done)


@compiled
def can_resume(sim: Sim, r: int, i: int) -> bool:
    """Whether a job whose KV is on the host finds blocks for it, and everyone for a next token."""
    rep = sim.reps[r]
    job = sim.jobs[i]
    after = job.done + length_after(rep, 1) - rep.tokens
    coming = 0 if rep.reserve == WHOLE else blocks_for(rep, after) - blocks_for(rep, job.done)
    return _blocks(rep, job) + coming + growth(sim, r, length_after(rep, 1)) <= available(rep)


@compiled
def resume(sim: Sim, r: int, i: int, now: float) -> None:
    """A swapped job comes back from the host and decodes on."""
    rep = sim.reps[r]
    job = sim.jobs[i]
    job.private = _blocks(rep, job)
    take(sim, r, job.private)
    if rep.swap_reuse == 0:
        rep.swap_used -= job.done
    enter(sim, r, i, now)
    if sim.has_transfers and rep.swap_async == 1:
        # what comes in takes the room of what goes out, so it cannot start before that is gone
        rep.swap_in_free_s = max(now, rep.swap_in_free_s, rep.swap_out_free_s) + job.done * rep.swap_s_per_token
        job.state = RECEIVING
        job.epoch = rep.epoch
        job.decode_replica = r
        rep.receiving += 1
        push(sim, timers(sim), i, rep.swap_in_free_s)
        return
    job.swapped = 0
    rep.extra_s += job.done * rep.swap_s_per_token
    join_decode(sim, r, i, job.stalled_since_s)
