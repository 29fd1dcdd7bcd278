"""Prompts in line before a prefill pool: how long they wait on average, and how first tokens spread around that.

p engines take up to b prompts a step of T, so that a prompt takes s = T / b of an engine at work; at load ρ

    P(wait) = ρ^(√(2(p + 1)) − 1)                                  (M/M/p: Sakasegawa 1977)
    E[wait] = P(wait) · s / (p (1 − ρ)) · (c_a² + c_s²) / 2        (Allen and Cunneen; arrivals and prompts vary)

and those that wait do so for a time of mean m = E[wait] / P(wait): exponential in an open loop.  In a closed loop the
line holds whoever does not decode, so that its length varies as their number N does, by √(N/2) where prompts are
regular: a gamma distribution with a standard deviation of s/p · √(N/2), where that is less than m.

A first token is a prompt alone, which takes the longer the longer it is, and its wait:

    F(t) = mean over equally likely prompts i of  1 − P(wait) · G((t − a_i) / m),   0 before a_i      (G: tail of waits)

Requests that open a closed loop together come in steps instead, one behind the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import sqrt
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

__all__ = ["FirstTokens", "Servers"]

Array = npt.NDArray[np.float64]

_LEVELS = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
_HALVINGS = 40
_FAR = 12.0
"""Mean waits beyond which nobody is left in line."""


@cache
def _normal() -> tuple[Array, Array]:
    """The standard normal distribution: points, and the share below each."""
    points = np.linspace(-8.0, 8.0, 1601)
    return points, np.array([NormalDist().cdf(z) for z in points])


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """`count` engines that take `together` prompts a step of `step_s`; `variation`: (c_a² + c_s²) / 2."""

    count: float
    together: float
    step_s: float
    variation: float

    @property
    def most(self) -> float:
        """Prompts a second when none of them rests."""
        return self.count * self.together / self.step_s

    def waiting(self, load: float) -> float:
        """Share of prompts that wait."""
        return float(load ** (sqrt(2 * (self.count + 1)) - 1))

    def wait_s(self, load: float) -> float:
        """Mean wait of all prompts."""
        return self.waiting(load) / (self.count * (1 - load)) * self.step_s / self.together * self.variation


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstTokens:
    """What first tokens are made of: `alone_s` (N,) of equally likely prompts without a wait; a share `waiting` of them
    waits, `wait_s` on average, with a standard deviation of `deviation_s`; `first` of all requests open the loop, at
    equally likely `opening_s` (M,)."""

    alone_s: Array
    waiting: float
    wait_s: float
    deviation_s: float
    first: float
    opening_s: Array

    @property
    def mean(self) -> float:
        """Mean over all requests."""
        later = float(self.alone_s.mean()) + self.waiting * self.wait_s
        return later if self.first == 0 else (1 - self.first) * later + self.first * float(self.opening_s.mean())

    def within(self, t: float) -> float:
        """Share of first tokens that come within `t` seconds."""
        past_s = t - self.alone_s
        later = float(np.where(past_s >= 0, 1 - self.waiting * self._left(np.maximum(past_s, 0.0)), 0.0).mean())
        return later if self.first == 0 else (1 - self.first) * later + self.first * float((self.opening_s <= t).mean())

    def statistics(self) -> dict[str, float]:
        """Mean, median, 90th and 99th percentile."""
        return {"mean": self.mean, **{name: self._quantile(level) for name, level in _LEVELS.items()}}

    def _left(self, t: Array) -> Array:
        """Share of those who wait that still do after `t` seconds."""
        mean, deviation = max(self.wait_s, 1e-12), self.deviation_s
        if deviation >= mean:
            return np.exp(-t / mean)
        shape = (mean / max(deviation, 1e-9 * mean)) ** 2  # of a gamma distribution, by Wilson and Hilferty
        z = 3 * sqrt(shape) * (np.cbrt(t / mean) - 1 + 1 / (9 * shape))
        return np.interp(-z, *_normal())

    def _quantile(self, level: float) -> float:
        low, high = 0.0, float(max(self.alone_s.max() + _FAR * self.wait_s, self.opening_s.max(initial=0.0)))
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (low, middle) if self.within(middle) >= level else (middle, high)
        return high
