"""Intervals of means: known quantiles, and how often they hold the mean."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rooflab.statistics.mean import mean_interval, t_quantile


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 8, 12, 30, 200])
@pytest.mark.parametrize("p", [0.75, 0.9, 0.95, 0.975])
def test_quantiles_are_those_of_the_tables(p: float, degrees: int) -> None:
    from scipy.stats import t

    assert t_quantile(p, degrees) == pytest.approx(float(t.ppf(p, degrees)), rel=2e-3)


@pytest.mark.parametrize("n", [2, 5, 20])
def test_nine_in_ten_intervals_hold_the_mean(n: int) -> None:
    samples = np.random.default_rng(7).normal(3.0, 2.0, (4000, n)).tolist()
    held = np.mean([low <= 3.0 <= high for low, high in map(mean_interval, samples)])
    assert held == pytest.approx(0.9, abs=0.015)


def test_fewer_say_less() -> None:
    assert mean_interval([2.0]) == (-math.inf, math.inf)
    assert mean_interval([2.0, 2.0, 2.0]) == (2.0, 2.0)
    widths = [np.ptp(mean_interval([0.0, 1.0] * n)) for n in (1, 2, 8, 32)]
    assert widths == sorted(widths, reverse=True)
    with pytest.raises(ValueError, match="no values"):
        mean_interval([])
