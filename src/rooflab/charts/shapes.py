"""Charts of a plan as inline SVG: cost against latency, operators under the roofline, memory of a device, a step laid
end to end."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from rooflab.charts.svg import Scale

__all__ = ["Dot", "Roof", "Stack", "Step", "scatter", "spread", "stacks", "waterfall"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """A point of a scatter: radius in pixels, palette colour, hover title, and a name drawn beside it where there is
    room.

    `kind`: "solid", "hollow" (does not count) or "chosen" (ringed).
    """

    x: float
    y: float
    title: str
    colour: int = 0
    radius: float = 4.5
    name: str = ""
    kind: str = "solid"


@dataclass(frozen=True, slots=True)
class Roof:
    """A line through points, dashed or not, named at its right end or where `at` says (index of a point)."""

    points: Sequence[tuple[float, float]]
    name: str = ""
    dashed: bool = False
    colour: int = -1


@dataclass(frozen=True, slots=True)
class Stack:
    """A horizontal bar of parts: (value, palette class, title); `note` stands at its end."""

    name: str
    parts: Sequence[tuple[float, str, str]]
    note: str = ""
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One bar of a waterfall: seconds, palette colour, what it says on hover."""

    name: str
    seconds: float
    colour: int
    title: str
    limit_s: float = 0.0


_TEXT: Final = 6.1
"""Pixels of a character at 11 px."""


def _open(width: float, height: float, label: str) -> str:
    return f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}">'


def scatter(
    dots: Sequence[Dot],
    *,
    roofs: Sequence[Roof] = (),
    marks: Sequence[tuple[float, str]] = (),
    x: tuple[float, float],
    y: tuple[float, float],
    x_label: str,
    y_label: str,
    label: str,
    x_text: Callable[[float], str],
    y_text: Callable[[float], str],
    width: float = 640,
    height: float = 360,
) -> str:
    """Dots on logarithmic axes; `marks` are horizontal dashed lines with names."""
    across, up = Scale(*x, 58.0, width - 14.0, True), Scale(*y, height - 40.0, 22.0, True)
    parts = [_open(width, height, label)]
    for tick in up.ticks(6):
        at = up(tick)
        parts.append(f'<line class="grid" x1="{across.start:.1f}" x2="{across.end:.1f}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(
            f'<text x="{across.start - 6:.1f}" y="{at + 3.5:.1f}" text-anchor="end">{escape(y_text(tick))}</text>'
        )
    for tick in across.ticks(max(int(width // 80), 3)):
        at = across(tick)
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{up.start:.1f}" y2="{up.end:.1f}"/>')
        parts.append(f'<text x="{at:.1f}" y="{up.start + 15:.1f}" text-anchor="middle">{escape(x_text(tick))}</text>')
    parts.append(
        f'<line class="axis" x1="{across.start:.1f}" x2="{across.end:.1f}" y1="{up.start:.1f}" y2="{up.start:.1f}"/>'
    )
    parts.append(
        f'<text x="{(across.start + across.end) / 2:.1f}" y="{height - 6:.1f}" '
        f'text-anchor="middle">{escape(x_label)}</text>'
    )
    parts.append(f'<text x="{4:.1f}" y="12" text-anchor="start">{escape(y_label)}</text>')
    taken: list[tuple[float, float, float, float]] = []
    for level, name in marks:
        if y[0] <= level <= y[1]:
            at = up(level)
            parts.append(
                f'<line class="mark" x1="{across.start:.1f}" x2="{across.end:.1f}" y1="{at:.1f}" y2="{at:.1f}"/>'
            )
            parts.append(
                f'<text class="marktext" x="{across.end - 2:.1f}" y="{at - 5:.1f}" '
                f'text-anchor="end">{escape(name)}</text>'
            )
            taken.append((across.end - 2 - len(name) * _TEXT, at - 16, across.end, at))
    drawn_roofs = [_roof(r, across, up, taken) for r in roofs]
    parts += [line for line, _ in drawn_roofs]
    placed = [(d, across(d.x), up(d.y)) for d in dots]
    order = sorted(placed, key=lambda p: (p[0].kind == "chosen", p[0].kind == "solid", -p[0].radius))
    parts += [_dot(*p) for p in order]
    taken += [
        (cx - d.radius, cy - d.radius, cx + d.radius, cy + d.radius) for d, cx, cy in placed if d.kind != "hollow"
    ]
    parts += [name for _, name in drawn_roofs]
    for d, cx, cy in sorted(placed, key=lambda p: (p[0].kind != "chosen", -p[0].radius)):
        if d.name:
            parts.append(_name(d, cx, cy, across, up, taken))
    parts.append("</svg>")
    return "".join(parts)


def _roof(r: Roof, across: Scale, up: Scale, taken: list[tuple[float, float, float, float]]) -> tuple[str, str]:
    """The line, and its name to be drawn above the dots."""
    path = "M" + "L".join(f"{across(a):.1f} {up(b):.1f}" for a, b in r.points)
    style = f"line s{r.colour}" if r.colour >= 0 else "roof"
    line = f'<path class="{style}{" dashed" if r.dashed else ""}" d="{path}"><title>{escape(r.name)}</title></path>'
    if not r.name or r.colour >= 0:
        return line, ""
    if r.dashed:  # a lower roof is named where it starts, above the slope
        px, py = across(r.points[0][0]) - 6, up(r.points[0][1]) + 3
        taken.append((px - len(r.name) * _TEXT, py - 12, px, py + 4))
        return line, f'<text class="marktext" x="{px:.1f}" y="{py:.1f}" text-anchor="end">{escape(r.name)}</text>'
    end_x, end_y = across(r.points[-1][0]), up(r.points[-1][1])
    taken.append((end_x - len(r.name) * _TEXT, end_y - 16, end_x, end_y))
    return (
        line,
        f'<text class="marktext" x="{end_x - 2:.1f}" y="{end_y - 5:.1f}" text-anchor="end">{escape(r.name)}</text>',
    )


def _dot(d: Dot, cx: float, cy: float) -> str:
    ring = f'<circle class="ring" cx="{cx:.1f}" cy="{cy:.1f}" r="{d.radius + 4:.1f}"/>' if d.kind == "chosen" else ""
    style = "dot hollow" if d.kind == "hollow" else f"dot s{d.colour}"
    return (
        f'{ring}<circle class="{style}" cx="{cx:.1f}" cy="{cy:.1f}" '
        f'r="{d.radius:.1f}"><title>{escape(d.title)}</title></circle>'
    )


def _name(
    d: Dot, cx: float, cy: float, across: Scale, up: Scale, taken: list[tuple[float, float, float, float]]
) -> str:
    """The name at the first free place around the dot; nothing where there is none."""
    wide, reach = len(d.name) * _TEXT, d.radius + (8 if d.kind == "chosen" else 4)
    places = (
        (cx + reach, cy - 6, "start"), (cx + reach, cy + 4, "start"), (cx - reach, cy + 4, "end"),
        (cx, cy - reach - 3, "middle"),
        (cx, cy + reach + 10, "middle"), (cx + reach, cy + 16, "start"), (cx - reach, cy - 9, "end"),
        (cx - reach, cy + 16, "end"),
    )  # fmt: skip
    for px, py, anchor in places:
        left = px - {"start": 0.0, "middle": wide / 2, "end": wide}[anchor]
        box = (left, py - 10, left + wide, py + 3)
        inside = box[0] >= across.start and box[2] <= across.end + 8 and box[1] >= up.end - 6 and box[3] <= up.start
        if inside and not any(box[0] < t[2] and t[0] < box[2] and box[1] < t[3] and t[1] < box[3] for t in taken):
            taken.append(box)
            style = "marktext strong" if d.kind == "chosen" else "marktext"
            return f'<text class="{style}" x="{px:.1f}" y="{py:.1f}" text-anchor="{anchor}">{escape(d.name)}</text>'
    return ""


def stacks(rows: Sequence[Stack], *, total: float, label: str, text: Callable[[float], str], width: float = 640) -> str:
    """Bars of the same `total`, one under the other."""
    left, right, each = 8.0 + 6.9 * max((len(r.name) for r in rows), default=0), width - 8.0, 30.0
    height = each * len(rows) + 26
    scale = Scale(0.0, total, left, right)
    parts = [_open(width, height, label)]
    for tick in scale.ticks(6):
        parts.append(
            f'<line class="grid" x1="{scale(tick):.1f}" x2="{scale(tick):.1f}" y1="0" y2="{height - 20:.1f}"/>'
        )
        parts.append(
            f'<text x="{scale(tick):.1f}" y="{height - 6:.1f}" text-anchor="middle">{escape(text(tick))}</text>'
        )
    for i, row in enumerate(rows):
        top, at = i * each + 3, 0.0
        strong = " strong" if row.strong else ""
        parts.append(
            f'<text class="marktext{strong}" x="{left - 8:.1f}" y="{top + 15:.1f}" '
            f'text-anchor="end">{escape(row.name)}</text>'
        )
        for value, style, title in row.parts:
            x0, x1 = scale(at), scale(at + max(value, 0.0))
            box = f'x="{x0:.1f}" y="{top:.1f}" width="{max(x1 - x0, 0.0):.1f}" height="{each - 9:.1f}"'
            parts.append(f'<rect class="bar {style}" {box}><title>{escape(title)}</title></rect>')
            at += max(value, 0.0)
    parts.append("</svg>")
    return "".join(parts)


def waterfall(steps: Sequence[Step], *, label: str, text: Callable[[float], str], width: float = 640) -> str:
    """Bars laid end to end, one a line; the darker part of a bar is what the same work takes at datasheet peaks."""
    total = sum(s.seconds for s in steps) or 1.0
    left, right, each = 12.0 + _TEXT * max((len(s.name) for s in steps), default=0), width - 92.0, 38.0
    height = each * len(steps) + 24
    scale = Scale(0.0, total, left, right)
    parts = [_open(width, height, label)]
    for tick in scale.ticks(6):
        parts.append(
            f'<line class="grid" x1="{scale(tick):.1f}" x2="{scale(tick):.1f}" y1="0" y2="{height - 20:.1f}"/>'
        )
        parts.append(
            f'<text x="{scale(tick):.1f}" y="{height - 6:.1f}" text-anchor="middle">{escape(text(tick))}</text>'
        )
    at = 0.0
    for i, s in enumerate(steps):
        top = i * each + 2
        x0, x1 = scale(at), scale(at + s.seconds)
        bound = scale(at + min(s.limit_s, s.seconds))
        parts.append(
            f'<text class="marktext" x="{left - 8:.1f}" y="{top + each / 2:.1f}" '
            f'text-anchor="end">{escape(s.name)}</text>'
        )
        parts.append(
            f"<g><title>{escape(s.title)}</title>"
            f'<rect class="bar pale s{s.colour}" x="{x0:.1f}" y="{top:.1f}" width="{max(x1 - x0, 0.8):.1f}" '
            f'height="{each - 6:.1f}"/>'
            f'<rect class="bar s{s.colour}" x="{x0:.1f}" y="{top:.1f}" width="{max(bound - x0, 0.0):.1f}" '
            f'height="{each - 6:.1f}"/></g>'
        )
        share = f"{text(s.seconds)} · {s.seconds / total * 100:.0f} %"
        parts.append(f'<text class="marktext" x="{x1 + 6:.1f}" y="{top + each / 2:.1f}">{escape(share)}</text>')
        if i + 1 < len(steps):
            parts.append(
                f'<line class="link" x1="{x1:.1f}" x2="{x1:.1f}" y1="{top + each - 6:.1f}" y2="{top + each:.1f}"/>'
            )
        at += s.seconds
    parts.append("</svg>")
    return "".join(parts)


def spread(values: Sequence[float], *, room: float = 1.25) -> tuple[float, float]:
    """A range for a logarithmic axis around positive values."""
    kept = [v for v in values if v > 0 and math.isfinite(v)] or [1.0]
    low, high = min(kept), max(kept)
    if high / low < 4:
        middle = math.sqrt(low * high)
        low, high = min(low, middle / 2), max(high, middle * 2)
    return low / room, high * room
