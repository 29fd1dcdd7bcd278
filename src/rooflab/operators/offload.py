"""Operators of an offloaded deployment: weights become a transfer from their tier, attention to the cache runs on the
host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rooflab.operators.ops import AttentionOp, Elementwise, ExpertGemm, Gemm, Handover, Operator, Real, Transfer
from rooflab.scenario.model import Experts, Model
from rooflab.scenario.offload import Offload

__all__ = ["host_shares", "mixtures_of", "offloaded", "stored_bytes"]


def stored_bytes(op: Operator) -> Real:
    """Bytes that one rank keeps of an operator's weights, all its occurrences: all experts, whether a step needs them
    or not."""
    if isinstance(op, Gemm):
        return op.count * op.batch * op.n * op.k * op.weight.bytes
    if isinstance(op, ExpertGemm):
        return op.count * op.experts / op.ep * op.matrices * op.hidden * op.width * op.weight.bytes
    return 0.0


def mixtures_of(model: Model) -> int:
    """Layers of a model that have routed experts."""
    return sum(r.count for r in model.runs if isinstance(r.block.ffn, Experts))


def host_shares(offload: Offload | None, layers: int, mixtures: int) -> tuple[float, float]:
    """Shares of all layers, and of the routed experts of the others, that the CPU computes; a model has `layers`, of
    which `mixtures` have experts."""
    if offload is None or not offload.computes:
        return 0.0, 0.0
    whole = 0.0 if offload.gpu_layers is None else max(layers - offload.gpu_layers, 0) / layers
    # experts on the host are those of the first layers, which are the first to be there whole, too
    experts = min((offload.cpu_experts or 0) / mixtures, 1.0) if mixtures else 0.0
    return whole, max(experts - whole, 0.0) / (1.0 - whole) if whole < 1.0 else 0.0


Placed = Gemm | ExpertGemm | AttentionOp
"""Operators that either side can run; passes over hidden states are priced on the device wherever they are."""


def _split(op: Placed, share: float) -> list[Operator]:
    """An operator's occurrences on the device and on the host."""
    if share <= 0.0:
        return [op]
    there = replace(op, count=op.count * share, on_host=True)
    return [there] if share >= 1.0 else [replace(op, count=op.count * (1.0 - share)), there]


def _with_host(operators: Sequence[Operator], whole: float, experts: float) -> list[Operator]:
    out: list[Operator] = []
    for op in operators:
        if not isinstance(op, Placed) or op.group == "embedding":
            out.append(op)
        elif op.group == "head":  # llama.cpp counts it as the last layer
            out += _split(op, 1.0 if whole > 0.0 else 0.0)
        elif isinstance(op, ExpertGemm):
            out += _split(op, whole + (1.0 - whole) * experts)
        else:
            out += _split(op, whole)
    return out


def offloaded(operators: Sequence[Operator], offload: Offload, model: Model) -> tuple[Operator, ...]:
    """`operators` with every layer's weights streamed once a step (embedding and head stay), with attention on the
    host, or with layers and experts there."""
    out = list(operators)
    mixtures = mixtures_of(model)
    whole, experts = host_shares(offload, model.layers, mixtures)
    if whole or experts:
        out = _with_host(operators, whole, experts)
        # a run of whole layers is entered and left once, each mixture on the host once a layer
        times = (2.0 if whole else 0.0) + 2.0 * mixtures * (1.0 - whole) * experts
        entered = next(op for op in operators if isinstance(op, Elementwise) and op.group == "embedding")
        hidden_bytes = entered.moved_bytes / 2.0  # read from the table and written, two bytes each
        out.append(Handover("changes of side", "experts", 1.0, hidden_bytes * times, times))
    if offload.attention == "cpu":
        out = [replace(op, on_host=True) if isinstance(op, AttentionOp) else op for op in out]
    if offload.weights is not None:
        layers: Real = 0.0
        for op in operators:
            if op.group not in ("head", "embedding"):
                layers = layers + np.asarray(stored_bytes(op), dtype=np.float64)
        out.append(Transfer("weights", "transfer", 1.0, layers, offload.weights))
    return tuple(out)
