"""The interval in which a mean lies, from a sample: Student's t."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev

__all__ = ["mean_interval", "t_quantile"]


def mean_interval(values: Sequence[float], level: float = 0.9) -> tuple[float, float]:
    """The interval that holds the mean of what `values` were drawn from, at `level` of all such samples.

    Without bounds for one value: nothing is known of how far another would lie. Raises ValueError for none.
    """
    if not values:
        raise ValueError("no values")
    mean, n = fmean(values), len(values)
    if n == 1:
        return -math.inf, math.inf
    half = t_quantile((1 + level) / 2, n - 1) * stdev(values) / math.sqrt(n)
    return mean - half, mean + half


def t_quantile(p: float, degrees: int) -> float:
    """The quantile of Student's t at `p` (0.5 to 0.975) with `degrees` of freedom, to two thousandths of itself.

    One and two degrees in closed form, more by the expansion in 1/degrees (Abramowitz and Stegun, 26.7.5).
    """
    if degrees == 1:
        return math.tan(math.pi * (p - 0.5))
    if degrees == 2:
        return (2 * p - 1) / math.sqrt(2 * p * (1 - p))
    x, n = NormalDist().inv_cdf(p), float(degrees)
    return (
        x
        + (x**3 + x) / (4 * n)
        + (5 * x**5 + 16 * x**3 + 3 * x) / (96 * n**2)
        + (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / (384 * n**3)
        + (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / (92160 * n**4)
    )
