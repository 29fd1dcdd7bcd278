"""What a run of a paper gave, in words: the same on a screen and on a page."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from rooflab.evidence.claims.words import figure
from rooflab.metrics.registry import METRICS
from rooflab.papers.execute import FULL
from rooflab.papers.reasons import label as metric_label
from rooflab.report.text.headline import load_words, title
from rooflab.scenario.scenario import Scenario
from rooflab.units import significant

if TYPE_CHECKING:
    from rooflab.papers.condition import Assumption
    from rooflab.papers.execute import Ran
    from rooflab.papers.outcome import Figure
    from rooflab.papers.work import Cells

__all__ = [
    "assumed_words", "cells_words", "gain_words", "given_words", "how_words", "label", "spread_words", "unit_words",
    "value_words",
]  # fmt: skip

_PREFIXED: Final = ("s", "B", "FLOP", "FLOP/s", "B/s", "W", "J")
_SAME: Final = 0.005
"""Gains nearer to one than this are none."""


def label(f: Figure) -> str:
    """The name of a figure: metrics of the engines as people call them."""
    return metric_label(f.name) if f.name in METRICS else f.name


def value_words(value: float | None, unit: str) -> str:
    """A value; its unit where a prefix belongs to it (other units have a column of their own)."""
    if value is None or math.isnan(value):
        return "–"
    return figure(value, unit if unit in _PREFIXED else "")


def unit_words(f: Figure) -> str:
    """The unit that does not stand with the values already."""
    return "" if f.unit in _PREFIXED or label(f) != f.name or f.name == FULL else f.unit


def gain_words(gain: float) -> str:
    """How many times better; empty where that is not known."""
    return "" if math.isnan(gain) else "same" if abs(gain - 1) < _SAME else f"{significant(gain)} ×"


def spread_words(f: Figure) -> str:
    """Between which values a figure lies, and over what."""
    if f.spread is None:
        return ""
    over = f"{f.runs:,} {f.over}"
    if f.level and not math.isfinite(f.spread[1] - f.spread[0]):
        return f"unknown: {f.runs:,} of the {f.over}"
    if f.spread[0] == f.spread[1]:
        return f"the same, {over}"
    low, high = (value_words(x, f.unit) for x in f.spread)
    return f"{low} – {high}, {f'{f.level:.0%} of means, ' if f.level else ''}{over}"


def how_words(f: Figure) -> str:
    """How a figure came about, and whether that was cut short."""
    return f"{f.how}, partial" if f.partial else f.how


def cells_words(cells: Cells) -> str:
    """How many cells there are, and how many of them an earlier run had finished."""
    done = (
        f"{cells.done:,} {cells.name}"
        if cells.done == cells.wanted
        else (f"{cells.done:,} of {cells.wanted:,} {cells.name}")
    )
    return f"{done}, {cells.kept:,} of them from an earlier run" if cells.kept else done


def assumed_words(a: Assumption) -> str:
    """A choice that nobody published, with its ends and why there."""
    return f"{a.name} {a.value:,.10g} (could be {a.low:,.10g} to {a.high:,.10g}: {a.source})"


def given_words(ran: Ran) -> str:
    """What a run was on, in words."""
    given: Any = ran.given
    if isinstance(given, Scenario):
        return f"{title(given)}, {load_words(given.workload, given.model)}"
    from rooflab.inputs.kinds import kind_of

    kind = kind_of(type(given))
    counts = kind.describe(given).counts
    return f"{kind.name}: " + ", ".join(f"{n:,} {name}" for name, n in counts.items() if n)
