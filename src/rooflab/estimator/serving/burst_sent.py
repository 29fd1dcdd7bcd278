"""What a burst is made of: how many requests, how long their answers, and what stands before an engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from rooflab.scenario.lengths import Lengths, value_at
from rooflab.scenario.workload import Workload

__all__ = ["EDGES", "LEVELS", "SAMPLES", "SHARES", "Sent", "answers", "weighted"]

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

LEVELS: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
EDGES: Final[Array] = np.concatenate((np.linspace(0.0, 0.9, 25), 1 - 0.1 * 0.5 ** np.arange(1, 14), [1.0]))
SHARES: Final[Array] = np.diff(EDGES)
"""Shares of the answers that stand for all: the longest ones are told apart down to one in a hundred thousand."""
_INNER: Final = 8
_JITTER: Final = 8
SAMPLES: Final = 96
"""Requests in whose order times are read off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What is sent to each engine, (R,): `count` requests at most and `mean` on average, at most `flight` of them in
    flight, through a frontend of `frontend_s`; `places` and `room` tokens of cache beside the `shared` ones of each
    sequence that lie there once for all; and rules of the engine, as `Queue` has them (`gated`: it has no queue).
    `answers` (R, len(SHARES)): tokens of an answer.
    """

    count: Array
    mean: Array
    engines: Array
    flight: Array
    frontend_s: Array
    places: Array
    room: Array
    shared: Array
    answers: Array
    whole: Flags
    gated: Flags
    estimate: tuple[Array, Array, Array]
    spare: Array


def answers(workload: Workload) -> Array:
    """Mean tokens of each share of the answers of a workload, (len(SHARES),), not decreasing."""
    nominal: Lengths = workload.osl
    parts = [(c.share, c.osl or nominal) for c in workload.classes] or [(1.0, nominal)]
    inner = (np.arange(_INNER) + 0.5) / _INNER
    depth = (EDGES[:-1, None] + SHARES[:, None] * inner).ravel()
    left = 1 - workload.length_jitter * (np.arange(_JITTER) + 0.5) / _JITTER if workload.length_jitter else np.ones(1)
    values = np.concatenate([np.outer([value_at(x, u) for u in depth], left).ravel() for _, x in parts])
    each = np.repeat(SHARES / _INNER, _INNER * len(left)) / len(left)
    weights = np.concatenate([share * each for share, _ in parts])
    order = np.argsort(values, kind="stable")
    values, weights = values[order], weights[order] / weights.sum()
    below = np.concatenate(([0.0], np.cumsum(weights)))
    so_far = np.concatenate(([0.0], np.cumsum(values * weights)))
    return np.maximum.accumulate(np.diff(np.interp(EDGES, below / below[-1], so_far)) / SHARES)


def weighted(values: Array, weights: Array, count: Array) -> dict[str, Array]:
    """Mean and percentiles of `values` (R, ...) with `weights`, as `count` (R,) draws of them have on average: the k-th
    of n lies at k / (n + 1)."""
    v, w = values.reshape(len(values), -1), weights.reshape(len(values), -1)
    total = np.maximum(w.sum(axis=1), 1e-300)
    order = np.argsort(v, axis=1, kind="stable")
    v = np.take_along_axis(v, order, axis=1)
    below = np.cumsum(np.take_along_axis(w, order, axis=1), axis=1) / total[:, None]
    out = {"mean": (values * weights).reshape(len(values), -1).sum(axis=1) / total}
    for name, level in LEVELS.items():
        depth = level + (1 - 2 * level) / (count + 1)
        place = np.minimum((below < depth[:, None]).sum(axis=1), v.shape[1] - 1)
        out[name] = np.take_along_axis(v, place[:, None], axis=1)[:, 0]
    return out
