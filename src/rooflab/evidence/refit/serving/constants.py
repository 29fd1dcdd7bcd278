"""Which constants are fitted for whom: kernels of an engine's own, block-scaled experts, another vendor's backends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from rooflab.evidence.fit.priors import ENGINE_PRIORS, EXPERT_PRIORS, KERNEL_PRIORS, READ_PRIORS, Prior
from rooflab.evidence.fit.serving import FitRow
from rooflab.evidence.refit.serving.rows import block_scaled, engine_key

__all__ = ["backend_priors", "engine_priors", "few_reads"]

_ATTENTION: Final = ("decode_attention", "regroup")
_OWN_KERNELS: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("llamacpp@2025", "lmdeploy@2025", "deepspeed@2025"), tuple(KERNEL_PRIORS)),
    "trtllm@2023": ("memory", *_ATTENTION),
    **dict.fromkeys(("vllm@2023", "vllm@2024"), _ATTENTION),
}
"""Engines and generations with kernels that the tables do not time, and what of them is fitted: all of llama.cpp's,
TurboMind's and DeepSpeed's, the products and decode attention of the first TensorRT-LLM, the paged attention of vLLM
before v1."""
_FEW_READS: Final = ("llamacpp@2025",)
"""Engines that run none of the tables' kernels: their rows say nothing of how a device's clocks differ from its
relative's."""


def engine_priors(name: str, kind: str, rows: Sequence[FitRow]) -> dict[str, Prior]:
    """Constants that are fitted for an engine and generation: host terms, factors on kernels of its own, block-scaled
    experts."""
    if kind.startswith("moe"):
        return {**ENGINE_PRIORS, **(EXPERT_PRIORS if any(block_scaled(r) for r in rows) else {})}
    own = {k: KERNEL_PRIORS[k] for k in _OWN_KERNELS.get(name, ())}
    return {**ENGINE_PRIORS, **own, **(READ_PRIORS if name in _FEW_READS else {})}


_BACKEND: Final = (
    "fixed_s",
    "layer_s",
    "sequence_s",
    "skew",
    "prefill_attention",
    "decode_attention",
    "regroup",
    "prompt_s",
)
_UNFUSED: Final = Prior(1.0, 6.0, 0.7, 200.0, 5.0)
"""Prefill attention where nobody tables it: a kernel that is not fused sends its scores through memory, tens of times
the arithmetic."""


def backend_priors(name: str) -> dict[str, Prior]:
    """Constants of an engine's backend for a family without tables; the family's own factors stand for its products."""
    every = {**ENGINE_PRIORS, **KERNEL_PRIORS}
    return {
        **{k: every[k] for k in _BACKEND},
        "prefill_attention": _UNFUSED,
        **(READ_PRIORS if name in _FEW_READS else {}),
    }


def few_reads(row: FitRow) -> bool:
    """Whether the row is of an engine that runs none of the tables' kernels."""
    return engine_key(row).partition("/")[0] in _FEW_READS
