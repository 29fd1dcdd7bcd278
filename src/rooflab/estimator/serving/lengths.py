"""How lengths differ, as a few lengths that stand for all: bins of a distribution, closer together where it is long."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from rooflab.scenario.lengths import Lengths, value_at
from rooflab.scenario.workload import Workload

__all__ = ["WEIGHTS", "shape"]

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
