"""The one type that cost formulas take and give: a float, or an array of floats that broadcasts with the others."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Real", "only_if"]

Real: TypeAlias = float | NDArray[np.float64]


def only_if(work: Real, seconds: Real) -> Real:
    """`seconds` where there is `work` (> 0), else 0: a kernel with nothing to do is not launched."""
    if isinstance(work, float | int):
        return seconds if work > 0 else seconds * 0.0
    return np.where(work > 0, seconds, 0.0)
