"""One chart: lines, boxes, dots and limits over two axes.

Nothing is drawn that needs a script or a network; what a mark says more stands in its title, which browsers show on
hover.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final
from xml.etree.ElementTree import Element

from rooflab.charts.marks import Bar, Dot, Key, Look, Mark, Series
from rooflab.charts.names import Box, Names, shortened, width_of
from rooflab.charts.palette import CARD, GRID, INK, SOFT
from rooflab.charts.scale import Axis, Scale, tick_texts
from rooflab.charts.tree import Svg, box, element, hover, number, root, write

__all__ = ["chart"]

_ROW: Final = 16.0
"""Pixels of a line of text."""
_LIMITS: Final = (3, 12)
"""Ticks of an axis: at least room for, at most."""
_WIDTHS: Final[dict[Look, float]] = {"dashed": 1.5, "guide": 1.0, "dotted": 1.0}
_DASHES: Final[dict[Look, str]] = {"dashed": "5 4", "dotted": "2 3"}


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where the data go, and the ticks of both sides with their texts."""

    across: Scale
    up: Scale
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]

    @property
    def inside(self) -> Box:
        return Box(self.across.start, self.up.end, self.across.end, self.up.start)


def chart(
    x: Axis,
    y: Axis,
    *,
    label: str,
    series: Sequence[Series] = (),
    bars: Sequence[Bar] = (),
    dots: Sequence[Dot] = (),
    marks: Sequence[Mark] = (),
    keys: Sequence[Key] = (),
    title: str = "",
    size: tuple[float, float] = (640.0, 300.0),
    margin: float = 0.0,
) -> Svg:
    """A chart `size` pixels wide and high; `label` is read out by screen readers.

    `title` and `keys` (a legend) are drawn above it, for charts that stand alone. Charts one below the other line up
    where they have the same left `margin`, in pixels, wide enough for the ticks of all.
    """
    drawing = root(*size, label)
    keys = [replace(key, name=shortened(key.name, size[0] - 56)) for key in keys]
    rows = _rows(keys, size[0] - 16)
    top = 8.0 + (20.0 if title else 0.0) + _ROW * len(rows) + (_ROW + 4 if y.label else 0.0)
    frame = _frame(x, y, size, top, margin)
    if title:
        element(drawing, "text", shortened(title, 0.85 * (size[0] - 16)), x=8, y=18, font_size=13, fill=INK.paint)
    for i, row in enumerate(rows):
        _legend(drawing, row, 32.0 if title else 14.0, i)
    if y.label:
        element(drawing, "text", y.label, x=4 if y.shown else frame.across.start, y=top - 10)
    _grid(drawing, frame, x, size[1])
    _boxes(drawing, bars, frame)
    names = Names(Element("g"), Box(frame.across.start, top - 6, frame.across.end + 8, frame.up.start))
    for one in series:
        _line(drawing, one, frame, names)
    for mark in marks:
        _mark(drawing, mark, frame, names, y if mark.horizontal else x)
    _dots(drawing, dots, frame, names)
    drawing.append(names.parent)  # on top of everything
    return write(drawing)


def _frame(x: Axis, y: Axis, size: tuple[float, float], top: float, margin: float) -> _Frame:
    """The margins follow from what stands in them; the left one is `margin` at least."""
    width, height = size
    bottom = height - (8.0 + (_ROW if x.shown else 0.0) + (_ROW - 2 if x.label else 0.0))
    low, high = _LIMITS
    at = y.ticks(min(max(int((bottom - top) / 36), low), high))
    y_ticks = tuple(zip(at, tick_texts(at, y.unit, log=y.log), strict=True))
    left = max(12.0 + max((width_of(text) for _, text in y_ticks), default=-4.0), margin)
    at = x.ticks(min(max(int((width - left) / 85), low), high))
    x_ticks = tuple(zip(at, tick_texts(at, x.unit, log=x.log), strict=True))
    return _Frame(x.between(left, width - 14.0), y.between(bottom, top), x_ticks, y_ticks)


def _grid(drawing: Element, frame: _Frame, x: Axis, height: float) -> None:
    inside = frame.inside
    lines = element(drawing, "g", stroke=GRID.paint)
    beside = element(drawing, "g", text_anchor="end")
    below = element(drawing, "g", text_anchor="middle")
    for tick, text in frame.y_ticks:
        at = frame.up(tick)
        element(lines, "path", d=f"M{number(inside.left)} {number(at)}H{number(inside.right)}")
        element(beside, "text", text, x=inside.left - 6, y=at + 3.5)
    for tick, text in frame.x_ticks:
        at = frame.across(tick)
        element(lines, "path", d=f"M{number(at)} {number(inside.top)}V{number(inside.bottom + 4)}")
        element(below, "text", text, x=at, y=inside.bottom + 16)
    if x.label:
        element(below, "text", x.label, x=(inside.left + inside.right) / 2, y=height - 5)
    base = f"M{number(inside.left)} {number(inside.bottom)}H{number(inside.right)}"
    element(drawing, "path", d=base, stroke=SOFT.paint, stroke_opacity=0.6)


def _boxes(drawing: Element, bars: Sequence[Bar], frame: _Frame) -> None:
    for colour in dict.fromkeys(bar.colour for bar in bars):
        group = element(drawing, "g", fill=colour.paint, shape_rendering="crispEdges")
        for bar in (bar for bar in bars if bar.colour == colour):
            x0, x1, y0, y1 = frame.across(bar.x0), frame.across(bar.x1), frame.up(bar.y0), frame.up(bar.y1)
            hover(box(group, (x0, max(x1, x0 + 0.4)), (y1, y0)), bar.title)


def _line(drawing: Element, series: Series, frame: _Frame, names: Names) -> None:
    kept = [(a, b) for a, b in zip(series.x, series.y, strict=True) if math.isfinite(a) and math.isfinite(b)]
    points = [(frame.across(a), frame.up(b)) for a, b in kept]
    if not points:
        return
    paint = series.colour.paint
    dots = "".join(f"M{number(a)} {number(b)}h0" for a, b in points)
    if series.look == "points":
        shape = element(
            drawing, "path", d=dots, stroke=paint, stroke_width=3.6, stroke_linecap="round", stroke_opacity=0.6
        )
        hover(shape, series.name)
        return
    if series.look == "stairs":
        points = [p for a, b in zip(points, [*points[1:], points[-1]], strict=True) for p in (a, (b[0], a[1]))]
    path = "M" + "L".join(f"{number(a)} {number(b)}" for a, b in points)
    if series.look == "area":
        floor = number(frame.up.start)
        area = f"{path}L{number(points[-1][0])} {floor}L{number(points[0][0])} {floor}Z"
        element(drawing, "path", d=area, fill=paint, fill_opacity=0.16)
    line = element(
        drawing, "path", d=path, fill="none", stroke=paint, stroke_width=_WIDTHS.get(series.look, 1.8),
        stroke_linejoin="round", stroke_dasharray=_DASHES.get(series.look, ""),
    )  # fmt: skip
    hover(line, series.name)
    if series.look == "marked":
        element(drawing, "path", d=dots, stroke=paint, stroke_width=5, stroke_linecap="round")
    if series.named == "end":
        names.put(series.name, points[-1][0] - 2, points[-1][1] - 5, "end")
    elif series.named == "start":  # above a line that rises from here
        names.put(series.name, points[0][0] - 6, points[0][1] + 3, "end")


def _mark(drawing: Element, mark: Mark, frame: _Frame, names: Names, axis: Axis) -> None:
    if not axis.low <= mark.at <= axis.high:
        return
    inside = frame.inside
    at = frame.up(mark.at) if mark.horizontal else frame.across(mark.at)
    across = f"M{number(inside.left)} {number(at)}H{number(inside.right)}"
    path = across if mark.horizontal else f"M{number(at)} {number(inside.bottom)}V{number(inside.top)}"
    element(drawing, "path", d=path, stroke=INK.paint, stroke_dasharray="3 3", stroke_opacity=0.7)
    if mark.horizontal:
        names.put(mark.label, inside.right - 2, at - 5, "end")
    elif at > inside.left + 0.6 * (inside.right - inside.left):
        names.put(mark.label, at - 5, inside.bottom - 7, "end")
    else:
        names.put(mark.label, at + 5, inside.bottom - 7, "start")


def _dots(drawing: Element, dots: Sequence[Dot], frame: _Frame, names: Names) -> None:
    """What does not count lies below, the chosen on top; the chosen and large are named first."""
    placed = [(d, frame.across(d.x), frame.up(d.y)) for d in dots]
    for d, cx, cy in sorted(placed, key=lambda p: (p[0].kind == "chosen", p[0].kind != "hollow", -p[0].radius)):
        if d.kind == "chosen":
            element(drawing, "circle", cx=cx, cy=cy, r=d.radius + 4, fill="none", stroke=INK.paint, stroke_width=1.6)
        if d.kind in ("hollow", "ring"):
            # without `pointer-events` only the ring itself would show its title
            shape = element(
                drawing, "circle", cx=cx, cy=cy, r=d.radius, fill="none", stroke_width=1.2, pointer_events="all",
                stroke=(SOFT if d.kind == "hollow" else INK).paint, stroke_opacity=0.6 if d.kind == "hollow" else 1.0,
            )  # fmt: skip
        else:
            shape = element(
                drawing, "circle", cx=cx, cy=cy, r=d.radius, fill=d.colour.paint, fill_opacity=0.85, stroke=CARD.paint
            )
        hover(shape, d.title)
        if d.kind != "hollow":
            names.taken.append(Box(cx - d.radius, cy - d.radius, cx + d.radius, cy + d.radius))
    for d, cx, cy in sorted(placed, key=lambda p: (p[0].kind != "chosen", -p[0].radius)):
        if d.name:
            reach = d.radius + (8 if d.kind == "chosen" else 4)
            names.beside(d.name, cx, cy, reach, strong=d.kind == "chosen")


def _rows(keys: Sequence[Key], width: float) -> list[list[Key]]:
    """Keys in lines that fit into `width`."""
    rows: list[list[Key]] = []
    used = width
    for key in keys:
        wide = 30.0 + width_of(key.name)
        if used + wide > width:
            rows.append([])
            used = 0.0
        rows[-1].append(key)
        used += wide
    return rows


def _legend(drawing: Element, row: Sequence[Key], top: float, line: int) -> None:
    """One line of a legend; a line of text is 16 pixels high."""
    x, y = 8.0, top + _ROW * line
    for key in row:
        paint = key.colour.paint if key.colour else "none"
        if key.shape in ("line", "dashed"):
            dashes = "4 3" if key.shape == "dashed" else ""
            element(drawing, "path", d=f"M{number(x)} {number(y)}h14", stroke=paint, stroke_width=2.4,
                    stroke_dasharray=dashes)  # fmt: skip
        else:
            element(drawing, "rect", x=x, y=y - 5, width=10, height=10, fill=paint, stroke=SOFT.paint,
                    rx=5 if key.shape in ("round", "ring") else 2, stroke_opacity=0 if key.colour else 1)  # fmt: skip
        element(drawing, "text", key.name, x=x + 19, y=y + 4)
        x += 30.0 + width_of(key.name)
