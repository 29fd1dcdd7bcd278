"""Bars that lie: parts of a whole one under the other, and a whole laid end to end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element

from rooflab.charts.names import Box, Names, shortened, width_of
from rooflab.charts.palette import GRID, RULE, SOFT, Colour
from rooflab.charts.scale import Axis, Scale, tick_texts
from rooflab.charts.tree import Svg, box, element, hover, number, root, write

__all__ = ["Part", "Stack", "Step", "stacks", "waterfall"]

_MOST_NAME: Final = 0.45
"""Share of the width that names may take."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a bar; one without a colour is an outline."""

    value: float
    title: str
    colour: Colour | None = None


@dataclass(frozen=True, slots=True)
class Stack:
    """A bar of parts."""

    name: str
    parts: Sequence[Part]
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One bar of a waterfall; `limit` of its `value` is drawn solid, the rest pale."""

    name: str
    value: float
    colour: Colour
    title: str
    limit: float = 0.0


def stacks(rows: Sequence[Stack], *, total: float, unit: str, label: str, width: float = 640) -> Svg:
    """Bars of the same `total`, one under the other."""
    each = 30.0
    height = each * len(rows) + 26
    drawing = root(width, height, label)
    scale = _ruled(drawing, total, unit, (_left([r.name for r in rows], width), width - 8.0), height)
    names = Names(Element("g"), Box(0, 0, width, height))
    bars = element(drawing, "g", shape_rendering="crispEdges")
    for i, row in enumerate(rows):
        top, at = i * each + 3, 0.0
        names.put(shortened(row.name, scale.start - 8), scale.start - 8, top + 15, "end", strong=row.strong)
        for part in row.parts:
            x0, x1 = scale(at), scale(at + max(part.value, 0.0))
            fill, stroke = (part.colour.paint, "") if part.colour else ("none", RULE.paint)
            events = "" if part.colour else "all"
            drawn = box(bars, (x0, x1), (top, top + each - 9), fill=fill, stroke=stroke, pointer_events=events)
            hover(drawn, part.title)
            at += max(part.value, 0.0)
    drawing.append(names.parent)
    return write(drawing)


def waterfall(steps: Sequence[Step], *, unit: str, label: str, texts: Sequence[str], width: float = 640) -> Svg:
    """Bars laid end to end, one a line, each with its text beside it."""
    total = sum(s.value for s in steps) or 1.0
    each = 38.0
    height = each * len(steps) + 24
    drawing = root(width, height, label)
    right = width - 12.0 - max((width_of(text) for text in texts), default=0.0)
    scale = _ruled(drawing, total, unit, (_left([s.name for s in steps], width), right), height)
    names = Names(Element("g"), Box(0, 0, width, height))
    bars = element(drawing, "g", shape_rendering="crispEdges")
    at = 0.0
    for i, (s, text) in enumerate(zip(steps, texts, strict=True)):
        top = i * each + 2
        x0, x1, bound = scale(at), scale(at + s.value), scale(at + min(s.limit, s.value))
        names.put(shortened(s.name, scale.start - 8), scale.start - 8, top + each / 2, "end")
        names.put(text, x1 + 6, top + each / 2, "start")
        group = element(bars, "g", fill=s.colour.paint)
        hover(group, s.title)
        box(group, (x0, max(x1, x0 + 0.8)), (top, top + each - 6), fill_opacity="0.38")
        box(group, (x0, bound), (top, top + each - 6))
        if i + 1 < len(steps):
            path = f"M{number(x1)} {number(top + each - 6)}v6"
            element(drawing, "path", d=path, stroke=SOFT.paint, stroke_opacity=0.5)
        at += s.value
    drawing.append(names.parent)
    return write(drawing)


def _left(names: Sequence[str], width: float) -> float:
    """Where bars begin: right of the longest name, within reason."""
    return min(14.0 + max((width_of(name) for name in names), default=0.0), _MOST_NAME * width)


def _ruled(drawing: Element, total: float, unit: str, ends: tuple[float, float], height: float) -> Scale:
    """The scale from 0 to `total` between the two `ends`, with its ticks drawn."""
    axis = Axis(0.0, total, unit=unit)
    scale = axis.between(*ends)
    lines = element(drawing, "g", stroke=GRID.paint)
    below = element(drawing, "g", text_anchor="middle")
    ticks = axis.ticks(max(int((ends[1] - ends[0]) / 85), 3))
    for tick, text in zip(ticks, tick_texts(ticks, unit), strict=True):
        element(lines, "path", d=f"M{number(scale(tick))} 0V{number(height - 20)}")
        element(below, "text", text, x=scale(tick), y=height - 6)
    return scale
