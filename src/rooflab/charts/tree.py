"""SVG as a tree of elements: nothing is written as text, so whatever is put in comes out escaped, and well-formed.

Characters that no XML document may hold, and line breaks, are replaced when they go in.
"""

from __future__ import annotations

import re
from typing import Final
from xml.etree import ElementTree

from rooflab.charts.palette import SOFT

__all__ = ["Svg", "box", "clean", "element", "hover", "number", "root", "write"]

_FORBIDDEN: Final = re.compile("[^\t\n\r\u0020-\u007e\u00a0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BREAK: Final = re.compile(r"\s*[\t\n\r]\s*")


class Svg(str):
    """The text of a chart. Templates take it as it is; any other text they escape."""

    __slots__ = ()

    def __html__(self) -> str:
        """The text itself: it was escaped when it was made."""
        return str(self)


def clean(text: str) -> str:
    """`text` without what neither XML can hold nor a screen should get: control characters, lone surrogates, and the
    two last characters of the first plane."""
    return _FORBIDDEN.sub("\ufffd", text)


def number(value: float) -> str:
    """A length in pixels to a tenth: ``12``, ``12.5``."""
    return f"{round(value, 1) + 0.0:.1f}".removesuffix(".0")


def element(parent: ElementTree.Element, tag: str, text: str = "", **attributes: str | float) -> ElementTree.Element:
    """A new child of `parent` with `text` in it; ``text_anchor`` becomes ``text-anchor``, empty ones are left out."""
    child = ElementTree.SubElement(parent, tag, _attributes(attributes))
    if text:
        child.text = _line(text)
    return child


def hover(parent: ElementTree.Element, text: str) -> None:
    """What browsers show when the pointer rests on `parent`."""
    if text:
        element(parent, "title", text)


def box(
    parent: ElementTree.Element, x: tuple[float, float], y: tuple[float, float], **look: str
) -> ElementTree.Element:
    """A rectangle from x[0] to x[1] and y[0] to y[1] whose edges meet those of its neighbours."""
    (x0, x1), (y0, y1) = ((round(a, 1), round(b, 1)) for a, b in (x, y))
    wide, high = max(x1 - x0, 0.0), max(y1 - y0, 0.0)
    return element(parent, "rect", x=x0, y=y0, width=wide, height=high, **look)


def root(width: float, height: float, label: str) -> ElementTree.Element:
    """An empty drawing that fills its page's column; `label` is read out by screen readers."""
    return ElementTree.Element(
        "svg",
        _attributes(
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "viewBox": f"0 0 {number(width)} {number(height)}",
                "role": "img",
                "aria_label": label,
                "font_family": "system-ui,sans-serif",
                "font_size": 11,
                "fill": SOFT.paint,
            }
        ),
    )


def write(drawing: ElementTree.Element) -> Svg:
    """The drawing as text, an element a line: without empty lines, so that Markdown takes it whole."""
    empty = ElementTree.Element("svg", drawing.attrib)
    opened = ElementTree.tostring(empty, encoding="unicode", short_empty_elements=False).removesuffix("</svg>")
    children = (ElementTree.tostring(child, encoding="unicode") for child in drawing)
    return Svg("\n".join([opened, *children, "</svg>"]))


def _attributes(given: dict[str, str | float]) -> dict[str, str]:
    texts = {k: _line(v) if isinstance(v, str) else number(v) for k, v in given.items()}
    return {k.replace("_", "-"): v for k, v in texts.items() if v}


def _line(text: str) -> str:
    """`text` on one line."""
    return _BREAK.sub(" ", clean(text))
