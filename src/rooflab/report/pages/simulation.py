"""A simulation as one HTML page: the answer, latency distributions, load over time, the batch, and every number.

The page is one file without scripts or network; it follows the reader's light or dark setting and prints.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from rooflab.charts.style import STYLE
from rooflab.charts.svg import Mark, Series, chart, legend
from rooflab.files import write_text
from rooflab.metrics.registry import METRICS
from rooflab.report.pages.batch_chart import batch_cards
from rooflab.report.pages.load_chart import load_cards
from rooflab.simulator.results.serving import ServingResult
from rooflab.units import format_quantity, format_seconds, significant

__all__ = ["simulation_page", "write_simulation_page"]

F64 = npt.NDArray[np.float64]

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
_CDFS: Final = (("ttft_s", "Time to first token"), ("tpot_s", "Time per output token"), ("e2e_s", "End to end"))
_MOST_LINES: Final = 5


def write_simulation_page(
    result: ServingResult, path: str | Path, *, title: str, subtitle: str = "", notes: Sequence[str] = ()
) -> None:
    """Write the page to `path`, whole or not at all."""
    write_text(path, simulation_page(result, title=title, subtitle=subtitle, notes=notes))


def simulation_page(result: ServingResult, *, title: str, subtitle: str = "", notes: Sequence[str] = ()) -> str:
    """The page as text; `notes` (assumptions, where constants come from) stand at its end."""
    head = f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
    head += (
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head><body><main>'
    )
    parts = [
        head,
        f'<h1>{escape(title)}</h1><p class="soft">{escape(subtitle)}</p>{_answer(result)}{_tiles(result)}',
        f'<h2>Latency</h2><div class="row">{"".join(_cdf(result, *which) for which in _CDFS)}</div>',
        f'<h2>Load over time</h2><div class="row two">{load_cards(result)}</div>',
        batch_cards(result),
        _parts_table("By class", "class", result.by_class()) if len(result.classes) > 1 else "",
        _clients_table(result),
        _all_metrics(result),
        "".join(f'<p class="soft">{escape(note)}</p>' for note in notes),
        "</main></body></html>\n",
    ]
    return "".join(parts)


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


def _limit_words(key: str, got: float, limit: float) -> str:
    """``chat.ttft_p99`` as people say it, with what came out and what was allowed."""
    owner, _, name = key.rpartition(".")
    metric, _, stat = name.partition("_")
    words = f"{owner}: {metric.upper()} {stat}" if owner else f"{metric.upper()} {stat}"
    return f"{escape(words)} {format_seconds(got)} (allowed {format_seconds(limit)})"


def _answer(result: ServingResult) -> str:
    m = result.metrics
    broken = result.broken()
    stopped = "" if result.run.complete else " The run was stopped early: figures are of what was done by then."
    limits = result.slo or any(c.slo for c in result.classes)
    if not limits:
        return (
            f'<p class="answer">{int(m["finished"]):,} of {int(m["requests"]):,} requests were answered.{stopped}</p>'
        )
    share = f"{significant(100 * m['slo_attainment'])} % of requests were within every limit."
    if not broken:
        return f'<p class="answer"><b class="good">✓ The service levels hold.</b> {share}{stopped}</p>'
    worst = "; ".join(_limit_words(*one) for one in broken)
    return f'<p class="answer"><b class="bad">✗ The service levels are broken.</b> {worst}. {share}{stopped}</p>'


def _tiles(result: ServingResult) -> str:
    tiles = list(_TILES)
    if result.slo or any(c.slo for c in result.classes):
        tiles.insert(2, ("goodput_requests_per_s", "requests/s within SLO"))
    cells = []
    for name, words in tiles:
        if name == "j_per_token" and not result.metrics[name] > 0:
            continue  # no power is known
        value = metric_text(name, result.metrics[name]).removesuffix("/token")
        cells.append(f'<div class="tile"><b>{value}</b><span>{escape(words)}</span></div>')
    return f'<div class="tiles">{"".join(cells)}</div>'


def _cdf(result: ServingResult, name: str, title: str) -> str:
    groups: list[tuple[str, npt.NDArray[np.bool_]]] = [("all", result.counted)]
    if 1 < len(result.classes) <= _MOST_LINES:
        groups += [(c.name, result.counted & (result.requests.klass == k)) for k, c in enumerate(result.classes)]
    levels = np.concatenate((np.linspace(0, 0.99, 100), [0.993, 0.996, 0.998, 0.999, 1.0]))
    series = []
    for i, (label, rows) in enumerate(groups):
        values = result.latencies[name][rows]
        values = values[np.isfinite(values)]
        if len(values):
            series.append(Series(label, np.quantile(values, levels).tolist(), levels.tolist(), colour=i))
    if not series:
        return f'<div class="card"><h3>{title}</h3><p class="soft">no request to show</p></div>'
    low, high = max(min(s.x[0] for s in series), 1e-6), max(s.x[-1] for s in series)
    if high < 2 * low:
        low, high = low / 1.5, max(high, low) * 1.5
    own = {c.name: c.slo for c in result.classes if c.slo}
    key = name.removesuffix("_s")
    marks = [
        Mark(limit, f"{k.removeprefix(key).strip('_')} ≤ {format_seconds(limit)}")
        for k, limit in result.slo
        if k.startswith(key)
    ]
    if not marks:
        marks = [
            Mark(limit, f"{c} {k.removeprefix(key).strip('_')} ≤ {format_seconds(limit)}")
            for c, slo in own.items() for k, limit in slo if k.startswith(key)
        ]  # fmt: skip
    marks = [m for m in marks if low < m.at < high]
    drawn = chart(
        series=series, marks=marks, x=(low, high), y=(0, 1), x_label="", label=f"Distribution of {title.lower()}",
        log_x=True,
        x_text=_short_seconds, y_text=lambda v: f"{100 * v:g} %", width=340, height=220,
    )  # fmt: skip
    names = legend([(s.name, s.colour) for s in series]) if len(series) > 1 else ""
    m = result.metrics
    line = " · ".join(
        f"{s} {format_seconds(m[f'{name}_{s}'])}".replace(" ", "\u00a0") for s in ("mean", "p50", "p90", "p99")
    )
    return f'<div class="card"><h3>{title}</h3>{names}{drawn}<p class="soft"><small>{line}</small></p></div>'


def _parts_table(title: str, first: str, parts: dict[str, dict[str, float]]) -> str:
    columns = (
        "finished",
        "output_tokens_per_s",
        "ttft_s_p50",
        "ttft_s_p99",
        "tpot_s_p50",
        "tpot_s_p99",
        "e2e_s_p99",
        "slo_attainment",
    )
    names = ("finished", "output tok/s", "TTFT p50", "TTFT p99", "TPOT p50", "TPOT p99", "E2E p99", "within SLO")
    head = "".join(f"<th>{n}</th>" for n in (first, *names))
    rows = (
        f"<tr><td>{escape(str(key))}</td>{''.join(f'<td>{metric_text(c, m[c])}</td>' for c in columns)}</tr>"
        for key, m in parts.items()
    )
    return f'<h2>{title}</h2><div class="card scroll"><table><tr>{head}</tr>{"".join(rows)}</table></div>'


def _clients_table(result: ServingResult) -> str:
    if len(np.unique(result.requests.client)) < 2:
        return ""
    parts = sorted(result.by_client().items(), key=lambda item: -item[1]["output_tokens_per_s"])
    m = result.metrics
    fair = (
        f"Jain's index {significant(m['fairness_jain'])}; largest difference in service "
        f"{m['max_service_difference']:,.0f} weighted tokens."
    )
    more = f" The {len(parts) - 12} smaller clients are not shown." if len(parts) > 12 else ""
    table = _parts_table("By client", "client", {str(k): v for k, v in parts[:12]})
    return f'{table}<p class="soft"><small>{fair}{more}</small></p>'


def _all_metrics(result: ServingResult) -> str:
    rows = "".join(
        f'<tr><td>{escape(n)}</td><td>{metric_text(n, v)}</td><td class="text">{escape(METRICS[n].formula)}</td></tr>'
        for n, v in result.metrics.items()
        if n in METRICS
    )
    head = '<tr><th>metric</th><th>value</th><th style="text-align:left">what it is</th></tr>'
    return (
        f'<details><summary>Every metric</summary><div class="card scroll"><table>{head}{rows}</table></div></details>'
    )


def _short_seconds(value: float) -> str:
    for scale, unit in ((1e-6, "µs"), (1e-3, "ms"), (1.0, "s")):
        if value < scale * 999.5 or unit == "s":
            return f"{value / scale:g} {unit}"
    raise AssertionError("unreachable")
