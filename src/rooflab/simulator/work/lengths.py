"""Drawing lengths and times: every draw begins as a standard normal, which the distribution then maps to a value.

One normal a request and purpose has three uses.  Two lengths are correlated by correlating their normals (a
Gaussian copula; a rank correlation ρ needs 2 sin(πρ/6) of normals: Pearson 1907); turns of a session are alike by
sharing part of one; and scenarios that are compared draw the same normals whatever their distributions are (common
random numbers).
"""

from __future__ import annotations

import math
import zlib
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from rooflab.scenario.lengths import Lengths, underlying

__all__ = ["correlated", "pick", "stream", "to_counts", "to_values"]

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

_REACH: Final = 5.0
_STEPS_PER_SIGMA: Final = 400


def stream(seed: int, purpose: str) -> np.random.Generator:
    """The random stream of one purpose ("isl", "arrivals", ...): independent of the others, the same on every
    machine."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(zlib.crc32(purpose.encode()),))))


def to_values(lengths: Lengths, z: F64) -> F64:
    """The values of `lengths` at the normals `z`, same shape: Q(Φ(z))."""
    if lengths.kind == "fixed":
        return np.full(z.shape, lengths.mean)
    if lengths.kind == "lognormal":
        mu, sigma = underlying(lengths)
        return np.clip(np.exp(mu + sigma * z), lengths.low, lengths.high)
    at = (np.clip(z, -_REACH, _REACH) + _REACH) * _STEPS_PER_SIGMA
    cell = at.astype(np.int32)
    np.minimum(cell, int(2 * _REACH * _STEPS_PER_SIGMA) - 1, out=cell)
    at -= cell
    table, slope = _table(lengths)
    out: F64 = table[cell] + at * slope[cell]
    return out


def to_counts(lengths: Lengths, z: F64, least: int = 1) -> I64:
    """Whole numbers of at least `least`: the values of `lengths` at `z`, rounded."""
    return np.maximum((to_values(lengths, z) + 0.5).astype(np.int64), least)


def correlated(z: F64, fresh: F64, rank_correlation: float) -> F64:
    """Normals with the given rank correlation to `z`, from independent ones."""
    if rank_correlation == 0:
        return fresh
    r = 2 * math.sin(math.pi * rank_correlation / 6)
    return r * z + math.sqrt(max(1 - r * r, 0.0)) * fresh


def pick(
    rng: np.random.Generator, n: int, count: int, skew: float = 0.0, shares: tuple[float, ...] = ()
) -> npt.NDArray[np.int32]:
    """`n` draws from 0..count−1, number k in proportion to shares[k], or to (k + 1)^−skew."""
    if count == 1:
        return np.zeros(n, dtype=np.int32)
    weights = np.asarray(shares) if shares else (np.arange(count) + 1.0) ** -skew
    edges = np.cumsum(weights) / weights.sum()
    return np.minimum(np.searchsorted(edges, rng.random(n), side="right"), count - 1).astype(np.int32)


@lru_cache(maxsize=64)
def _table(lengths: Lengths) -> tuple[F64, F64]:
    """Q(Φ(z)) on an even grid of z from −5 to 5, and its slopes a cell."""
    p = _normal_grid()
    if lengths.kind == "uniform":
        values = lengths.low + p * (lengths.high - lengths.low)
    elif lengths.kind == "exponential":
        scale, _ = underlying(lengths)
        values = np.clip(-scale * np.log1p(-p), lengths.low, lengths.high)
    else:
        values = np.interp(p, np.linspace(0, 1, len(lengths.table)), np.asarray(lengths.table))
    return values, np.append(np.diff(values), 0.0)


@lru_cache(maxsize=1)
def _normal_grid() -> F64:
    from statistics import NormalDist

    normal = NormalDist()
    return np.array([normal.cdf(k / _STEPS_PER_SIGMA - _REACH) for k in range(int(2 * _REACH * _STEPS_PER_SIGMA) + 1)])
