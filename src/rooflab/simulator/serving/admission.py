"""Who starts: waiting requests, while the limits, the token budget and the blocks allow."""

from __future__ import annotations

from typing import Final

from rooflab.simulator.serving.adapters import adapter_fits
from rooflab.simulator.serving.batch import enter
from rooflab.simulator.serving.compiled import compiled
from rooflab.simulator.serving.disaggregation import can_receive, receive
from rooflab.simulator.serving.kv import available, blocks_for, growth, length_after, take
from rooflab.simulator.serving.lines import dequeue, next_line, put_back
from rooflab.simulator.serving.preempt import can_resume, resume
from rooflab.simulator.serving.prefix import hold, match
from rooflab.simulator.serving.queues import peek
from rooflab.simulator.serving.rows import Job, Rep
from rooflab.simulator.serving.state import PREFILLING, PROMPT, WHOLE, Sim

__all__ = ["add_chunk", "admit", "steps_held"]

_FULL_BATCH: Final = 0.9
"""Share of the token budget at which prompts wait no longer for company (TensorRT-LLM: batch_wait_max_tokens_ratio)."""


@compiled
def steps_held(sim: Sim, r: int) -> int:
    """Steps until replica r takes up who waits: while it decodes it looks every `admit_every` steps, and waits for
    company."""
    rep = sim.reps[r]
    step = int(sim.totals[r].steps)
    if rep.n_decode == 0:
        rep.look_at = step
        rep.wait_until = -1
        return 0
    left = 0
    if rep.batch_wait_steps > 0:
        if rep.wait_until < 0:
            rep.wait_until = step + rep.batch_wait_steps
        left = rep.wait_until - step
        if (
            left > 0
            and rep.waiting * sim.jobs[peek(sim, next_line(sim, r))].goal >= _FULL_BATCH * rep.max_num_batched_tokens
        ):
            left = 0
        if left <= 0:
            rep.wait_until = -1
    if rep.admit_every > 1:
        behind = max(step - rep.look_at, 0)
        look = rep.look_at + (behind + rep.admit_every - 1) // rep.admit_every * rep.admit_every
        rep.look_at = look
        left = max(left, look - step)
    return max(left, 0)


@compiled
def add_chunk(sim: Sim, r: int, i: int, n: int) -> None:
    """Job i advances by n prompt tokens in the step being formed."""
    rep = sim.reps[r]
    job = sim.jobs[i]
    job.chunk = n
    job.chunk_next = -1
    if rep.chunk_tail >= 0:
        sim.jobs[rep.chunk_tail].chunk_next = i
    else:
        rep.chunk_head = i
    rep.chunk_tail = i
    rep.n_chunks += 1
    rep.chunk_tokens += n
    rep.area += n * job.done + n * (n + 1) // 2
    rep.partial = i if job.done + n < job.goal else -1


@compiled
def admit(sim: Sim, r: int, now: float) -> None:
    """Start waiting requests while the limits, the token budget (`Rep.budget`) and the blocks allow."""
    rep = sim.reps[r]
    if rep.waiting == 0 or (rep.gated and rep.running > 0) or rep.partial >= 0:
        return
    if sim.has_pacing and steps_held(sim, r) > 0:
        return
    rep.longest = 0
    rep.promised = 0.0
    skipped = -1
    while rep.running < rep.max_num_seqs and rep.budget > 0:
        q = next_line(sim, r)
        if q < 0:
            break
        i = peek(sim, q)
        job = sim.jobs[i]
        if sim.has_adapters and not adapter_fits(sim, r, job.adapter):
            dequeue(sim, r, q, now)
            job.link = skipped
            skipped = i
            continue
        if (sim.has_swap or sim.has_pools) and job.done >= job.goal:
            if not _take_up(sim, r, q, now):
                break
            continue
        if not _start(sim, r, q, now) or rep.partial >= 0:
            break
    if sim.has_adapters:
        while skipped >= 0:
            i = skipped
            skipped = sim.jobs[i].link
            put_back(sim, r, i)


@compiled
def _take_up(sim: Sim, r: int, q: int, now: float) -> bool:
    """The front job of line q, which has its KV elsewhere, comes in; False: there is no room for it."""
    i = peek(sim, q)
    if sim.has_pools and sim.jobs[i].home >= 0:
        if not can_receive(sim, r, i):
            return False
        dequeue(sim, r, q, now)
        receive(sim, r, i, now)
        return True
    if sim.has_swap and can_resume(sim, r, i):
        dequeue(sim, r, q, now)
        resume(sim, r, i, now)
        sim.reps[r].budget -= 1
        return True
    return False


@compiled
def _start(sim: Sim, r: int, q: int, now: float) -> bool:
    """The front job of line q begins its prompt; False: it must wait."""
    rep = sim.reps[r]
    i = peek(sim, q)
    job = sim.jobs[i]
    if sim.has_prefixes:
        match(sim, r, i)
    n = can_allocate(sim, r, i)
    if n == 0:
        return False
    dequeue(sim, r, q, now)
    allocate(sim, r, i, n)
    enter(sim, r, i, now)
    job.state = PREFILLING
    add_chunk(sim, r, i, n)
    sim.queues[q].service += n
    rep.longest = max(rep.longest, job.output - 1)
    rep.promised += job.output - job.made
    rep.budget -= n
    return True


@compiled
def _reserved(rep: Rep, job: Job, tokens: int) -> int:
    """Tokens whose blocks a job takes when `tokens` of them will have KV after its first step."""
    if rep.reserve == PROMPT:
        return job.goal
    if rep.reserve == WHOLE:
        return job.input + job.output - 1
    return tokens


@compiled
def can_allocate(sim: Sim, r: int, i: int) -> int:
    """Prompt tokens that job i may compute now, 0 if it must wait; the replica's `hit_…` say what of its prefix is
    cached."""
    rep = sim.reps[r]
    job = sim.jobs[i]
    hit = rep.hit_units * sim.g[0].unit_tokens
    n = job.goal - hit
    if n > rep.budget and rep.budget < rep.max_num_batched_tokens and not rep.chunked:
        return 0
    if n > rep.budget and rep.chunked:
        n = rep.budget
    room = available(rep) - rep.hit_idle * rep.unit_blocks
    if rep.mixed:
        room -= growth(sim, r, length_after(rep, 1))
    need = blocks_for(rep, _reserved(rep, job, hit + n)) - (rep.hit_units - rep.hit_below) * rep.unit_blocks
    if need > room:
        return 0
    if rep.running == 0:
        return n
    if room - need < rep.watermark * rep.kv_blocks:
        return 0
    if rep.reserve_ratio > 0.0:
        left = rep.finish_sum - rep.n_decode * rep.tokens
        tokens_left = room * rep.block_size - rep.promised - rep.reserve_now * left
        if job.goal - hit + job.output - job.made >= tokens_left:
            return 0
    return n


@compiled
def allocate(sim: Sim, r: int, i: int, n: int) -> None:
    """Take the cached units and the blocks that `can_allocate` found room for."""
    rep = sim.reps[r]
    job = sim.jobs[i]
    units = rep.hit_units
    job.done = units * sim.g[0].unit_tokens
    sim.totals[r].cached_tokens += job.done
    sim.totals[r].looked_up_tokens += job.goal if rep.unit_blocks > 0 else 0
    if job.first_replica < 0:
        job.cached = job.done
        job.first_replica = r
    if sim.has_prefixes:
        hold(sim, r, i, units)
    job.private = blocks_for(rep, _reserved(rep, job, job.done + n)) - units * rep.unit_blocks
    take(sim, r, job.private)
