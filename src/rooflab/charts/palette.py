"""The colours of every chart and page, for light paper, dark paper, and a chart that stands alone.

A page declares each colour as a CSS variable, light or dark by the reader's setting and light when printed. A chart
names the variable and carries a fallback, so that the same bytes serve a page of ours and a document without our style
sheet (a paper's Markdown page), whose paper may be light or dark.

The six colours of series differ from their paper by a contrast of at least 3 : 1 (WCAG 2.1, 1.4.11), and from each
other by at least 0.07 in OKLab, for readers with normal vision and with protanopia, deuteranopia and tritanopia in the
simulation of Machado, Oliveira and Fernandes (IEEE TVCG 15(6), 2009): a test computes both. Further series repeat the
colours in dashed lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = [
    "BAD",
    "BLUE",
    "CARD",
    "EVERY",
    "FREE",
    "GOLD",
    "GOOD",
    "GREY",
    "GRID",
    "GROUND",
    "INK",
    "ORANGE",
    "PURPLE",
    "RULE",
    "SERIES",
    "SOFT",
    "TEAL",
    "Colour",
    "series_colour",
]


@dataclass(frozen=True, slots=True)
class Colour:
    """A named colour: on light paper, on dark paper, and alone, where the paper is not known."""

    name: str
    light: str
    dark: str
    alone: str

    @property
    def paint(self) -> str:
        """The value of a fill or a stroke: the page's variable, or the colour alone."""
        return f"var(--{self.name},{self.alone})"


BLUE: Final = Colour("blue", "#1b4fb0", "#2f84de", "#3f67c8")
ORANGE: Final = Colour("orange", "#c9460f", "#dd5a25", "#c2541a")
TEAL: Final = Colour("teal", "#12a380", "#5fe6d5", "#0a9c80")
PURPLE: Final = Colour("purple", "#86176a", "#e588e8", "#cf6cc4")
GOLD: Final = Colour("gold", "#c0881d", "#f6d266", "#a5950f")
GREY: Final = Colour("grey", "#6a6f77", "#8f9297", "#6d6d6d")
SERIES: Final = (BLUE, ORANGE, TEAL, PURPLE, GOLD, GREY)
"""The colours that tell series apart, in the order in which they are given out."""

INK: Final = Colour("ink", "#1c1e21", "#e9eaec", "currentColor")
SOFT: Final = Colour("soft", "#5b6068", "#a0a6b0", "currentColor")
RULE: Final = Colour("rule", "#e3e3de", "#33373d", "#80808060")
GRID: Final = Colour("grid", "#ecece7", "#2a2e33", "#80808033")
FREE: Final = Colour("free", "#e2e2dc", "#373c43", "#80808040")
"""What is there and not used: a part of a bar."""
CARD: Final = Colour("card", "#ffffff", "#1d2024", "none")
GROUND: Final = Colour("ground", "#fbfbf9", "#15171a", "none")
GOOD: Final = Colour("good", "#0f7a55", "#4cc38a", "currentColor")
BAD: Final = Colour("bad", "#b3261e", "#ff8a80", "currentColor")
EVERY: Final = (*SERIES, INK, SOFT, RULE, GRID, FREE, CARD, GROUND, GOOD, BAD)
"""All colours, as a page declares them."""


def series_colour(i: int) -> Colour:
    """The colour of series `i`, counted from 0; after the last the first comes again."""
    return SERIES[i % len(SERIES)]
