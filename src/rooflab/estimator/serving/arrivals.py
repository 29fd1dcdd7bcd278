"""How requests of an open loop come: evenly, at random, or many right behind each other.

Gaps that differ more than at random (gamma, shape k = 1/cv² < 1) are a run of short ones and then a long one.  Within a
time t after a request come Σ_n P(nk, kλt) others, P the regularised incomplete gamma function, and what exceeds λt is
its company.  The sum is W(kλt)/k − ½ with W(x) = ∫ P(u, x) du (Euler and Maclaurin), which for long times is x + ½.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["Arrivals"]

Array = npt.NDArray[np.float64]


_STEP: Final = 0.05
_TERMS: Final = 60


@cache
def _company() -> tuple[Array, Array]:
    """W(x) − x, by log x."""
    points = np.linspace(-60.0, 3.0, 127)
    u = (np.arange(1000) + 0.5) * _STEP
    x = np.exp(points)
    whole = round(1 / _STEP)
    log_gamma = np.array([math.lgamma(1 + (i + 0.5) * _STEP) for i in range(len(u) + _TERMS * whole)])
    total = np.zeros((len(points), len(u)))
    for n in range(_TERMS):
        total += np.exp((u + n) * points[:, None] - x[:, None] - log_gamma[n * whole : n * whole + len(u)])
    return points, total.sum(axis=1) * _STEP - x


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """Per engine: requests a second, `engines` that take them in turns, coefficient of variation of the gaps between
    all requests, requests that come at once (`group`), coefficient of variation of answers."""

    rate: Array
    engines: Array
    gaps_cv: Array
    group: Array
    answers_cv: Array

    @property
    def gaps(self) -> Array:
        """Variance of the gaps before one engine over their mean squared, company apart: turns make them even."""
        return np.minimum(self.gaps_cv, 1.0) ** 2 / self.engines

    @property
    def variation(self) -> Array:
        """Variance of the gaps before one engine over their mean squared, in the long run."""
        return self.gaps_cv**2 * self.group / self.engines

    def company(self, within_s: Array) -> Array:
        """Requests that come to the same engine within a time after another one, beyond those at random."""
        out = (self.group - 1) / 2
        wild = self.gaps_cv > 1
        if wild.any():
            k = 1 / self.gaps_cv[wild] ** 2
            x = k * self.rate[wild] * self.engines[wild] * within_s[wild]
            points, beyond = _company()
            out = out.copy()
            out[wild] += np.maximum(np.interp(np.log(np.maximum(x, 1e-300)), points, beyond) / k - 0.5, 0.0)
        return out / self.engines
