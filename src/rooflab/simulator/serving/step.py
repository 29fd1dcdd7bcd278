"""A step of an engine: `begin` forms and prices it, `commit` does what it did.

When only decodes run, nothing changes until the next finish, the next shortage of blocks, or an arrival: so `begin`
takes a run of k steps whose total time is k·t + slope·k(k−1)/2, and `cut` shortens it to the step in progress
when something comes up.
"""

from __future__ import annotations

import math

import numpy as np

from rooflab.simulator.serving.admission import steps_held
from rooflab.simulator.serving.batch import finish, tidy
from rooflab.simulator.serving.compiled import compiled
from rooflab.simulator.serving.kv import available, growth, length_after, steps_within, take
from rooflab.simulator.serving.observe import gaps, log_step, see_step
from rooflab.simulator.serving.price import price
from rooflab.simulator.serving.queues import set_wake
from rooflab.simulator.serving.rows import Rep
from rooflab.simulator.serving.schedule import schedule
from rooflab.simulator.serving.state import HELD, RESTING, STEPPING, TOP, Sim

__all__ = ["begin", "commit", "cut", "steps_by"]


@compiled
def begin(sim: Sim, r: int, now: float) -> None:
    """Form and start the next step of replica r, or rest until something comes."""
    rep = sim.reps[r]
    rep.k = 0
    if sim.has_buffers:
        tidy(sim, r)
    decoding = schedule(sim, r, now)
    if not decoding and rep.n_chunks == 0:
        rep.phase = RESTING
        rep.reserve_now = rep.reserve_ratio
        set_wake(sim, r, np.inf)
        return
    _start(sim, r, now, decoding)


@compiled
def _start(sim: Sim, r: int, now: float, decoding: bool) -> None:
    """Price the step that was formed; one of decodes alone is run until something changes."""
    rep = sim.reps[r]
    rep.decoding = 1 if decoding else 0
    rep.n_step = rep.n_decode if decoding else 0
    rep.context = rep.n_step * (rep.gain * rep.ticks + 1.0) + rep.anchor_sum if decoding else 0.0
    rep.n_priced = rep.n_step
    rep.context_priced = rep.context
    if sim.has_buffers and rep.buffers == HELD and decoding:
        rep.n_priced += rep.holes
        rep.context_priced += rep.held_tokens
    price(sim, r)
    extra = rep.extra_s
    moves = rep.moves_s
    rep.extra_s = 0.0
    rep.moves_s = 0.0
    grown = rep.n_step * rep.gain
    rep.step_s = rep.step_s + moves + extra - rep.overlap * min(rep.step_s, extra)
    rep.slope_s = rep.slope_s * grown
    rep.step_j = rep.step_j * rep.power
    rep.slope_j = rep.slope_j * grown * rep.power
    rep.start_s = now
    rep.k = 1
    if rep.n_chunks == 0 and extra == 0.0 and moves == 0.0:
        rep.k = quiet_steps(sim, r, grown)
    if rep.reserve_ratio > 0.0 and decoding:
        rep.reserve_now = max(rep.reserve_min, rep.reserve_now - rep.reserve_decay * rep.k)
    rep.phase = STEPPING
    set_wake(sim, r, now + duration(rep, rep.k))


@compiled
def duration(rep: Rep, k: int) -> float:
    """Seconds of the first k steps of the run."""
    return rep.step_s * k + rep.slope_s * (0.5 * k * (k - 1))


@compiled
def quiet_steps(sim: Sim, r: int, grown: float) -> int:
    """Decode steps, of which each adds `grown` tokens of context, until one finishes, the price bends, or the blocks
    run out: at least one."""
    rep = sim.reps[r]
    left = sim.heap_key[r, TOP] - rep.tokens
    k = max(math.ceil(left / rep.gain) - 1, 1)
    while length_after(rep, k) < sim.heap_key[r, TOP]:
        k += 1
    if rep.room < grown * (k - 1):
        k = max(int(rep.room / grown) + 1, 1)
    if rep.waiting > 0 and rep.running < rep.max_num_seqs and (rep.held_back == 1 or rep.reserve_ratio > 0.0):
        # who was preempted, or refused by an estimate that moves with every step, is looked at again after one
        return 1
    if sim.has_turns and rep.rotate_steps > 0:
        k = min(k, max(int(rep.rotate_at - sim.totals[r].steps), 1))
    if sim.has_pacing and rep.waiting > 0 and (rep.admit_every > 1 or rep.batch_wait_steps > 0):
        held = steps_held(sim, r)
        k = min(k, max(held, 1)) if held > 0 else k
    return max(steps_within(sim, r, k, available(rep)), 1)


@compiled
def steps_by(rep: Rep, now: float) -> int:
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
    return k


@compiled
def cut(sim: Sim, r: int, now: float) -> None:
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
def commit(sim: Sim, r: int, k: int, now: float) -> None:
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
        while rep.n_decode > 0 and sim.heap_key[r, TOP] <= rep.tokens:
            finish(sim, r, sim.heap_job[r, TOP], now)
