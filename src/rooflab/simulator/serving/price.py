"""The price of a step inside the loop: `StepCosts.step`, from dense tables, with its slope over context.

With the batch fixed, time and joules are piecewise linear in the context of the decoding sequences: attention
is linear until a window clips it, overlaps and the host's stream are minima and maxima of linear terms.  So a
price comes with its slope and with the context at which the next piece begins.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rooflab.simulator.serving.compiled import compiled
from rooflab.simulator.serving.record import Cells
from rooflab.simulator.serving.rows import Rep
from rooflab.simulator.serving.state import Sim
from rooflab.simulator.serving.tables import Constants

__all__ = ["price"]


class _Products(NamedTuple):
    """What products and collectives take, and seconds of their bytes at the memory's peak."""

    linear_s: float
    comm_s: float
    joules: float
    memory_s: float


class _Mixers(NamedTuple):
    """What attention takes of prompts and of decoding, joules of all so far, slopes over context, and the context
    until a window clips."""

    prompt_s: float
    decode_s: float
    joules: float
    slope_s: float
    slope_j: float
    room: float


class _Device(NamedTuple):
    """Seconds on the device, how much of attention's slope they have, and seconds of attention until that changes."""

    seconds: float
    gain: float
    room_s: float


@compiled
def place(grid: Cells[float], x: float) -> tuple[int, float]:
    """Row of the table below x and the fraction of the way to the next: `grid` are the token counts of the rows past
    the dense ones."""
    dense = int(grid[0])
    i = int(x)
    if i < dense:
        return i, x - i
    low = 0
    high = len(grid) - 2
    while low < high:
        middle = (low + high + 1) >> 1
        if grid[middle] <= x:
            low = middle
        else:
            high = middle - 1
    return dense + low, (x - grid[low]) / (grid[low + 1] - grid[low])


@compiled
def _products(sim: Sim, rep: Rep, fixed: Constants) -> _Products:
    fed = rep.n_priced * fixed.tokens_per_decode
    at, f = place(sim.grid, fed + rep.chunk_tokens)
    row = sim.by_tokens[rep.cost, at]
    up = sim.by_tokens[rep.cost, at + 1]
    at_head, g = place(sim.grid, fed + rep.n_chunks)
    head = sim.by_rows[rep.cost, at_head]
    head_up = sim.by_rows[rep.cost, at_head + 1]
    return _Products(
        row.linear_s + f * (up.linear_s - row.linear_s) + head.seconds + g * (head_up.seconds - head.seconds),
        row.comm_s + f * (up.comm_s - row.comm_s),
        row.joules + f * (up.joules - row.joules) + head.joules + g * (head_up.joules - head.joules) + fixed.stream_j,
        row.memory_s + f * (up.memory_s - row.memory_s) + head.memory_s + g * (head_up.memory_s - head.memory_s),
    )


@compiled
def _mixers(sim: Sim, rep: Rep, joules: float) -> _Mixers:
    n = rep.n_priced
    q = rep.chunk_tokens
    prompt_s = 0.0
    decode_s = 0.0
    slope_s = 0.0
    slope_j = 0.0
    room = np.inf
    mean = rep.context_priced / n if n > 0 else 0.0
    for k in range(sim.attention.shape[1]):
        kind = sim.attention[rep.cost, k]
        if rep.n_chunks > 0:
            pairs = min(float(rep.area), q * kind.window) if q > 0 else 0.0
            prompt_s += kind.pre_launch_s + q * kind.pre_token_s + pairs * kind.pre_area_s
            joules += q * kind.pre_token_j + pairs * kind.pre_area_j
        if n > 0:
            seen = n * min(mean, kind.window)
            decode_s += kind.dec_launch_s + n * kind.dec_seq_s + seen * kind.dec_ctx_s
            joules += n * kind.dec_seq_j + seen * kind.dec_ctx_j
            if mean < kind.window:
                slope_s += kind.dec_ctx_s
                slope_j += kind.dec_ctx_j
                room = min(room, n * kind.window - rep.context_priced)
    return _Mixers(prompt_s, decode_s, joules, slope_s, slope_j, room)


@compiled
def _beside(fixed: Constants, least_s: float, products: _Products, mixers: _Mixers) -> _Device:
    """Attention on another processor grows with context beside a constant; `least_s` are the stream and launches."""
    busy_s = products.linear_s + mixers.prompt_s
    total_s = max(busy_s + products.comm_s - fixed.overlap_comm * min(busy_s, products.comm_s), least_s)
    if mixers.decode_s < total_s:
        return _Device(total_s, 0.0, total_s - mixers.decode_s)
    return _Device(mixers.decode_s, 1.0, np.inf)


@compiled
def _together(fixed: Constants, least_s: float, products: _Products, mixers: _Mixers) -> _Device:
    """Attention hides where products leave the memory idle, collectives behind both, all behind the stream of
    weights and launches, `least_s`."""
    memory_free_s = max(products.linear_s - products.memory_s, 0.0)
    hidden_s = fixed.overlap_attention * min(memory_free_s, mixers.decode_s)
    exposed_s = products.linear_s + (mixers.prompt_s + mixers.decode_s) - hidden_s
    total_s = exposed_s + products.comm_s - fixed.overlap_comm * min(exposed_s, products.comm_s)
    gain = 1.0
    room_s = np.inf
    if mixers.decode_s < memory_free_s:
        gain -= fixed.overlap_attention
        room_s = memory_free_s - mixers.decode_s
    if exposed_s < products.comm_s:
        if gain > 0.0:
            room_s = min(room_s, (products.comm_s - exposed_s) / gain)
        gain *= 1.0 - fixed.overlap_comm
    if total_s < least_s:
        if gain > 0.0:
            room_s = min(room_s, (least_s - total_s) / gain)
        return _Device(least_s, 0.0, room_s)
    return _Device(total_s, gain, room_s)


@compiled
def price(sim: Sim, r: int) -> None:
    """Price the step that replica r has formed: seconds, dynamic joules, their slopes per context token, and the
    context until those change.

    `slow` stretches device time (a lower clock), not the host's.
    """
    rep = sim.reps[r]
    fixed = sim.constants[rep.cost]
    products = _products(sim, rep, fixed)
    mixers = _mixers(sim, rep, products.joules)
    least_s = fixed.stream_s
    if rep.n_chunks > 0:
        # while others decode, the host launches ahead of the device by the step before
        ahead_s = rep.step_s if rep.n_priced + rep.n_decode > 0 else 0.0
        least_s = max(least_s, fixed.prompt_launches_s - ahead_s)
    device = (
        _beside(fixed, least_s, products, mixers)
        if fixed.attention_beside > 0.0
        else _together(fixed, least_s, products, mixers)
    )
    room = mixers.room
    if mixers.slope_s > 0.0:
        room = min(room, device.room_s / mixers.slope_s)
    seconds = device.seconds * rep.slow + fixed.host_fixed_s + fixed.host_seq_s * (rep.n_priced + rep.n_chunks)
    slope_s = mixers.slope_s * (device.gain * rep.slow)
    joules = mixers.joules
    slope_j = mixers.slope_j
    if fixed.dynamic_limit_w < np.inf:
        # the devices' power limit: whichever of drawn and allowed joules is less, and where they cross
        spare_j = fixed.dynamic_limit_w * seconds - joules
        closing_j = slope_j - fixed.dynamic_limit_w * slope_s
        if spare_j * closing_j > 0.0:
            room = min(room, spare_j / closing_j)
        if spare_j < 0.0:
            joules += spare_j
            slope_j -= closing_j
    rep.step_s = seconds
    rep.slope_s = slope_s
    rep.step_j = joules
    rep.slope_j = slope_j
    rep.room = room
