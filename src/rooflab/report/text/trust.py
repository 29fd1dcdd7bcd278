"""How far to trust an estimate, in words: inside the evidence or not, how many rows say so, and the intervals of its
headline figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rooflab.estimator.serving.answer import Estimate
from rooflab.evidence.intervals.intervals import Interval, intervals
from rooflab.units import format_seconds, significant

__all__ = ["interval_words", "trust_words"]

_SHOWN: Final = (
    ("output_tokens_per_s", "output tokens/s"),
    ("tpot_s_mean", "TPOT"),
    ("ttft_s_mean", "TTFT"),
    ("requests_per_s", "requests/s"),
)


def trust_words(estimate: Estimate) -> str:
    """Verdict, evidence, and 90 % intervals of throughput, time per token and first token."""
    found = intervals(estimate, tuple(metric for metric, _ in _SHOWN))
    if not found:
        return "nothing measured of this kind: no interval"
    first = next(iter(found.values()))
    return f"{first.words}. 90 % intervals: {_ranges(found)}"


def interval_words(interval: Interval, metric: str) -> str:
    """``1,230 – 1,900`` or ``11.2 ms – 14.0 ms``."""
    show = format_seconds if "_s_" in metric and "per_s" not in metric else significant
    return f"{show(interval.low)} – {show(interval.high)}"


def _ranges(found: Mapping[str, Interval]) -> str:
    shown = [(m, label) for m, label in _SHOWN if m in found]
    if any(m == "output_tokens_per_s" for m, _ in shown):
        shown = [(m, label) for m, label in shown if m != "requests_per_s"]
    return ", ".join(f"{label} {interval_words(found[m], m)}" for m, label in shown)
