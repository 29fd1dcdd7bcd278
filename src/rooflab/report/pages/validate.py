"""A validation as one page: predicted against measured on logarithmic axes, a panel a source, and the errors in
tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Final

from rooflab.charts.style import STYLE
from rooflab.charts.svg import Scale, legend
from rooflab.evidence.score.validate import Group, Judged, Validation
from rooflab.units import significant

__all__ = ["validation_page"]

_CLASSES: Final = ("times (ms)", "throughputs", "energy, power and others")
_SIZE: Final = 300.0
_LEFT: Final = 46.0
_MARKED: Final = 5
"""Points of a panel, furthest off, that say what they are on hover."""
_POINTS: Final = """
.pts{fill:none;stroke-width:3.6;stroke-linecap:round;stroke-opacity:.55}
.pts.s0{stroke:var(--s0)}.pts.s1{stroke:var(--s1)}.pts.s2{stroke:var(--s2)}
.far{fill:none;stroke:var(--ink);stroke-width:1.2;pointer-events:all}.same{stroke:var(--ink);stroke-opacity:.8}
.twice{stroke:var(--soft);stroke-dasharray:3 3;stroke-opacity:.7}
"""
_TITLES: Final = {
    "by_family": "What is predicted", "by_source": "Source", "by_engine": "Engine and generation",
    "by_gpu": "Accelerator",
    "by_model": "Model", "by_scenario": "Scenario",
}  # fmt: skip


def validation_page(validation: Validation) -> str:
    """The page: no script, no network, light and dark by the reader's setting."""
    v = validation
    overall = v.overall()
    answer = (
        f"{len(v.rows):,} of {v.total:,} measurements predicted: median error {_percent(overall.median_ape)}, "
        f"p90 {_percent(overall.p90_ape)}; the 90 % interval holds {_percent(overall.coverage_90)} of rows."
    )
    sources: dict[str, list[Judged]] = {}
    for j in v.rows:
        sources.setdefault(j.row.source, []).append(j)
    panels = "".join(_panel(name, rows) for name, rows in sorted(sources.items(), key=lambda item: -len(item[1])))
    tables = "".join(_table(title, v.groups()[name]) for name, title in _TITLES.items())
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Predicted against measured</title><style>{STYLE}{_POINTS}</style></head><body><main>"
        f'<h1>Predicted against measured</h1><p class="soft">{escape(v.name)}</p><p class="answer">{answer}</p>'
        f"<h2>By source</h2>{legend([(name, i) for i, name in enumerate(_CLASSES)])}"
        f'<p class="soft">Solid: equal. Dashed: twice and half. Rings are the rows furthest off; they say more on '
        f"hover.</p>"
        f'<div class="row">{panels}</div>{tables}{_worst(v)}{_reasons(v)}</main></body></html>\n'
    )


def _class(metric: str) -> int:
    if metric.endswith("_ms") or "time" in metric or "latency" in metric:
        return 0
    return 1 if metric.endswith(("_s", "throughput")) else 2


def _panel(name: str, rows: Sequence[Judged]) -> str:
    """One source: measured to the right, predicted upwards."""
    values = [x for j in rows for x in (j.row.measured, j.row.predicted)]
    low, high = 10 ** math.floor(math.log10(min(values))), 10 ** math.ceil(math.log10(max(values) * 1.001))
    across = Scale(low, high, _LEFT, _SIZE - 10, log=True)
    up = Scale(low, high, _SIZE - 36, 8, log=True)
    error = sorted(j.row.error for j in rows)[len(rows) // 2]
    label = f"{name}: predicted against measured, {len(rows)} rows, median error {_percent(error)}"
    parts = [f'<svg viewBox="0 0 {_SIZE:g} {_SIZE:g}" role="img" aria-label="{escape(label)}">']
    for tick in across.ticks(6):
        x, y = across(tick), up(tick)
        parts.append(f'<line class="grid" x1="{_LEFT:g}" x2="{_SIZE - 10:g}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="8" y2="{_SIZE - 36:g}"/>')
        text = escape(_tick(tick))
        parts.append(f'<text x="{_LEFT - 5:g}" y="{y + 3.5:.1f}" text-anchor="end">{text}</text>')
        parts.append(f'<text x="{x:.1f}" y="{_SIZE - 21:g}" text-anchor="middle">{text}</text>')
    for factor, style in ((1.0, "same"), (2.0, "twice"), (0.5, "twice")):
        a, b = max(low, low / factor), min(high, high / factor)
        parts.append(
            f'<line class="{style}" x1="{across(a):.1f}" y1="{up(a * factor):.1f}" x2="{across(b):.1f}" '
            f'y2="{up(b * factor):.1f}"/>'
        )
    for i in range(len(_CLASSES)):
        dots = "".join(
            f"M{across(j.row.measured):.1f} {up(j.row.predicted):.1f}h0" for j in rows if _class(j.row.metric) == i
        )
        if dots:
            parts.append(f'<path class="pts s{i}" d="{dots}"/>')
    for j in sorted(rows, key=lambda j: -abs(j.row.ratio))[:_MARKED]:
        at = f'cx="{across(j.row.measured):.1f}" cy="{up(j.row.predicted):.1f}"'
        parts.append(f'<circle class="far" {at} r="4.5"><title>{escape(_about(j))}</title></circle>')
    parts.append(f'<text x="{(_LEFT + _SIZE) / 2:.0f}" y="{_SIZE - 5:g}" text-anchor="middle">measured</text></svg>')
    return (
        f'<div class="card"><h3>{escape(name)} <small>{len(rows):,} rows, median '
        f"{_percent(error)}</small></h3>{''.join(parts)}</div>"
    )


def _tick(value: float) -> str:
    exponent = round(math.log10(value))
    return f"{value:g}" if -3 <= exponent <= 4 else f"1e{exponent}"


def _about(j: Judged) -> str:
    r = j.row
    return (
        f"{r.id}: {r.model}, {r.gpu}, {r.engine}, {r.scenario}: {r.metric} measured {significant(r.measured)}, "
        f"predicted {significant(r.predicted)} ({significant(j.low)} to {significant(j.high)}), {r.provenance}, "
        f"{j.verdict}"
    )


def _table(title: str, groups: dict[str, Group]) -> str:
    lines = "".join(
        f"<tr><td>{escape(name)}</td><td>{g.n:,}</td><td>{_percent(g.median_ape)}</td><td>{_percent(g.p90_ape)}</td>"
        f"<td>{g.bias * 100:+.1f} %</td><td>{_percent(g.coverage_90)}</td></tr>"
        for name, g in groups.items()
    )
    head = "<tr><th></th><th>rows</th><th>median</th><th>p90</th><th>bias</th><th>90 % interval holds</th></tr>"
    body = f'<div class="scroll"><table><thead>{head}</thead><tbody>{lines}</tbody></table></div>'
    return (
        f"<details{' open' if title == _TITLES['by_family'] else ''}><summary>{escape(title)}</summary>{body}</details>"
    )


def _worst(v: Validation) -> str:
    items = "".join(f"<li>{escape(_about(j))}</li>" for j in v.worst(20))
    return f"<details><summary>Furthest off</summary><ul>{items}</ul></details>" if items else ""


def _reasons(v: Validation) -> str:
    lines = "".join(f"<tr><td>{escape(reason)}</td><td>{n:,}</td></tr>" for reason, n in v.reasons.items())
    if not lines:
        return ""
    return (
        f"<details><summary>Not scored</summary><div "
        f'class="scroll"><table><tbody>{lines}</tbody></table></div></details>'
    )


def _percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{share * 100:.1f} %" if share < 10 else f"{share * 100:,.0f} %"
