"""Load over time: requests and tokens a second, the queue, the KV cache, replicas and power, as small charts."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from rooflab.charts.chart import chart
from rooflab.charts.marks import Key, Series
from rooflab.charts.palette import series_colour
from rooflab.charts.scale import Axis
from rooflab.report.pages.parts import Card
from rooflab.simulator.results.serving import ServingResult

__all__ = ["load_cards"]

F64 = npt.NDArray[np.float64]

_POINTS: Final = 200
"""Points of a line: longer timelines are averaged in groups, which keeps areas."""


def load_cards(result: ServingResult) -> list[Card]:
    """The charts of a run's timeline, up to its last token; none where no timeline was kept."""
    t = result.run.timeline
    rows = int((t.time_s <= result.span_s[1]).sum())
    if rows == 0:
        return []
    end = float(t.time_s[rows - 1] + t.interval_s)
    edges = np.append(t.time_s[:rows], end)
    records = result.run.records

    def rate(times: F64) -> F64:
        return np.asarray(np.histogram(times[np.isfinite(times)], bins=edges)[0] / t.interval_s)

    def card(title: str, series: dict[str, F64], unit: str = "") -> Card:
        return _card(title, {name: _thinned(values[:rows]) for name, values in series.items()}, end, unit)

    cards = [
        card("Requests a second", {"arriving": rate(records.arrival_s), "finishing": rate(records.last_token_s)}),
        card("Requests in the system", {"running": t.running, "waiting": t.waiting}),
        card("Tokens computed a second", {"prompt": t.prefill_tokens_per_s, "generated": t.decode_tokens_per_s}),
    ]
    if result.kv_blocks > 0:
        cards.append(card("KV cache in use", {"KV blocks": 100 * t.kv_blocks / result.kv_blocks}, "%"))
    else:
        cards.append(card("KV blocks in use", {"KV blocks": t.kv_blocks}))
    if np.ptp(t.replicas_up[: max(rows - 1, 1)]) > 1e-6:  # the last interval is cut by the end of the run
        cards.append(card("Replicas up", {"replicas": t.replicas_up}))
    if np.nanmax(t.power_w[:rows]) > 0:
        cards.append(card("Power", {"power": t.power_w}, "W"))
    return cards


def _card(title: str, series: dict[str, F64], end_s: float, unit: str) -> Card:
    top = max(float(np.nanmax(values)) for values in series.values())
    lines = []
    for i, (name, values) in enumerate(series.items()):
        at = ((np.arange(len(values)) + 0.5) * end_s / len(values)).tolist()
        lines.append(Series(name, at, values.tolist(), series_colour(i), "line" if i else "area"))
    across, up = Axis(0, end_s, unit="s"), Axis(0, top * 1.06 or 1.0, unit=unit)
    drawn = chart(across, up, series=lines, label=title, size=(500, 190), margin=52)
    return Card(heading=title, charts=[drawn], keys=[Key.of(s) for s in lines] if len(lines) > 1 else ())


def _thinned(values: F64) -> F64:
    """About _POINTS means of equal groups of `values`; what is left over at the end makes a last, smaller group."""
    size = -(-len(values) // _POINTS)
    if size == 1:
        return values
    starts = np.arange(0, len(values), size)
    counts = np.diff(np.append(starts, len(values)))
    return np.asarray(np.add.reduceat(values, starts) / counts)
