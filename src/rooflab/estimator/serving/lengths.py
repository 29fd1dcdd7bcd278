"""How lengths differ, as a few lengths that stand for all: bins of a distribution, closer together where it is long;
and how long are those that an engine is with, which it is for as long as their answers take."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from rooflab.scenario.lengths import Lengths, value_at
from rooflab.scenario.workload import Workload

__all__ = ["WEIGHTS", "decoded", "shape"]

Array = npt.NDArray[np.float64]

_EDGES: Final[Array] = np.array([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.88, 0.94, 0.97, 0.985, 0.995, 1.0])
WEIGHTS: Final[Array] = np.diff(_EDGES)
"""Share of requests in each bin; they sum to 1."""
_FINE: Final = 200
"""Points at which a distribution is read."""
_JITTER: Final = 8
_ALIKE: Final[Array] = np.ones(len(WEIGHTS))


def shape(workload: Workload, name: Literal["isl", "osl"]) -> Array:
    """Mean length of each bin of `isl` or `osl` over the mean of all, (len(WEIGHTS),), not decreasing."""
    nominal: Lengths = getattr(workload, name)
    if not workload.classes and nominal.cv == 0 and workload.length_jitter == 0:
        return _ALIKE
    parts = [(c.share, getattr(c, name) or nominal) for c in workload.classes] or [(1.0, nominal)]
    depth = (np.arange(_FINE) + 0.5) / _FINE
    left = 1 - workload.length_jitter * (np.arange(_JITTER) + 0.5) / _JITTER if workload.length_jitter else np.ones(1)
    values = np.concatenate([np.outer([value_at(lengths, u) for u in depth], left).ravel() for _, lengths in parts])
    weights = np.repeat([share for share, _ in parts], _FINE * len(left))
    order = np.argsort(values, kind="stable")
    values, weights = values[order], weights[order] / weights.sum()
    below = np.concatenate(([0.0], np.cumsum(weights)))
    so_far = np.concatenate(([0.0], np.cumsum(values * weights)))
    means: Array = np.diff(np.interp(_EDGES, below / below[-1], so_far)) / WEIGHTS
    return means / float(so_far[-1]) if so_far[-1] else _ALIKE


def decoded(workload: Workload) -> tuple[float, float]:
    """What a sequence has in the cache that a decode step meets: how many more tokens than a mean prompt, and tokens
    written over half of a mean answer.

    A step meets a request as often as it has tokens to answer: E[I O] / E[O] of prompts and E[O²] / 2 E[O] of answers.
    """
    kinds = workload.kinds
    isl, osl = sum(share * x.mean for share, x, _ in kinds), sum(share * y.mean for share, _, y in kinds)
    if not osl:
        return 0.0, 1.0
    both = sum(share * x.mean * y.mean * _together(x, y, workload.correlation) for share, x, y in kinds)
    return (both / osl - isl) * (1 - workload.length_jitter / 2), 1 + workload.spread("osl") ** 2


@lru_cache(maxsize=1024)
def _together(isl: Lengths, osl: Lengths, correlation: float) -> float:
    """E[I O] / E[I] E[O] of lengths with a rank correlation (a Gaussian copula, as they are drawn)."""
    if not correlation or not isl.cv or not osl.cv:
        return 1.0
    depth = (np.arange(_FINE) + 0.5) / _FINE
    normal = np.array([NormalDist().inv_cdf(u) for u in depth])
    x, y = (np.array([value_at(lengths, u) for u in depth]) for lengths in (isl, osl))
    r = 2 * math.sin(math.pi * correlation / 6)
    beside = np.interp(r * normal[:, None] + math.sqrt(max(1 - r * r, 0.0)) * normal[None, :], normal, y)
    return float((x[:, None] * beside).mean() / (x.mean() * beside.mean()))
