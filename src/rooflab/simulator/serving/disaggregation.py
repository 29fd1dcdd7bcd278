"""Prefill and decode on different replicas: the KV cache goes over the link between them.

A prompt computed on a prefill replica (its `home`) keeps its blocks there while the request waits at a decode
replica; admission there takes blocks and pulls the KV (so a full decode pool pushes back on the prefill pool).
Layer-wise transfer hides what could be sent while the prompt was being computed, all but the last layer; a
sender serves one transfer at a time.  KV whose home fails before it is delivered is computed again.
"""

from __future__ import annotations

from rooflab.simulator.serving.batch import enter, join_decode
from rooflab.simulator.serving.compiled import compiled
from rooflab.simulator.serving.kv import available, blocks_for, give, growth, length_after, take
from rooflab.simulator.serving.lines import drawn
from rooflab.simulator.serving.prefix import release
from rooflab.simulator.serving.queues import push, timers
from rooflab.simulator.serving.rows import Job, Rep
from rooflab.simulator.serving.state import RECEIVING, WHOLE, Sim

__all__ = ["can_receive", "give_home", "join_ready", "receive"]


@compiled
def _blocks(rep: Rep, job: Job) -> int:
    return blocks_for(rep, job.input + job.output - 1 if rep.reserve == WHOLE else job.done)


@compiled
def can_receive(sim: Sim, r: int, i: int) -> bool:
    """Whether decode replica r has blocks for job i's KV, and everyone for a next token."""
    rep = sim.reps[r]
    return _blocks(rep, sim.jobs[i]) + 1 + growth(sim, r, length_after(rep, 1)) <= available(rep) or rep.running == 0


@compiled
def receive(sim: Sim, r: int, i: int, now: float) -> None:
    """Decode replica r takes blocks for job i and pulls its KV; a timer rings when it is there."""
    job = sim.jobs[i]
    home = sim.reps[job.home]
    job.private = _blocks(sim.reps[r], job)
    take(sim, r, job.private)
    enter(sim, r, i, now)
    job.state = RECEIVING
    job.epoch = sim.reps[r].epoch
    job.decode_replica = r
    sim.reps[r].receiving += 1
    whole_s = job.done * home.link_s_per_token
    exposed_s = max(whole_s - job.hidden_s, whole_s / home.link_layers) + home.link_latency_s
    home.link_free_s = max(now, home.link_free_s) + exposed_s
    sim.totals[job.home].transferred_tokens += job.done
    push(sim, timers(sim), i, home.link_free_s)


@compiled
def give_home(sim: Sim, i: int) -> None:
    """Job i's home gets its blocks back."""
    job = sim.jobs[i]
    if sim.has_prefixes:
        release(sim, job.home, i)
    give(sim, job.home, job.home_private)
    job.home_private = 0
    job.home = -1


@compiled
def join_ready(sim: Sim, r: int) -> None:
    """Jobs whose KV has come since the last step join the decode batch."""
    rep = sim.reps[r]
    while rep.ready_head >= 0:
        i = rep.ready_head
        rep.ready_head = sim.jobs[i].chunk_next
        rep.receiving -= 1
        sim.jobs[i].swapped = 0
        if sim.has_turns and rep.rotate_steps > 0:
            sim.jobs[i].key = drawn(i, rep.rotations) * (1.0 - rep.sticky)
        join_decode(sim, r, i, sim.jobs[i].stalled_since_s)
