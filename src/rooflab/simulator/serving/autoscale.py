"""How many engines are up: each role (whole requests, prompts, decoding) is scaled by itself.

Requests with nowhere to go wait in limbo and count where they would go: prompts with the replicas that take prompts,
those whose KV waits at a home with the replicas that decode.  When nobody who is up could ever hold one of them (a
request too long for all but one replica), one that could is started whatever the load.
"""

from __future__ import annotations

import numpy as np

from rooflab.simulator.serving.compiled import compiled
from rooflab.simulator.serving.outages import place_limbo, switch_off
from rooflab.simulator.serving.queues import empty_queue, limbo, push, set_wake
from rooflab.simulator.serving.route import could_hold
from rooflab.simulator.serving.state import BOTH, DECODE, DRAINING, OFF, PREFILL, STARTING, UP, Sim

__all__ = ["scale"]


@compiled
def scale(sim: Sim, now: float) -> bool:
    """The autoscaler's look: as many replicas of each role as hold `scale_load` requests each. Whether any changed."""
    prompts, decodes = _in_limbo(sim)
    changed = _scale_role(sim, BOTH, prompts + decodes, now)
    changed = _scale_role(sim, PREFILL, prompts, now) or changed
    changed = _scale_role(sim, DECODE, decodes, now) or changed
    return changed or _start_who_is_missed(sim, now)


@compiled
def _in_limbo(sim: Sim) -> tuple[int, int]:
    """Requests in limbo: those that want a prompt computed, those that want to decode."""
    prompts = 0
    waiting = sim.queues[limbo(sim)].n
    first = empty_queue(sim, limbo(sim))
    while first >= 0:
        i = first
        first = sim.jobs[i].chunk_next
        prompts += 1 if sim.jobs[i].home < 0 else 0
        push(sim, limbo(sim), i, sim.jobs[i].arrival_s)
    return prompts, waiting - prompts


@compiled
def _scale_role(sim: Sim, role: int, present: int, now: float) -> bool:
    """Start or drain replicas of one role, which hold `present` requests more than are at them."""
    g = sim.g[0]
    for r in range(len(sim.reps)):
        present += sim.reps[r].present if sim.reps[r].role == role else 0
    running = _running(sim, role)
    wanted = min(max(int(np.ceil(present / g.scale_load)), g.scale_min), g.scale_max)
    before = running
    for state in (DRAINING, OFF):
        for r in range(len(sim.reps)):
            if running < wanted and sim.reps[r].role == role and sim.reps[r].state == state:
                _start(sim, r, now)
                running += 1
    for back in range(len(sim.reps)):
        r = len(sim.reps) - 1 - back
        if running > wanted and sim.reps[r].role == role and sim.reps[r].state == UP:
            sim.reps[r].state = DRAINING
            running -= 1
            if sim.reps[r].present == 0:
                switch_off(sim, r, now)
    return running != before


@compiled
def _start(sim: Sim, r: int, now: float) -> None:
    """A draining replica goes on; one that is off comes up after its start-up time."""
    if sim.reps[r].state == DRAINING:
        sim.reps[r].state = UP
        place_limbo(sim, now)
    else:
        sim.reps[r].state = STARTING
        set_wake(sim, r, now + sim.reps[r].startup_s)


@compiled
def _start_who_is_missed(sim: Sim, now: float) -> bool:
    """Start a replica that could hold a request in limbo which nobody who is up or starting ever could."""
    missed = -1
    first = empty_queue(sim, limbo(sim))
    while first >= 0:
        i = first
        first = sim.jobs[i].chunk_next
        candidate = _who_could(sim, i)
        missed = candidate if candidate >= 0 else missed
        push(sim, limbo(sim), i, sim.jobs[i].arrival_s)
    if missed >= 0:
        _start(sim, missed, now)
    return missed >= 0


@compiled
def _who_could(sim: Sim, i: int) -> int:
    """The first replica that could be started for job i; −1 if there is none, or no need."""
    decode = sim.jobs[i].home >= 0
    found = -1
    for r in range(len(sim.reps)):
        state = sim.reps[r].state
        if could_hold(sim, r, i, decode):
            if state in (UP, STARTING):
                return -1
            if found < 0 and state in (DRAINING, OFF) and _running(sim, sim.reps[r].role) < sim.g[0].scale_max:
                found = r
    return found


@compiled
def _running(sim: Sim, role: int) -> int:
    """Replicas of a role that are up or starting."""
    running = 0
    for r in range(len(sim.reps)):
        if sim.reps[r].role == role and sim.reps[r].state in (UP, STARTING):
            running += 1
    return running
