"""What a chart shows: lines, boxes, dots, limits, and the keys of its legend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rooflab.charts.palette import BLUE, Colour

__all__ = ["Bar", "Dot", "Key", "Look", "Mark", "Series", "Shape"]

Look = Literal["line", "marked", "area", "stairs", "dashed", "guide", "dotted", "points"]
"""How a series is drawn: a line, one with its points marked, one with the ground below it shaded, stairs, dashes; a
thin line that guides the eye, solid or dotted; or points alone."""
Shape = Literal["box", "round", "ring", "line", "dashed", "outline"]
"""How a key is drawn: a box, a dot, a ring, a line, dashes, or an empty box."""


@dataclass(frozen=True, slots=True)
class Series:
    """A named line through points (x, y), or the points alone; points that are not finite are left out.

    `named`: where the name stands beside the line, nowhere if empty.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: Colour = BLUE
    look: Look = "line"
    named: Literal["", "start", "end"] = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """A box from x0 to x1 and y0 to y1; `title` is shown on hover."""

    x0: float
    x1: float
    y0: float
    y1: float
    colour: Colour
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """A point: radius in pixels, what is shown on hover, and a name drawn beside it where there is room.

    `kind`: "solid", "hollow" (does not count), "chosen" (ringed) or "ring" (around what is drawn elsewhere).
    """

    x: float
    y: float
    title: str
    colour: Colour = BLUE
    radius: float = 4.5
    name: str = ""
    kind: Literal["solid", "hollow", "chosen", "ring"] = "solid"


@dataclass(frozen=True, slots=True)
class Mark:
    """A dashed line at `at`, across the x axis or, `horizontal`, the y axis."""

    at: float
    label: str
    horizontal: bool = False


@dataclass(frozen=True, slots=True)
class Key:
    """An entry of a legend: a name, and the colour and shape that stand for it; an outline has no colour."""

    name: str
    colour: Colour | None = None
    shape: Shape = "box"

    @staticmethod
    def of(series: Series) -> Key:
        """The key of a series."""
        shapes: dict[Look, Shape] = {"area": "box", "points": "round", "dashed": "dashed"}
        return Key(series.name, series.colour, shapes.get(series.look, "line"))
