"""Why a result changed, as statements whose words follow the sign of their figures.

A reason is words, a quantity, and its value before and after. The words of a gain or of a loss are chosen by comparing
the two, so that no sentence can praise what got worse; figures stand only in the fields, where tests find them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from rooflab.metrics.registry import METRICS
from rooflab.units import format_quantity, format_seconds, significant

if TYPE_CHECKING:
    from rooflab.scenario.scenario import Scenario

__all__ = ["SAME", "Reason", "Sides", "change", "fact", "label", "moved", "same", "sentence", "way"]

SAME: Final = 0.005
"""Relative change below which two values are the same."""
_PREFIXED: Final = ("B", "FLOP", "FLOP/s", "B/s", "W", "J")
_COUNTED: Final = ("", "requests", "count", "tokens")
_EXACT: Final = 1e6
"""Below this, whole numbers of things are shown to the last digit."""
_LABELS: Final = {
    "output_tokens_per_s": "tok/s", "output_tokens_per_s_per_gpu": "tok/s/GPU",
    "total_tokens_per_s_per_gpu": "prompt and generated tok/s/GPU", "usd_per_mtok": "$/Mtok", "j_per_token": "J/token",
    "power_w": "power", "weights_bytes": "weights a device", "free_bytes": "free memory a device",
    "max_running": "sequences that fit", "gco2e_per_mtok": "gCO2e/Mtok",
}  # fmt: skip
_LATENCIES: Final = ("ttft_s", "tpot_s", "itl_s", "e2e_s", "queue_s")


class Sides(Protocol):
    """What a reason reads: the completed scenario, metrics under its load, and of an engine kept full."""

    @property
    def scenario(self) -> Scenario:
        """With every field chosen."""
        ...

    @property
    def load(self) -> Mapping[str, float]:
        """Under the load."""
        ...

    @property
    def capacity(self) -> Mapping[str, float]:
        """Kept full; empty where only a simulation sees the effect."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One statement: `words` about a quantity `what`, `after` and (NaN: there is none) `before` in `unit`.

    `better`: which way is a gain ("": neither). `metric` and `full` say which metric it is, of an engine kept full or
    under the load ("": a quantity of its own, such as a part of a step or a parameter).
    """

    words: str = ""
    what: str = ""
    before: float = math.nan
    after: float = math.nan
    unit: str = ""
    better: Literal["higher", "lower", ""] = ""
    metric: str = ""
    full: bool = False

    @property
    def way(self) -> int:
        """1: it got better, -1: worse, 0: the same, not known, or neither is better."""
        return way(self.before, self.after, self.better)

    def record(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "words": self.words, "what": self.what, "before": _plain(self.before), "after": _plain(self.after),
            "unit": self.unit, "better": self.better, "metric": self.metric, "full": self.full,
        }  # fmt: skip

    def __str__(self) -> str:
        if not self.what:
            return self.words
        known = [_shown(x, self.unit) for x in (self.before, self.after) if not math.isnan(x)]
        return f"{self.words}{': ' if self.words else ''}{self.what} {' → '.join(known)}".rstrip()


def way(before: float, after: float, better: str) -> int:
    """1 where `after` is better than `before`, -1 where worse, 0 where the same, not known, or neither is better."""
    if better not in ("higher", "lower") or math.isnan(before) or math.isnan(after) or same(before, after):
        return 0
    return 1 if (after > before) == (better == "higher") else -1


def same(before: float, after: float) -> bool:
    """Whether two values differ by less than SAME."""
    return before == after or abs(after - before) < SAME * max(abs(before), abs(after))


def label(metric: str) -> str:
    """A metric as tables call it: TTFT p99, tok/s/GPU."""
    name, _, stat = metric.rpartition("_")
    if name in _LATENCIES:
        return f"{name[:-2].upper()} {stat}"
    return _LABELS.get(metric, metric.replace("_", " "))


def change(
    what: str, before: float, after: float, unit: str, *, better: Literal["higher", "lower", ""] = ""
) -> tuple[Reason, ...]:
    """A quantity that is no metric, before and after; nothing where it is the same."""
    if not _differ(before, after, unit):
        return ()
    return (Reason(what=what, before=before, after=after, unit=unit, better=better),)


def fact(words: str = "", what: str = "", value: float = math.nan, unit: str = "") -> Reason:
    """Something that holds after the change and is neither a gain nor a loss: how it is set, what travels."""
    return Reason(words=words, what=what, after=value, unit=unit)


def moved(
    metric: str, before: Sides | None, after: Sides, *, better: str = "", worse: str = "", full: bool = False
) -> tuple[Reason, ...]:
    """A metric before and after, with the words that its direction asks for; nothing where it is the same or not known.

    `full`: of an engine kept full, which is what the load gives where nothing else was measured.
    """
    if before is None:
        return ()
    was, now = ((m.capacity or m.load) if full else m.load for m in (before, after))
    if metric not in was or metric not in now:
        return ()
    m = METRICS[metric]
    known: Literal["higher", "lower", ""] = m.better if m.better != "neither" else ""
    direction = way(was[metric], now[metric], known)
    if not _differ(was[metric], now[metric], m.unit):
        return ()
    at_once = bool(full and before.capacity)
    return (
        Reason(
            words={1: better, -1: worse}.get(direction, ""), what=label(metric) + (" when full" if at_once else ""),
            before=was[metric], after=now[metric], unit=m.unit, better=known, metric=metric, full=at_once,
        ),
    )  # fmt: skip


def sentence(reasons: Sequence[Reason]) -> str:
    """Reasons one after the other."""
    return "; ".join(str(r) for r in reasons)


def _differ(before: float, after: float, unit: str) -> bool:
    """Whether both are known and are not the same, as printed, too."""
    known = not (math.isnan(before) or math.isnan(after))
    return known and not same(before, after) and _shown(before, unit) != _shown(after, unit)


def _shown(value: float, unit: str) -> str:
    if unit in _COUNTED and value == round(value) and abs(value) < _EXACT:
        return f"{value:,.0f}"
    if unit == "s" and value:
        return format_seconds(value)
    if unit in _PREFIXED and value:
        return format_quantity(value, unit)
    return significant(value) if unit != "fraction" else f"{100 * value:.0f} %"


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None
