"""What a paper returns as its plot: lines over a common axis, drawn to stand alone in a page of any style."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from rooflab.charts.chart import chart
from rooflab.charts.marks import Key, Look, Series
from rooflab.charts.palette import SERIES, series_colour
from rooflab.charts.scale import Axis
from rooflab.charts.tree import Svg

__all__ = ["Plot"]

_SIZE: Final = (640.0, 320.0)
_HEADROOM: Final = 1.05
"""Room above the highest point of a linear axis."""


@dataclass(frozen=True, slots=True)
class Plot:
    """Lines over a common axis; `log_x`, `log_y` for logarithmic ones. Colours are given out in order."""

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    log_x: bool = False
    log_y: bool = False

    def svg(self) -> Svg:
        """The plot as one SVG element, the same bytes for the same figures."""
        xs = [x for s in self.series for x in s.x]
        ys = [y for s in self.series for y in s.y]
        lines = tuple(self._coloured())
        named = len(lines) > 1 or any(s.name != self.y_label for s in lines)
        return chart(
            Axis(min(xs), max(xs), self.x_label, log=self.log_x),
            Axis(min(ys), max(ys), self.y_label, log=True)
            if self.log_y
            else Axis(min(0.0, *ys), max(ys) * _HEADROOM, self.y_label),
            series=lines,
            keys=[Key.of(s) for s in lines] if named else (),
            title=self.title,
            label=self.title,
            size=_SIZE,
        )

    def _coloured(self) -> Iterator[Series]:
        """The series in the palette's colours; plain lines with their points marked, in dashes past its end."""
        for i, s in enumerate(self.series):
            plain: Look = "marked" if i < len(SERIES) else "dashed"
            yield replace(s, colour=series_colour(i), look=plain if s.look == "line" else s.look)
