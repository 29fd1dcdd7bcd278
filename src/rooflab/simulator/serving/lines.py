"""Who waits at a replica, and who of them goes next: one line a replica, or one for each client under "fair"."""

from __future__ import annotations

import numpy as np

from rooflab.simulator.serving.compiled import compiled
from rooflab.simulator.serving.observe import see_waiting
from rooflab.simulator.serving.prefix import cached_units
from rooflab.simulator.serving.queues import empty_queue, pop, push
from rooflab.simulator.serving.rules import DEADLINE, FAIR, OWN, PRIORITY, SHORTEST, SHORTEST_PREDICTED
from rooflab.simulator.serving.state import WAITING, Sim

__all__ = ["dequeue", "drawn", "enqueue", "line_of", "next_line", "put_back", "sort_by_prefix"]


@compiled
def line_of(sim: Sim, r: int, i: int) -> int:
    """Waiting line of job i at replica r."""
    if sim.has_clients and sim.g[0].n_clients > 1:
        return r * sim.g[0].n_clients + sim.jobs[i].client
    return r


@compiled
def service_of(sim: Sim, r: int, q: int) -> float:
    """Tokens that the client of line q has had from replica r: prompt tokens plus twice the generated ones."""
    line = sim.queues[q]
    return line.service + 2.0 * (line.n_decode * sim.reps[r].tokens - line.joined_sum)


@compiled
def next_line(sim: Sim, r: int) -> int:
    """The line whose front job goes next, or −1: the least served client's."""
    if sim.reps[r].waiting == 0:
        return -1
    if sim.has_clients and sim.g[0].n_clients > 1:
        return _least_served(sim, r)
    return r


@compiled
def _least_served(sim: Sim, r: int) -> int:
    clients = sim.g[0].n_clients
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
    x = (int(i) + 1) * 0x9E3779B1 + (int(rotation) + 1) * 0x85EBCA77
    x = ((x ^ (x >> 15)) * 0x2C1B3C6D) & 0xFFFFFFFF
    x = ((x ^ (x >> 12)) * 0x297A2D39) & 0xFFFFFFFF
    return float((x ^ (x >> 15)) & 0xFFFFFFFF) / 4294967296.0


@compiled
def _key(sim: Sim, r: int, i: int, now: float) -> float:
    """Key of job i in its waiting line: least first."""
    job = sim.jobs[i]
    policy = sim.reps[r].policy
    if policy == PRIORITY:
        return float(job.priority)
    if policy == SHORTEST:
        return float(job.output - job.made)
    if policy == SHORTEST_PREDICTED:
        return float(job.predicted - job.made)
    if policy == DEADLINE:
        return job.arrival_s + job.deadline_s
    if sim.has_own_policy and policy == OWN:
        return _own_key(sim, r, i, now)
    return job.arrival_s


@compiled
def _own_key(sim: Sim, r: int, i: int, now: float) -> float:
    job = sim.jobs[i]
    return sim.key_of(
        job.arrival_s, float(job.input), float(job.output - job.made), float(job.predicted - job.made),
        float(job.priority), job.arrival_s + job.deadline_s, service_of(sim, r, line_of(sim, r, i)),
        float(job.preemptions), now,
    )  # fmt: skip


@compiled
def enqueue(sim: Sim, r: int, i: int, now: float) -> None:
    """Job i joins the waiting line of replica r."""
    rep = sim.reps[r]
    q = line_of(sim, r, i)
    line = sim.queues[q]
    if sim.has_clients and rep.policy == FAIR and line.n == 0 and line.n_decode == 0:
        busiest = next_line(sim, r)
        if busiest >= 0:
            line.service = max(line.service, service_of(sim, r, busiest))
    see_waiting(sim, r, now)
    sim.jobs[i].state = WAITING
    if sim.has_turns and rep.rotate_steps > 0:
        push(sim, q, i, drawn(i, rep.rotations))
    else:
        push(sim, q, i, _key(sim, r, i, now))
    rep.waiting += 1


@compiled
def dequeue(sim: Sim, r: int, q: int, now: float) -> None:
    """The front job of line q waits no longer at replica r."""
    see_waiting(sim, r, now)
    pop(sim, q)
    sim.reps[r].waiting -= 1


@compiled
def put_back(sim: Sim, r: int, i: int) -> None:
    """Job i, which was taken out of its line for a moment, waits there again under its old key."""
    push(sim, line_of(sim, r, i), i, sim.jobs[i].key)
    sim.reps[r].waiting += 1


@compiled
def sort_by_prefix(sim: Sim, r: int) -> None:
    """Those who wait at replica r stand in the order of what the cache holds of them, most first."""
    clients = sim.g[0].n_clients
    for q in range(r * clients, (r + 1) * clients):
        first = empty_queue(sim, q)
        while first >= 0:
            i = first
            first = sim.jobs[i].chunk_next
            push(sim, q, i, -float(cached_units(sim, r, i)))
