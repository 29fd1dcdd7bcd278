"""Paged KV blocks of one replica: predicates (what is available, what growth needs) apart from effects (take, give).

A job holds `private` blocks and `shared` prefix units (see prefix.py). A decoding sequence of L tokens needs a
new block when L is a multiple of the block size.  All gain a token together, so who needs one next is a matter
of anchor modulo block size: `phases` counts jobs by it, and growth over any number of steps is a sum over it.
"""

from __future__ import annotations

from rooflab.simulator.serving.compiled import compiled
from rooflab.simulator.serving.prefix import evict
from rooflab.simulator.serving.rows import Rep
from rooflab.simulator.serving.state import WHOLE, Sim

__all__ = ["available", "blocks_for", "give", "growth", "length_after", "steps_within", "take"]


@compiled
def blocks_for(rep: Rep, tokens: int) -> int:
    """Blocks that hold `tokens` tokens."""
    return (tokens + rep.block_size - 1) // rep.block_size


@compiled
def available(rep: Rep) -> int:
    """Blocks free now or by dropping idle prefix units."""
    return rep.free_blocks + rep.idle_units * rep.unit_blocks


@compiled
def take(sim: Sim, r: int, blocks: int) -> None:
    """Take blocks, dropping idle prefix units as needed; they must be available."""
    rep = sim.reps[r]
    if sim.has_prefixes:
        while rep.free_blocks < blocks:
            evict(sim, r)
    rep.free_blocks -= blocks


@compiled
def give(sim: Sim, r: int, blocks: int) -> None:
    """Give blocks back."""
    sim.reps[r].free_blocks += blocks


@compiled
def length_after(rep: Rep, steps: int) -> int:
    """What `tokens` will be after so many decode steps (with speculation a step gains `gain` tokens on average)."""
    return int(rep.gain * (rep.ticks + steps))


@compiled
def growth(sim: Sim, r: int, until: int) -> int:
    """New blocks that the decode batch takes while `tokens` goes from now to `until`."""
    rep = sim.reps[r]
    if rep.reserve == WHOLE:
        return 0
    size = rep.block_size
    gained = until - rep.tokens
    blocks = gained // size * rep.n_decode
    for t in range(until - gained % size, until):
        blocks += sim.phases[r, -t % size]
    return blocks


@compiled
def steps_within(sim: Sim, r: int, most: int, room: int) -> int:
    """Decode steps, up to `most`, whose growth fits `room` blocks."""
    rep = sim.reps[r]
    if growth(sim, r, length_after(rep, most)) <= room:
        return most
    low = 0
    high = most
    while high - low > 1:
        middle = (low + high) >> 1
        if growth(sim, r, length_after(rep, middle)) <= room:
            low = middle
        else:
            high = middle
    return low
