"""The prefix cache: units of `prefix_block_tokens` tokens, shared by reference, idle ones dropped oldest first.

A unit lives in one tier: GPU (its blocks count against the KV cache), host or SSD.  Dropped from the GPU it
moves to the host if there is room to be made, from there to the SSD.  A request that finds its prefix below the
GPU takes blocks for it and waits for the link.  Answers enter the cache when their request ends, and a request
gives its units back deepest first, so that a prefix outlives what follows it (vLLM's order).

A prompt that was computed twice at the same time is kept once: the later copy's blocks are given back.
"""

from __future__ import annotations

from rooflab.simulator.serving.compiled import compiled
from rooflab.simulator.serving.state import GPU, HOST, SSD, TIERS, Sim

__all__ = ["cached_by", "cached_units", "evict", "forget", "hold", "lookup", "match", "register", "release"]


@compiled
def _home_of(sim: Sim, r: int, block: int) -> int:
    """Where the search for (replica, block) starts in the table."""
    key = (block * len(sim.reps) + r) % 2147483647
    return int((key * 1103515245 >> 7) & (len(sim.table) - 1))


@compiled
def lookup(sim: Sim, r: int, block: int) -> int:
    """Slot of a block in replica r's cache, or −1."""
    at = _home_of(sim, r, block)
    while sim.table[at] >= 0:
        unit = sim.units[sim.table[at]]
        if unit.block == block and unit.replica == r:
            return int(sim.table[at])
        at = (at + 1) & (len(sim.table) - 1)
    return -1


@compiled
def _insert(sim: Sim, r: int, block: int) -> int:
    """A new slot for a block that replica r does not cache yet."""
    rep = sim.reps[r]
    slot = rep.free_unit
    unit = sim.units[slot]
    rep.free_unit = unit.newer
    unit.block = block
    unit.replica = r
    unit.refs = 0
    unit.tier = GPU
    at = _home_of(sim, r, block)
    while sim.table[at] >= 0:
        at = (at + 1) & (len(sim.table) - 1)
    sim.table[at] = slot
    if len(sim.holders) > 0:
        sim.holders[block, r // 32] |= 1 << (r % 32)
    return int(slot)


@compiled
def _remove(sim: Sim, slot: int) -> None:
    """Forget a unit; later entries of its probe run move up so that searches still find them."""
    unit = sim.units[slot]
    r = unit.replica
    mask = len(sim.table) - 1
    hole = _home_of(sim, r, unit.block)
    while sim.table[hole] != slot:
        hole = (hole + 1) & mask
    at = hole
    while True:
        at = (at + 1) & mask
        other = sim.table[at]
        if other < 0:
            break
        home = _home_of(sim, sim.units[other].replica, sim.units[other].block)
        if ((at - home) & mask) >= ((at - hole) & mask):
            sim.table[hole] = other
            hole = at
    sim.table[hole] = -1
    if len(sim.holders) > 0:
        sim.holders[unit.block, r // 32] &= ~(1 << (r % 32))
    unit.newer = sim.reps[r].free_unit
    sim.reps[r].free_unit = slot


@compiled
def _append(sim: Sim, slot: int) -> None:
    """An idle unit becomes the most recently used of its tier."""
    unit = sim.units[slot]
    ends = sim.lru[unit.replica, unit.tier]
    unit.older = ends.newest
    unit.newer = -1
    if ends.newest >= 0:
        sim.units[ends.newest].newer = slot
    else:
        ends.oldest = slot
    ends.newest = slot


@compiled
def _unlink(sim: Sim, slot: int) -> None:
    unit = sim.units[slot]
    ends = sim.lru[unit.replica, unit.tier]
    if unit.older >= 0:
        sim.units[unit.older].newer = unit.newer
    else:
        ends.oldest = unit.newer
    if unit.newer >= 0:
        sim.units[unit.newer].older = unit.older
    else:
        ends.newest = unit.older


@compiled
def _demote(sim: Sim, slot: int) -> None:
    """A unit dropped from the GPU pushes the oldest of the host down, that one the oldest of the SSD out."""
    rep = sim.reps[sim.units[slot].replica]
    for tier in range(HOST, TIERS):
        capacity = rep.host_units if tier == HOST else rep.ssd_units
        if capacity == 0:
            continue
        pushed = -1
        if (rep.host_used if tier == HOST else rep.ssd_used) == capacity:
            pushed = sim.lru[sim.units[slot].replica, tier].oldest
            _leave_tier(sim, pushed)
        sim.units[slot].tier = tier
        if tier == HOST:
            rep.host_used += 1
        else:
            rep.ssd_used += 1
        _append(sim, slot)
        if pushed < 0:
            return
        slot = pushed
    _remove(sim, slot)


@compiled
def _leave_tier(sim: Sim, slot: int) -> None:
    """Take an idle unit out of its tier's list and count."""
    unit = sim.units[slot]
    rep = sim.reps[unit.replica]
    _unlink(sim, slot)
    if unit.tier == GPU:
        rep.idle_units -= 1
    elif unit.tier == HOST:
        rep.host_used -= 1
    else:
        rep.ssd_used -= 1


@compiled
def evict(sim: Sim, r: int) -> None:
    """Free the blocks of the least recently used idle unit on the GPU."""
    rep = sim.reps[r]
    slot = sim.lru[r, GPU].oldest
    assert slot >= 0
    _leave_tier(sim, slot)
    rep.free_blocks += rep.unit_blocks
    sim.totals[r].evicted_blocks += rep.unit_blocks
    if sim.has_tiers:
        _demote(sim, slot)
    else:
        _remove(sim, slot)


@compiled
def match(sim: Sim, r: int, i: int) -> None:
    """Note what replica r has of job i's leading units: how many, idle ones on the GPU, those below the GPU; the last
    token is always computed."""
    rep = sim.reps[r]
    rep.hit_units = 0
    rep.hit_idle = 0
    rep.hit_below = 0
    if rep.unit_blocks == 0:
        return
    start = sim.prefix_start[i]
    most = min(sim.prefix_start[i + 1] - start, (sim.jobs[i].goal - 1) // sim.g[0].unit_tokens)
    for u in range(most):
        slot = lookup(sim, r, sim.prefix_block[start + u])
        if slot < 0:
            return
        sim.unit_of[start + u] = slot
        rep.hit_units = u + 1
        if sim.units[slot].tier != GPU:
            rep.hit_below += 1
        elif sim.units[slot].refs == 0:
            rep.hit_idle += 1


@compiled
def cached_units(sim: Sim, r: int, i: int) -> int:
    """Leading units of job i's tokens that replica r has, in any tier.

    A unit outlives those that follow it (see the module), so halving finds the first that is missing.
    """
    if sim.reps[r].unit_blocks == 0:
        return 0
    start = sim.prefix_start[i]
    low = 0
    high = max(min(sim.prefix_start[i + 1] - start, (sim.jobs[i].goal - 1) // sim.g[0].unit_tokens), 0)
    while low < high:
        middle = (low + high) // 2
        if lookup(sim, r, sim.prefix_block[start + middle]) >= 0:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def hold(sim: Sim, r: int, i: int, units: int) -> None:
    """Job i takes its first `units` units, found by `match` just before; those below the GPU are loaded and cost
    time."""
    rep = sim.reps[r]
    start = sim.prefix_start[i]
    tokens = sim.g[0].unit_tokens
    below = 0
    for u in range(units):
        slot = sim.unit_of[start + u]
        unit = sim.units[slot]
        if unit.refs == 0:
            _leave_tier(sim, slot)
        if sim.has_tiers and unit.refs == 0 and unit.tier != GPU:
            below += 1
            if unit.tier == HOST:
                rep.extra_s += tokens * rep.host_s_per_token
                sim.totals[r].host_tokens += tokens
            else:
                rep.extra_s += tokens * rep.ssd_s_per_token
                sim.totals[r].ssd_tokens += tokens
            unit.tier = GPU
        unit.refs += 1
    sim.jobs[i].shared = units
    need = below * rep.unit_blocks
    while rep.free_blocks < need:
        evict(sim, r)
    rep.free_blocks -= need


@compiled
def register(sim: Sim, r: int, i: int, tokens: int) -> None:
    """Blocks that job i has computed, up to `tokens`, become shared units that it holds."""
    rep = sim.reps[r]
    if rep.unit_blocks == 0:
        return
    job = sim.jobs[i]
    start = sim.prefix_start[i]
    most = min(sim.prefix_start[i + 1] - start, tokens // sim.g[0].unit_tokens)
    for u in range(job.shared, most):
        slot = lookup(sim, r, sim.prefix_block[start + u])
        if slot < 0:
            slot = _insert(sim, r, sim.prefix_block[start + u])
        else:
            unit = sim.units[slot]
            if unit.refs == 0:
                _leave_tier(sim, slot)
            if unit.tier == GPU:
                rep.free_blocks += rep.unit_blocks
            unit.tier = GPU
        sim.units[slot].refs += 1
        sim.unit_of[start + u] = slot
        job.private -= rep.unit_blocks
        job.shared = u + 1


@compiled
def release(sim: Sim, r: int, i: int) -> None:
    """Job i gives its units back, deepest first."""
    rep = sim.reps[r]
    job = sim.jobs[i]
    start = sim.prefix_start[i]
    for back in range(job.shared):
        slot = sim.unit_of[start + job.shared - 1 - back]
        unit = sim.units[slot]
        unit.refs -= 1
        if unit.refs == 0:
            rep.idle_units += 1
            _append(sim, slot)
    job.shared = 0


@compiled
def forget(sim: Sim, r: int) -> None:
    """Lose what replica r cached on the GPU and the host (all its units must be idle); the SSD stays."""
    for tier in range(SSD):
        while sim.lru[r, tier].oldest >= 0:
            slot = sim.lru[r, tier].oldest
            _leave_tier(sim, slot)
            if tier == GPU:
                sim.reps[r].free_blocks += sim.reps[r].unit_blocks
            _remove(sim, slot)


@compiled
def cached_by(sim: Sim, i: int, r: int) -> int:
    """Leading units of job i's prompt that replica r caches in any tier."""
    start = sim.prefix_start[i]
    most = min(sim.prefix_start[i + 1] - start, (sim.jobs[i].goal - 1) // sim.g[0].unit_tokens)
    u = 0
    while u < most and sim.holders[sim.prefix_block[start + u], r // 32] >> (r % 32) & 1:
        u += 1
    return u
