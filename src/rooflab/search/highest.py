"""The highest value at which something holds, by halving.

A bracket has one end that holds and one that does not; what lies between them is halved until the ends are near enough:

    middle m of (a, b), a holds, b does not        m holds: (m, b), else (a, m)

With the end that holds above the other it is the lowest value that is found.  If what is asked holds at all values up
to an edge and at none beyond it, that edge lies in every bracket; otherwise one of several edges is found.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Bracket", "arithmetic", "geometric_when_wide", "highest", "narrow", "whole"]

Number = TypeVar("Number", int, float)

_WIDE = 2.0


def arithmetic(a: float, b: float) -> float:
    """The mean."""
    return (a + b) / 2


def whole(a: int, b: int) -> int:
    """The mean, rounded down: for counts."""
    return (a + b) // 2


def geometric_when_wide(a: float, b: float) -> float:
    """The geometric mean of positive numbers more than a factor of two apart, else their mean."""
    return math.sqrt(a * b) if max(a, b) / min(a, b) > _WIDE else (a + b) / 2


@dataclass(frozen=True, slots=True)
class Bracket(Generic[Number]):
    """A value that `holds` and one that `fails`, with the middle at which to ask next."""

    holds: Number
    fails: Number
    halve: Callable[[Number, Number], Number]

    @property
    def middle(self) -> Number:
        """Where to ask next; one of the ends when nothing lies between them."""
        return self.halve(self.holds, self.fails)

    def told(self, holds: bool) -> Bracket[Number]:
        """The half that is left when the middle `holds` or not."""
        if holds:
            return Bracket(self.middle, self.fails, self.halve)
        return Bracket(self.holds, self.middle, self.halve)

    def near(self, tolerance: float) -> bool:
        """Whether the ends are less than the share `tolerance` apart, or nothing lies between them."""
        if self.middle in (self.holds, self.fails):
            return True
        return abs(self.holds - self.fails) < tolerance * min(self.holds, self.fails)


def narrow(
    holds: Callable[[Number], bool],
    bracket: Bracket[Number],
    *,
    calls: int = 100,
    tolerance: float = 0.0,
    tell: Callable[[Number, bool], None] | None = None,
) -> Bracket[Number]:
    """`bracket` halved until its ends are near (`Bracket.near`), by at most `calls` questions.

    `tell` hears of each question with its answer.
    """
    for _ in range(calls):
        if bracket.near(tolerance):
            break
        bracket = bracket.told(_asked(holds, bracket.middle, tell))
    return bracket


def highest(
    holds: Callable[[Number], bool],
    low: Number,
    high: Number,
    *,
    halve: Callable[[Number, Number], Number],
    most: float | None = None,
    calls: int = 100,
    tolerance: float = 0.0,
    tell: Callable[[Number, bool], None] | None = None,
) -> Number | None:
    """The highest value from `low` up at which something `holds`; None where `low` itself fails.

    `high` is taken to fail unless `most` is given: then it is asked, and doubled as long as it holds and is below
    `most`. `calls`, `tolerance` and `tell` are those of `narrow`.
    """
    if not _asked(holds, low, tell):
        return None
    while most is not None and _asked(holds, high, tell):
        if high >= most:
            return high
        low, high = high, high * 2
    return narrow(holds, Bracket(low, high, halve), calls=calls, tolerance=tolerance, tell=tell).holds


def _asked(holds: Callable[[Number], bool], value: Number, tell: Callable[[Number, bool], None] | None) -> bool:
    found = holds(value)
    if tell is not None:
        tell(value, found)
    return found
