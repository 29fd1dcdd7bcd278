"""Seconds that an engine's host spends on a step whatever it holds: scheduling, and launches that no graph hides."""

from __future__ import annotations

from typing import Final

from rooflab.costs.engine_constants import EngineOverhead
from rooflab.operators.formats import StepFormats
from rooflab.scenario.model import Experts, LatentAttention, Model

__all__ = ["host_s", "prompt_launches_s"]

_UNFUSED: Final = ("int4", "int8")
"""Formats of experts (GPTQ, AWQ) whose fused kernels came after those of 16 bits and fp8."""


def host_s(model: Model, formats: StepFormats, overhead: EngineOverhead) -> float:
    """fixed + layer · layers · (launches of a format over those of 16 bits) + expert · experts of all layers, seconds.

    Layers of unpacked weights take more launches in an eager engine; experts that no kernel fuses are launched one by
    one, whether they have tokens or not.
    """
    bits = formats.weights.element_bits
    more = overhead.launches_4bit if bits <= 4 else overhead.launches_8bit if bits <= 8 else 1.0
    out = overhead.fixed_s + overhead.layer_s * model.layers * more
    if overhead.expert_s and formats.experts.name in _UNFUSED:
        ffns = ((run.count, run.block.ffn) for run in model.runs)
        out += overhead.expert_s * sum(count * ffn.experts for count, ffn in ffns if isinstance(ffn, Experts))
    return out


_LATENT: Final = 1.35e-3 / 4.6e-4
"""Launches of a layer with latent attention over those of others: 82.6 ms for one token through the 61 layers of
DeepSeek-V3 (sgl-project/sglang pull 12160) where Qwen3-4B takes 16.5 for 36 (see `EngineOverhead.prompt_layer_s`)."""


def prompt_launches_s(model: Model, overhead: EngineOverhead) -> float:
    """Seconds in which the host launches the kernels of a step with prompts that no graph holds: one that finds the
    engine idle takes as long at least."""
    latent = sum(run.count for run in model.runs if any(isinstance(m, LatentAttention) for m in run.block.mixers))
    return overhead.prompt_layer_s * (model.layers + (_LATENT - 1) * latent)
