"""Step costs as the tables that the loop prices steps from: a row for every token count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from rooflab.costs.step import ATTENTION_FIELDS, GRID, QUANTITIES, StepCost
from rooflab.simulator.serving.record import dtype_of

__all__ = ["DENSE_LIMIT", "Attention", "Constants", "HeadPrice", "Prices", "TokenPrice", "prices"]

DENSE_LIMIT: Final = 32768
"""Token counts tabulated one by one; beyond, the table goes on at the grid's points (bigger steps exist, but are
rare)."""

Array = npt.NDArray[np.float64]


class TokenPrice:
    """What so many tokens take in a step."""

    linear_s: float
    comm_s: float
    joules: float
    memory_s: float
    """seconds of the products' bytes at the memory's peak"""


class HeadPrice:
    """What logits of so many positions take in a step."""

    seconds: float
    joules: float
    memory_s: float


class Attention:
    """A kind of attention: columns of `StepCost.attention`, by their names there."""

    window: float
    dec_launch_s: float
    dec_seq_s: float
    dec_ctx_s: float
    pre_launch_s: float
    pre_token_s: float
    pre_area_s: float
    dec_seq_j: float
    dec_ctx_j: float
    pre_token_j: float
    pre_area_j: float


class Constants:
    """Columns of `StepCost.scalars` that the loop needs, by their names there."""

    host_fixed_s: float
    host_seq_s: float
    overlap_attention: float
    overlap_comm: float
    stream_s: float
    prompt_launches_s: float
    stream_j: float
    tokens_per_decode: float
    dynamic_limit_w: float
    attention_beside: float


class Prices(NamedTuple):
    """Tables of C step costs, as `Sim` has them: record arrays (C, T), (C, T), (C, K) and (C,); `grid` are the token
    counts of the tables' last rows."""

    by_tokens: Any
    by_rows: Any
    grid: Array
    attention: Any
    constants: Any


def prices(costs: Sequence[StepCost], max_tokens: int) -> Prices:
    """Tables of `costs` up to steps of `max_tokens` tokens and on."""
    top = min(max_tokens, DENSE_LIMIT) + 2
    grid = np.append(float(top), GRID[top < GRID])
    by_tokens = _records((len(costs), top + len(grid)), TokenPrice)
    by_rows = _records((len(costs), top + len(grid)), HeadPrice)
    attention = _records((len(costs), max(len(cost.attention) for cost in costs)), Attention)
    attention.window = np.inf
    constants = _records((len(costs),), Constants)
    for c, cost in enumerate(costs):
        held = {quantity: _held(cost, quantity, top, len(grid) - 1) for quantity in _TABULATED}
        peak = cost.scalar("peak_bytes_per_s")
        by_tokens[c].linear_s, by_tokens[c].comm_s = held["linear_s"], held["comm_s"]
        by_tokens[c].joules = held["linear_j"] + held["comm_j"]
        by_tokens[c].memory_s = held["linear_bytes"] / peak
        by_rows[c].seconds, by_rows[c].joules = held["head_s"], held["head_j"]
        by_rows[c].memory_s = held["head_bytes"] / peak
        for name in attention.dtype.names:
            attention[name][c, : len(cost.attention)] = cost.attention[:, ATTENTION_FIELDS.index(name)]
        for name in constants.dtype.names:
            constants[name][c] = cost.scalar(name)
        # launches of an eager engine's host take their time beside the kernels, as streamed weights do
        constants["stream_s"][c] = max(cost.scalar("stream_s"), cost.scalar("launches_s"))
    return Prices(by_tokens, by_rows, grid, attention, constants)


_TABULATED: Final = ("linear_s", "comm_s", "linear_j", "comm_j", "linear_bytes", "head_s", "head_j", "head_bytes")


def _held(cost: StepCost, quantity: str, top: int, beyond: int) -> Array:
    """A quantity at every token count to `top`, then at the grid's last points."""
    dense = cost.dense(quantity, top)
    return np.append(dense, cost.tables[QUANTITIES.index(quantity), -beyond:]) if beyond else dense


def _records(shape: tuple[int, ...], row: type) -> Any:
    return np.zeros(shape, dtype_of(row)).view(np.recarray)
