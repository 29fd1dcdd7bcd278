"""QServe (seed 59): 4-bit weights, 8-bit activations and a 4-bit cache, so that products run on int8 units and the
cache is a quarter.

Weights are quantised twice: to int8 per output channel within ±119, then per group of 128 to 4 bits with an int8 scale,
so that W8 = (Q4 − z) · s never leaves int8 and is unpacked in registers (section 4.1; `weights` does it).  Decode
attention on a 4-bit cache is bound by the vector units where their rate is low against the bandwidth: every element is
unpacked (subtract, multiply) before it is used (5.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np

from rooflab.charts.marks import Series
from rooflab.charts.plot import Plot
from rooflab.costs.engine_constants import using
from rooflab.costs.left_out import without_source
from rooflab.costs.unpacking import unpacking_ops
from rooflab.deploy.engine import engine_of
from rooflab.errors import Infeasible
from rooflab.library.serving.qserve.levels import INT8, second_level
from rooflab.library.serving.qserve.weights import PackWeights
from rooflab.operators.ops import AttentionOp, Operator
from rooflab.papers.lab import Lab
from rooflab.papers.paper import Paper
from rooflab.papers.parameters import PositiveFloat
from rooflab.papers.technique import Technique, require
from rooflab.scenario.dtype import dtype
from rooflab.scenario.scenario import Scenario

__all__ = ["QServe", "UnpackedCache", "paper", "widest"]

paper = Paper.beside(__file__)
paper.method(PackWeights)

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
    """Serve with 4-bit weights, 8-bit activations and a 4-bit cache (QoQ, section 4; kernels, section 5); attention
    spends `unpack_ops` fp32 operations on a cached element and query head."""

    changes_outputs = True
    unpack_ops: PositiveFloat = unpacking_ops("int4")

    def apply(self, scenario: Scenario) -> Scenario:
        """Refuses devices without int8 matrix units, mixtures of experts and checkpoints of few bits."""
        device, model = scenario.hardware.device, scenario.model
        stored = scenario.deployment.formats.weights or model.dtype
        require(model.kind == "decoder", f"{model.name} is no decoder: it has no cache to quantise")
        require(not model.is_moe, f"the W4A8 kernels have no grouped form; {model.name} routes tokens to experts")
        require(dtype(stored).name not in _QUANTISED, f"{model.name} is stored in {stored} already")
        require(bool(device.peak_flops.get("int8")), f"{device.name} has no int8 matrix units")
        changed = replace(scenario, rewrites=(*scenario.rewrites, UnpackedCache(self.unpack_ops)))
        return changed.with_deployment(weights="int4", activations="int8", experts=None, kv="int4")


def widest(protective: int) -> int:
    """Largest magnitude that (Q4 − z) · s takes for any group whose int8 weights lie within ±`protective`.

    Codes grow with weights, so a group's ends unpack to its largest magnitude: all pairs of ends stand for all groups.
    """
    ends = np.arange(-protective, protective + 1)
    pairs = np.stack(np.meshgrid(ends, ends, indexing="ij"), axis=-1).reshape(-1, 2)
    codes, scale, zero = second_level(pairs)
    return int(np.abs((codes - zero[:, None]) * scale[:, None]).max())


@paper.claim("range")
def unpacked_range(lab: Lab) -> float:
    """Largest magnitude over every group with ends in the protective range."""
    protective = lab.data("protective range", 119) if lab.with_idea() else INT8
    return lab.cached(("widest", protective), lambda: float(widest(protective)))


_CELLS: Final = {
    "c1": ("meta-llama/Meta-Llama-3-8B", "a100-80gb-sxm", 256), "c2": ("meta-llama/Meta-Llama-3-8B", "l40s", 128),
    "c3": ("Qwen/Qwen1.5-72B", "a100-80gb-sxm", 32), "c4": ("Qwen/Qwen1.5-72B", "l40s", 4),
    "llama-2-7b": ("meta-llama/Llama-2-7b-hf", "a100-80gb-sxm", 190),
    "mistral-7b": ("mistralai/Mistral-7B-v0.1", "a100-80gb-sxm", 256),
    "llama-2-13b": ("meta-llama/Llama-2-13b-hf", "a100-80gb-sxm", 128),
    "llama-30b": ("huggyllama/llama-30b", "a100-80gb-sxm", 64),
    "yi-34b": ("01-ai/Yi-34B", "a100-80gb-sxm", 196),
    "llama-2-70b": ("meta-llama/Llama-2-70b-hf", "a100-80gb-sxm", 96),
    "llama-2-7b-l40s": ("meta-llama/Llama-2-7b-hf", "l40s", 128),
    "mistral-7b-l40s": ("mistralai/Mistral-7B-v0.1", "l40s", 128),
    "llama-2-13b-l40s": ("meta-llama/Llama-2-13b-hf", "l40s", 75),
    "llama-30b-l40s": ("huggyllama/llama-30b", "l40s", 32),
    "yi-34b-l40s": ("01-ai/Yi-34B", "l40s", 64),
    "llama-2-70b-l40s": ("meta-llama/Llama-2-70b-hf", "l40s", 24),
}  # fmt: skip


def _cell(lab: Lab, cell: str, **formats: Any) -> Scenario:
    """A cell of the throughput table: 1,024 in, 512 out, one static batch of the published size on one GPU."""
    model, device, size = _CELLS[cell]
    batch = lab.data("batch of the table", size)
    deployment = {
        "engine": "pytorch", "tp": 1, "weights": "fp16", "max_num_seqs": batch, "max_num_batched_tokens": 1024,
        "gpu_memory_utilization": 1.0, "cuda_graphs": False, "chunked_prefill": True,
    }  # fmt: skip
    workload = {"isl": 1024, "osl": 512, "batch": batch}
    return lab.scenario(model=model, hardware=device, workload=workload, deployment=deployment | formats)


_TEXT_OPS: Final = 4.0
"""Operations on a cached element that the paper's text counts: unpack, subtract, multiply, use."""


def _unpack_ops(lab: Lab, cache: str, kernel: str) -> float:
    """fp32 operations that attention spends on an element of a cache of few bits and a query head."""
    fitted = unpacking_ops(cache)
    source = "the paper's text counts about four for its own; latencies of its kernel table give the other end"
    return lab.assume(f"operations on a cached element, {kernel}", fitted, low=_TEXT_OPS, high=fitted, source=source)


def _throughput(lab: Lab, cell: str) -> float:
    ops = _unpack_ops(lab, "int4", "4-bit kernel")
    return float(lab.estimate(_cell(lab, cell), QServe(unpack_ops=ops)).metrics["output_tokens_per_s"])


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
            s = replace(s, rewrites=(UnpackedCache(_unpack_ops(lab, "int8", "TensorRT-LLM's 8-bit kernel")),))
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


for _cell_name in _CELLS:
    paper.claim(_cell_name)(partial(_throughput, cell=_cell_name))


def _gain(lab: Lab, cell: str) -> float:
    """Throughput over that of the best baseline format."""
    return _throughput(lab, cell) / _best_baseline(lab, cell, _TRT)


for _cell_name in ("c1", "c2", "c3", "c4"):
    paper.claim(f"{_cell_name}-ratio")(partial(_gain, cell=_cell_name))


@paper.claim("cheaper")
def cheaper_card(lab: Lab) -> float:
    """Throughput on the cheaper card over that of the best baseline format on the other."""
    return _throughput(lab, "c2") / _best_baseline(lab, "c1", _TRT)


@paper.claim("l40s-a100")
def cheaper_models(lab: Lab) -> float:
    """Models, of the table's eight."""
    pairs = [("c1", "c2"), ("c3", "c4"), *((n.removesuffix("-l40s"), n) for n in _CELLS if n.endswith("-l40s"))]
    return float(sum(_throughput(lab, small) > _best_baseline(lab, large, _TRT) for large, small in pairs))


for _cell_name, _setup_name in (
    ("c1", "Llama-3-8B on A100"), ("c2", "Llama-3-8B on L40S"), ("c3", "Qwen1.5-72B on A100"),
    ("c4", "Qwen1.5-72B on L40S"),
):  # fmt: skip
    paper.setup(_setup_name)(partial(_cell, cell=_cell_name))


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
