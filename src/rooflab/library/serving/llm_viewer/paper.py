"""LLM-Viewer (seed 16): operators on a roofline. The analyser is executed: counts come from the model's shapes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final, Literal

from rooflab.charts.marks import Series
from rooflab.charts.plot import Plot
from rooflab.library.serving.llm_viewer.layers import counts
from rooflab.library.serving.llm_viewer.operators import Step, operators
from rooflab.library.serving.llm_viewer.roofline import UNITS, Column, Count, Formats, Point, Roof, table
from rooflab.operators.formats import formats_of
from rooflab.operators.networks import Network
from rooflab.papers.lab import Lab
from rooflab.papers.method import Method
from rooflab.papers.outcome import Figure, How, Outcome
from rooflab.papers.paper import Paper
from rooflab.papers.parameters import Count as Whole
from rooflab.papers.parameters import PositiveInt
from rooflab.papers.technique import Technique, require
from rooflab.scenario.dtype import dtype
from rooflab.scenario.hardware import Device
from rooflab.scenario.scenario import Scenario

__all__ = ["NetworkTable", "OperatorTable", "WeightBits", "paper"]

paper = Paper.beside(__file__)

_SM_BYTES: Final = 256e3
"""Registers of a multiprocessor of NVIDIA's: what the released analyser takes as the buffer of a fused attention."""
_LONGEST: Final = 12
"""Operators of a network that are shown; the file has all."""


@paper.technique
class WeightBits(Technique):
    """Store weights (and the cache) in fewer bits: the survey's first re-reading of known techniques (section 3)."""

    changes_outputs = True
    bits: PositiveInt = 4
    cache_bits: PositiveInt = 16

    def apply(self, scenario: Scenario) -> Scenario:
        """Refuses a model that is stored in fewer bits already."""
        weights = {8: "int8", 4: "int4", 2: "int2", 1: "int1"}.get(self.bits)
        cache = {16: None, 8: "int8", 4: "int4"}.get(self.cache_bits, "")
        require(weights is not None, f"no kernels for {self.bits}-bit weights; 8, 4, 2, 1 exist")
        require(cache != "", f"no kernels for a {self.cache_bits}-bit cache; 16, 8, 4 exist")
        stored = dtype(scenario.deployment.formats.weights or scenario.model.dtype)
        require(stored.element_bits > self.bits, f"{scenario.model.name} is stored in {stored.name} already")
        changes = {"weights": weights, "activations": None, "experts": None}
        return scenario.with_deployment(**(changes if cache is None else changes | {"kv": cache}))


@paper.method
class OperatorTable(Method[Scenario]):
    """Every operator of a prompt and of a decode step on the roofline of one device, as the survey's tables list them.

    `column`: which of intensity, ops, bytes, attainable (FLOP/s), seconds and share of the step (percent) is shown; the
    file has all of them, for one layer and how often it comes. `context`: tokens that a decode step looks at (0: prompt
    and half of the answer). `attention`: its parts apart, or fused, the scores on chip.
    """

    headline = "decode network: time at the roof"

    column: Column = "intensity"
    context: Whole = 0
    attention: Literal["apart", "fused"] = "apart"

    def run(self, lab: Lab, given: Scenario) -> Outcome:
        """Execute on a scenario of the reader."""
        require(
            given.model.kind in ("decoder", "encoder"),
            f"{given.model.name}: the survey's tables list decoders (an image's network: rooflab inputs network)",
        )
        found = lab.estimate(given)
        done = found.scenario
        device, stored = done.hardware.device, formats_of(done.model, done.hardware.device, done.deployment)
        formats = Formats(weights=stored.weights, activations=stored.activations, kv=stored.kv, head=stored.head)
        roof = Roof.of(device, formats)
        phases = {
            name: [roof.point(count) for count in operators(done.model, formats, step)]
            for name, step in self._steps(done, float(found.metrics["running"]), device).items()
        }
        figures = [f for name, points in phases.items() for f in _figures(name, points, self.column)]
        steps = ", ".join(f"a {name} step {_memory_share(points):.0%}" for name, points in phases.items())
        because = (
            f"the ridge of {device.name} is at {roof.ridge:,.0f} FLOP/B for {stored.weights.name} weights and "
            f"{stored.activations.name} activations; operators below it, bound by memory, take of {steps}."
        )
        return Outcome(tuple(figures), because, files={"operators.csv": table(dict(phases))}, notes=_bound(phases))

    def _steps(self, s: Scenario, running: float, device: Device) -> dict[str, Step]:
        prompt, output = s.workload.mean_prompt_tokens, s.workload.mean_output_tokens
        buffer = None
        if self.attention == "fused":
            known = device.vendor.lower() == "nvidia" and device.sm_count > 0
            require(known, f"the analyser knows no on-chip buffer of {device.name}; set attention=apart")
            buffer = device.sm_count * _SM_BYTES
        steps = {"prefill": Step(sequences=1.0, tokens=prompt, context=prompt, on_chip_bytes=buffer)}
        if s.model.kind == "decoder":
            together = max(running / (s.deployment.cluster.replicas or 1), 1.0)
            context = self.context or prompt + output / 2
            steps["decode"] = Step(sequences=together, tokens=1.0, context=context, on_chip_bytes=buffer)
        return steps


@paper.method
class NetworkTable(Method[Network]):
    """Every layer of a reader's network (ONNX, a file of layers, the catalogue) on the roofline of a device.

    `device`: any of the catalogue; `batch` images; formats of `weights` and `activations` by name. `column` as in
    `operator_table`; the longest layers are shown, the file has all.
    """

    device: str = "a6000"
    batch: PositiveInt = 1
    weights: str = "fp16"
    activations: str = "fp16"
    column: Column = "intensity"

    def run(self, lab: Lab, given: Network) -> Outcome:
        """Execute on a network of the reader."""
        device, a = lab.hardware(self.device).device, dtype(self.activations)
        formats = Formats(weights=dtype(self.weights), activations=a, kv=a, head=dtype(self.weights))
        roof = Roof.of(device, formats)
        points = [roof.point(count) for count in counts(given, formats, self.batch)]
        longest = sorted(points, key=lambda p: -p.total_s)[:_LONGEST]
        whole_s, share = sum(p.total_s for p in points), _memory_share(points)
        figures = [*_figures("", longest, self.column, whole=points)]
        because = (
            f"the ridge of {device.name} is at {roof.ridge:,.0f} FLOP/B; layers below it, bound by memory, take "
            f"{share:.0%} of the {len(points)} operators' time at the roof, {1e3 * whole_s:.3g} ms a batch of "
            f"{self.batch}."
        )
        return Outcome(tuple(figures), because, files={"layers.csv": table({given.name: points})})


def _figures(phase: str, points: Sequence[Point], column: Column, whole: Sequence[Point] = ()) -> list[Figure]:
    """One column of the operators, then the totals of all of them (`whole`, where not all are shown)."""
    every = whole or points
    whole_s, named = sum(p.total_s for p in every), f"{phase} " if phase else ""
    how: How = "modelled" if column in ("attainable", "seconds", "share") else "executed"
    found = [
        Figure(name=f"{named}{p.count.name}", value=p.column(column, whole_s), unit=UNITS[column], how=how)
        for p in points
    ]
    ops, moved = (sum(p.count.times * n for p, n in zip(every, each, strict=True)) for each in (
        [p.count.ops for p in every], [p.count.bytes for p in every]
    ))  # fmt: skip
    total = f"{named}network: " if phase else "network: "
    return [
        *found, Figure(name=f"{total}operations", value=ops, unit="FLOP", how="executed"),
        Figure(name=f"{total}bytes", value=moved, unit="B", how="executed"),
        Figure(name=f"{total}time at the roof", value=whole_s, unit="s", how="modelled"),
    ]  # fmt: skip


def _memory_share(points: Sequence[Point]) -> float:
    whole_s = sum(p.total_s for p in points)
    return sum(p.total_s for p in points if p.bound_by == "memory") / whole_s if whole_s else 0.0


def _bound(phases: dict[str, list[Point]]) -> tuple[str, ...]:
    """Which operators what bounds."""
    return tuple(
        f"{phase}, bound by {by}: {', '.join(p.count.name for p in points if p.bound_by == by)}"
        for phase, points in phases.items() for by in ("compute", "memory") if any(p.bound_by == by for p in points)
    )  # fmt: skip


@paper.setup("A6000")
def setup(lab: Lab) -> Scenario:
    """The survey's running example: one sequence of 2,048 tokens on one A6000."""
    return lab.scenario(
        model="meta-llama/Llama-2-7b-hf",
        hardware="a6000",
        workload={"isl": 2048, "osl": 128, "batch": 1},
        deployment={"engine": "vllm"},
    )


_CELLS: Final[dict[str, Column]] = {"ops": "ops", "bytes": "bytes", "intensity": "intensity", "bound": "attainable"}
"""What claims call the columns of the operator table."""


def _cell(lab: Lab, operator: str, column: Column) -> float:
    """One cell of the operator table of the running example, whose decode step looks at as many tokens as its prompt
    has."""
    s = lab.cached("the setup of llm_viewer", lambda: setup(lab))
    return lab.run(OperatorTable(column=column, context=round(s.workload.mean_prompt_tokens)), s)[operator]


for _row, _operator in (("c1", "prefill q_proj"), ("c2", "decode q_proj")):
    for _claim, _column in _CELLS.items():
        paper.claim(f"{_row}-{_claim}")(partial(_cell, operator=_operator, column=_column))


@paper.draws
def roofline(lab: Lab) -> Plot:
    """Attainable rate of operators of a layer over tokens in a prompt."""
    s = setup(lab)
    stored = formats_of(s.model, s.hardware.device, s.deployment)
    formats = Formats(weights=stored.weights, activations=stored.activations, kv=stored.kv, head=stored.head)
    roof, tokens = Roof.of(s.hardware.device, formats), [2**i for i in range(13)]
    lines = []
    for name in ("q_proj", "qk_matmul", "softmax", "attn_add"):
        rates = [_rate(roof, operators(s.model, formats, Step(sequences=1, tokens=t, context=t)), name) for t in tokens]
        lines.append(Series(name, tuple(float(t) for t in tokens), tuple(rates)))
    return Plot(
        "Operators of Llama-2-7B on A6000", "tokens in the prompt", "attainable TFLOP/s", tuple(lines), log_x=True,
        log_y=True,
    )  # fmt: skip


def _rate(roof: Roof, found: Sequence[Count], name: str) -> float:
    point = roof.point(next(count for count in found if count.name == name))
    return float(point.column("attainable", 0.0)) / 1e12
