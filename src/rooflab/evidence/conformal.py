"""Conformal intervals by domain: quantiles of log(measured / predicted) of predictions whose own group was left out.

    interval of a prediction p at level 1 − α:   [ p·exp(q_low),  p·exp(q_high) ]
    q_low, q_high:  the order statistics ⌊(n + 1)·α/2⌋ and ⌈(n + 1)·(1 − α/2)⌉ of the n ratios of its domain

which covers a new row of the domain with probability 1 − α (Vovk et al. 2005; split conformal).  Rows of one group err
together, so a domain serves only if enough groups stand in it; a smaller one takes the ratios of the next wider.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["ALPHA", "Ratio", "Spread", "covered", "enough", "spread_of", "spreads"]

ALPHA: Final = 0.1
FEWEST_ROWS: Final = 30
FEWEST_GROUPS: Final = 5

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ratio:
    """One row: log(measured / held-out prediction), its domains from the most particular to the widest, its group."""

    value: float
    domains: tuple[str, ...]
    group: str


@dataclass(frozen=True, slots=True)
class Spread:
    """Quantiles of a domain's ratios (logarithms), their median size, and how many rows and groups they come from."""

    low: float
    high: float
    median_error: float
    rows: int
    groups: int


def spread_of(values: Array, groups: int) -> Spread:
    """The spread of a domain's ratios."""
    ordered = np.sort(values)
    n = len(ordered)
    low = max(math.floor((n + 1) * ALPHA / 2), 1) - 1
    high = min(math.ceil((n + 1) * (1 - ALPHA / 2)), n) - 1
    error = float(np.median(np.abs(np.exp(-ordered) - 1.0)))
    # an interval always holds its own prediction
    return Spread(min(float(ordered[low]), 0.0), max(float(ordered[high]), 0.0), error, n, groups)


def enough(rows: int, groups: int) -> bool:
    """Whether a domain can speak for itself."""
    return rows >= FEWEST_ROWS and groups >= FEWEST_GROUPS


def spreads(ratios: Sequence[Ratio]) -> dict[str, Spread]:
    """The spread of every domain with enough rows and groups; the widest one always."""
    members: dict[str, list[Ratio]] = {}
    for r in ratios:
        for name in r.domains:
            members.setdefault(name, []).append(r)
    out = {}
    for name, found in sorted(members.items()):
        groups = len({r.group for r in found})
        if enough(len(found), groups) or name.endswith("*"):
            out[name] = spread_of(np.array([r.value for r in found]), groups)
    return out


def covered(ratios: Sequence[Ratio]) -> npt.NDArray[np.bool_]:
    """For each row, whether the interval made of the other groups holds it (cross-conformal, a group at a time)."""
    values = np.array([r.value for r in ratios])
    of = np.unique(np.array([r.group for r in ratios]), return_inverse=True)[1]
    members: dict[str, npt.NDArray[np.intp]] = {}
    for name in {d for r in ratios for d in r.domains}:
        members[name] = np.flatnonzero([name in r.domains for r in ratios])
    cache: dict[tuple[str, int], tuple[float, float] | None] = {}

    def bounds(name: str, group: int) -> tuple[float, float] | None:
        place = (name, group)
        if place not in cache:
            rows = members[name][of[members[name]] != group]
            groups = len(np.unique(of[rows]))
            usable = enough(len(rows), groups) or name.endswith("*")
            spread = spread_of(values[rows], groups) if usable and len(rows) else None
            cache[place] = (spread.low, spread.high) if spread else None
        return cache[place]

    out = np.zeros(len(ratios), dtype=bool)
    for i, r in enumerate(ratios):
        found = next((b for b in (bounds(d, int(of[i])) for d in r.domains) if b is not None), (-math.inf, math.inf))
        out[i] = found[0] <= r.value <= found[1]
    return out


def by_name(table: Mapping[str, Spread], domains: Sequence[str]) -> tuple[str, Spread] | None:
    """The most particular domain of `domains` that the table holds."""
    return next(((d, table[d]) for d in domains if d in table), None)
