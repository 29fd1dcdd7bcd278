"""QServe (seed 59): 4-bit weights, 8-bit activations and a 4-bit cache, so that products run on int8 units and the
cache is a quarter.

Weights are quantised twice: to int8 per output channel within ±119, then per group of 128 to 4 bits with an int8 scale,
so that W8 = (Q4 − z) · s never leaves int8 and is unpacked in registers (section 4.1).  Decode attention on a 4-bit
cache is bound by the vector units where their rate is low against the bandwidth: every element is unpacked (subtract,
multiply) before it is used (5.3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from rooflab.charts.marks import Series
from rooflab.charts.plot import Plot
from rooflab.costs.engine_constants import using
from rooflab.costs.left_out import without_source
from rooflab.costs.unpacking import unpacking_ops
from rooflab.deploy.engine import engine_of
from rooflab.errors import Infeasible
from rooflab.operators.ops import AttentionOp, Operator
from rooflab.papers.lab import Lab
from rooflab.papers.paper import Paper
from rooflab.papers.published import published
from rooflab.papers.technique import Technique, require
from rooflab.scenario.dtype import dtype
from rooflab.scenario.scenario import Scenario

__all__ = ["QServe", "UnpackedCache", "paper", "widest"]

paper = Paper.from_card(
    "qserve",
    executed="the two-level quantiser's range: every group of int8 weights within the protective range, enumerated.",
    modelled="W4A8 products, attention over a 4-bit cache with its unpacking, memory, and serving of a static batch.",
    assumed="decode attention spends 9.5 fp32 operations on every cached element and query head, which follows from "
    "the paper's kernel "
    "table (its text counts about four); kernels are launched one by one from PyTorch, and the scheduler runs once a "
    "batch, as the "
    "published code does; products run on the int8 curve. No cell of the throughput table takes part in any of these.",
)

_QUANTISED: Final = ("int4", "int4-g32", "nvfp4", "mxfp4", "int2", "int1", "q4_0", "q4_k_m")


@dataclass(frozen=True, slots=True)
class UnpackedCache:
    """A rewrite: attention unpacks every cached element on the vector units; `ops` in fp32 operations an element and
    query head."""

    ops: float

    def __call__(self, operators: Sequence[Operator]) -> tuple[Operator, ...]:
        """Attention operators with `vector_ops`."""
        return tuple(replace(op, vector_ops=self.ops) if isinstance(op, AttentionOp) else op for op in operators)


@paper.technique
class QServe(Technique):
    """Serve with 4-bit weights, 8-bit activations and a 4-bit cache (QoQ, section 4; kernels, section 5)."""

    changes_outputs = True

    def apply(self, scenario: Scenario) -> Scenario:
        """Refuses devices without int8 matrix units, mixtures of experts and checkpoints of few bits."""
        device, model = scenario.hardware.device, scenario.model
        stored = scenario.deployment.formats.weights or model.dtype
        require(model.kind == "decoder", f"{model.name} is no decoder: it has no cache to quantise")
        require(not model.is_moe, f"the W4A8 kernels have no grouped form; {model.name} routes tokens to experts")
        require(dtype(stored).name not in _QUANTISED, f"{model.name} is stored in {stored} already")
        require(bool(device.peak_flops.get("int8")), f"{device.name} has no int8 matrix units")
        changed = replace(scenario, rewrites=(*scenario.rewrites, UnpackedCache(unpacking_ops("int4"))))
        return changed.with_deployment(weights="int4", activations="int8", experts=None, kv="int4")


def widest(protective: int, group: int = 128, levels: int = 16) -> int:
    """Largest magnitude that (Q4 − z) · s takes for any group whose int8 weights lie within ±`protective`: all ends,
    all values."""
    ends = np.arange(-protective, protective + 1)
    low, high = (a.ravel() for a in np.meshgrid(ends, ends, indexing="ij"))
    low, high = np.minimum(low, 0)[low <= high], np.maximum(high, 0)[low <= high]
    scale = np.maximum(np.round((high - low) / (levels - 1)), 1)
    zero = np.clip(np.round(-low / scale), 0, levels - 1)
    most = 0
    for share in np.linspace(0.0, 1.0, min(group, 33)):
        value = low + np.round(share * (high - low))
        code = np.clip(np.round(value / scale) + zero, 0, levels - 1)
        most = max(most, int(np.abs((code - zero) * scale).max()))
    return most


@paper.claim(
    "unpacked weights stay within int8", expect=127.0, bound="at most", tolerance=0.0, id="range", kind="executed",
    source="section 4.1",
    moves={"data: protective range": 1},
)  # fmt: skip
def unpacked_range(lab: Lab) -> float:
    """Largest magnitude over every group with ends in the protective range."""
    return float(widest(lab.data("protective range", 119)))


_TABLES: Final = published(__file__)
_CELLS: Final[Mapping[str, tuple[str, str, int]]] = {name: (m, d, b) for name, (m, d, b) in _TABLES["cells"].items()}
"""Model, device and batch of each cell of the throughput table."""


def _cell(lab: Lab, cell: str, **formats: Any) -> Scenario:
    """A cell of the throughput table: 1,024 in, 512 out, one static batch of the published size on one GPU."""
    model, device, batch = _CELLS[cell]
    deployment = {
        "engine": "pytorch", "tp": 1, "weights": "fp16", "max_num_seqs": batch, "max_num_batched_tokens": 1024,
        "gpu_memory_utilization": 1.0, "cuda_graphs": False, "chunked_prefill": True,
    }  # fmt: skip
    workload = {"isl": 1024, "osl": 512, "batch": batch}
    return lab.scenario(model=model, hardware=device, workload=workload, deployment=deployment | formats)


def _throughput(lab: Lab, cell: str) -> float:
    """Output tokens a second of a cell."""
    return float(lab.estimate(_cell(lab, cell), QServe()).metrics["output_tokens_per_s"])


def _whole_sequences(s: Scenario) -> int:
    """Sequences whose prompt and whole answer fit at once."""
    engine, tokens = engine_of(s), s.workload.mean_prompt_tokens + s.workload.mean_output_tokens
    return int(engine.free_bytes / engine.sequence_bytes(tokens))


def _best_baseline(lab: Lab, cell: str, formats: Sequence[dict[str, Any]]) -> float:
    """TensorRT-LLM at its best: each format with a static batch of as many sequences as fit (in-flight batching is
    off)."""
    model, device, _ = _CELLS[cell]
    best = 0.0
    for f in formats:
        deployment = {
            "engine": "trtllm", "engine_version": "0.9.0", "tp": 1, "max_num_batched_tokens": 1024,
            "gpu_memory_utilization": 1.0,
        } | f  # fmt: skip
        s = lab.scenario(
            model=model, hardware=device, workload={"isl": 1024, "osl": 512, "batch": 1}, deployment=deployment
        )
        if deployment.get("kv") == "int8":
            s = replace(s, rewrites=(UnpackedCache(unpacking_ops("int8")),))
        try:
            batch = _whole_sequences(s)
            if batch:
                s = s.with_workload(batch=batch).with_deployment(max_num_seqs=batch)
                with using(without_source("QServe README")):
                    best = max(best, float(lab.estimate(s).metrics["output_tokens_per_s"]))
        except Infeasible:
            continue
    require(best > 0, f"no TensorRT-LLM format of {model} fits {device}")
    return best


_TRT: Final = ({"weights": "fp16"}, {"weights": "int4"}, {"weights": "int8", "activations": "int8", "kv": "int8"})
_BATCH: Final = (
    "the baseline comes out faster than published, {was}. The table does not say which batches it ran; W4A16 on A100 "
    "agrees for the four "
    "models without grouped heads and comes out fast for those with them, whose cache that release's kernel seems to "
    "read once a query "
    "head."
)


def _gain(lab: Lab, cell: str) -> float:
    """Throughput over that of the best baseline format."""
    return _throughput(lab, cell) / _best_baseline(lab, cell, _TRT)


paper.claims_of(_TABLES["first"], _throughput)
paper.claims_of(_TABLES["gains"], _gain)
paper.claims_of(_TABLES["on_a100"], _throughput)
paper.claims_of(_TABLES["on_l40s"], _throughput)


@paper.claim(
    "Llama-3-8B: L40S with QServe over A100 with TensorRT-LLM", expect=1.0, bound="at least", tolerance=0.0, unit="x",
    id="cheaper",
    source="abstract", moves={"memory bandwidth": 1},
)  # fmt: skip
def cheaper_card(lab: Lab) -> float:
    """Throughput on the cheaper card over that of the best baseline format on the other."""
    return _throughput(lab, "c2") / _best_baseline(lab, "c1", _TRT)


@paper.claim(
    "models of eight that QServe serves faster on L40S than TensorRT-LLM on A100", expect=6.0, unit="models",
    id="l40s-a100",
    source="README", note=_BATCH.format(was="361 to 2,503 tokens/s on A100"),
)  # fmt: skip
def cheaper_models(lab: Lab) -> float:
    """Models, of the table's eight."""
    pairs = [("c1", "c2"), ("c3", "c4"), *((name, f"{name}-l40s") for name in _CELLS if f"{name}-l40s" in _CELLS)]
    return float(sum(_throughput(lab, small) > _best_baseline(lab, large, _TRT) for large, small in pairs))


paper.not_modelled(
    "cost", "dollars a token, L40S with QServe over A100 with TensorRT-LLM", 3.0,
    "rests on what the two cards cost to buy in 2024, for which no source is at hand; rents of the catalogue differ "
    "1.6 to 1.8 times.",
    unit="x",
)  # fmt: skip
paper.not_modelled(
    "c5", "WikiText-2 perplexity of Llama-2-7B, groups of 128", 5.7,
    "needs the model's weights and a run over the text; the published figure stands as the technique's quality cost.",
    unit="ppl",
)  # fmt: skip
paper.quality(
    model="meta-llama/Llama-2-7b-hf",
    task="WikiText-2 perplexity",
    delta=0.23,
    unit="ppl",
    source="QServe README: 5.70 against 5.47 in fp16",
)


@paper.setup("Llama-3-8B on A100")
def setup(lab: Lab) -> Scenario:
    """The first cell of the throughput table."""
    return _cell(lab, "c1")


@paper.draws
def by_batch(lab: Lab) -> Plot:
    """Throughput over batch size, 16 bits and W4A8KV4."""
    batches = (1, 2, 4, 8, 16, 32, 64, 128, 256)
    lines = []
    for name, technique in (("fp16", None), ("W4A8KV4", QServe())):
        points = []
        for b in batches:
            s = _cell(lab, "c1", max_num_seqs=b).with_workload(batch=b)
            points.append(round(float(lab.estimate(s, technique).metrics["output_tokens_per_s"]), 1))
        lines.append(Series(name, tuple(map(float, batches)), tuple(points)))
    return Plot("Llama-3-8B on A100, 1,024 in and 512 out", "sequences", "tokens/s", tuple(lines), log_x=True)
