"""What running a paper's method gives: figures with their baselines, a reason in a sentence, files, a plot."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean, median
from typing import TYPE_CHECKING, Any, Literal

from rooflab.errors import unknown
from rooflab.statistics.mean import mean_interval

if TYPE_CHECKING:
    from rooflab.charts.plot import Plot
    from rooflab.papers.condition import Assumption
    from rooflab.papers.work import Cells

__all__ = ["Account", "Figure", "How", "Outcome", "as_figures", "plain"]

How = Literal["executed", "measured", "modelled"]
"""The paper's algorithm ran on data; a clock or a counter of this machine; the engine's prices and simulations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number of an outcome.

    `baseline`: the same figure without the method (None: there is no such thing). `better` "higher" or "lower" ("":
    neither). `spread` is over `runs` seeds, measurements or items, as `over` says: the lowest and the highest value, or
    with a `level` the interval that holds the mean of all such items at that level. A `partial` figure is of fewer
    cells than were asked for, since the run was interrupted.
    """

    name: str
    value: float
    unit: str = ""
    how: How
    baseline: float | None = None
    better: Literal["higher", "lower", ""] = ""
    spread: tuple[float, float] | None = None
    runs: int = 1
    over: str = "measurements"
    level: float = 0.0
    partial: bool = False

    @classmethod
    def mean(
        cls, name: str, values: Sequence[float], *, over: str, how: How, unit: str = "",
        baseline: Sequence[float] | None = None, better: Literal["higher", "lower", ""] = "",
    ) -> Figure:  # fmt: skip
        """The mean of items (`over`: "searches", what they are) with its 90 % interval, which widens where there are
        fewer of them; `baseline` holds the same items without the method."""
        return cls(
            name=name, value=fmean(values), unit=unit, how=how, baseline=None if baseline is None else fmean(baseline),
            better=better, spread=mean_interval(values), runs=len(values), over=over, level=0.9,
        )  # fmt: skip

    @classmethod
    def timed(cls, name: str, taken_s: Sequence[float], *, over: str = "runs") -> Figure:
        """What a clock of this machine measured, in seconds: the median, from the shortest to the longest."""
        return cls(
            name=name, value=median(taken_s), unit="s", how="measured", spread=(min(taken_s), max(taken_s)),
            runs=len(taken_s), over=over, better="lower",
        )  # fmt: skip

    @property
    def gain(self) -> float:
        """How many times better than the baseline; NaN where that is not known, or where one is below zero."""
        if self.baseline is None or not self.better:
            return math.nan
        worse, best = (self.baseline, self.value) if self.better == "higher" else (self.value, self.baseline)
        told = worse > 0 and best >= 0 and math.isfinite(best) and math.isfinite(worse)
        return best / worse if told else math.nan

    def record(self) -> dict[str, Any]:
        """As plain JSON values; what is not finite is null."""
        return {
            "name": self.name, "value": plain(self.value), "unit": self.unit, "how": self.how,
            "baseline": plain(self.baseline), "better": self.better, "gain": plain(self.gain),
            "spread": None if self.spread is None else [plain(x) for x in self.spread], "runs": self.runs,
            "over": self.over if self.spread else "", "level": self.level, "partial": self.partial,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Account:
    """How an outcome came about: the cells that were worked through, choices that nobody published, whether it is
    `partial`, interrupted before it was through."""

    cells: tuple[Cells, ...] = ()
    assumed: tuple[Assumption, ...] = ()
    partial: bool = False

    def record(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "partial": self.partial, "cells": [asdict(c) for c in self.cells],
            "assumptions": [asdict(a) for a in self.assumed],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """Figures by name, why they are what they are, files that were made (name to content), and a plot.

    `notes` are lines for the reader that are no figures: samples that were shrunk, parts that were left out. Whoever
    runs a method for a reader adds the `account`.
    """

    figures: tuple[Figure, ...]
    because: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    plot: Plot | None = None
    notes: tuple[str, ...] = ()
    account: Account = Account()

    def __getitem__(self, name: str) -> float:
        """The value of a figure. Raises InputError with the nearest names."""
        return self.figure(name).value

    def figure(self, name: str) -> Figure:
        """The figure called `name`. Raises InputError with the nearest names."""
        for f in self.figures:
            if f.name == name:
                return f
        raise unknown("figure", name, [f.name for f in self.figures])

    def record(self) -> dict[str, Any]:
        """As plain JSON values; of files only names and sizes."""
        return {
            "figures": [f.record() for f in self.figures], "because": self.because,
            "files": {name: len(content) for name, content in self.files.items()}, "notes": list(self.notes),
        } | self.account.record()  # fmt: skip


def plain(value: float | None) -> float | None:
    """A number for JSON: NaN and infinity become None."""
    return value if value is not None and math.isfinite(value) else None


def as_figures(how: How, rows: Iterable[tuple[str, float, str]]) -> tuple[Figure, ...]:
    """Figures of one sort of evidence from (name, value, unit)."""
    return tuple(Figure(name=name, value=value, unit=unit, how=how) for name, value, unit in rows)
