"""Fairness by turns: every so many steps all requests draw new priorities, and who has a bad one gives way."""

from __future__ import annotations

from rooflab.simulator.serving.compiled import compiled
from rooflab.simulator.serving.kv import available, blocks_for, growth, length_after
from rooflab.simulator.serving.lines import dequeue, drawn, next_line, put_back
from rooflab.simulator.serving.preempt import preempt, victim
from rooflab.simulator.serving.queues import empty_queue, peek, push
from rooflab.simulator.serving.state import RECEIVING, Sim

__all__ = ["rotate"]


@compiled
def rotate(sim: Sim, r: int, now: float) -> None:
    """All requests of replica r draw new priorities; those that run give way to better ones that wait, until none of
    these would fit."""
    rep = sim.reps[r]
    rep.rotations += 1
    rep.fruitless += 1
    rep.rotate_at = int(sim.totals[r].steps) + rep.rotate_steps
    _draw(sim, r)
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
            preempt(sim, r, worst, now)
            room += available(rep) - before
            seats += 1
        if need > room or seats <= 0:
            break
        dequeue(sim, r, q, now)
        job.chunk_next = aside
        aside = i
        room -= need
        seats -= 1
    while aside >= 0:
        i = aside
        aside = sim.jobs[i].chunk_next
        put_back(sim, r, i)


@compiled
def _draw(sim: Sim, r: int) -> None:
    """New keys for all requests of replica r, those that run nearer the front."""
    rep = sim.reps[r]
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
