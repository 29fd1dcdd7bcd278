"""An estimate as one HTML page: the answer, latencies with their intervals, where a step's time goes, every figure."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

from rooflab.estimator.serving.answer import Estimate
from rooflab.estimator.serving.breakdown import breakdown
from rooflab.evidence.intervals.intervals import Interval, intervals
from rooflab.files import write_text
from rooflab.launch.label import deployment_label
from rooflab.metrics.registry import METRICS
from rooflab.report.pages.parts import Answer, Cell, Column, Table, Tile, table
from rooflab.report.pages.plan_figures import roofline_card, step_card
from rooflab.report.pages.render import render
from rooflab.report.text.estimate import account_lines
from rooflab.report.text.headline import load_words, targets_words, title
from rooflab.units import format_quantity, format_seconds, significant

__all__ = ["estimate_page", "write_estimate_page"]

_TILES: Final = (
    ("output_tokens_per_s", "output tokens/s"),
    ("requests_per_s", "requests/s"),
    ("ttft_s_p50", "TTFT median"),
    ("tpot_s_mean", "TPOT mean"),
    ("usd_per_mtok", "per million tokens"),
    ("j_per_token", "per token"),
    ("power_w", "power"),
    ("limit_ratio", "of the physical limit"),
)
_STATS: Final = ("mean", "p50", "p90", "p99")


def write_estimate_page(estimate: Estimate, path: str | Path) -> None:
    """Write the page to `path`, whole or not at all."""
    write_text(path, estimate_page(estimate))


def estimate_page(estimate: Estimate) -> str:
    """The page as text."""
    s, found = estimate.scenario, intervals(estimate)
    wanted = targets_words(s)
    return render(
        "estimate.html.j2",
        name=title(s),
        asked=f"{deployment_label(s)} · {load_words(s.workload, s.model)}" + (f" · wanted: {wanted}" if wanted else ""),
        answer=_answer(estimate),
        tiles=[_tile(estimate, name, words, found) for name, words in _TILES
               if math.isfinite(estimate.metrics.get(name, math.nan))],
        latencies=_latencies(estimate, found),
        step=[step_card(estimate), roofline_card(estimate)],
        account=list(account_lines(estimate)),
        operators=_operators(estimate),
        figures=_figures(estimate),
    )  # fmt: skip


def _answer(e: Estimate) -> Answer:
    m, s = e.metrics, e.scenario
    tokens = m.get("output_tokens_per_s", 0.0)
    unit = "images" if s.model.vision else "requests"
    text = f"{significant(tokens)} output tokens/s, " if tokens > 0 else ""
    devices = round(float(m["devices"]))
    text += f"{significant(m['requests_per_s'])} {unit}/s on {devices} {'device' if devices == 1 else 'devices'}."
    if e.saturated:
        return Answer(text, "More arrives than can be served: waits grow without end.", good=False)
    if not s.slo:
        return Answer(text)
    missed = [
        f"{key} {format_seconds(got) if math.isfinite(got) else 'without end'} of {format_seconds(limit)}"
        for key, got, limit in e.meets()
    ]
    return Answer(text, f"Misses {', '.join(missed)}." if missed else "Meets every target.", good=not missed)


def _tile(e: Estimate, name: str, words: str, found: dict[str, Interval]) -> Tile:
    formula, between = METRICS[name].formula if name in METRICS else "", ""
    if name in found and math.isfinite(found[name].high):
        one = found[name]
        formula += f". 90 % interval; {one.words}"
        between = f" · {_text(name, one.low)} – {_text(name, one.high)}"
    return Tile(_text(name, float(e.metrics[name])), words + between, formula)


def _text(name: str, value: float) -> str:
    if not math.isfinite(value):
        return "–"
    if name.startswith(("ttft_s", "tpot_s", "itl_s", "e2e_s", "duration_s")):
        return format_seconds(value)
    if name.startswith("usd"):
        return f"${significant(value)}"
    if name in ("j_per_token", "power_w"):
        return format_quantity(value, "J" if name == "j_per_token" else "W")
    if name.endswith("_bytes"):
        return format_quantity(value, "B")
    if name in ("limit_ratio", "mfu", "mbu", "utilisation") or name.startswith("share_"):
        return f"{value * 100:.3g} %"
    return significant(value)


def _latencies(e: Estimate, found: dict[str, Interval]) -> Table:
    rows = []
    for key, words in (("ttft_s", "first token"), ("tpot_s", "a token"), ("e2e_s", "end to end")):
        names = [f"{key}_{stat}" for stat in _STATS]
        if all(math.isfinite(float(e.metrics.get(n, math.nan))) for n in names):
            rows.append([Cell(words), *(_latency(e, n, found) for n in names)])
    return table(["latency", *_STATS], rows)


def _latency(e: Estimate, name: str, found: dict[str, Interval]) -> Cell:
    value, one = float(e.metrics[name]), found.get(name)
    hover = f"90 % interval {_text(name, one.low)} – {_text(name, one.high)}; {one.words}" if one is not None else ""
    return Cell(format_seconds(value), value, hover)


def _operators(e: Estimate) -> Table:
    rows = [
        [
            Cell(f"{r.name} ({r.phase})"),
            Cell(format_seconds(r.seconds), r.seconds),
            Cell(f"{r.share * 100:.1f} %", r.share),
            Cell(format_seconds(r.limit_s), r.limit_s),
            Cell(r.bound_by),
            Cell(r.provenance),
        ]
        for r in breakdown(e)
    ]
    columns: list[Column | str] = [
        "operator",
        "time",
        "of the step",
        "limit",
        Column("bound by", text=True),
        Column("from", text=True),
    ]
    return table(columns, rows)


def _figures(e: Estimate) -> Table:
    rows = [
        [Cell(name), Cell(_text(name, value), value), Cell(METRICS[name].unit), Cell(METRICS[name].formula)]
        for name, value in e.record().items()
        if name in METRICS and isinstance(value, (int, float)) and math.isfinite(value)
    ]
    return table(["metric", "value", Column("unit", text=True), Column("what it is", text=True)], rows)
