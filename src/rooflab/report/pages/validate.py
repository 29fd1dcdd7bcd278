"""A validation as one page: predicted against measured on logarithmic axes, a panel a source, and the errors in
tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rooflab.charts.chart import chart
from rooflab.charts.heat import Heat, heat_map
from rooflab.charts.marks import Dot, Key, Series
from rooflab.charts.palette import BLUE, INK, ORANGE, SOFT, TEAL
from rooflab.charts.scale import Axis
from rooflab.evidence.score.validate import Group, Judged, Validation, group_by
from rooflab.files import write_text
from rooflab.report.pages.parts import Answer, Card, Cell, Table, table
from rooflab.report.pages.render import render
from rooflab.report.text.validate import percent
from rooflab.units import significant

__all__ = ["validation_page", "write_validation_page"]

_CLASSES: Final = (("times (ms)", BLUE), ("throughputs", ORANGE), ("energy, power and others", TEAL))
_MARKED: Final = 5
"""Points of a panel, furthest off, that say what they are on hover."""
_FIELDS: Final = 14
"""Engines and accelerators of the heat map, those with most rows."""
_DEEP: Final = 0.5
"""The median error that is drawn deepest."""
_TITLES: Final = {
    "by_family": "What is predicted", "by_source": "Source", "by_engine": "Engine and generation",
    "by_gpu": "Accelerator",
    "by_model": "Model", "by_scenario": "Scenario",
}  # fmt: skip


def write_validation_page(validation: Validation, path: str | Path) -> None:
    """Write the page to `path`, whole or not at all."""
    write_text(path, validation_page(validation))


def validation_page(validation: Validation) -> str:
    """The page as text."""
    v = validation
    overall = v.overall()
    sources: dict[str, list[Judged]] = {}
    for j in v.rows:
        sources.setdefault(j.row.source, []).append(j)
    groups = v.groups()
    return render(
        "validate.html.j2",
        name=v.name,
        answer=Answer(
            f"{len(v.rows):,} of {v.total:,} measurements predicted: median error {percent(overall.median_ape)}, "
            f"p90 {percent(overall.p90_ape)}; the 90 % interval holds {percent(overall.coverage_90)} of rows."
        ),
        keys=[Key(name, colour, "round") for name, colour in _CLASSES],
        panels=[_panel(name, rows) for name, rows in sorted(sources.items(), key=lambda item: -len(item[1]))],
        heat=_heat(v.rows),
        tables=[(title, _errors(title, groups[name])) for name, title in _TITLES.items()],
        worst=[_about(j) for j in v.worst(20)],
        reasons=table(["reason", "rows"], [[reason, Cell(f"{n:,}", n)] for reason, n in v.reasons.items()])
        if v.reasons
        else None,
    )


def _class(metric: str) -> int:
    if metric.endswith("_ms") or "time" in metric or "latency" in metric:
        return 0
    return 1 if metric.endswith(("_s", "throughput")) else 2


def _panel(name: str, rows: Sequence[Judged]) -> Card:
    """One source: measured to the right, predicted upwards."""
    values = [x for j in rows for x in (j.row.measured, j.row.predicted)]
    low, high = 10.0 ** math.floor(math.log10(min(values))), 10.0 ** math.ceil(math.log10(max(values) * 1.001))
    error = percent(sorted(j.row.error for j in rows)[len(rows) // 2])
    lines = [_ratio(factor, low, high) for factor in (1.0, 2.0, 0.5)]
    clouds = [
        Series(text, [j.row.measured for j in here], [j.row.predicted for j in here], colour, "points")
        for i, (text, colour) in enumerate(_CLASSES)
        if (here := [j for j in rows if _class(j.row.metric) == i])
    ]
    rings = [
        Dot(x=j.row.measured, y=j.row.predicted, title=_about(j), kind="ring")
        for j in sorted(rows, key=lambda j: -abs(j.row.ratio))[:_MARKED]
    ]
    drawn = chart(
        Axis(low, high, "measured", log=True),
        Axis(low, high, log=True),
        series=[*lines, *clouds],
        dots=rings,
        label=f"{name}: predicted against measured, {len(rows)} rows, median error {error}",
        size=(300, 300),
    )
    return Card(heading=name, aside=f"{len(rows):,} rows, median {error}", charts=[drawn])


def _ratio(factor: float, low: float, high: float) -> Series:
    """The line where predictions are `factor` times what was measured, within the panel."""
    ends = [max(low, low / factor), min(high, high / factor)]
    equal = factor == 1.0
    return Series(
        "equal" if equal else f"{factor:g} ×", ends, [x * factor for x in ends], INK if equal else SOFT,
        "guide" if equal else "dotted",
    )  # fmt: skip


def _heat(rows: Sequence[Judged]) -> Card | None:
    """Median errors by engine and accelerator, those with most rows; nothing where there is one of either."""
    served = [j for j in rows if j.row.engine and j.row.gpu]
    gpus = list(group_by(served, lambda j: j.row.gpu))[:_FIELDS]
    shown = [j for j in served if j.row.gpu in gpus]
    engines = list(group_by(shown, lambda j: j.row.engine))[:_FIELDS]
    if len(engines) < 2 or len(gpus) < 2:
        return None
    fields = {}
    for engine in engines:
        for gpu, g in group_by((j for j in shown if j.row.engine == engine), lambda j: j.row.gpu).items():
            title = f"{engine} on {gpu}: {g.n:,} rows, median error {percent(g.median_ape)}, p90 {percent(g.p90_ape)}"
            fields[engine, gpu] = Heat(g.median_ape, percent(g.median_ape), title)
    drawn = heat_map(engines, gpus, fields, top=_DEEP, label="median error by engine and accelerator")
    return Card(charts=[drawn], note=f"Deepest: {_DEEP * 100:.0f} % and more. Hover for rows and p90.", wide=True)


def _about(j: Judged) -> str:
    r = j.row
    return (
        f"{r.id}: {r.model}, {r.gpu}, {r.engine}, {r.scenario}: {r.metric} measured {significant(r.measured)}, "
        f"predicted {significant(r.predicted)} ({significant(j.low)} to {significant(j.high)}), {r.provenance}, "
        f"{j.verdict}"
    )


def _errors(title: str, groups: dict[str, Group]) -> Table:
    return table(
        [title.lower(), "rows", "median", "p90", "bias", "90 % interval holds"],
        [
            [
                name,
                Cell(f"{g.n:,}", g.n),
                Cell(percent(g.median_ape), g.median_ape),
                Cell(percent(g.p90_ape), g.p90_ape),
                Cell(f"{g.bias * 100:+.1f} %", g.bias),
                Cell(percent(g.coverage_90), g.coverage_90),
            ]
            for name, g in groups.items()
        ],
    )
