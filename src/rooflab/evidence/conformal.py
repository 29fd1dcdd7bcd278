"""Conformal intervals by domain: quantiles of log(measured / predicted) of predictions whose own group was left out.

    interval of a prediction p at level 1 − α:   [ p·exp(q_low),  p·exp(q_high) ]
    q_low, q_high:  the order statistics ⌊(n + 1)·α/2⌋ and ⌈(n + 1)·(1 − α/2)⌉ of the n ratios of its domain

which covers a new row of the domain with probability 1 − α (Vovk et al. 2005; split conformal).  A domain serves only if
enough groups stand in it; a smaller one takes the ratios of the next wider.  Rows of one group err together, which makes
intervals too narrow for a new group: each family's nominal α is lowered until intervals made of the other groups hold 90 %
of its rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["LEVEL", "Levels", "Ratio", "Spread", "by_name", "covered", "levels_of", "spread_of", "spreads"]

LEVEL: Final = 0.9
_ALPHAS: Final = (0.25, 0.2, 0.16, 0.13, 0.10, 0.085, 0.07, 0.055, 0.04, 0.03, 0.02, 0.01)
FEWEST_ROWS: Final = 20
FEWEST_GROUPS: Final = 4
"""A domain of fewer rows or groups takes the ratios of the next wider; a whole family needs the rows only."""

Array = npt.NDArray[np.float64]
Levels = Mapping[str, float]
"""Nominal α by family."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """One row: log(measured / held-out prediction), its domains from the most particular to the widest, its family, its group."""

    value: float
    domains: tuple[str, ...]
    family: str
    group: str


@dataclass(frozen=True, slots=True)
class Spread:
    """Quantiles of a domain's ratios (logarithms), their median size, and how many rows and groups they come from."""

    low: float
    high: float
    median_error: float
    rows: int
    groups: int


def spread_of(values: Array, groups: int, alpha: float) -> Spread:
    """The spread of a domain's ratios."""
    ordered = np.sort(values)
    error = float(np.median(np.abs(np.exp(-ordered) - 1.0)))
    low, high = _bounds(ordered, alpha)
    # an interval always holds its own prediction
    return Spread(min(low, 0.0), max(high, 0.0), error, len(ordered), groups)


def _bounds(ordered: Array, alpha: float) -> tuple[float, float]:
    n = len(ordered)
    low = max(math.floor((n + 1) * alpha / 2), 1) - 1
    high = min(math.ceil((n + 1) * (1 - alpha / 2)), n) - 1
    return float(ordered[low]), float(ordered[high])


def _enough(name: str, rows: int, groups: int) -> bool:
    """Whether a domain can speak for itself; the widest always does."""
    if name.endswith("*"):
        return rows > 0
    return rows >= FEWEST_ROWS and groups >= (FEWEST_GROUPS if "|" in name else 1)


def spreads(ratios: Sequence[Ratio], levels: Levels) -> dict[str, Spread]:
    """The spread of every domain with enough rows and groups; the widest one always."""
    members: dict[str, list[Ratio]] = {}
    for r in ratios:
        for name in r.domains:
            members.setdefault(name, []).append(r)
    out = {}
    for name, found in sorted(members.items()):
        groups = len({r.group for r in found})
        if _enough(name, len(found), groups):
            alpha = 1 - LEVEL if name.endswith("*") else levels[found[0].family]
            out[name] = spread_of(np.array([r.value for r in found]), groups, alpha)
    return out


def levels_of(ratios: Sequence[Ratio]) -> dict[str, float]:
    """The largest nominal α of each family at which intervals made of other groups hold 90 % of its rows."""
    families = np.array([r.family for r in ratios])
    out: dict[str, float] = {}
    for alpha in _ALPHAS:
        held = covered(ratios, dict.fromkeys(families.tolist(), alpha))
        for family in set(families.tolist()) - out.keys():
            if held[families == family].mean() >= LEVEL or alpha == _ALPHAS[-1]:
                out[family] = alpha
    return out


def covered(ratios: Sequence[Ratio], levels: Levels) -> npt.NDArray[np.bool_]:
    """For each row, whether the interval made of the other groups holds it (cross-conformal, a group at a time)."""
    values = np.array([r.value for r in ratios])
    of = np.unique(np.array([r.group for r in ratios]), return_inverse=True)[1]
    members: dict[str, list[int]] = {}
    for i, r in enumerate(ratios):
        for name in r.domains:
            members.setdefault(name, []).append(i)
    rows_of = {name: np.array(rows, dtype=np.intp) for name, rows in members.items()}
    cache: dict[tuple[str, int, float], tuple[float, float] | None] = {}

    def bounds(name: str, group: int, alpha: float) -> tuple[float, float] | None:
        place = (name, group, alpha)
        if place not in cache:
            rows = rows_of[name][of[rows_of[name]] != group]
            usable = _enough(name, len(rows), len(np.unique(of[rows])))
            low, high = _bounds(np.sort(values[rows]), alpha) if usable else (0.0, 0.0)
            cache[place] = (min(low, 0.0), max(high, 0.0)) if usable else None
        return cache[place]

    out = np.zeros(len(ratios), dtype=bool)
    for i, r in enumerate(ratios):
        for name in r.domains:
            found = bounds(name, int(of[i]), levels[r.family])
            if found is not None:
                out[i] = found[0] <= r.value <= found[1]
                break
    return out


def by_name(table: Mapping[str, Spread], domains: Sequence[str]) -> tuple[str, Spread] | None:
    """The most particular domain of `domains` that the table holds."""
    return next(((d, table[d]) for d in domains if d in table), None)
