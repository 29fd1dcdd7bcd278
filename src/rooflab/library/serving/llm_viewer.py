"""LLM-Viewer (seed 16): operators on a roofline. The analyser is executed: counts come from the model's shapes.

One operator of `tokens` tokens through an (n, k) product with w-byte weights and a-byte activations:
OPs = 2·tokens·n·k, bytes = n·k·w + tokens·k·a + tokens·n·a, attainable = min(peak, bandwidth · OPs / bytes)
(section 2, table 1).
"""

from __future__ import annotations

from dataclasses import dataclass

from rooflab.charts.marks import Series
from rooflab.charts.plot import Plot
from rooflab.papers.lab import Lab
from rooflab.papers.paper import Analysis, Paper
from rooflab.papers.technique import PositiveInt, Technique, require
from rooflab.scenario.attention import Attention
from rooflab.scenario.dtype import dtype
from rooflab.scenario.scenario import Scenario

__all__ = ["Point", "WeightBits", "linear_point", "paper"]

paper = Paper.from_card(
    "llm_viewer",
    executed="the per-operator account of operations and bytes on the model's real shapes, and the roofline of the "
    "device.",
    modelled="what quantisation does to a serving scenario, by the engine's own kernel prices (`weight_bits`).",
    assumed="every operator alone on the device, activations read and written once, no launch time.",
)


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


def linear_point(lab: Lab, model: str, device: str, tokens: int, compute: str = "fp16") -> Point:
    """The query projection of `model` on `device` with `tokens` tokens in 16 bits."""
    shapes, hardware = lab.model(model), lab.hardware(device)
    tokens = lab.data("tokens", tokens)
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


def _prefill(lab: Lab) -> Point:
    return linear_point(lab, tokens=2048, **_PROMPT)


def _decode(lab: Lab) -> Point:
    return linear_point(lab, tokens=1, **_PROMPT)


_TABLE = "LLM-Viewer, operator table of Llama-2-7B on A6000, sequence 2048, batch 1"


@paper.claim(
    "Prefill q_proj of Llama-2-7B: operations", expect=68.7e9, unit="FLOP", id="c1-ops", kind="executed", source=_TABLE,
    tolerance=0.01, moves={"data: tokens": 1},
)  # fmt: skip
def prefill_operations(lab: Lab) -> float:
    """OPs of the query projection over the prompt."""
    return _prefill(lab).flops


@paper.claim(
    "Prefill q_proj of Llama-2-7B: bytes", expect=67.1e6, unit="B", id="c1-bytes", kind="executed", source=_TABLE,
    tolerance=0.01, moves={"data: tokens": 1},
)  # fmt: skip
def prefill_bytes(lab: Lab) -> float:
    """Bytes of weights, inputs and outputs."""
    return _prefill(lab).bytes


@paper.claim(
    "Prefill q_proj of Llama-2-7B: arithmetic intensity", expect=1024.0, unit="FLOP/B", id="c1-intensity",
    kind="executed",
    source=_TABLE, tolerance=0.01, moves={"data: tokens": 1},
)  # fmt: skip
def prefill_intensity(lab: Lab) -> float:
    """OPs over bytes."""
    return _prefill(lab).intensity


@paper.claim(
    "Prefill q_proj of Llama-2-7B is compute-bound: attainable rate is the A6000's ceiling", expect=155e12,
    unit="FLOP/s",
    id="c1-bound", kind="executed", source=_TABLE, tolerance=0.01, moves={"peak arithmetic": 1},
)  # fmt: skip
def prefill_attainable(lab: Lab) -> float:
    """What the roofline allows."""
    return _prefill(lab).attainable_flops


@paper.claim(
    "Decode q_proj of Llama-2-7B: operations", expect=33.6e6, unit="FLOP", id="c2-ops", kind="executed", source=_TABLE,
    tolerance=0.01, moves={"data: tokens": 1},
)  # fmt: skip
def decode_operations(lab: Lab) -> float:
    """OPs of one new token."""
    return _decode(lab).flops


@paper.claim(
    "Decode q_proj of Llama-2-7B: bytes",
    expect=33.6e6,
    unit="B",
    id="c2-bytes",
    kind="executed",
    source=_TABLE,
    tolerance=0.01,
)
def decode_bytes(lab: Lab) -> float:
    """Bytes of one new token: the weights."""
    return _decode(lab).bytes


@paper.claim(
    "Decode q_proj of Llama-2-7B: arithmetic intensity", expect=1.0, unit="FLOP/B", id="c2-intensity", kind="executed",
    source=_TABLE, tolerance=0.01,
)  # fmt: skip
def decode_intensity(lab: Lab) -> float:
    """OPs over bytes."""
    return _decode(lab).intensity


@paper.claim(
    "Decode q_proj of Llama-2-7B is memory-bound: attainable rate on A6000", expect=768e9, unit="FLOP/s", id="c2-bound",
    kind="executed", source=_TABLE, tolerance=0.01, moves={"memory bandwidth": 1},
)  # fmt: skip
def decode_attainable(lab: Lab) -> float:
    """What the roofline allows."""
    return _decode(lab).attainable_flops


@paper.setup("A6000")
def setup(lab: Lab) -> Scenario:
    """The survey's running example: one sequence of 2,048 tokens on one A6000."""
    return lab.scenario(
        model="meta-llama/Llama-2-7b-hf",
        hardware="a6000",
        workload={"isl": 2048, "osl": 128, "batch": 1},
        deployment={"engine": "vllm"},
    )


@paper.analysis
def operators(lab: Lab, scenario: Scenario) -> Analysis:
    """Operators of a decode step and of a prompt on the device's roofline: intensity, what bounds them, share of the
    step's time."""
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
    return Analysis(
        tuple(figures),
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
