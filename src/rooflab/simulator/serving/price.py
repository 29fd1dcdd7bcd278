"""The price of a step inside the loop: `StepCost.step`, from dense tables, with its slope over context.

With the batch fixed, time and joules are piecewise linear in the context of the decoding sequences: attention
is linear until a window clips it, overlaps and the host's stream are minima and maxima of linear terms.  So a
price comes with its slope and with the context at which the next piece begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.costs.step import ATTENTION_FIELDS, GRID, QUANTITIES, StepCost
from rooflab.simulator.serving.compiled import compiled

__all__ = ["price", "stack"]

# columns of `kinds`, in order
_KIND: Final = (
    "window", "dec_launch_s", "dec_seq_s", "dec_ctx_s", "pre_launch_s", "pre_token_s", "pre_area_s", "dec_seq_j",
    "dec_ctx_j",
    "pre_token_j", "pre_area_j",
)  # fmt: skip
_SCALAR: Final = (
    "host_fixed_s",
    "host_seq_s",
    "overlap_attention",
    "overlap_comm",
    "stream_s",
    "stream_j",
    "tokens_per_decode",
    "dynamic_limit_w",
    "attention_beside",
)
DENSE_LIMIT: Final = 32768
"""Token counts tabulated one by one; beyond, the table goes on at the grid's points (bigger steps exist, but are
rare)."""

Array = npt.NDArray[np.float64]


def stack(costs: Sequence[StepCost], max_tokens: int) -> tuple[Array, Array, Array, Array, Array]:
    """Tables of C step costs: (C, T, 3) by tokens, (C, T, 2) by rows, token counts of their last rows, kinds (C, K,
    11), scalars (C, 9)."""
    top = min(max_tokens, DENSE_LIMIT) + 2
    beyond = GRID[top < GRID]
    by_tokens, by_rows = [], []
    for cost in costs:
        joules = cost.dense("linear_j", top) + cost.dense("comm_j", top)
        memory = cost.scalar("peak_bytes_per_s")
        by_tokens.append(
            np.stack(
                [
                    cost.dense("linear_s", top),
                    cost.dense("comm_s", top),
                    joules,
                    cost.dense("linear_bytes", top) / memory,
                ],
                axis=1,
            )
        )
        by_rows.append(
            np.stack(
                [cost.dense("head_s", top), cost.dense("head_j", top), cost.dense("head_bytes", top) / memory], axis=1
            )
        )
        far = {q: cost.tables[QUANTITIES.index(q), -len(beyond) :] if len(beyond) else np.zeros(0) for q in QUANTITIES}
        by_tokens[-1] = np.concatenate(
            [
                by_tokens[-1],
                np.stack(
                    [far["linear_s"], far["comm_s"], far["linear_j"] + far["comm_j"], far["linear_bytes"] / memory],
                    axis=1,
                ),
            ]
        )
        by_rows[-1] = np.concatenate(
            [by_rows[-1], np.stack([far["head_s"], far["head_j"], far["head_bytes"] / memory], axis=1)]
        )
    most = max(len(cost.attention) for cost in costs)
    kinds = np.zeros((len(costs), most, len(_KIND)))
    kinds[:, :, 0] = np.inf
    for c, cost in enumerate(costs):
        kinds[c, : len(cost.attention)] = cost.attention[:, [ATTENTION_FIELDS.index(f) for f in _KIND]]
    scalars = np.array([[cost.scalar(name) for name in _SCALAR] for cost in costs])
    return np.array(by_tokens), np.array(by_rows), np.append(float(top), beyond), kinds, scalars


@compiled
def place(grid: Any, x: float) -> tuple[int, float]:
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
def price(  # noqa: PLR0915  one formula, term by term
    sim: Any, c: int, slow: float, n: int, context: float, prompts: int, q: int, area: float
) -> tuple[float, float, float, float, float]:
    """Seconds, their slope per context token, dynamic joules, their slope, and the context until the slope changes.

    Deployment c; n decoding sequences with `context` tokens in all, `prompts` that advance by q tokens over `area`
    query-key pairs. `slow` stretches device time (a lower clock), not the host's.
    """
    s = sim.scalars[c]
    fed = n * s[6]
    at, f = place(sim.grid, fed + q)
    row = sim.tokens_table[c, at]
    up = sim.tokens_table[c, at + 1]
    at_rows, f_rows = place(sim.grid, fed + prompts)
    head = sim.rows_table[c, at_rows]
    head_up = sim.rows_table[c, at_rows + 1]
    linear = row[0] + f * (up[0] - row[0]) + head[0] + f_rows * (head_up[0] - head[0])
    comm = row[1] + f * (up[1] - row[1])
    joules = row[2] + f * (up[2] - row[2]) + head[1] + f_rows * (head_up[1] - head[1]) + s[5]

    memory_s = row[3] + f * (up[3] - row[3]) + head[2] + f_rows * (head_up[2] - head[2])
    attention = 0.0
    decode_s = 0.0
    slope = 0.0
    slope_j = 0.0
    room = np.inf
    mean = context / n if n > 0 else 0.0
    for k in range(sim.kinds.shape[1]):
        kind = sim.kinds[c, k]
        window = kind[0]
        pairs = min(area, q * window) if q > 0 else 0.0
        if prompts > 0:
            attention += kind[4] + q * kind[5] + pairs * kind[6]
            joules += q * kind[9] + pairs * kind[10]
        if n > 0:
            seen = n * min(mean, window)
            decode_s += kind[1] + n * kind[2] + seen * kind[3]
            joules += n * kind[7] + seen * kind[8]
            if mean < window:
                slope += kind[3]
                slope_j += kind[8]
                room = min(room, n * window - context)

    beside_s = decode_s if s[8] > 0.0 else 0.0
    decode_s -= beside_s
    attention += decode_s
    memory_free_s = max(linear - memory_s, 0.0)
    hidden = s[2] * min(memory_free_s, decode_s)
    exposed = linear + attention - hidden
    hidden_comm = s[3] * min(exposed, comm)
    total = exposed + comm - hidden_comm
    gain = 1.0
    room_s = np.inf
    if decode_s < memory_free_s:
        gain -= s[2]
        room_s = memory_free_s - decode_s
    if exposed < comm:
        if gain > 0.0:
            room_s = min(room_s, (comm - exposed) / gain)
        gain *= 1.0 - s[3]
    if s[8] > 0.0:
        # attention on another processor grows with context beside a constant
        total = max(total, s[4])
        gain = 1.0
        room_s = np.inf
        if beside_s < total:
            room_s = total - beside_s
            gain = 0.0
        total = max(total, beside_s)
    elif total < s[4]:
        if gain > 0.0:
            room_s = min(room_s, (s[4] - total) / gain)
        gain = 0.0
    if slope > 0.0:
        room = min(room, room_s / slope)
    seconds = max(total, s[4]) * slow + s[0] + s[1] * (n + prompts)
    slope *= gain * slow
    if s[7] < np.inf:
        # the devices' power limit: whichever of drawn and allowed joules is less, and where they cross
        spare_j = s[7] * seconds - joules
        closing_j = slope_j - s[7] * slope
        if spare_j * closing_j > 0.0:
            room = min(room, spare_j / closing_j)
        if spare_j < 0.0:
            joules += spare_j
            slope_j -= closing_j
    return seconds, slope, joules, slope_j, room
