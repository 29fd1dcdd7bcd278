"""Rows as times that are linear in the constants around a point: what both fits work on between two evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Line"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Line:
    """Times (s or 1/rate) at `theta` and their slopes; rows × constants."""

    base: Array
    slopes: Array
    theta: Array

    def at(self, theta: Array) -> Array:
        """Times at other constants, never below a hundredth of the base."""
        out: Array = np.maximum(self.base + self.slopes @ (theta - self.theta), self.base * 0.01)
        return out

    def rows(self, keep: npt.NDArray[np.bool_]) -> Line:
        """The same line for some of the rows."""
        return Line(self.base[keep], self.slopes[keep], self.theta)

    def constants(self, keep: Sequence[int]) -> Line:
        """The same line in some of the constants, the others standing still."""
        index = np.array(keep, dtype=np.intp)
        return Line(self.base, self.slopes[:, index], self.theta[index])
