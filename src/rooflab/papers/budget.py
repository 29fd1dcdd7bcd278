"""The time that a run may take, and how much of what a method would like to do fits into it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rooflab.units import format_seconds

__all__ = ["Budget"]


@dataclass(slots=True)
class Budget:
    """`seconds` from now on, a share of the `whole_s` that the reader gave; without, as much as it takes.

    Whatever is shrunk to fit stands in `notes`.
    """

    seconds: float = math.inf
    whole_s: float = math.inf
    notes: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    @property
    def elapsed_s(self) -> float:
        """Seconds that are spent."""
        return time.monotonic() - self.started

    @property
    def left_s(self) -> float:
        """Seconds that are left; 0 when it is spent, infinity without a budget."""
        return max(self.seconds - self.elapsed_s, 0.0)

    def affords(self, seconds: float) -> bool:
        """Whether so many seconds more fit."""
        return seconds <= self.left_s and self.left_s > 0

    def fits(self, what: str, wanted: int, *, least: int, trial: Callable[[int], object], times: int = 1) -> int:
        """How many of `wanted` items (`what`: requests, rows, paths) fit, from `least` to all of them.

        Without a budget all. With one `trial` is called with `least`, and what it takes is taken to grow with the
        number; `times` says how often as many are worked on. A number that is cut is noted.
        """
        if math.isinf(self.seconds) or least >= wanted:
            return wanted
        began = time.monotonic()
        trial(least)
        each_s = max((time.monotonic() - began) * times / least, 1e-9)
        count = min(max(int(self.left_s / each_s), least), wanted)
        if count < wanted:
            self.shrunk(what, count, wanted)
        return count

    def shrunk(self, what: str, count: int, wanted: int) -> None:
        """Note that there are only `count` of what was wanted."""
        self.notes.append(f"cut to {count:,} of {wanted:,} {what} by the budget of {self._said}")

    def overrun(self) -> None:
        """Note that what a run needs at least took longer, if it did by a tenth and more."""
        if self.elapsed_s > 1.1 * self.seconds:
            took = format_seconds(self.elapsed_s)
            self.notes.append(f"it took {took} of a budget of {self._said}: the least that it needs is that long")

    @property
    def _said(self) -> str:
        if self.seconds > 0.99 * self.whole_s or math.isinf(self.whole_s):
            return format_seconds(self.seconds)
        return f"{format_seconds(self.whole_s)} (its share: {format_seconds(self.seconds)})"
