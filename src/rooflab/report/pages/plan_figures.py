"""The cards of a plan's page: which data each chart shows and how its parts are named."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rooflab.charts.bars import Part, Stack, Step, stacks, waterfall
from rooflab.charts.chart import chart
from rooflab.charts.marks import Dot, Key, Mark, Series
from rooflab.charts.palette import BLUE, FREE, GOLD, GREY, ORANGE, PURPLE, SOFT, TEAL, series_colour
from rooflab.charts.scale import Axis, spread
from rooflab.estimator.serving.answer import Estimate
from rooflab.estimator.serving.breakdown import breakdown
from rooflab.launch.label import bound_name, formats_label, split_label
from rooflab.memory.account import account
from rooflab.planner.result import Choice, Plan
from rooflab.report.pages.parts import Card
from rooflab.scenario.hardware import Device
from rooflab.scenario.slo import SLO
from rooflab.units import format_quantity, format_seconds, significant

if TYPE_CHECKING:
    from rooflab.estimator.serving.breakdown import OperatorRow

__all__ = ["memory_card", "pareto_card", "roofline_card", "step_card"]

_STEP_PARTS: Final = (
    ("weights and products", BLUE),
    ("experts", GOLD),
    ("attention and cache", ORANGE),
    ("norms and activations", TEAL),
    ("communication", PURPLE),
    ("host", GREY),
)
_MEMORY_PARTS: Final = (
    Key("weights", BLUE),
    Key("cache in use", ORANGE),
    Key("cache free", FREE),
    Key("activations", TEAL),
    Key("engine reserve", GREY),
    Key("not given to the engine", shape="outline"),
)
_PARETO_KEYS: Final = (
    Key("chosen", TEAL, "round"),
    Key("on the front", ORANGE, "round"),
    Key("meets every target", BLUE, "round"),
    Key("misses one", shape="ring"),
)


@dataclass(frozen=True, slots=True)
class _Sides:
    """The two sides of cost against latency: cost is throughput per GPU where there is no price."""

    priced: bool
    latency: str

    @property
    def cost(self) -> str:
        return "usd_per_mtok" if self.priced else "output_tokens_per_s_per_gpu"

    @property
    def latency_name(self) -> str:
        return "TPOT p99" if self.latency == "tpot_s_p99" else "end-to-end mean"

    @property
    def cost_name(self) -> str:
        generates = self.latency == "tpot_s_p99"
        if self.priced:
            return f"USD per million {'output tokens' if generates else 'tokens'}"
        return f"{'output tokens' if generates else 'requests'}/s per GPU"

    def of(self, c: Choice) -> tuple[float, float]:
        return float(c.metrics[self.cost]), float(c.metrics[self.latency])

    def said(self, label: str, x: float, y: float) -> str:
        cost = f"${significant(x)}/Mtok" if self.priced else f"{significant(x)} tok/s/GPU"
        return f"{label}: {cost}, {self.latency_name} {format_seconds(y)}"


def pareto_card(plan: Plan) -> Card:
    """Candidates by cost and latency; the front, the target and the choice marked."""
    sides = _Sides(any(math.isfinite(p.usd_per_mtok) for p in plan.points), plan.latency_metric)
    front = [(c, x, y) for c in plan.front for x, y in [sides.of(c)] if x > 0 and y > 0]
    dots = [*_candidates(plan, sides, {(x, y) for _, x, y in front}), *_front(plan, sides, front)]
    if plan.best is not None:
        x, y = sides.of(plan.best)
        if x > 0 and math.isfinite(x):
            said = sides.said(f"chosen: {plan.best.label}", x, y)
            dots.append(Dot(x=x, y=y, title=said, colour=TEAL, radius=6.5, name=_brief(plan.best), kind="chosen"))
    limits = [
        Mark(limit, f"{bound_name(key)} ≤ {format_seconds(limit)}", horizontal=True)
        for key, limit in plan.scenario.slo
        if SLO.metric(key) == plan.latency_metric
    ]
    line = Series("Pareto front", [x for _, x, _ in front], [y for _, _, y in front], ORANGE)
    drawn = chart(
        Axis(*spread([d.x for d in dots]), sides.cost_name, "$" if sides.priced else "", log=True),
        Axis(*spread([d.y for d in dots] + [m.at for m in limits]), sides.latency_name, "s", log=True),
        series=[line] if len(front) > 1 else [],
        marks=limits,
        dots=dots,
        label="cost against latency",
        size=(1000, 400),
    )
    note = (
        "Each dot is a split, formats and number of engines with its best limits; hover for details. Both axes are "
        "logarithmic."
    )
    return Card(charts=[drawn], keys=_PARETO_KEYS, note=note, wide=True)


def _candidates(plan: Plan, sides: _Sides, front: set[tuple[float, float]]) -> Iterator[Dot]:
    """All that were priced, but for those on the front."""
    for p in plan.points:
        x, y = p.usd_per_mtok if sides.priced else p.tokens_per_s_per_gpu, p.latency_s
        if not (0 < x < math.inf and 0 < y < math.inf) or (x, y) in front:
            continue
        said = sides.said(f"{p.label}, {p.devices} GPUs", x, y) + ("" if p.meets else " (misses a target)")
        yield Dot(x=x, y=y, title=said, colour=BLUE, radius=3.5, kind="solid" if p.meets else "hollow")


def _front(plan: Plan, sides: _Sides, front: list[tuple[Choice, float, float]]) -> Iterator[Dot]:
    """The front; the chosen one is named by its own dot, others by what sets them apart."""
    best = plan.best
    for c, x, y in front:
        if plan.scenario.workload.mode == "max-throughput":
            chosen = best is not None and c.deployment == best.deployment
            name = f"{split_label(c.deployment)}, {c.deployment.limits.max_num_seqs} seqs"
        else:
            chosen = best is not None and _brief(c) == _brief(best)
            name = _brief(c)
        said = sides.said(c.label, x, y)
        yield Dot(x=x, y=y, title=said, colour=ORANGE, radius=5.0, name="" if chosen else name)


def _brief(c: Choice) -> str:
    return f"{formats_label(c.scenario)} {split_label(c.deployment)}"


def roofline_card(estimate: Estimate) -> Card:
    """Operators of a decode step and of a prompt under the device's roofs; a dot's area is its time."""
    device = estimate.scenario.hardware.device
    rows = [r for r in breakdown(estimate) if r.intensity > 0 and r.achieved_flops > 0]
    phases = list(dict.fromkeys(r.phase for r in rows))
    longest = max((r.share for r in rows), default=1.0)
    dots = [
        Dot(
            x=r.intensity, y=r.achieved_flops,
            title=f"{r.phase}: {r.name}, {format_seconds(r.seconds)} ({r.share * 100:.0f} % of the step), "
            f"{significant(r.intensity)} FLOP/B, "
            f"{format_quantity(r.achieved_flops, 'FLOP/s')}, bound by {r.bound_by}; {r.provenance}",
            colour=series_colour(phases.index(r.phase)), radius=max(13 * math.sqrt(r.share / longest), 2.5),
            name=r.name if r.share > 0.04 else "",
        )
        for r in rows
    ]  # fmt: skip
    peaks = _peaks(device)
    top = max(peaks.values())
    low, high = spread([d.x for d in dots] + [top / device.memory_bytes_per_s], room=2.0)
    floor = max(min([d.y for d in dots] + [top]) / 2.5, top / 1e6)
    drawn = chart(
        Axis(low, high, "FLOP per byte of device memory", log=True),
        Axis(floor, top * 1.8, "FLOP/s of one device", log=True),
        series=list(_roofs(peaks, device.memory_bytes_per_s, max(low, floor / device.memory_bytes_per_s), high)),
        dots=dots,
        label="roofline",
        size=(520, 345),
    )
    keys = [
        Key("decode step" if p == "decode" else "one prompt", series_colour(i), "round") for i, p in enumerate(phases)
    ]
    note = (
        f"Slope: {format_quantity(device.memory_bytes_per_s, 'B/s')} of memory. Area of a dot: its share of the step."
    )
    return Card(heading="Operators under the roofline", charts=[drawn], keys=keys, note=note)


def _peaks(device: Device) -> dict[str, float]:
    """At most two different peaks of arithmetic by format, the lower first."""
    peaks: dict[str, float] = {}
    for name in ("bf16", "fp8", "fp4", "fp16"):
        if device.peak_flops.get(name) and device.peak_flops[name] not in peaks.values():
            peaks[name] = device.peak_flops[name]
    two = sorted(list(peaks.items())[:2], key=lambda item: item[1])
    return dict(two or list(device.peak_flops.items())[:1])


def _roofs(peaks: dict[str, float], bytes_per_s: float, start: float, end: float) -> Iterator[Series]:
    """The highest peak with the slope of memory before it; lower ones in dashes, named where they leave the slope."""
    for i, (name, peak) in enumerate(peaks.items()):
        knee, text = peak / bytes_per_s, f"{name} {format_quantity(peak, 'FLOP/s')}"
        if i < len(peaks) - 1:
            yield Series(text, [knee, end], [peak, peak], SOFT, "dashed", "start")
        else:
            yield Series(text, [start, knee, end], [start * bytes_per_s, peak, peak], SOFT, "line", "end")


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


def step_card(estimate: Estimate) -> Card:
    """The mean step laid end to end by what it is spent on; the solid part of a bar is the physical limit of that
    work."""
    rows = breakdown(estimate)
    phase = "decode" if any(r.phase == "decode" for r in rows) else "prefill"
    rows = [r for r in rows if r.phase == phase]
    steps = []
    for name, colour in _STEP_PARTS:
        here = [r for r in rows if _part(r) == name]
        seconds = sum(r.seconds for r in here)
        if seconds <= 0:
            continue
        limit_s = sum(r.limit_s for r in here)
        largest = ", ".join(f"{r.name} {format_seconds(r.seconds)}" for r in sorted(here, key=lambda r: -r.seconds)[:4])
        kinds = ", ".join(dict.fromkeys(r.provenance for r in here))
        said = f"{name}: {format_seconds(seconds)}, limit {format_seconds(limit_s)}; {largest} ({kinds})"
        steps.append(Step(name, seconds, colour, said, limit_s))
    total = sum(s.value for s in steps)
    what = "One decode step" if phase == "decode" else "One batch"
    texts = [f"{format_seconds(s.value)} · {s.value / total * 100:.0f} %" for s in steps]
    drawn = waterfall(steps, unit="s", label="a step by what it is spent on", texts=texts, width=520)
    note = (
        f"{what} takes {format_seconds(total)}, kernels one after another. Solid: the same work at datasheet peaks; "
        "pale: what is lost to launches, shapes and the host."
    )
    return Card(heading=f"{what}, from first to last", charts=[drawn], note=note)


def memory_card(plan: Plan) -> Card:
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
            float(memory.weights_bytes[i]),
            used,
            room - used,
            float(memory.activations_bytes[i]),
            float(memory.reserve_bytes[i]),
            total - float(memory.capacity_bytes[i]),
        )
        parts = [
            Part(v, f"{_brief(c)}: {key.name} {format_quantity(v, 'B')} ({v / total * 100:.0f} %)", key.colour)
            for key, v in zip(_MEMORY_PARTS, values, strict=True)
        ]
        rows.append(Stack(_brief(c), parts, strong=c is plan.choices[0]))
    drawn = stacks(rows, total=total, unit="B", label="memory of a device", width=1000)
    return Card(charts=[drawn], keys=_MEMORY_PARTS, wide=True)
