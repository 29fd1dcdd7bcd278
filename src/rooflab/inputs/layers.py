"""The model of a scenario as layers: one prompt of the mean length through the whole network, on one device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rooflab.errors import InputError
from rooflab.operators.conv import Conv, Layer, Pass, PatchAttention
from rooflab.operators.formats import StepFormats
from rooflab.operators.networks import Network
from rooflab.operators.ops import AttentionOp, Elementwise, ExpertGemm, Gemm, Operator, RecurrentOp
from rooflab.operators.split import Degrees
from rooflab.operators.step import step_operators
from rooflab.scenario.dtype import dtype
from rooflab.scenario.scenario import Scenario

__all__ = ["network_of"]

_WHOLE: Final = Degrees(1.0, 1.0, 1.0, 1.0, 1.0)
_BYTES: Final = 2.0
"""Of an element: shapes do not depend on formats, so 16 bits are taken."""


def network_of(scenario: Scenario) -> Network:
    """Layers that a prompt of `workload.isl` tokens (or an image) passes; logits are computed for its last token.

    Products of all experts that a token visits are one layer; causal attention counts each pair of tokens, as a dense
    product does. Raises InputError for a model without layers.
    """
    plain = dtype("bf16")
    formats = StepFormats(
        weights=plain,
        activations=plain,
        experts=plain,
        expert_activations=plain,
        kv=plain,
        plain=plain,
        head=plain,
    )
    model = scenario.model
    tokens = model.vision.patches + 1.0 if model.vision else max(float(round(scenario.workload.isl.mean)), 1.0)
    layers = [layer for op in step_operators(model, formats, _WHOLE, tokens, 1.0) for layer in _layers(op, tokens)]
    if not layers:
        raise InputError("has no layers", f"model {model.name}")
    return Network(model.name, model.vision.image if model.vision else 0, tuple(layers), "model of a scenario")


def _layers(op: Operator, tokens: float) -> Iterator[Layer]:
    if isinstance(op, Gemm):
        yield _linear(op.name, float(op.k), float(op.n), float(op.m), op.count * float(op.batch))
    elif isinstance(op, ExpertGemm):
        width = float(op.width) * op.matrices
        yield _linear(op.name, float(op.hidden), width, float(op.assignments), op.count)
    elif isinstance(op, AttentionOp):
        keys = min(op.window, tokens)
        yield PatchAttention(
            name=op.name, windows=1, queries=round(tokens), keys=round(keys), heads=round(float(op.heads)),
            width=round(float(op.heads) * (op.head_dim + op.v_head_dim) / 2), count=round(op.count),
        )  # fmt: skip
    elif isinstance(op, Elementwise):
        yield Pass(op.name, round(float(op.moved_bytes) / (2 * _BYTES)), count=round(op.count))
    elif isinstance(op, RecurrentOp):
        yield Pass(op.name, round(float(op.token_bytes) * tokens / (2 * _BYTES)), count=round(op.count))


def _linear(name: str, inputs: float, outputs: float, rows: float, count: float) -> Conv:
    return Conv(
        name=name, inputs=round(inputs), outputs=round(outputs), kernel=1, groups=1, height=round(rows), width=1,
        in_pixels=round(rows), tokens=True, count=max(round(count), 1),
    )  # fmt: skip
