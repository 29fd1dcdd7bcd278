"""A simulation as one HTML page: the answer, latency distributions, load over time, the batch, and every number."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from rooflab.charts.chart import chart
from rooflab.charts.marks import Key, Mark, Series
from rooflab.charts.palette import series_colour
from rooflab.charts.scale import Axis
from rooflab.files import write_text
from rooflab.metrics.registry import METRICS
from rooflab.report.pages.batch_chart import batch_cards
from rooflab.report.pages.load_chart import load_cards
from rooflab.report.pages.parts import Answer, Card, Cell, Column, Table, Tile, table
from rooflab.report.pages.render import render
from rooflab.simulator.results.serving import ServingResult
from rooflab.units import format_quantity, format_seconds, significant

__all__ = ["simulation_page", "write_simulation_page"]

_TILES: Final = (
    ("output_tokens_per_s", "output tokens/s"),
    ("requests_per_s", "requests/s"),
    ("ttft_s_p50", "TTFT median"),
    ("ttft_s_p99", "TTFT p99"),
    ("tpot_s_p50", "TPOT median"),
    ("tpot_s_p99", "TPOT p99"),
    ("e2e_s_p99", "end to end p99"),
    ("j_per_token", "per output token"),
)
_PARTS: Final = (
    ("finished", "finished"),
    ("output_tokens_per_s", "output tok/s"),
    ("ttft_s_p50", "TTFT p50"),
    ("ttft_s_p99", "TTFT p99"),
    ("tpot_s_p50", "TPOT p50"),
    ("tpot_s_p99", "TPOT p99"),
    ("e2e_s_p99", "E2E p99"),
    ("slo_attainment", "within SLO"),
)
_CDFS: Final = (("ttft_s", "Time to first token"), ("tpot_s", "Time per output token"), ("e2e_s", "End to end"))
_LEVELS: Final = np.concatenate((np.linspace(0, 0.99, 100), [0.993, 0.996, 0.998, 0.999, 1.0]))
_MOST_LINES: Final = 5
_CLIENTS_SHOWN: Final = 12


def write_simulation_page(
    result: ServingResult, path: str | Path, *, title: str, subtitle: str = "", notes: Sequence[str] = ()
) -> None:
    """Write the page to `path`, whole or not at all."""
    write_text(path, simulation_page(result, title=title, subtitle=subtitle, notes=notes))


def simulation_page(result: ServingResult, *, title: str, subtitle: str = "", notes: Sequence[str] = ()) -> str:
    """The page as text; `notes` (assumptions, where constants come from) stand at its end."""
    several_clients = len(np.unique(result.requests.client)) > 1
    return render(
        "simulation.html.j2",
        name=title,
        subtitle=subtitle,
        answer=_answer(result),
        tiles=list(_tiles(result)),
        latency=[_cdf(result, *which) for which in _CDFS],
        load=load_cards(result),
        batch=batch_cards(result),
        classes=_parts("class", result.by_class()) if len(result.classes) > 1 else None,
        clients=_clients(result) if several_clients else None,
        fairness=_fairness(result) if several_clients else "",
        metrics=_every_metric(result),
        notes=notes,
    )


def metric_text(name: str, value: float) -> str:
    """A metric's value as people read it, with its unit."""
    if not np.isfinite(value):
        return "–"
    unit = METRICS[name].unit if name in METRICS else ""
    if unit == "s":
        return format_seconds(value)
    if unit in ("B", "J", "W", "J/token"):
        base, _, per = unit.partition("/")
        return format_quantity(value, base) + (f"/{per}" if per else "")
    if unit == "fraction":
        return f"{significant(100 * value)} %"
    if unit in ("requests", "count", "tokens") and value == int(value):
        return f"{int(value):,}"
    return significant(value)


def _metric(name: str, value: float) -> Cell:
    return Cell(metric_text(name, value), value)


def _limit_words(key: str, got: float, limit: float) -> str:
    """``chat.ttft_p99`` as people say it, with what came out and what was allowed."""
    owner, _, name = key.rpartition(".")
    metric, _, stat = name.partition("_")
    words = f"{owner}: {metric.upper()} {stat}" if owner else f"{metric.upper()} {stat}"
    return f"{words} {format_seconds(got)} (allowed {format_seconds(limit)})"


def _limited(result: ServingResult) -> bool:
    return bool(result.slo) or any(c.slo for c in result.classes)


def _answer(result: ServingResult) -> Answer:
    m = result.metrics
    why = f": {result.stuck()}" if result.run.stranded else ""
    stopped = "" if result.run.complete else f" The run was stopped early{why}. Figures are of what was done by then."
    if not _limited(result):
        return Answer(f"{int(m['finished']):,} of {int(m['requests']):,} requests were answered.{stopped}")
    share = f"{significant(100 * m['slo_attainment'])} % of requests were within every limit."
    broken = result.broken()
    if not broken:
        return Answer(f"{share}{stopped}", "The service levels hold.")
    worst = "; ".join(_limit_words(*one) for one in broken)
    return Answer(f"{worst}. {share}{stopped}", "The service levels are broken.", good=False)


def _tiles(result: ServingResult) -> list[Tile]:
    shown = list(_TILES)
    if _limited(result):
        shown.insert(2, ("goodput_requests_per_s", "requests/s within SLO"))
    if not result.metrics["j_per_token"] > 0:
        shown = [one for one in shown if one[0] != "j_per_token"]  # no power is known
    return [
        Tile(metric_text(name, result.metrics[name]).removesuffix("/token"), words, METRICS[name].formula)
        for name, words in shown
    ]


def _cdf(result: ServingResult, name: str, title: str) -> Card:
    """The share of requests below each latency, of all and of each class where they are few."""
    groups: list[tuple[str, npt.NDArray[np.bool_]]] = [("all", result.counted)]
    if 1 < len(result.classes) <= _MOST_LINES:
        groups += [(c.name, result.counted & (result.requests.klass == k)) for k, c in enumerate(result.classes)]
    series = []
    for i, (label, rows) in enumerate(groups):
        values = result.latencies[name][rows]
        values = values[np.isfinite(values)]
        if len(values):
            shares = (100 * _LEVELS).tolist()
            series.append(Series(label, np.quantile(values, _LEVELS).tolist(), shares, series_colour(i)))
    if not series:
        return Card(heading=title, note="no request to show")
    low, high = max(min(s.x[0] for s in series), 1e-6), max(s.x[-1] for s in series)
    if high < 2 * low:
        low, high = low / 1.5, max(high, low) * 1.5
    drawn = chart(
        Axis(low, high, unit="s", log=True),
        Axis(0, 100, unit="%"),
        series=series,
        marks=[m for m in _limits(result, name.removesuffix("_s")) if low < m.at < high],
        label=f"Distribution of {title.lower()}",
        size=(340, 220),
    )
    m = result.metrics
    line = " · ".join(
        f"{s} {format_seconds(m[f'{name}_{s}'])}".replace(" ", "\u00a0") for s in ("mean", "p50", "p90", "p99")
    )
    return Card(heading=title, keys=[Key.of(s) for s in series] if len(series) > 1 else (), charts=[drawn], note=line)


def _limits(result: ServingResult, key: str) -> list[Mark]:
    """The limits on a latency: the scenario's, or those of the classes."""
    own = [("", k, limit) for k, limit in result.slo]
    classes = [(f"{c.name} ", k, limit) for c in result.classes for k, limit in c.slo or ()]
    for limits in (own, classes):
        marks = [
            Mark(limit, f"{owner}{k.removeprefix(key).strip('_')} ≤ {format_seconds(limit)}")
            for owner, k, limit in limits
            if k.startswith(key)
        ]
        if marks:
            return marks
    return []


def _parts(first: str, parts: dict[str, dict[str, float]]) -> Table:
    return table(
        [first, *(words for _, words in _PARTS)],
        [[str(key), *(_metric(name, m[name]) for name, _ in _PARTS)] for key, m in parts.items()],
    )


def _clients(result: ServingResult) -> Table:
    parts = sorted(result.by_client().items(), key=lambda item: -item[1]["output_tokens_per_s"])
    return _parts("client", {str(k): v for k, v in parts[:_CLIENTS_SHOWN]})


def _fairness(result: ServingResult) -> str:
    m = result.metrics
    hidden = len(np.unique(result.requests.client)) - _CLIENTS_SHOWN
    more = f" The {hidden} smaller clients are not shown." if hidden > 0 else ""
    return (
        f"Jain's index {significant(m['fairness_jain'])}; largest difference in service "
        f"{m['max_service_difference']:,.0f} weighted tokens.{more}"
    )


def _every_metric(result: ServingResult) -> Table:
    return table(
        ["metric", "value", Column("what it is", text=True)],
        [[n, _metric(n, v), METRICS[n].formula] for n, v in result.metrics.items() if n in METRICS],
    )
