"""Waiting lines and the heap of finish times.

Jobs mostly join a line in order (first come, first served), so a line is a linked list plus a pairing heap
for those that come out of order: both are threaded through the jobs and need no room of their own.
"""

from __future__ import annotations

from rooflab.simulator.serving.compiled import compiled
from rooflab.simulator.serving.state import SOONEST, Sim

__all__ = ["empty_queue", "heap_push", "heap_remove", "limbo", "peek", "pop", "push", "set_wake", "timers"]


@compiled
def limbo(sim: Sim) -> int:
    """The line of those who have nowhere to go."""
    return sim.g[0].n_queues - 2


@compiled
def timers(sim: Sim) -> int:
    """The line of those who wait for a time: requests to be released, KV under way."""
    return sim.g[0].n_queues - 1


@compiled
def before(sim: Sim, a: int, b: int) -> bool:
    """Whether job a goes before b: smaller key, then earlier arrival, then lower number."""
    x = sim.jobs[a]
    y = sim.jobs[b]
    if x.key != y.key:
        return x.key < y.key
    if x.arrival_s != y.arrival_s:
        return x.arrival_s < y.arrival_s
    return a < b


@compiled
def meld(sim: Sim, a: int, b: int) -> int:
    """One pairing heap of two (−1: none)."""
    if a < 0:
        return b
    if b < 0:
        return a
    if before(sim, b, a):
        a, b = b, a
    sim.jobs[b].link = sim.jobs[a].child
    sim.jobs[a].child = b
    return a


@compiled
def push(sim: Sim, q: int, i: int, key: float) -> None:
    """Put job i into line q."""
    line = sim.queues[q]
    job = sim.jobs[i]
    job.key = key
    job.link = -1
    job.child = -1
    line.n += 1
    if line.tail < 0:
        line.head = i
        line.tail = i
    elif before(sim, line.tail, i):
        sim.jobs[line.tail].link = i
        line.tail = i
    else:
        line.root = meld(sim, line.root, i)


@compiled
def peek(sim: Sim, q: int) -> int:
    """The job at the front of line q, or −1."""
    line = sim.queues[q]
    if line.head < 0 or (line.root >= 0 and before(sim, line.root, line.head)):
        return int(line.root)
    return int(line.head)


@compiled
def pop(sim: Sim, q: int) -> int:
    """Take the front job out of line q."""
    i = peek(sim, q)
    line = sim.queues[q]
    line.n -= 1
    if i == line.head:
        line.head = sim.jobs[i].link
        if line.head < 0:
            line.tail = -1
    else:
        line.root = _meld_children(sim, sim.jobs[i].child)
    return i


@compiled
def _meld_children(sim: Sim, first: int) -> int:
    """Two passes: pair up left to right, then gather right to left."""
    stack = -1
    while first >= 0:
        second = sim.jobs[first].link
        rest = -1 if second < 0 else sim.jobs[second].link
        sim.jobs[first].link = -1
        if second >= 0:
            sim.jobs[second].link = -1
        pair = meld(sim, first, second)
        sim.jobs[pair].link = stack
        stack = pair
        first = rest
    root = -1
    while stack >= 0:
        rest = sim.jobs[stack].link
        sim.jobs[stack].link = -1
        root = meld(sim, root, stack)
        stack = rest
    return root


@compiled
def empty_queue(sim: Sim, q: int) -> int:
    """Take all out of queue q; the first of them, chained by `chunk_next`, the last to leave first (-1: nobody
    waited)."""
    first = -1
    while sim.queues[q].n > 0:
        i = pop(sim, q)
        sim.jobs[i].chunk_next = first
        first = i
    return first


@compiled
def _place(sim: Sim, r: int, at: int, key: int, i: int) -> None:
    sim.heap_key[r, at] = key
    sim.heap_job[r, at] = i
    sim.jobs[i].heap_at = at


@compiled
def _sift(sim: Sim, r: int, n: int, at: int, i: int) -> None:
    """Find the place of job i in the heap of n entries, starting from the hole `at`."""
    key = sim.jobs[i].finish_at
    keys = sim.heap_key[r]
    while at > 0:
        up = (at - 1) >> 1
        if keys[up] <= key:
            break
        _place(sim, r, at, keys[up], sim.heap_job[r, up])
        at = up
    while True:
        down = 2 * at + 1
        if down >= n:
            break
        if down + 1 < n and keys[down + 1] < keys[down]:
            down += 1
        if keys[down] >= key:
            break
        _place(sim, r, at, keys[down], sim.heap_job[r, down])
        at = down
    _place(sim, r, at, key, i)


@compiled
def heap_push(sim: Sim, r: int, i: int) -> None:
    """Job i joins the decode heap of replica r, whose n_decode still counts without it."""
    n = sim.reps[r].n_decode
    _sift(sim, r, n + 1, n, i)


@compiled
def heap_remove(sim: Sim, r: int, i: int) -> None:
    """Job i leaves the decode heap of replica r, whose n_decode still counts it."""
    last = sim.reps[r].n_decode - 1
    at = sim.jobs[i].heap_at
    if at != last:
        _sift(sim, r, last, at, sim.heap_job[r, last])
    sim.jobs[i].heap_at = -1


@compiled
def set_wake(sim: Sim, r: int, time_s: float) -> None:
    """Replica r wants to act at time_s (inf: no more)."""
    wakes = sim.wakes
    winners = sim.winners
    wakes[r] = time_s
    at = (len(wakes) + r) >> 1
    while at >= SOONEST:
        a = winners[2 * at]
        b = winners[2 * at + 1]
        winners[at] = b if wakes[b] < wakes[a] else a
        at >>= 1
