"""What nothing else beats: the Pareto front of alternatives with several figures, each the better the smaller."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["front"]

Array: TypeAlias = npt.NDArray[np.float64]


def front(figures: Array, tolerance: float = 0.0) -> list[int]:
    """Rows of `figures` (alternatives × figures, all to be small) that no other beats, by the first figure.

    A row is beaten by one that is as good in every figure.  With `tolerance` it must be better than those before it by
    more than that share in some figure beyond the first (figures then being positive), so that no two rows of the
    front differ by rounding alone; of equal rows the first stays.  Rows with a figure that is no number are left out.
    """
    order = np.lexsort(figures.T[::-1])
    left = order[np.isfinite(figures[order]).all(axis=1)]
    kept: list[int] = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(int(best))
        left = left[(figures[left, 1:] < figures[best, 1:] * (1.0 - tolerance)).any(axis=1)]
    return kept
