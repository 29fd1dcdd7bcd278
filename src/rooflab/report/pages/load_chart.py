"""Load over time: requests and tokens a second, the queue, the KV cache, replicas and power, as small charts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from rooflab.charts.svg import Series, chart, legend
from rooflab.simulator.results.serving import ServingResult

__all__ = ["load_cards"]

F64 = npt.NDArray[np.float64]

_POINTS: Final = 200
"""Points of a line: longer timelines are averaged in groups, which keeps areas."""


def load_cards(result: ServingResult) -> str:
    """The charts of a run's timeline, up to its last token."""
    t = result.run.timeline
    rows = int((t.time_s <= result.span_s[1]).sum())
    if rows == 0:
        return '<p class="soft">no timeline was kept</p>'
    end = float(t.time_s[rows - 1] + t.interval_s)
    edges = np.append(t.time_s[:rows], end)
    records = result.run.records

    def rate(times: F64) -> F64:
        return np.asarray(np.histogram(times[np.isfinite(times)], bins=edges)[0] / t.interval_s)

    def card(title: str, series: list[tuple[str, F64]], text: Callable[[float], str] = _count) -> str:
        return _card(title, [(name, _thinned(values[:rows])) for name, values in series], end, text)

    cards = [
        card("Requests a second", [("arriving", rate(records.arrival_s)), ("finishing", rate(records.last_token_s))]),
        card("Requests in the system", [("running", t.running), ("waiting", t.waiting)]),
        card("Tokens computed a second", [("prompt", t.prefill_tokens_per_s), ("generated", t.decode_tokens_per_s)]),
    ]
    if result.kv_blocks > 0:
        cards.append(
            card("KV cache in use", [("KV blocks", 100 * t.kv_blocks / result.kv_blocks)], lambda v: f"{v:g} %")
        )
    else:
        cards.append(card("KV blocks in use", [("KV blocks", t.kv_blocks)]))
    if np.ptp(t.replicas_up[: max(rows - 1, 1)]) > 1e-6:  # the last interval is cut by the end of the run
        cards.append(card("Replicas up", [("replicas", t.replicas_up)]))
    if np.nanmax(t.power_w[:rows]) > 0:
        cards.append(card("Power", [("power", t.power_w)], _watts))
    return "".join(cards)


def _card(title: str, series: list[tuple[str, F64]], end_s: float, text: Callable[[float], str]) -> str:
    top = max(float(np.nanmax(values)) for _, values in series)
    points = len(series[0][1])
    at = ((np.arange(points) + 0.5) * end_s / points).tolist()
    lines = [Series(name, at, values.tolist(), colour=i, fill=i == 0) for i, (name, values) in enumerate(series)]
    drawn = chart(
        series=lines, x=(0, end_s), y=(0, top * 1.06 or 1.0), x_label="", label=title, x_text=_clock, y_text=text,
        width=500, height=190,
    )  # fmt: skip
    names = legend([(s.name, s.colour) for s in lines]) if len(lines) > 1 else ""
    return f'<div class="card"><h3>{title}</h3>{names}{drawn}</div>'


def _thinned(values: F64) -> F64:
    """About _POINTS means of equal groups of `values`; what is left over at the end makes a last, smaller group."""
    size = -(-len(values) // _POINTS)
    if size == 1:
        return values
    starts = np.arange(0, len(values), size)
    counts = np.diff(np.append(starts, len(values)))
    return np.asarray(np.add.reduceat(values, starts) / counts)


def _count(value: float) -> str:
    """A tick of a count: 0, 50, 1.5k, 20k."""
    for scale, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= scale:
            return f"{value / scale:g}{letter}"
    return f"{value:g}"


def _watts(value: float) -> str:
    return f"{value / 1e3:g} kW" if value >= 1e3 else f"{value:g} W"


def _clock(value: float) -> str:
    if value < 600:
        return f"{value:g} s"
    return f"{value / 60:g} min" if value < 36000 else f"{value / 3600:g} h"
