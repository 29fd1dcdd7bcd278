"""Names beside points: each at the first place around its point where it covers nothing, or nowhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal
from xml.etree.ElementTree import Element

from rooflab.charts.palette import CARD, INK
from rooflab.charts.tree import element

__all__ = ["Anchor", "Box", "Names", "shortened", "width_of"]

Anchor = Literal["start", "middle", "end"]
_WIDE: Final = 6.7
"""Pixels of a character at 11 px, for the wider of usual fonts."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Whether the two share a point."""
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def holds(self, other: Box) -> bool:
        """Whether `other` lies inside."""
        return (
            self.left <= other.left
            and other.right <= self.right
            and self.top <= other.top
            and other.bottom <= self.bottom
        )


def width_of(text: str) -> float:
    """Pixels that `text` takes, about."""
    return _WIDE * len(text)


def shortened(text: str, width: float) -> str:
    """`text`, cut with an ellipsis where it is longer than `width` pixels."""
    most = max(int(width / _WIDE), 2)
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


@dataclass(slots=True)
class Names:
    """Names drawn so far within `room`, and what they must not cover."""

    parent: Element
    room: Box
    taken: list[Box] = field(default_factory=list)

    def put(self, text: str, x: float, y: float, anchor: Anchor, *, strong: bool = False) -> None:
        """Draw `text` at its place, come what may."""
        self.taken.append(_box(text, x, y, anchor))
        self._draw(text, x, y, anchor, strong)

    def beside(self, text: str, x: float, y: float, reach: float, *, strong: bool = False) -> None:
        """Draw `text` at the first free place around the point (x, y) of radius `reach`; nothing where none is."""
        places: tuple[tuple[float, float, Anchor], ...] = (
            (x + reach, y - 6, "start"), (x + reach, y + 4, "start"), (x - reach, y + 4, "end"),
            (x, y - reach - 3, "middle"),
            (x, y + reach + 10, "middle"), (x + reach, y + 16, "start"), (x - reach, y - 9, "end"),
            (x - reach, y + 16, "end"),
        )  # fmt: skip
        for px, py, anchor in places:
            box = _box(text, px, py, anchor)
            if self.room.holds(box) and not any(box.meets(t) for t in self.taken):
                self.taken.append(box)
                self._draw(text, px, py, anchor, strong)
                return

    def _draw(self, text: str, x: float, y: float, anchor: Anchor, strong: bool) -> None:
        element(
            self.parent, "text", text, x=x, y=y, text_anchor="" if anchor == "start" else anchor, fill=INK.paint,
            font_weight="650" if strong else "", paint_order="stroke", stroke=CARD.paint, stroke_width=3,
            stroke_linejoin="round",
        )  # fmt: skip


def _box(text: str, x: float, y: float, anchor: Anchor) -> Box:
    wide = width_of(text)
    left = x - {"start": 0.0, "middle": wide / 2, "end": wide}[anchor]
    return Box(left, y - 10, left + wide, y + 3)
