"""Charts as inline SVG: lines, steps and bars on linear or logarithmic axes, coloured by the page's style sheet.

Nothing is drawn that needs a script or a network. Series take the classes s0, s1, ... of the page's palette; every
mark carries a <title>, which browsers show on hover.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

__all__ = ["Bar", "Mark", "Scale", "Series", "chart", "legend"]

_LEFT: Final = 52.0
_RIGHT: Final = 12.0
_TOP: Final = 10.0
_BOTTOM: Final = 34.0


@dataclass(frozen=True, slots=True)
class Series:
    """A line through (x, y); `fill` shades it down to zero, `step` draws stairs."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int = 0
    fill: bool = False
    step: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """A dashed line at `at`, across the x axis or, `horizontal`, the y axis."""

    at: float
    label: str
    horizontal: bool = False


@dataclass(frozen=True, slots=True)
class Bar:
    """A box from x0 to x1 and y0 to y1 with a title."""

    x0: float
    x1: float
    y0: float
    y1: float
    colour: int
    title: str


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
        a, b, v = self.low, self.high, min(max(value, min(self.low, self.high)), self.high)
        if self.log:
            a, b, v = math.log10(a), math.log10(b), math.log10(max(v, self.low))
        return self.start + (v - a) / (b - a or 1.0) * (self.end - self.start)

    def ticks(self, most: int) -> list[float]:
        """Round numbers within the scale, about `most` of them."""
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            steps = (1,) if last - first > 3 else (1, 2, 5)
            found = [
                s * 10.0**e
                for e in range(first, last + 1)
                for s in steps
                if self.low <= s * 10.0**e <= self.high * 1.0001
            ]
            return found[:: max(1, -(-len(found) // most))]
        span = self.high - self.low
        if span <= 0:
            return [self.low]
        rough = span / most
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return [k * step for k in range(first, math.floor(self.high / step + 1e-9) + 1)]


def legend(names: Sequence[tuple[str, int]]) -> str:
    """Names with their colours, to stand above a chart."""
    items = "".join(f'<span><i class="s{colour}"></i>{escape(name)}</span>' for name, colour in names)
    return f'<p class="legend">{items}</p>'


def chart(
    *,
    series: Sequence[Series] = (),
    bars: Sequence[Bar] = (),
    marks: Sequence[Mark] = (),
    x: tuple[float, float],
    y: tuple[float, float],
    x_label: str,
    label: str,
    x_text: Callable[[float], str],
    y_text: Callable[[float], str],
    width: float = 420,
    height: float = 200,
    log_x: bool = False,
    y_axis: bool = True,
) -> str:
    """One chart; `x` and `y` are the ranges shown, `label` is read out by screen readers."""
    across = Scale(x[0], x[1] if x[1] > x[0] else x[0] + 1, _LEFT if y_axis else 8.0, width - _RIGHT, log_x)
    bottom = height - (_BOTTOM if x_label else _BOTTOM - 12)
    up = Scale(y[0], y[1] if y[1] > y[0] else y[0] + 1, bottom, _TOP)
    parts = [f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}">']
    if y_axis:
        for tick in up.ticks(4):
            at = up(tick)
            parts.append(
                f'<line class="grid" x1="{across.start:.1f}" x2="{across.end:.1f}" y1="{at:.1f}" y2="{at:.1f}"/>'
            )
            parts.append(
                f'<text class="tick" x="{across.start - 6:.1f}" y="{at + 3.5:.1f}" '
                f'text-anchor="end">{escape(y_text(tick))}</text>'
            )
    for tick in across.ticks(max(3, int(width // 90))):
        at = across(tick)
        parts.append(
            f'<line class="tickmark" x1="{at:.1f}" x2="{at:.1f}" y1="{up.start:.1f}" y2="{up.start + 4:.1f}"/>'
        )
        parts.append(
            f'<text class="tick" x="{at:.1f}" y="{up.start + 16:.1f}" '
            f'text-anchor="middle">{escape(x_text(tick))}</text>'
        )
    parts.append(
        f'<line class="axis" x1="{across.start:.1f}" x2="{across.end:.1f}" y1="{up.start:.1f}" y2="{up.start:.1f}"/>'
    )
    middle = (across.start + across.end) / 2
    parts.append(
        f'<text class="label" x="{middle:.1f}" y="{height - 3:.1f}" text-anchor="middle">{escape(x_label)}</text>'
    )
    parts += [_bar(b, across, up) for b in bars]
    parts += [_line(s, across, up) for s in series]
    parts += [
        _mark(m, across, up) for m in marks if (y if m.horizontal else x)[0] <= m.at <= (y if m.horizontal else x)[1]
    ]
    parts.append("</svg>")
    return "".join(parts)


def _bar(bar: Bar, across: Scale, up: Scale) -> str:
    x0, x1, y0, y1 = across(bar.x0), across(bar.x1), up(bar.y0), up(bar.y1)
    box = f'x="{x0:.2f}" y="{y1:.2f}" width="{max(x1 - x0, 0.4):.2f}" height="{max(y0 - y1, 0.0):.2f}"'
    return f'<rect class="bar s{bar.colour}" {box}><title>{escape(bar.title)}</title></rect>'


def _line(series: Series, across: Scale, up: Scale) -> str:
    points: list[tuple[float, float]] = []
    for a, b in zip(series.x, series.y, strict=True):
        if not (math.isfinite(a) and math.isfinite(b)):
            continue
        at = (across(a), up(b))
        if series.step and points:
            points.append((at[0], points[-1][1]))
        points.append(at)
    if not points:
        return ""
    path = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in points)
    title = f"<title>{escape(series.name)}</title>"
    area = ""
    if series.fill:
        area = (
            f'<path class="area s{series.colour}" d="{path}L{points[-1][0]:.1f} {up.start:.1f}L{points[0][0]:.1f} '
            f'{up.start:.1f}Z"/>'
        )
    return f'{area}<path class="line s{series.colour}" d="{path}">{title}</path>'


def _mark(mark: Mark, across: Scale, up: Scale) -> str:
    if mark.horizontal:
        at = up(mark.at)
        line = f'x1="{across.start:.1f}" x2="{across.end:.1f}" y1="{at:.1f}" y2="{at:.1f}"'
        text = f'x="{across.end - 4:.1f}" y="{at - 4:.1f}" text-anchor="end"'
    else:
        at = across(mark.at)
        line = f'x1="{at:.1f}" x2="{at:.1f}" y1="{up.start:.1f}" y2="{up.end:.1f}"'
        right = at > across.start + 0.6 * (across.end - across.start)
        text = f'x="{at + (-5 if right else 5):.1f}" y="{up.start - 7:.1f}" text-anchor="{"end" if right else "start"}"'
    return f'<line class="mark" {line}/><text class="marktext" {text}>{escape(mark.label)}</text>'
