"""The cards of a plan's page: which data each chart shows and how its parts are named."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Final

from rooflab.charts.shapes import Dot, Roof, Stack, Step, scatter, spread, stacks, waterfall
from rooflab.estimator.serving.breakdown import breakdown
from rooflab.launch.label import bound_name, formats_label, split_label
from rooflab.memory.account import account
from rooflab.planner.result import Choice, Plan
from rooflab.scenario.slo import SLO
from rooflab.units import format_quantity, format_seconds, significant

if TYPE_CHECKING:
    from rooflab.estimator.serving.breakdown import OperatorRow

__all__ = ["memory_card", "pareto_card", "roofline_card", "step_card"]

_PARTS: Final = (
    ("weights and products", 0),
    ("experts", 4),
    ("attention and cache", 1),
    ("norms and activations", 2),
    ("communication", 3),
    ("host", 5),
)


def _card(body: str, legend: str = "", note: str = "", heading: str = "", *, wide: bool = False) -> str:
    body = f'<div class="wideplot">{body}</div>' if wide else body
    foot = f'<p class="soft"><small>{escape(note)}</small></p>' if note else ""
    top = f"<h3>{escape(heading)}</h3>" if heading else ""
    return f'<div class="card">{top}{legend}{body}{foot}</div>'


def _legend(items: list[tuple[str, str]]) -> str:
    spans = (f"<span><i class={style!r}></i>{escape(name)}</span>" for name, style in items)
    return f'<p class="legend">{"".join(spans)}</p>'


def pareto_card(plan: Plan) -> str:
    """Candidates by cost (throughput per GPU where there is no price) and latency; the front, the target and the choice
    marked."""
    priced = any(math.isfinite(p.usd_per_mtok) for p in plan.points)
    points = [(p, p.usd_per_mtok if priced else p.tokens_per_s_per_gpu, p.latency_s) for p in plan.points]
    points = [(p, x, y) for p, x, y in points if x > 0 and math.isfinite(x) and y > 0 and math.isfinite(y)]
    metric = plan.latency_metric
    x_metric = "usd_per_mtok" if priced else "output_tokens_per_s_per_gpu"
    front = [(c, float(c.metrics[x_metric]), float(c.metrics[metric])) for c in plan.front]
    front = [(c, x, y) for c, x, y in front if x > 0 and y > 0]
    on_front = {(x, y) for _, x, y in front}
    tokens = "output tokens" if metric == "tpot_s_p99" else "tokens"
    name = "TPOT p99" if metric == "tpot_s_p99" else "end-to-end mean"
    dots = [
        Dot(x=x, y=y, title=f"{p.label}, {p.devices} GPUs: {_x(x, priced)}, {name} "
                  f"{format_seconds(y)}{'' if p.meets else ' (misses a target)'}",
            radius=3.5, kind="solid" if p.meets else "hollow")
        for p, x, y in points
        if (x, y) not in on_front
    ]  # fmt: skip
    chosen = _brief(plan.best) if plan.best is not None else ""
    for c, x, y in front:
        label = "" if _brief(c) == chosen else _brief(c)
        if plan.scenario.workload.mode == "max-throughput":
            same = plan.best is not None and c.deployment == plan.best.deployment
            label = "" if same else f"{split_label(c.deployment)}, {c.deployment.limits.max_num_seqs} seqs"
        dots.append(
            Dot(
                x=x,
                y=y,
                title=f"{c.label}: {_x(x, priced)}, {name} {format_seconds(y)}",
                colour=1,
                radius=5.0,
                name=label,
            )
        )
    if plan.best is not None:
        m = plan.best.metrics
        x, y = float(m[x_metric]), float(m[metric])
        if x > 0 and math.isfinite(x):
            dots.append(
                Dot(
                    x=x,
                    y=y,
                    title=f"chosen: {plan.best.label}: {_x(x, priced)}, {name} {format_seconds(y)}",
                    colour=2,
                    radius=6.5,
                    name=_brief(plan.best),
                    kind="chosen",
                )
            )
    limits = [
        (limit, f"{bound_name(key)} ≤ {format_seconds(limit)}")
        for key, limit in plan.scenario.slo
        if SLO.metric(key) == metric
    ]
    rate = "output tokens" if tokens == "output tokens" else "requests"
    drawn = scatter(
        dots,
        roofs=[Roof([(x, y) for _, x, y in front], "Pareto front", colour=1)] if len(front) > 1 else [],
        marks=limits,
        x=spread([d.x for d in dots]),
        y=spread([d.y for d in dots] + [v for v, _ in limits]),
        x_label=f"USD per million {tokens}" if priced else f"{rate}/s per GPU",
        y_label=name,
        label="cost against latency",
        x_text=(lambda v: f"${v:g}") if priced else (lambda v: f"{v:,g}"),
        y_text=_tick_s,
        width=1000,
        height=400,
    )  # fmt: skip
    items = [
        ("chosen", "s2 round"),
        ("on the front", "s1 round"),
        ("meets every target", "s0 round"),
        ("misses one", "hollow"),
    ]
    note = (
        "Each dot is a split, formats and number of engines with its best limits; hover for details. Both axes are "
        "logarithmic."
    )
    return _card(drawn, _legend(items), note, wide=True)


def _x(value: float, priced: bool) -> str:
    return f"${significant(value)}/Mtok" if priced else f"{significant(value)} tok/s/GPU"


def _brief(c: Choice) -> str:
    return f"{formats_label(c.scenario)} {split_label(c.deployment)}"


def _tick_s(value: float) -> str:
    for scale, unit in ((1e-6, "µs"), (1e-3, "ms"), (1.0, "s")):
        if value < scale * 999.5 or unit == "s":
            return f"{value / scale:.3g} {unit}"
    raise AssertionError("unreachable")


def roofline_card(choice: Choice) -> str:
    """Operators of a decode step and of a prompt under the device's roofs; a dot's area is its time."""
    device = choice.scenario.hardware.device
    rows = [r for r in breakdown(choice.estimate) if r.intensity > 0 and r.achieved_flops > 0]
    phases = list(dict.fromkeys(r.phase for r in rows))
    longest = max((r.share for r in rows), default=1.0)
    dots = [
        Dot(
            x=r.intensity, y=r.achieved_flops,
            title=f"{r.phase}: {r.name}, {format_seconds(r.seconds)} ({r.share * 100:.0f} % of the step), "
            f"{significant(r.intensity)} FLOP/B, "
            f"{format_quantity(r.achieved_flops, 'FLOP/s')}, bound by {r.bound_by}; {r.provenance}",
            colour=phases.index(r.phase), radius=max(13 * math.sqrt(r.share / longest), 2.5),
            name=r.name if r.share > 0.04 else "",
        )
        for r in rows
    ]  # fmt: skip
    peaks: dict[str, float] = {}
    for name in ("bf16", "fp8", "fp4", "fp16"):
        if device.peak_flops.get(name) and device.peak_flops[name] not in peaks.values():
            peaks[name] = device.peak_flops[name]
    peaks = dict(sorted(list(peaks.items())[:2], key=lambda item: item[1])) or dict(list(device.peak_flops.items())[:1])
    x = spread([d.x for d in dots] + [max(peaks.values()) / device.memory_bytes_per_s], room=2.0)
    top = max(peaks.values())
    y = (max(min([d.y for d in dots] + [top]) / 2.5, top / 1e6), top * 1.8)
    roofs = []
    for i, (name, peak) in enumerate(peaks.items()):
        knee = peak / device.memory_bytes_per_s
        start = max(x[0], y[0] / device.memory_bytes_per_s)
        points = [(knee, peak), (x[1], peak)]
        if i == len(peaks) - 1:
            points.insert(0, (start, start * device.memory_bytes_per_s))
        roofs.append(Roof(points, f"{name} {format_quantity(peak, 'FLOP/s')}", dashed=i < len(peaks) - 1))
    drawn = scatter(
        dots, roofs=roofs, x=x, y=y, x_label="FLOP per byte of device memory", y_label="FLOP/s of one device",
        label="roofline",
        x_text=lambda v: f"{v:,g}", y_text=_quantity_tick, width=520, height=345,
    )  # fmt: skip
    legend = _legend([(f"{p} step" if p == "decode" else "one prompt", f"s{i} round") for i, p in enumerate(phases)])
    note = (
        f"Slope: {format_quantity(device.memory_bytes_per_s, 'B/s')} of memory. Area of a dot: its share of the step."
    )
    return _card(drawn, legend, note, "Operators under the roofline")


def _quantity_tick(value: float) -> str:
    for scale, letter in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M")):
        if value >= scale * 0.9995:
            return f"{value / scale:g} {letter}"
    return f"{value:g}"


def _part(r: OperatorRow) -> str:
    if r.group in {"host", "comm"} or "all-reduce" in r.name or "gather" in r.name:
        return "host" if r.group == "host" else "communication"
    if r.group == "norm" or (r.intensity == 0 and "attention" not in r.name):
        return "norms and activations"
    if r.group == "experts":
        return "experts"
    if (r.group == "attention" and r.name.endswith("attention")) or "recurrent" in r.name or "state" in r.name:
        return "attention and cache"
    return "weights and products"


def step_card(choice: Choice) -> str:
    """The mean step laid end to end by what it is spent on; the solid part of a bar is the physical limit of that
    work."""
    rows = breakdown(choice.estimate)
    phase = "decode" if any(r.phase == "decode" for r in rows) else "prefill"
    rows = [r for r in rows if r.phase == phase]
    steps = []
    for name, colour in _PARTS:
        here = [r for r in rows if _part(r) == name]
        seconds = sum(r.seconds for r in here)
        if seconds <= 0:
            continue
        limit_s = sum(r.limit_s for r in here)
        largest = ", ".join(f"{r.name} {format_seconds(r.seconds)}" for r in sorted(here, key=lambda r: -r.seconds)[:4])
        kinds = ", ".join(dict.fromkeys(r.provenance for r in here))
        steps.append(
            Step(
                name,
                seconds,
                colour,
                f"{name}: {format_seconds(seconds)}, limit {format_seconds(limit_s)}; {largest} ({kinds})",
                limit_s,
            )
        )
    total = sum(s.seconds for s in steps)
    what = "One decode step" if phase == "decode" else "One batch"
    drawn = waterfall(steps, label="a step by what it is spent on", text=_tick_s, width=520)
    note = (
        f"{what} takes {format_seconds(total)}, kernels one after another. Solid: the same work at datasheet peaks; "
        f"pale: what is lost to "
        "launches, shapes and the host."
    )
    return _card(drawn, "", note, f"{what}, from first to last")


def memory_card(plan: Plan) -> str:
    """Weights, cache, activations and reserve of one device, for the best choices."""
    distinct: dict[tuple[object, ...], Choice] = {}
    for c in plan.choices:
        d = c.deployment
        distinct.setdefault((d.split.tp, d.split.pp, d.split.dp, d.split.ep, d.formats.weights, d.formats.kv), c)
    chosen = list(distinct.values())[:6]
    first = plan.choices[0].scenario
    memory = account(first.model, first.hardware, [c.deployment for c in chosen])
    total = first.hardware.device.memory_bytes
    rows = []
    for i, c in enumerate(chosen):
        room = max(float(memory.free_bytes[i]), 0.0)
        used = min(float(c.metrics["kv_bytes"]), room)
        values = (
            ("weights", float(memory.weights_bytes[i]), "s0"),
            ("cache in use", used, "s1"),
            ("cache free", room - used, "free"),
            ("activations", float(memory.activations_bytes[i]), "s2"),
            ("engine reserve", float(memory.reserve_bytes[i]), "s5"),
            ("not given to the engine", total - float(memory.capacity_bytes[i]), "unused"),
        )
        parts = [
            (v, style, f"{_brief(c)}: {name} {format_quantity(v, 'B')} ({v / total * 100:.0f} %)")
            for name, v, style in values
        ]
        rows.append(Stack(_brief(c), parts, strong=c is plan.choices[0]))
    drawn = stacks(rows, total=total, label="memory of a device", text=lambda v: f"{v / 1e9:g} GB", width=1000)
    items = [("weights", "s0"), ("cache in use", "s1"), ("cache free", "free"), ("activations", "s2"), ("engine "
                                                                                                        "reserve",
                                                                                                        "s5"),
             ("not given to the engine", "unused")]  # fmt: skip
    return _card(drawn, _legend(items), wide=True)
