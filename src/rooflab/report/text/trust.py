"""How far to trust an estimate, in words: inside the evidence or not, how many rows say so, and the intervals of its
headline figures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from rooflab.estimator.serving.answer import Estimate
from rooflab.evidence.intervals.intervals import Interval, intervals
from rooflab.launch.label import bound_name, bound_value
from rooflab.scenario.slo import SLO
from rooflab.units import format_seconds, significant

if TYPE_CHECKING:
    from rooflab.planner.result import Choice

__all__ = ["deciding_words", "digits_of", "interval_words", "known_digits", "trust_words"]

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


def deciding_words(choice: Choice) -> str:
    """How near the evidence the figure is that decides a choice (the target nearest its limit; all headline figures
    where there is none), with its 90 % interval."""
    found = choice.tightest
    if found is None:
        return trust_words(choice.estimate)
    key, value, limit = found
    metric = SLO.metric(key)
    one = intervals(choice.estimate, (metric,), {metric: value}).get(metric)
    if one is None:
        return "nothing measured of this kind: no interval"
    name, most = bound_name(key), bound_value(key, limit)
    end = f"measure before you rely on {most}" if one.high > limit else f"all within {most}"
    error = significant(100 * one.domain_error, 2)
    return (
        f"{one.verdict}. {name} decides: {bound_value(key, value)}, on a machine {interval_words(one, metric)} in nine "
        f"of ten cases ({one.domain_rows:,} rows of its kind, median error {error} %): {end}; {one.provenance}"
    )


def known_digits(value: float, low: float, high: float) -> int:
    """Digits of `value` that its interval supports: two where it reaches 10 % or farther, three from 1 %, else four."""
    reach = max(high / value, value / low) - 1.0 if value > 0.0 and low > 0.0 else math.inf
    return 2 if reach >= 0.1 else 3 if reach >= 0.01 else 4


def digits_of(estimate: Estimate, metric: str) -> int:
    """Digits of a metric that its interval supports; three where it has none."""
    one = intervals(estimate, (metric,)).get(metric)
    return 3 if one is None else known_digits(one.value, one.low, one.high)


def interval_words(interval: Interval, metric: str) -> str:
    """``1,200 to 1,900`` or ``11 ms to 14 ms``, in the digits that are known; "all that arrives" where a rate can be
    nothing else."""
    if "per_s" in metric and math.isclose(interval.low, interval.high):
        return "all that arrives"
    digits = known_digits(interval.value, interval.low, interval.high)
    show = format_seconds if "_s_" in metric and "per_s" not in metric else significant
    return f"{show(interval.low, digits)} to {show(interval.high, digits)}"


def _ranges(found: Mapping[str, Interval]) -> str:
    shown = [(m, label) for m, label in _SHOWN if m in found]
    if any(m == "output_tokens_per_s" for m, _ in shown):
        shown = [(m, label) for m, label in shown if m != "requests_per_s"]
    return ", ".join(f"{label} {interval_words(found[m], m)}" for m, label in shown)
