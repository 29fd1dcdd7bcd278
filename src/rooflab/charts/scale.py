"""From data to pixels: scales, ticks at round numbers, and what stands beside a tick.

An axis says which unit its values have; ticks of seconds fall on whole minutes and hours where the axis is long, and
all ticks of one linear axis share one prefix.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["Axis", "Scale", "spread", "tick_texts"]

_CLOCK: Final = (
    60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 10800.0, 21600.0, 43200.0, 86400.0, 172800.0, 604800.0,
)  # fmt: skip
"""Steps of long times in seconds: minutes, hours, days."""
_DURATIONS: Final = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_PREFIXES: Final = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_SMALL: Final = ((1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))
_PLAIN: Final = 10_000.0
"""Counts below this are written out."""
_FEW: Final = 3
"""A logarithmic axis with fewer powers of ten than this gets finer ticks."""


@dataclass(frozen=True, slots=True)
class Axis:
    """The range of one side of a chart in SI units.

    `unit`: "" for counts, "s", "$" or "%" (0 to 100), or one that takes a prefix ("B", "W"). An axis not `shown` has
    no ticks.
    """

    low: float
    high: float
    label: str = ""
    unit: str = ""
    log: bool = False
    shown: bool = True

    def between(self, start: float, end: float) -> Scale:
        """The scale of this axis from pixel `start` to pixel `end`; a range without extent is widened."""
        low, high = self.low, self.high
        if self.log:
            low = max(low, 1e-300)
            high = high if high > low else low * 10
        elif not high > low:
            high = low + (abs(low) or 1.0)
        return Scale(low, high, start, end, self.log)

    def ticks(self, most: int) -> list[float]:
        """Round numbers within the axis, at most about `most`."""
        if not self.shown:
            return []
        scale = self.between(0.0, 1.0)
        return scale.clock_ticks(most) if self.unit == "s" and not self.log else scale.ticks(most)


@dataclass(frozen=True, slots=True)
class Scale:
    """Data from low to high onto pixels from start to end."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Pixel of a value; values outside are drawn at the edge."""
        a, b, v = self.low, self.high, min(max(value, self.low), self.high)
        if self.log:
            a, b, v = math.log10(a), math.log10(b), math.log10(v)
        return self.start + (v - a) / (b - a or 1.0) * (self.end - self.start)

    def ticks(self, most: int) -> list[float]:
        """Round numbers within the scale, at most about `most` of them."""
        return self._powers(most) if self.log else self._steps(most)

    def clock_ticks(self, most: int) -> list[float]:
        """Ticks of a time in seconds: round seconds, or whole minutes, hours or days of a longer one."""
        rough = (self.high - self.low) / most
        if rough <= _CLOCK[0] / 2 or rough > _CLOCK[-1]:
            return self._steps(most)
        return self._multiples(next(step for step in _CLOCK if step >= rough * 0.999))

    def _steps(self, most: int) -> list[float]:
        rough = (self.high - self.low) / most
        if not rough > 0:
            return [self.low]
        power = 10.0 ** math.floor(math.log10(rough))
        return self._multiples(next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999))

    def _multiples(self, step: float) -> list[float]:
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [k * step for k in range(first, last + 1)] or [self.low]

    def _powers(self, most: int) -> list[float]:
        """Powers of ten; between them 2 and 5 where there is room; on a short axis steps of one size."""
        exponents = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)

        def within(factors: Sequence[int]) -> list[float]:
            found = [m * 10.0**e for e in exponents for m in factors]
            return [t for t in found if self.low * 0.9999 <= t <= self.high * 1.0001]

        tens, fine = within((1,)), within((1, 2, 5))
        if len(fine) < _FEW:
            even = self._steps(most)
            return even if len(even) >= _FEW else self._steps(most + 2)
        if len(tens) < _FEW or len(fine) <= most:
            return fine if len(fine) <= most + 2 else within((1, 3)) if len(tens) < _FEW else tens
        every = -(-len(tens) // most)
        return [t for t in tens if round(math.log10(t)) % every == 0] if every > 1 else tens


def spread(values: Sequence[float], *, room: float = 1.25) -> tuple[float, float]:
    """A range for a logarithmic axis around positive values."""
    kept = [v for v in values if v > 0 and math.isfinite(v)] or [1.0]
    low, high = min(kept), max(kept)
    if high / low < 4:
        middle = math.sqrt(low * high)
        low, high = min(low, middle / 2), max(high, middle * 2)
    return low / room, high * room


def tick_texts(ticks: Sequence[float], unit: str = "", *, log: bool = False) -> list[str]:
    """The text of each tick: one prefix for all on a linear axis, its own for each on a logarithmic one."""
    if log:
        return [_text(t, t, unit) for t in ticks]
    largest = max((abs(t) for t in ticks), default=0.0)
    return [_text(t, largest, unit) for t in ticks]


def _text(value: float, largest: float, unit: str) -> str:
    """`value` in the prefix that suits `largest`."""
    if unit == "s":
        scale, name = next(((s, n) for s, n in _DURATIONS if abs(largest) >= s * 0.9995), (1.0, "s"))
        if scale >= 60 and abs(largest) < 2 * scale:  # 90 s, 100 min, 36 h
            scale, name = _DURATIONS[[s for s, _ in _DURATIONS].index(scale) + 1]
        return f"{value / scale:.6g} {name}"
    if unit == "$":
        return f"${_counted(value, largest)}"
    if unit == "%":
        return f"{value:.6g} %"
    if unit:
        scale, prefix = next(((s, p) for s, p in (*_PREFIXES, *_SMALL) if abs(largest) >= s * 0.9995), (1.0, ""))
        return f"{value / scale:.6g} {prefix}{unit}"
    return _counted(value, largest)


def _counted(value: float, largest: float) -> str:
    """A count: 0.001, 250, 2,000, 20k, 3M; very small ones as powers of ten."""
    if 0 < abs(largest) < 1e-3:
        return f"{value:.6g}"
    if abs(largest) < _PLAIN:
        return f"{value:,.6g}"
    scale, prefix = next((s, p) for s, p in _PREFIXES if abs(largest) >= s * 0.9995)
    return f"{value / scale:,.6g}{prefix if value else ''}"
