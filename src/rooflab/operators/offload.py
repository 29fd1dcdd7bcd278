"""Operators of an offloaded deployment: weights become a transfer from their tier, attention to the cache runs on the
host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rooflab.operators.ops import AttentionOp, ExpertGemm, Gemm, Operator, Real, Transfer
from rooflab.scenario.offload import Offload

__all__ = ["offloaded", "stored_bytes"]


def stored_bytes(op: Operator) -> Real:
    """Bytes that one rank keeps of an operator's weights, all its occurrences: all experts, whether a step needs them
    or not."""
    if isinstance(op, Gemm):
        return op.count * op.batch * op.n * op.k * op.weight.bytes
    if isinstance(op, ExpertGemm):
        return op.count * op.experts / op.ep * op.matrices * op.hidden * op.width * op.weight.bytes
    return 0.0


def offloaded(operators: Sequence[Operator], offload: Offload) -> tuple[Operator, ...]:
    """`operators` with every layer's weights streamed once a step (embedding and head stay), and with attention on the
    host."""
    out = list(operators)
    if offload.attention == "cpu":
        out = [replace(op, on_host=True) if isinstance(op, AttentionOp) else op for op in out]
    if offload.weights is not None:
        layers: Real = 0.0
        for op in operators:
            if op.group not in ("head", "embedding"):
                layers = layers + np.asarray(stored_bytes(op), dtype=np.float64)
        out.append(Transfer("weights", "transfer", 1.0, layers, offload.weights))
    return tuple(out)
