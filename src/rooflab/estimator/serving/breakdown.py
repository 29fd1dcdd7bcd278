"""Where a step's time goes, operator by operator: the same operators and prices that the step cost is compiled from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rooflab.costs.attention_rows import attention_row
from rooflab.costs.compile import Rewrite
from rooflab.costs.engine_constants import engine_overhead
from rooflab.costs.launches import host_s, prompt_launches_s
from rooflab.costs.price import Bench, bench_for, compute_of, price
from rooflab.costs.step import ATTENTION_FIELDS
from rooflab.estimator.serving.answer import Estimate
from rooflab.operators.formats import StepFormats, formats_of
from rooflab.operators.ops import AttentionOp, ExpertGemm, Gemm, Operator, RecurrentOp
from rooflab.operators.split import degrees_of
from rooflab.operators.step import step_operators
from rooflab.scenario.scenario import Scenario

__all__ = ["OperatorRow", "breakdown", "step_rows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorRow:
    """One operator in one phase, per device, all its occurrences in the depth of the model.

    `share` of the step's time; `flops`, `bytes` (weights, cache, activations) and `link_bytes` moved; `bound_by`
    "compute", "memory", "link", "launch" or "host": the term that is largest; `limit_s` the roofline of the same work.
    `intensity` FLOP a byte, `achieved_flops` FLOP/s.
    """

    name: str
    group: str
    phase: str
    seconds: float
    share: float
    flops: float
    bytes: float
    link_bytes: float
    limit_s: float
    bound_by: str
    provenance: str

    @property
    def intensity(self) -> float:
        """FLOP a byte of device memory; 0 where nothing is computed."""
        return self.flops / self.bytes if self.bytes else 0.0

    @property
    def achieved_flops(self) -> float:
        """FLOP/s reached."""
        return self.flops / self.seconds if self.seconds else 0.0


def breakdown(estimate: Estimate) -> list[OperatorRow]:
    """Operators of the mean decode step and of one prompt's prefill, longest first within each phase."""
    s = estimate.scenario
    lanes = s.deployment.split.pp
    rows: list[OperatorRow] = []
    prompt, output = s.workload.mean_prompt_tokens, s.workload.mean_output_tokens
    if s.model.vision:
        prompt = s.model.vision.patches + 1.0
    in_use = min(float(s.deployment.cluster.replicas or 1), max(float(estimate.metrics["running"]), 1.0))
    running = max(float(estimate.metrics["running"]) / in_use / lanes, 1.0)
    if s.model.kind == "decoder" and output > 1:
        beams = s.workload.beams
        rows += step_rows(s, "decode", n_decode=running * beams, context=running * (prompt + beams * output / 2))
    together = running if s.workload.mode == "static" else 1.0
    pairs = together * prompt**2 * (0.5 if s.model.kind == "decoder" else 1.0)
    if s.model.kind != "encoder-decoder":
        rows += step_rows(s, "prefill", n_prefill=together, prefill_tokens=together * prompt, area=pairs)
    return rows


def step_rows(
    scenario: Scenario,
    phase: str,
    *,
    n_decode: float = 0.0,
    context: float = 0.0,
    n_prefill: float = 0.0,
    prefill_tokens: float = 0.0,
    area: float = 0.0,
) -> list[OperatorRow]:
    """Operators of one step of a completed scenario's engine, longest first, host time last; arguments as
    `StepCosts.step`."""
    d = scenario.deployment
    formats = formats_of(scenario.model, scenario.hardware.device, d)
    overhead = engine_overhead(d.runtime, moe=scenario.model.is_moe, family=scenario.hardware.device.family)
    bench = bench_for(scenario.hardware, d.runtime.engine, overhead)
    split = degrees_of(d.split)
    operators: tuple[Operator, ...] = step_operators(
        scenario.model, formats, split, np.float64(n_decode + prefill_tokens), np.float64(n_decode + n_prefill)
    )
    rewrites: tuple[Rewrite, ...] = scenario.rewrites
    for rewrite in rewrites:
        operators = tuple(rewrite(operators))
    load = {
        "n_decode": n_decode,
        "context": context,
        "n_prefill": n_prefill,
        "prefill_tokens": prefill_tokens,
        "area": area,
    }
    parts = [_row(op, phase, bench, formats, load) for op in operators]
    merged: dict[str, OperatorRow] = {}
    for row in parts:
        merged[row.name] = _add(merged[row.name], row) if row.name in merged else row
    step_s = host_s(scenario.model, formats, overhead)
    launches_s = prompt_launches_s(scenario.model, overhead) if n_prefill > 0 and n_decode <= 0 else 0.0
    if overhead.eager:
        step_s, launches_s = 0.0, max(step_s, launches_s)
    # launches hide behind the kernels
    step_s += max(launches_s - sum(r.seconds for r in merged.values()), 0.0)
    rows = sorted((r for r in merged.values() if r.seconds > 0), key=lambda r: -r.seconds)
    rows.append(
        OperatorRow(
            name="host",
            group="host",
            phase=phase,
            seconds=step_s + overhead.sequence_s * (n_decode + n_prefill),
            share=0.0,
            flops=0.0,
            bytes=0.0,
            link_bytes=0.0,
            limit_s=0.0,
            bound_by="host",
            provenance=overhead.provenance,
        )
    )
    total = sum(r.seconds for r in rows)
    return [_with_share(r, total) for r in rows]


def _with_share(r: OperatorRow, total: float) -> OperatorRow:
    values = {name: getattr(r, name) for name in OperatorRow.__dataclass_fields__}
    return OperatorRow(**(values | {"share": r.seconds / total if total else 0.0}))


def _add(a: OperatorRow, b: OperatorRow) -> OperatorRow:
    """Two runs of the same operator as one row; the longer one says what bounds it."""
    longer = a if a.seconds >= b.seconds else b
    return OperatorRow(
        name=a.name, group=a.group, phase=a.phase, seconds=a.seconds + b.seconds, share=0.0, flops=a.flops + b.flops,
        bytes=a.bytes + b.bytes,
        link_bytes=a.link_bytes + b.link_bytes,
        limit_s=a.limit_s + b.limit_s, bound_by=longer.bound_by, provenance=longer.provenance,
    )  # fmt: skip


def _one(value: Any) -> float:
    return float(np.asarray(value, dtype=np.float64).reshape(-1)[0])


def _row(op: Operator, phase: str, bench: Bench, formats: StepFormats, load: dict[str, float]) -> OperatorRow:
    device = bench.device
    if isinstance(op, (AttentionOp, RecurrentOp)):
        return _mixer_row(op, phase, bench, formats, load)
    p = price(op, bench)
    seconds, flops, link = _one(p.seconds), _one(p.flops), _one(p.link_bytes)
    moved = _one(op.count * getattr(op, "memory_bytes", 0.0))
    if isinstance(op, ExpertGemm):
        moved = _one(p.bytes)  # the experts that routing touches on this device's curve
    compute_s = 0.0
    provenance = bench.kernels.provenance
    if isinstance(op, (Gemm, ExpertGemm)):
        compute_s = flops / bench.peak(compute_of(op.weight, op.act))
    memory_s = moved / device.memory_bytes_per_s
    link_s = link / max(device.scale_up.bytes_per_s, 1.0) if link else 0.0
    limits = {"compute": compute_s, "memory": memory_s, "link": link_s}
    limit_s = max(limits.values())
    bound_by = max(limits, key=lambda k: limits[k]) if limit_s > 0.3 * seconds else "launch"
    return OperatorRow(
        name=op.name,
        group=op.group,
        phase=phase,
        seconds=seconds,
        share=0.0,
        flops=flops,
        bytes=moved,
        link_bytes=link,
        limit_s=limit_s,
        bound_by=bound_by,
        provenance=provenance,
    )


def _mixer_row(
    op: AttentionOp | RecurrentOp, phase: str, bench: Bench, formats: StepFormats, load: dict[str, float]
) -> OperatorRow:
    row = {name: _one(value) for name, value in attention_row(op, bench, formats).items()}
    assert set(row) == set(ATTENTION_FIELDS)
    n, q, window = load["n_decode"], load["prefill_tokens"], row["window"]
    seen = n * min(load["context"] / n, window) if n else 0.0
    pairs = load["area"] if window == float("inf") else min(load["area"], q * window)
    launch_s = (row["dec_launch_s"] if n else 0.0) + (row["pre_launch_s"] if q else 0.0)
    seconds = (
        launch_s + n * row["dec_seq_s"] + seen * row["dec_ctx_s"] + q * row["pre_token_s"] + pairs * row["pre_area_s"]
    )
    flops = (
        n * row["dec_seq_flops"]
        + seen * row["dec_ctx_flops"]
        + q * row["pre_token_flops"]
        + pairs * row["pre_area_flops"]
    )
    moved = n * row["dec_seq_bytes"] + seen * row["dec_ctx_bytes"] + q * row["pre_token_bytes"]
    compute_s, memory_s = flops / bench.peak("bf16"), moved / bench.device.memory_bytes_per_s
    limit_s = max(compute_s, memory_s)
    bound_by = "launch" if launch_s > 0.5 * seconds else "compute" if compute_s > memory_s else "memory"
    return OperatorRow(
        name=op.name,
        group=op.group,
        phase=phase,
        seconds=seconds,
        share=0.0,
        flops=flops,
        bytes=moved,
        link_bytes=0.0,
        limit_s=limit_s,
        bound_by=bound_by,
        provenance=bench.kernels.provenance,
    )
