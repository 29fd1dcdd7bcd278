"""Sequences that share a device and no kernel: the price of a step in which every one of them runs as an instance of
its own.

    t(n) = n · T(1) + [L(n) − L(1)]

Each decoding sequence reads the weights for itself and launches its own kernels, T(1) each; arithmetic adds up as it
does in one batch.  Kernels of different instances contend for the same bandwidth, so n of them take n times as long,
and no longer. A prompt pays T(1) once.  Hosts work side by side: an instance has its own thread.
"""

from __future__ import annotations

import numpy as np

from rooflab.costs.step import ATTENTION_FIELDS, GRID, QUANTITIES, SCALARS, Array, StepCosts

__all__ = ["separate"]

_Q = {name: i for i, name in enumerate(QUANTITIES)}
_A = {name: i for i, name in enumerate(ATTENTION_FIELDS)}
_PARTS = ("linear", "comm", "head")


def separate(costs: StepCosts) -> StepCosts:
    """`costs` with what one sequence's step takes moved from the tables (shared) to the coefficients of a sequence."""
    tables, attention = costs.tables.copy(), costs.attention.copy()
    fed = costs.scalars[:, SCALARS.index("tokens_per_decode")]
    shared = {}
    for unit in ("s", "j", "bytes"):
        shared[unit] = sum(
            (_taken(tables, _Q[f"{part}_{unit}"], fed) for part in _PARTS if unit != "bytes" or part != "comm"),
            0.0 * fed,
        )
    _taken(tables, _Q["linear_least_bytes"], fed)
    attention[:, :, _A["dec_seq_s"]] += attention[:, :, _A["dec_launch_s"]]
    attention[:, :, _A["dec_launch_s"]] = 0.0
    for unit, value in shared.items():
        attention[:, 0, _A[f"dec_seq_{unit}"]] += value
    attention[:, 0, _A["pre_launch_s"]] += shared["s"]
    return StepCosts(tables, attention, costs.scalars)


def _taken(tables: Array, row: int, fed: Array) -> Array:
    """What `row` of the tables says of one sequence's tokens; the table keeps what lies beyond it."""
    one = np.array([np.interp(tokens, GRID, table) for tokens, table in zip(fed, tables[:, row], strict=True)])
    tables[:, row] = np.maximum(tables[:, row] - one[:, None], 0.0)
    return one
