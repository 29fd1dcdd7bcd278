"""One engine: `schedule` decides the next step, `start` prices it, `commit` does what it did.

A step is decode tokens of the batch, chunks of prompts, or both, as the engine's rules say (rules.py).  When
only decodes run, nothing changes until the next finish, the next shortage of blocks, or an arrival: so `start`
takes a run of k steps whose total time is k·t + slope·k(k−1)/2, and `cut` shortens it to the step in progress
when something comes up.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rooflab.simulator.serving.admission import steps_held
from rooflab.simulator.serving.batch import drawn, enter, finish, join_decode, line_of, next_line, preempt, victim
from rooflab.simulator.serving.compiled import compiled
from rooflab.simulator.serving.disaggregation import can_receive, join_ready, receive
from rooflab.simulator.serving.kv import available, blocks_for, growth, length_after, steps_within, take
from rooflab.simulator.serving.observe import gaps, log_step, see_step, see_waiting
from rooflab.simulator.serving.prefix import cached_units, hold, match
from rooflab.simulator.serving.price import price
from rooflab.simulator.serving.queues import empty_queue, peek, pop, push, set_wake
from rooflab.simulator.serving.rules import LONGEST_PREFIX
from rooflab.simulator.serving.state import PREFILLING, PROMPT, RECEIVING, RESTING, STEPPING, WHOLE

__all__ = ["begin", "commit", "cut", "steps_by"]


@compiled
def schedule(sim: Any, key_of: Any, r: int, now: float) -> bool:
    """Choose the next step's work: chunks are listed on the replica, the result says whether the decode batch takes
    part."""
    rep = sim.reps[r]
    if rep.n_chunks > 0:  # a step with prompts is followed by a look at the line
        rep.look_at = int(sim.totals[r, 0])
    rep.chunk_head = -1
    rep.chunk_tail = -1
    rep.n_chunks = 0
    rep.chunk_tokens = 0
    rep.area = 0
    join_ready(sim, r)
    if rep.rotate_steps > 0 and sim.totals[r, 0] >= rep.rotate_at:
        rotate(sim, key_of, r, now)
    before = sim.totals[r, 10]
    fits = True
    budget = rep.max_num_batched_tokens
    if rep.mixed:
        fits = make_room(sim, key_of, r, now)
        budget -= int(rep.n_decode * sim.scalars[rep.cost, 6])
    budget -= continue_prompt(sim, key_of, r, budget, now)
    if fits and sim.totals[r, 10] == before:
        if (
            rep.policy == LONGEST_PREFIX
            and rep.rotate_steps == 0
            and rep.waiting > 1
            and rep.partial < 0
            and rep.running < rep.max_num_seqs
        ):
            sort_by_prefix(sim, r)
        admit(sim, key_of, r, budget, now)
    if not rep.mixed and rep.n_chunks == 0:
        fits = make_room(sim, key_of, r, now)
    rep.held_back = 1 if sim.totals[r, 10] > before else 0
    return bool(fits and rep.n_decode > 0 and (rep.mixed or rep.n_chunks == 0))


@compiled
def rotate(sim: Any, key_of: Any, r: int, now: float) -> None:
    """All requests of replica r draw new priorities; those that run give way to better ones that wait, until none of
    these would fit."""
    rep = sim.reps[r]
    rep.rotations += 1
    rep.fruitless += 1
    rep.rotate_at = int(sim.totals[r, 0]) + rep.rotate_steps
    i = rep.head
    while i >= 0:
        if sim.jobs[i].state != RECEIVING:  # whose key is the time of its timer; it draws when it joins
            sim.jobs[i].key = drawn(i, rep.rotations) * (1.0 - rep.sticky)
        i = sim.jobs[i].next
    clients = sim.g[0].n_clients
    for q in range(r * clients, (r + 1) * clients):
        first = empty_queue(sim, q)
        while first >= 0:
            i = first
            first = sim.jobs[i].chunk_next
            push(sim, q, i, drawn(i, rep.rotations))
    aside = -1
    room = available(rep) - growth(sim, r, length_after(rep, 1))
    seats = rep.max_num_seqs - rep.running
    while rep.waiting > 0:
        q = next_line(sim, r)
        i = peek(sim, q)
        job = sim.jobs[i]
        need = blocks_for(rep, max(job.goal, job.done)) + 1
        while (need > room or seats <= 0) and rep.running - rep.receiving > 0:
            worst = victim(sim, r)
            if sim.jobs[worst].key <= job.key:
                break
            before = available(rep)
            preempt(sim, key_of, r, worst, now)
            room += available(rep) - before
            seats += 1
        if need > room or seats <= 0:
            break
        _dequeue(sim, r, q, now)
        job.chunk_next = aside
        aside = i
        room -= need
        seats -= 1
    while aside >= 0:
        i = aside
        aside = sim.jobs[i].chunk_next
        push(sim, line_of(sim, r, i), i, sim.jobs[i].key)
        rep.waiting += 1


@compiled
def make_room(sim: Any, key_of: Any, r: int, now: float) -> bool:
    """Preempt until every decoding sequence finds the blocks of its next token; False: only KV in transfer is in the
    way."""
    rep = sim.reps[r]
    if rep.n_decode == 0 or growth(sim, r, length_after(rep, 1)) <= available(rep):
        return True
    gained = max(int(rep.retract), length_after(rep, 1) - rep.tokens)
    while rep.running - rep.receiving > 1 and growth(sim, r, rep.tokens + gained) > available(rep):
        if rep.n_decode > 0 and rep.reserve_ratio > 0.0:
            made = rep.output_sum - rep.finish_sum + rep.n_decode * rep.tokens
            rep.reserve_now = min(1.0, (made + rep.retract * rep.n_decode) / (rep.output_sum + 1.0))
        preempt(sim, key_of, r, victim(sim, r), now)
    return bool(growth(sim, r, length_after(rep, 1)) <= available(rep))


@compiled
def add_chunk(sim: Any, r: int, i: int, n: int) -> None:
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
def continue_prompt(sim: Any, key_of: Any, r: int, budget: int, now: float) -> int:
    """The prompt that was cut short goes on before anyone is admitted; tokens that it takes."""
    rep = sim.reps[r]
    i = rep.partial
    if i < 0 or budget <= 0:
        return 0
    job = sim.jobs[i]
    n = min(job.goal - job.done, budget)
    while True:
        need = blocks_for(rep, job.done + n) - job.private - job.shared * rep.unit_blocks
        decodes = growth(sim, r, length_after(rep, 1)) if rep.mixed else 0
        if need <= 0 or need + decodes <= available(rep):
            break
        if not rep.mixed and rep.n_decode > 0:
            return 0
        loser = victim(sim, r)
        preempt(sim, key_of, r, loser, now)
        if loser == i:
            return 0
    if need > 0:
        take(sim, r, need)
        job.private += need
    add_chunk(sim, r, i, n)
    return int(n)


@compiled
def admit(sim: Any, key_of: Any, r: int, budget: int, now: float) -> None:
    """Start waiting requests while the limits, the token budget and the blocks allow."""
    rep = sim.reps[r]
    if rep.waiting == 0 or (rep.gated and rep.running > 0) or rep.partial >= 0 or steps_held(sim, r) > 0:
        return
    rep.longest = 0
    promised = 0.0
    skipped = -1
    while rep.running < rep.max_num_seqs and budget > 0:
        q = next_line(sim, r)
        if q < 0:
            break
        i = peek(sim, q)
        job = sim.jobs[i]
        if job.adapter >= 0 and not adapter_fits(sim, r, job.adapter):
            _dequeue(sim, r, q, now)
            job.link = skipped
            skipped = i
            continue
        if job.done >= job.goal:
            if job.home >= 0:
                if not can_receive(sim, r, i):
                    break
                _dequeue(sim, r, q, now)
                receive(sim, r, i, now)
            elif can_resume(sim, r, i):
                _dequeue(sim, r, q, now)
                resume(sim, r, i, now)
                budget -= 1
            else:
                break
            continue
        units, idle, below = match(sim, r, i)
        n = can_allocate(sim, r, i, units, idle, below, budget, promised)
        if n == 0:
            break
        _dequeue(sim, r, q, now)
        allocate(sim, r, i, units, n)
        enter(sim, r, i, now)
        job.state = PREFILLING
        add_chunk(sim, r, i, n)
        sim.queues[q].service += n
        rep.longest = max(rep.longest, job.output - 1)
        promised += job.output - job.made
        budget -= n
        if rep.partial >= 0:
            break
    while skipped >= 0:
        rest = sim.jobs[skipped].link
        push(sim, line_of(sim, r, skipped), skipped, sim.jobs[skipped].key)
        rep.waiting += 1
        skipped = rest


@compiled
def sort_by_prefix(sim: Any, r: int) -> None:
    """Those who wait at replica r stand in the order of what the cache holds of them, most first."""
    clients = sim.g[0].n_clients
    for q in range(r * clients, (r + 1) * clients):
        first = empty_queue(sim, q)
        while first >= 0:
            i = first
            first = sim.jobs[i].chunk_next
            push(sim, q, i, -float(cached_units(sim, r, i)))


@compiled
def _dequeue(sim: Any, r: int, q: int, now: float) -> None:
    see_waiting(sim, r, now)
    pop(sim, q)
    sim.reps[r].waiting -= 1


@compiled
def adapter_fits(sim: Any, r: int, adapter: int) -> bool:
    """Whether a request of this adapter may run beside the adapters that run now."""
    rep = sim.reps[r]
    return bool(rep.max_adapters == 0 or sim.adapters[r, adapter, 0] > 0 or rep.active_adapters < rep.max_adapters)


@compiled
def can_allocate(sim: Any, r: int, i: int, units: int, idle: int, below: int, budget: int, promised: float) -> int:
    """Prompt tokens that job i may compute now, 0 if it must wait; `units` of its prefix are cached, as `match`
    says."""
    rep = sim.reps[r]
    job = sim.jobs[i]
    hit = units * sim.g[0].unit_tokens
    n = job.goal - hit
    if n > budget and budget < rep.max_num_batched_tokens and not rep.chunked:
        return 0
    if n > budget and rep.chunked:
        n = budget
    room = available(rep) - idle * rep.unit_blocks
    if rep.mixed:
        room -= growth(sim, r, length_after(rep, 1))
    tokens = hit + n
    if rep.reserve == PROMPT:
        tokens = job.goal
    elif rep.reserve == WHOLE:
        tokens = job.input + job.output - 1
    need = blocks_for(rep, tokens) - (units - below) * rep.unit_blocks
    if need > room:
        return 0
    if rep.running == 0:
        return int(n)
    if room - need < rep.watermark * rep.kv_blocks:
        return 0
    if rep.reserve_ratio > 0.0:
        left = rep.finish_sum - rep.n_decode * rep.tokens
        tokens_left = room * rep.block_size - promised - rep.reserve_now * left
        if job.goal - hit + job.output - job.made >= tokens_left:
            return 0
    return int(n)


@compiled
def allocate(sim: Any, r: int, i: int, units: int, n: int) -> None:
    """Take the cached units and the blocks that `can_allocate` found room for."""
    rep = sim.reps[r]
    job = sim.jobs[i]
    job.done = units * sim.g[0].unit_tokens
    sim.totals[r, 6] += job.done
    sim.totals[r, 7] += job.goal if rep.unit_blocks > 0 else 0
    if job.first_replica < 0:
        job.cached = job.done
        job.first_replica = r
    hold(sim, r, i, units)
    tokens = job.done + n
    if rep.reserve == PROMPT:
        tokens = job.goal
    elif rep.reserve == WHOLE:
        tokens = job.input + job.output - 1
    job.private = blocks_for(rep, tokens) - units * rep.unit_blocks
    take(sim, r, job.private)


@compiled
def can_resume(sim: Any, r: int, i: int) -> bool:
    """Whether a job whose KV is on the host finds blocks for it, and everyone for a next token."""
    rep = sim.reps[r]
    job = sim.jobs[i]
    after = job.done + length_after(rep, 1) - rep.tokens
    coming = 0 if rep.reserve == WHOLE else blocks_for(rep, after) - blocks_for(rep, job.done)
    return bool(_resume_blocks(rep, job) + coming + growth(sim, r, length_after(rep, 1)) <= available(rep))


@compiled
def _resume_blocks(rep: Any, job: Any) -> int:
    return blocks_for(rep, job.input + job.output - 1 if rep.reserve == WHOLE else job.done)


@compiled
def resume(sim: Any, r: int, i: int, now: float) -> None:
    """A swapped job comes back from the host and decodes on."""
    rep = sim.reps[r]
    job = sim.jobs[i]
    job.private = _resume_blocks(rep, job)
    take(sim, r, job.private)
    if rep.swap_reuse == 0:
        rep.swap_used -= job.done
    enter(sim, r, i, now)
    if rep.swap_async == 1:
        # what comes in takes the room of what goes out, so it cannot start before that is gone
        rep.swap_in_free_s = max(now, rep.swap_in_free_s, rep.swap_out_free_s) + job.done * rep.swap_s_per_token
        job.state = RECEIVING
        job.epoch = rep.epoch
        job.decode_replica = r
        rep.receiving += 1
        push(sim, sim.g[0].n_queues - 1, i, rep.swap_in_free_s)
        return
    job.swapped = 0
    rep.extra_s += job.done * rep.swap_s_per_token
    join_decode(sim, r, i, job.stalled_since_s)


@compiled
def begin(sim: Any, key_of: Any, r: int, now: float) -> None:
    """Form and start the next step of replica r, or rest until something comes."""
    rep = sim.reps[r]
    rep.k = 0
    decoding = schedule(sim, key_of, r, now)
    if not decoding and rep.n_chunks == 0:
        rep.phase = RESTING
        rep.reserve_now = rep.reserve_ratio
        set_wake(sim, r, np.inf)
        return
    start(sim, r, now, decoding)


@compiled
def start(sim: Any, r: int, now: float, decoding: bool) -> None:
    """Price the step that was formed; one of decodes alone is run until something changes."""
    rep = sim.reps[r]
    n = rep.n_decode if decoding else 0
    context = n * (rep.gain * rep.ticks + 1.0) + rep.anchor_sum if decoding else 0.0
    seconds, slope, joules, slope_j, room = price(
        sim, rep.cost, rep.slow, n, context, rep.n_chunks, rep.chunk_tokens, float(rep.area)
    )
    extra = rep.extra_s
    rep.extra_s = 0.0
    grown = n * rep.gain
    rep.step_s = seconds + extra - rep.overlap * min(seconds, extra)
    rep.slope_s = slope * grown
    rep.step_j = joules * rep.power
    rep.slope_j = slope_j * grown * rep.power
    rep.decoding = 1 if decoding else 0
    rep.n_step = n
    rep.context_step = int(context)
    rep.start_s = now
    rep.k = 1
    if rep.n_chunks == 0 and extra == 0.0:
        rep.k = quiet_steps(sim, r, room, grown)
    if rep.reserve_ratio > 0.0 and decoding:
        rep.reserve_now = max(rep.reserve_min, rep.reserve_now - rep.reserve_decay * rep.k)
    rep.phase = STEPPING
    set_wake(sim, r, now + duration(rep, rep.k))


@compiled
def duration(rep: Any, k: int) -> float:
    """Seconds of the first k steps of the run."""
    return float(rep.step_s * k + rep.slope_s * (0.5 * k * (k - 1)))


@compiled
def quiet_steps(sim: Any, r: int, room: float, grown: float) -> int:
    """Decode steps until one finishes, the price bends, or the blocks run out: at least one."""
    rep = sim.reps[r]
    left = sim.heap_key[r, 0] - rep.tokens
    k = max(math.ceil(left / rep.gain) - 1, 1)
    while length_after(rep, k) < sim.heap_key[r, 0]:
        k += 1
    if room < grown * (k - 1):
        k = max(int(room / grown) + 1, 1)
    if rep.waiting > 0 and rep.running < rep.max_num_seqs and (rep.held_back == 1 or rep.reserve_ratio > 0.0):
        # who was preempted, or refused by an estimate that moves with every step, is looked at again after one
        return 1
    if rep.rotate_steps > 0:
        k = min(k, max(int(rep.rotate_at - sim.totals[r, 0]), 1))
    if rep.waiting > 0 and (rep.admit_every > 1 or rep.batch_wait_steps > 0):
        left = steps_held(sim, r)
        k = min(k, max(left, 1)) if left > 0 else k
    return max(steps_within(sim, r, k, available(rep)), 1)


@compiled
def steps_by(rep: Any, now: float) -> int:
    """The step of the run that is in progress at `now` (1 to k): the first that ends then or later."""
    passed = now - rep.start_s
    a = 0.5 * rep.slope_s
    b = rep.step_s - a
    if a > 0.0:
        k = math.ceil((math.sqrt(b * b + 4.0 * a * max(passed, 0.0)) - b) / (2.0 * a))
    elif b > 0.0:
        k = math.ceil(min(passed / b, 1e15))
    else:
        k = 1
    k = min(max(k, 1), rep.k)
    while k > 1 and rep.start_s + duration(rep, k - 1) >= now:
        k -= 1
    while k < rep.k and rep.start_s + duration(rep, k) < now:
        k += 1
    return int(k)


@compiled
def cut(sim: Any, r: int, now: float) -> None:
    """Something came up at replica r: end its run of steps with the one in progress, or wake it."""
    rep = sim.reps[r]
    if rep.phase == RESTING:
        set_wake(sim, r, now)
    elif rep.phase == STEPPING and rep.k > 1:
        k = steps_by(rep, now)
        if k < rep.k:
            rep.k = k
            set_wake(sim, r, rep.start_s + duration(rep, k))


@compiled
def commit(sim: Any, key_of: Any, r: int, k: int, now: float) -> None:
    """k steps of the run are done at `now`: lengths grow, sequences finish, prompts advance."""
    rep = sim.reps[r]
    until = length_after(rep, k) if rep.decoding == 1 else rep.tokens
    blocks = growth(sim, r, until) if rep.decoding == 1 else 0
    held = rep.kv_blocks - rep.free_blocks - rep.idle_units * rep.unit_blocks
    see_step(sim, r, now, k, held + blocks)
    if rep.decoding == 1:
        take(sim, r, blocks)
    log_step(sim, r, now, k)
    if rep.decoding == 1:
        rep.ticks += k
        rep.tokens = until
        rep.fruitless = 0
        gaps(sim, r, k)
        rep.emitted_s = now
        while rep.n_decode > 0 and sim.heap_key[r, 0] <= rep.tokens:
            finish(sim, r, sim.heap_job[r, 0], now)
