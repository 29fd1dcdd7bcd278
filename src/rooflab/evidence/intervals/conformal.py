"""Conformal intervals by domain: quantiles of log(measured / predicted) of predictions whose own group was left out.

    interval of a prediction p at level 1 − α:   [ p·exp(s·q_low),  p·exp(s·q_high) ]
    q_low, q_high:  the order statistics ⌊(n + 1)·α/2⌋ and ⌈(n + 1)·(1 − α/2)⌉ of the n ratios of its domain

which with s = 1 covers a new row of the domain with probability 1 − α (Vovk et al. 2005; split conformal).  A domain
serves only if enough groups stand in it; a smaller one takes the ratios of the next wider.  Rows of one group err
together and a narrow domain may borrow the ratios of a wide one, so s, the stretch, is conformal too: each row says by
how much the interval that the other groups make must be stretched to hold it, and s is the order statistic ⌈(m + 1)·(1
− α)⌉ of the m rows of a pool (a metric, a load and a kind of model; a pool with few rows or groups takes the stretch of
the next wider).

Whether a row is covered is judged without its group at every step: the ratios that make its interval, the rows that say
how much to stretch, and the ratios that make their intervals are all of other groups.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

__all__ = ["LEVEL", "Levels", "Ratio", "Spread", "by_name", "covered", "levels_of", "spread_of", "spreads"]

LEVEL: Final = 0.9
FEWEST_ROWS: Final = 20
FEWEST_GROUPS: Final = 4
"""A domain of fewer rows or groups takes the ratios of the next wider; a whole family needs the rows only."""
ROWS_OF_POOL: Final = 30
GROUPS_OF_POOL: Final = 4
"""A pool of fewer rows or groups besides the one left out takes the stretch of the next wider."""
_LEAST: Final = 0.02
"""An interval reaches at least this far (a logarithm) to either side before it is stretched."""

Array = npt.NDArray[np.float64]
T = TypeVar("T")
Levels = Mapping[str, float]
"""Stretch by pool."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """One row: log(measured / held-out prediction), its domains and its pools from the most particular to the widest,
    its group."""

    value: float
    domains: tuple[str, ...]
    pools: tuple[str, ...]
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
    return Spread(low, high, error, len(ordered), groups)


def _bounds(ordered: Array, alpha: float) -> tuple[float, float]:
    """Order statistics of sorted ratios; an interval always holds its own prediction."""
    n = len(ordered)
    low = max(math.floor((n + 1) * alpha / 2), 1) - 1
    high = min(math.ceil((n + 1) * (1 - alpha / 2)), n) - 1
    return min(float(ordered[low]), -_LEAST), max(float(ordered[high]), _LEAST)


def _enough(name: str, rows: int, groups: int) -> bool:
    """Whether a domain can speak for itself; the widest always does."""
    if name.endswith("*"):
        return rows > 0
    return rows >= FEWEST_ROWS and groups >= (FEWEST_GROUPS if "|" in name else 1)


def spreads(ratios: Sequence[Ratio]) -> dict[str, Spread]:
    """The spread of every domain with enough rows and groups; the widest one always."""
    members: dict[str, list[Ratio]] = {}
    for r in ratios:
        for name in r.domains:
            members.setdefault(name, []).append(r)
    out = {}
    for name, found in sorted(members.items()):
        groups = len({r.group for r in found})
        if _enough(name, len(found), groups):
            out[name] = spread_of(np.array([r.value for r in found]), groups, 1 - LEVEL)
    return out


class _Members:
    """Rows by domain in the order of their ratios, and by pool; bounds and stretches without one or two groups."""

    def __init__(self, ratios: Sequence[Ratio]) -> None:
        self.ratios = ratios
        self.values = np.array([r.value for r in ratios])
        self.group = np.unique(np.array([r.group for r in ratios]), return_inverse=True)[1]
        order = np.argsort(self.values, kind="stable")
        self.domains = {name: order[rows] for name, rows in _rows_of([ratios[i].domains for i in order]).items()}
        self.pools = _rows_of([r.pools for r in ratios])
        self.groups_in = {name: set(self.group[rows].tolist()) for name, rows in (self.domains | self.pools).items()}
        self._bounds: dict[tuple[str, frozenset[int]], tuple[float, float] | None] = {}
        self._levels: dict[tuple[str, int], float] = {}

    def needed(self, row: int, without: frozenset[int]) -> float:
        """How much the interval of a row must be stretched to hold it, if made of other groups than `without`."""
        value = float(self.values[row])
        low, high = next(b for name in self.ratios[row].domains if (b := self.bounds(name, without)) is not None)
        return value / high if value > 0 else value / low

    def bounds(self, name: str, without: frozenset[int]) -> tuple[float, float] | None:
        """The bounds that a domain's other groups make; None if they are too few."""
        # a group that is not in the domain need not be left out of it
        inside = without & self.groups_in[name]
        place = (name, inside)
        if place not in self._bounds:
            rows = self.domains[name]
            kept = rows[~np.isin(self.group[rows], list(inside))] if inside else rows
            usable = _enough(name, len(kept), len(self.groups_in[name]) - len(inside))
            self._bounds[place] = _bounds(self.values[kept], 1 - LEVEL) if usable else None
        return self._bounds[place]

    def stretch(self, pools: Sequence[str], group: int = -1) -> float:
        """The stretch of the most particular pool with enough rows of other groups than `group`."""
        for name in pools:
            rows = self.pools[name][self.group[self.pools[name]] != group]
            groups = len(self.groups_in[name] - {group})
            if (len(rows) >= ROWS_OF_POOL and groups >= GROUPS_OF_POOL) or (name == pools[-1] and len(rows)):
                return self._level(name, rows, group if group in self.groups_in[name] else -1)
        return 1.0

    def _level(self, name: str, rows: npt.NDArray[np.intp], group: int) -> float:
        if (name, group) not in self._levels:
            needed = np.sort([self.needed(i, frozenset((int(self.group[i]), group))) for i in rows.tolist()])
            self._levels[name, group] = float(needed[min(math.ceil((len(needed) + 1) * LEVEL), len(needed)) - 1])
        return self._levels[name, group]


def _rows_of(names: Sequence[Iterable[str]]) -> dict[str, npt.NDArray[np.intp]]:
    members: dict[str, list[int]] = {}
    for i, mine in enumerate(names):
        for name in mine:
            members.setdefault(name, []).append(i)
    return {name: np.array(rows, dtype=np.intp) for name, rows in members.items()}


def levels_of(ratios: Sequence[Ratio]) -> dict[str, float]:
    """The stretch of every pool that has enough rows and groups, and of the widest."""
    members = _Members(ratios)
    out: dict[str, float] = {}
    for pools in sorted({r.pools for r in ratios}):
        for name in pools:
            enough = len(members.pools[name]) >= ROWS_OF_POOL and len(members.groups_in[name]) >= GROUPS_OF_POOL
            if name not in out and (enough or name == pools[-1]):
                out[name] = members.stretch((name,))
    return out


def covered(ratios: Sequence[Ratio]) -> npt.NDArray[np.bool_]:
    """For each row, whether the interval made of the other groups holds it (cross-conformal, a group at a time)."""
    members = _Members(ratios)
    out = np.zeros(len(ratios), dtype=bool)
    for i, r in enumerate(ratios):
        group = int(members.group[i])
        out[i] = members.needed(i, frozenset((group,))) <= members.stretch(r.pools, group)
    return out


def by_name(table: Mapping[str, T], domains: Sequence[str]) -> tuple[str, T] | None:
    """The most particular of `domains` that the table holds."""
    return next(((d, table[d]) for d in domains if d in table), None)
