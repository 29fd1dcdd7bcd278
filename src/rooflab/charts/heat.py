"""A heat map: a figure for each pair of a row and a column, darker where it is larger."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rooflab.charts.names import shortened, width_of
from rooflab.charts.palette import INK, ORANGE
from rooflab.charts.tree import Svg, box, element, hover, number, root, write

__all__ = ["Heat", "heat_map"]

_LEAN: Final = 30.0
"""Degrees that the names of columns lean by."""
_HIGH: Final = 26.0
_DEEPEST: Final = 0.6
"""Opacity of the largest figure: ink stays readable on it."""
_MOST_NAME: Final = 0.3
"""Share of the width that names may take."""


@dataclass(frozen=True, slots=True)
class Heat:
    """A field: its figure, the text in it, and what is shown on hover."""

    value: float
    text: str
    title: str = ""


def heat_map(
    rows: Sequence[str],
    columns: Sequence[str],
    fields: Mapping[tuple[str, str], Heat],
    *,
    top: float,
    label: str,
    width: float = 1000,
) -> Svg:
    """Fields by (row, column), from pale at 0 to deep at `top` and above; pairs without one stay empty."""
    lean = math.radians(_LEAN)
    longest = max((width_of(c) for c in columns), default=0.0)
    left = min(14.0 + max((width_of(r) for r in rows), default=0.0), _MOST_NAME * width)
    high = min(20.0 + longest * math.sin(lean), _MOST_NAME * width)
    wide = (width - left - high * math.cos(lean)) / max(len(columns), 1)
    drawing = root(width, high + _HIGH * len(rows) + 4, label)
    for k, column in enumerate(columns):
        x, y = left + (k + 0.5) * wide, high - 8
        name = shortened(column, (high - 20) / math.sin(lean))
        turned = f"rotate({number(-_LEAN)} {number(x)} {number(y)})"
        hover(element(drawing, "text", name, x=x, y=y, transform=turned), column)
    for i, row in enumerate(rows):
        y = high + _HIGH * i
        hover(element(drawing, "text", shortened(row, left - 8), x=left - 8, y=y + 17, text_anchor="end"), row)
        for k, column in enumerate(columns):
            field = fields.get((row, column))
            if field is None:
                continue
            depth = _DEEPEST * min(max(field.value / top, 0.0), 1.0)
            group = element(drawing, "g")
            hover(group, field.title)
            start = left + k * wide
            sides = (start + 1, start + wide - 1), (y + 1, y + _HIGH - 1)
            box(group, *sides, rx="3", fill=ORANGE.paint, fill_opacity=f"{0.04 + depth:.2f}")
            middle = start + wide / 2
            element(group, "text", field.text, x=middle, y=y + 17, text_anchor="middle", fill=INK.paint)
    return write(drawing)
