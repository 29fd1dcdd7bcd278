"""How latencies spread over requests, as distributions whose percentiles are looked for by halving.

A first token is the wait of a prompt and what its own steps take, which differs as prompts are long:

    F(t) = Σ_k w_k · G(t − own_k)          bins k of lengths

G being the wait: none, the rest of a plain step, or that of those who meet a prompt (a gamma distribution).

Requests that open a closed loop together come step by step instead.  The time per token of an answer of O tokens is
p + X / (O − 1): X is what the prompts of others add while it lasts, a compound Poisson sum of mean μ s (an atom at
none, a gamma distribution beyond); in a closed loop the others ask as often as one does, so only as much of that
variance is left as answers differ.  The others
themselves vary in an open loop: N by √N, and by less over a long answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from rooflab.estimator.serving.lengths import WEIGHTS

__all__ = ["LEVELS", "FirstTokens", "Tokens", "answered", "weights"]

Array = npt.NDArray[np.float64]

LEVELS: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
_HALVINGS: Final = 24
_FAR: Final = 14.0
"""Mean waits beyond which nobody is left in line."""
_Z: Final = {name: NormalDist().inv_cdf(level) for name, level in LEVELS.items()}


@cache
def _normal() -> tuple[Array, Array]:
    """The standard normal distribution: points, and the share below each."""
    points = np.linspace(-8.0, 8.0, 1601)
    return points, np.array([NormalDist().cdf(z) for z in points])


def _gamma(x: Array, mean: Array, cv: Array) -> Array:
    """Share of a gamma distribution below `x` (Wilson and Hilferty; an exponential where cv is 1)."""
    ratio = np.maximum(x, 0.0) / np.maximum(mean, 1e-12)
    shape = 1 / np.maximum(cv, 1e-3) ** 2
    z = 3 * np.sqrt(shape) * (np.cbrt(ratio) - 1 + 1 / (9 * shape))
    out: Array = np.where(cv >= 1, -np.expm1(-ratio), np.interp(z, *_normal()))
    return np.where(x > 0, out, 0.0)


def _quantile(share: Callable[[Array], Array], level: float, high: Array) -> Array:
    """The least value of which `share` is `level`, up to `high`."""
    low, high = np.zeros_like(high), high.copy()
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        beyond = share(middle) >= level
        low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
    return high


def weights(values: Array) -> Array:
    """Shares of the bins of `values` (R, bins): those of `lengths`, or one bin that is all."""
    return WEIGHTS if values.shape[1] > 1 else np.ones(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstTokens:
    """First tokens of R rows: `base_s` of all, `own_s` (R, bins) of prompts by length (one bin: all alike).

    A share `plain` comes into a step of `plain_s`, a share `met` into a wait of mean `met_s` and coefficient of
    variation `met_cv`; `first` of all requests open the loop, at `opening_s` (first and last of them).
    """

    base_s: Array
    own_s: Array
    plain: Array
    plain_s: Array
    met: Array
    met_s: Array
    met_cv: Array
    first: Array
    opening_s: tuple[Array, Array]

    @property
    def later_s(self) -> Array:
        """Mean of the requests that do not open the loop."""
        own_s = self.own_s @ weights(self.own_s)
        out: Array = self.base_s + own_s + self.plain * self.plain_s / 2 + self.met * self.met_s
        return out

    def statistics(self) -> dict[str, Array]:
        """Mean and percentiles."""
        opening_s = self.base_s + (self.opening_s[0] + self.opening_s[1]) / 2
        out = {"mean": (1 - self.first) * self.later_s + self.first * opening_s}
        longest = self.own_s[:, -1] + self.plain_s + _FAR * self.met_s
        high = self.base_s + np.maximum(longest, self.opening_s[1])
        for name, level in LEVELS.items():
            out[name] = _quantile(self._within, level, high)
        return out

    def _within(self, t: Array) -> Array:
        """Share of first tokens that come within `t`."""
        past = (t - self.base_s)[:, None] - self.own_s
        idle = np.maximum(1 - self.plain - self.met, 0.0)[:, None]
        in_plain = np.clip(past / np.maximum(self.plain_s, 1e-12)[:, None], 0.0, 1.0)
        in_line = _gamma(past, self.met_s[:, None], self.met_cv[:, None])
        later = (past >= 0) * idle + self.plain[:, None] * in_plain + self.met[:, None] * in_line
        begin, end = self.opening_s
        opened = np.clip((t - self.base_s - begin) / np.maximum(end - begin, 1e-12), 0.0, 1.0)
        return np.asarray((1 - self.first) * (later @ weights(past)) + self.first * opened)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Times per token of R rows, of answers of `answers` (R, bins) tokens after their first (one bin: all alike).

    `plain_s` a token alone with the others, `met` (R, bins) prompts of others met on average, each adding `added_s`
    (with coefficient of variation `added_cv`) to the answer, clumped by `clumped` (variance over that of Poisson's);
    `near_s` (R, bins) standard deviation of the others' part; `most_s` the longest that one takes.  A share `first` of
    all answers begins while the others' first prompts run, and waits up to `first_s` longer for each token.
    """

    mean_s: Array
    plain_s: Array
    answers: Array
    met: Array
    added_s: Array
    added_cv: Array
    clumped: Array
    near_s: Array
    most_s: Array
    first: Array
    first_s: Array

    def statistics(self) -> dict[str, Array]:
        """Mean and percentiles."""
        added, clumped = self.added_s[:, None], self.clumped[:, None]
        mean = self.met * added
        none = np.exp(-self.met)
        # a run of equal answers meets each other user once: nothing is left of the atom at none
        some = 1 - np.where(clumped < 1, none * clumped, none)
        given = mean / np.maximum(some, 1e-12)
        variance = mean * added * (1 + self.added_cv[:, None] ** 2) * clumped
        left = np.maximum((variance + mean**2) / np.maximum(some, 1e-12) - given**2, (1e-3 * given) ** 2)
        cv = np.sqrt(left) / np.maximum(given, 1e-12)

        def within(t: Array) -> Array:
            x = (t - self.plain_s)[:, None] * self.answers
            inside = (1 - some) * (x >= 0) + some * _gamma(x, given, cv)
            return np.asarray(inside @ weights(x))

        out = {"mean": self.mean_s + self.first * self.first_s / 2}
        near = self.near_s @ weights(self.near_s)
        high = self.plain_s + (_FAR * (mean + 3 * added) / self.answers).max(axis=1)
        for name, level in LEVELS.items():
            beside = _quantile(within, level, high) - self.mean_s
            later_s = np.minimum(self.mean_s + _both(beside, _Z[name] * near), self.most_s)
            among_first = np.clip((level - (1 - self.first)) / np.maximum(self.first, 1e-9), 0.0, 1.0)
            out[name] = np.maximum(later_s, self.mean_s + among_first * self.first_s)
        return out


def _both(a: Array, b: Array) -> Array:
    """Two independent deviations together, on the side of the larger."""
    side = np.where(np.abs(a) >= np.abs(b), np.sign(a), np.sign(b))
    return np.where(np.sign(a) * np.sign(b) < 0, a + b, side * np.hypot(a, b))


def answered(ttft: dict[str, Array], tpot: dict[str, Array], tail: Array, shape: Array) -> dict[str, Array]:
    """End-to-end latencies: first token and `tail` further tokens on average, by answers of `shape` (R, bins) over
    that; deviations from the medians add up as independent ones do."""
    depth = np.cumsum(WEIGHTS) - WEIGHTS / 2
    decode: dict[str, Array] = {}
    for name, level in LEVELS.items():
        at = shape[:, 0]
        if shape.shape[1] > 1:
            i = int(np.clip(np.searchsorted(depth, level) - 1, 0, len(depth) - 2))
            f = min((level - depth[i]) / (depth[i + 1] - depth[i]), 1.0)
            at = shape[:, i] * (1 - f) + shape[:, i + 1] * f
        decode[name] = np.where(
            tail > 0, tail * (at * tpot["mean"] + np.minimum(at, 1.0) * (tpot[name] - tpot["mean"])), 0.0
        )
    out = {"mean": ttft["mean"] + np.where(tail > 0, tail * tpot["mean"], 0.0), "p50": ttft["p50"] + decode["p50"]}
    waited = np.isfinite(ttft["p50"])
    for name in ("p90", "p99"):
        first = np.maximum(np.where(waited, ttft[name], 0.0) - np.where(waited, ttft["p50"], 0.0), 0.0)
        out[name] = out["p50"] + np.hypot(first, np.maximum(decode[name] - decode["p50"], 0.0))
    return out
