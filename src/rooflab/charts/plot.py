"""A plot of a paper's page as inline SVG: lines over one axis, in colours that work on light and dark paper."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import Final

from rooflab.units import significant

__all__ = ["Plot", "Series"]

_WIDTH, _HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 28, 44
_COLOURS: Final = ("#2f6fbd", "#d9822b", "#3a9a5b", "#a24fb0", "#8a6d3b", "#c0392b")


@dataclass(frozen=True, slots=True)
class Series:
    """A named line through points (x, y)."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Plot:
    """Lines over a common axis; `log_x`, `log_y` for logarithmic ones."""

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    log_x: bool = False
    log_y: bool = False

    def svg(self) -> str:
        """The plot as one SVG element, the same bytes for the same figures."""
        xs = [x for s in self.series for x in s.x]
        ys = [y for s in self.series for y in s.y]
        across = _Axis.around(xs, self.log_x)
        up = _Axis.around(ys if self.log_y else [0.0, *ys], self.log_y)
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
            f'font-family="sans-serif" font-size="11" fill="currentColor"><title>{escape(self.title)}</title>',
            f'<text x="{_LEFT}" y="16" font-size="13">{escape(self.title)}</text>',
        ]
        for tick in across.ticks():
            x = _px(across, tick)
            parts.append(
                f'<line x1="{x}" y1="{_TOP}" x2="{x}" y2="{_HEIGHT - _BOTTOM}" stroke="currentColor" '
                f'stroke-opacity="0.12"/>'
            )
            parts.append(
                f'<text x="{x}" y="{_HEIGHT - _BOTTOM + 14}" text-anchor="middle">{significant(tick, 2)}</text>'
            )
        for tick in up.ticks():
            y = _py(up, tick)
            parts.append(
                f'<line x1="{_LEFT}" y1="{y}" x2="{_WIDTH - _RIGHT}" y2="{y}" stroke="currentColor" '
                f'stroke-opacity="0.12"/>'
            )
            parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{significant(tick, 2)}</text>')
        parts.append(
            f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2:.0f}" y="{_HEIGHT - 8}" '
            f'text-anchor="middle">{escape(self.x_label)}</text>'
        )
        parts.append(
            f'<text transform="translate(12 {(_TOP + _HEIGHT - _BOTTOM) / 2:.0f}) rotate(-90)" text-anchor="middle">'
            f"{escape(self.y_label)}</text>"
        )
        for i, s in enumerate(self.series):
            parts += self._line(s, _COLOURS[i % len(_COLOURS)], i, across, up)
        return "\n".join([*parts, "</svg>"])

    def _line(self, s: Series, colour: str, i: int, across: _Axis, up: _Axis) -> list[str]:
        points = [(_px(across, x), _py(up, y)) for x, y in zip(s.x, s.y, strict=True)]
        path = " ".join(f"{x},{y}" for x, y in points)
        out = [f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{path}"/>']
        out += [f'<circle cx="{x}" cy="{y}" r="2.5" fill="{colour}"/>' for x, y in points]
        if len(self.series) > 1 or s.name != self.y_label:
            out.append(f'<text x="{_LEFT + 8}" y="{_TOP + 14 + 14 * i}" fill="{colour}">{escape(s.name)}</text>')
        return out


@dataclass(frozen=True, slots=True)
class _Axis:
    low: float
    high: float
    log: bool

    @staticmethod
    def around(values: list[float], log: bool) -> _Axis:
        low, high = min(values), max(values)
        if log:
            low = max(low, 1e-30)
        return _Axis(low, high if high > low else (low * 2 if low else 1.0), log)

    def at(self, value: float) -> float:
        if self.log:
            return math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            step = max((last - first) // 6 + 1, 1)
            return [10.0**e for e in range(first, last + 1, step)]
        raw = (self.high - self.low) / 5
        size = 10.0 ** math.floor(math.log10(raw))
        step_size = next(m * size for m in (1, 2, 5, 10) if m * size >= raw)
        first = math.ceil(self.low / step_size - 1e-9)
        return [k * step_size for k in range(first, math.floor(self.high / step_size + 1e-9) + 1)]


def _px(axis: _Axis, value: float) -> float:
    return round(_LEFT + axis.at(value) * (_WIDTH - _LEFT - _RIGHT), 1)


def _py(axis: _Axis, value: float) -> float:
    return round(_HEIGHT - _BOTTOM - axis.at(value) * (_HEIGHT - _TOP - _BOTTOM), 1)
