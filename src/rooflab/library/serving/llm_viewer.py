"""LLM-Viewer (seed 16): operators on a roofline. The analyser is executed: counts come from the model's shapes.

One operator of `tokens` tokens through an (n, k) product with w-byte weights and a-byte activations:
OPs = 2·tokens·n·k, bytes = n·k·w + tokens·k·a + tokens·n·a, attainable = min(peak, bandwidth · OPs / bytes)
(section 2, table 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

from rooflab.charts.marks import Series
from rooflab.charts.plot import Plot
from rooflab.papers.lab import Lab
from rooflab.papers.method import Method
from rooflab.papers.outcome import Outcome, as_figures
from rooflab.papers.paper import Paper
from rooflab.papers.parameters import PositiveInt
from rooflab.papers.technique import Technique, require
from rooflab.scenario.attention import Attention
from rooflab.scenario.dtype import dtype
from rooflab.scenario.scenario import Scenario

__all__ = ["Point", "WeightBits", "linear_point", "paper"]

paper = Paper.beside(__file__)


@dataclass(frozen=True, slots=True)
class Point:
    """An operator on a roofline: operations, bytes, FLOP a byte, FLOP/s that the roofline allows, and what bounds
    it."""

    flops: float
    bytes: float
    attainable_flops: float
    bound_by: str

    @property
    def intensity(self) -> float:
        """FLOP a byte."""
        return self.flops / self.bytes


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


def linear_point(lab: Lab, model: str, device: str, tokens: float, compute: str = "fp16") -> Point:
    """The query projection of `model` on `device` with `tokens` tokens in 16 bits."""
    shapes, hardware = lab.model(model), lab.hardware(device)
    mixer = shapes.runs[0].block.mixers[0]
    assert isinstance(mixer, Attention)
    wide = dtype(compute).bytes
    n, k = mixer.heads * mixer.head_dim, shapes.hidden
    flops = 2.0 * tokens * n * k
    moved = (n * k + tokens * (n + k)) * wide
    peak, bandwidth = hardware.device.peak(compute), hardware.device.memory_bytes_per_s
    attainable = min(peak, bandwidth * flops / moved)
    return Point(flops, moved, attainable, "compute" if attainable == peak else "memory")


_PROMPT = {"model": "meta-llama/Llama-2-7b-hf", "device": "a6000"}
_TOKENS: Final = {"prefill": 2048, "decode": 1}


_FIGURES: Final = {"ops": "flops", "bytes": "bytes", "intensity": "intensity", "bound": "attainable_flops"}
"""Columns of the operator table and where a point has them."""


def _figure(lab: Lab, phase: str, of: str) -> float:
    """One cell of the operator table: the query projection in a phase."""
    point = linear_point(lab, tokens=lab.data("tokens", _TOKENS)[phase], **_PROMPT)
    return float(getattr(point, of))


for _row, _phase in (("c1", "prefill"), ("c2", "decode")):
    for _column, _of in _FIGURES.items():
        paper.claim(f"{_row}-{_column}")(partial(_figure, phase=_phase, of=_of))


@paper.setup("A6000")
def setup(lab: Lab) -> Scenario:
    """The survey's running example: one sequence of 2,048 tokens on one A6000."""
    return lab.scenario(
        model="meta-llama/Llama-2-7b-hf",
        hardware="a6000",
        workload={"isl": 2048, "osl": 128, "batch": 1},
        deployment={"engine": "vllm"},
    )


@paper.method
class OperatorTable(Method[Scenario]):
    """Operators of a decode step and of a prompt on the device's roofline: intensity, what bounds them, share of the
    step's time."""

    def run(self, lab: Lab, scenario: Scenario) -> Outcome:
        """Execute on a scenario of the reader."""
        found = lab.estimate(scenario)
        done = found.scenario
        n = max(float(found.metrics["running"]) / (done.deployment.cluster.replicas or 1), 1.0)
        prompt, output = done.workload.mean_prompt_tokens, done.workload.mean_output_tokens
        device = done.hardware.device
        ridge = device.peak("bf16") / device.memory_bytes_per_s
        phases = {
            "decode": lab.operators(done, "decode", n_decode=n, context=n * (prompt + output / 2)),
            "prefill": lab.operators(done, "prefill", n_prefill=1.0, prefill_tokens=prompt, area=prompt**2 / 2),
        }
        figures = [
            (f"{phase}: {row.name}, {row.bound_by}, {row.share:.0%} of the step", row.intensity, "FLOP/B")
            for phase, rows in phases.items()
            for row in [r for r in rows if r.flops and r.bytes][:6]
        ]
        bound = {phase: sum(r.share for r in rows if r.bound_by == "memory") for phase, rows in phases.items()}
        return Outcome(
            as_figures("executed", figures),
            f"the ridge of {device.name} is at {ridge:,.0f} FLOP/B in 16 bits; operators bound by memory take "
            f"{bound['decode']:.0%} of a "
            f"decode step with {n:,.0f} sequences and {bound['prefill']:.0%} of a prompt.",
        )


@paper.draws
def roofline(lab: Lab) -> Plot:
    """Attainable rate of the projection over tokens in the step."""
    tokens = [2**i for i in range(13)]
    points = [linear_point(lab, tokens=t, **_PROMPT) for t in tokens]
    rate = Series(
        "attainable, TFLOP/s", tuple(float(t) for t in tokens), tuple(p.attainable_flops / 1e12 for p in points)
    )
    return Plot(
        "Query projection of Llama-2-7B on A6000", "tokens in the step", "TFLOP/s", (rate,), log_x=True, log_y=True
    )
