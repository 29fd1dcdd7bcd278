"""Which constants are fitted for whom: kernels of an engine's own, block-scaled experts, another vendor's backends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from rooflab.costs.engine_constants import EngineOverhead, ServingCalibration
from rooflab.evidence.fit.priors import EAGER_PRIORS, ENGINE_PRIORS, EXPERT_PRIORS, KERNEL_PRIORS, READ_PRIORS, Prior
from rooflab.evidence.fit.serving import FitRow
from rooflab.evidence.refit.serving.rows import block_scaled, engine_key

__all__ = ["backend_priors", "before", "engine_priors", "few_reads"]

_ATTENTION: Final = ("decode_attention", "regroup")
_OWN_KERNELS: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("llamacpp@2024", "llamacpp@2025", "lmdeploy@2025", "deepspeed@2025"), tuple(KERNEL_PRIORS)),
    **dict.fromkeys(("trtllm@2023", "trtllm@2024-02"), ("memory", *_ATTENTION)),
    **dict.fromkeys(("vllm@2023", "vllm@2024"), _ATTENTION),
}
"""Engines and generations with kernels that the tables do not time, and what of them is fitted: all of llama.cpp's,
TurboMind's and DeepSpeed's, the products and decode attention of TensorRT-LLM before 0.10, the paged attention of vLLM
before v1."""
_FEW_READS: Final = ("llamacpp@2024", "llamacpp@2025")
"""Engines that run none of the tables' kernels: their rows say nothing of how a device's clocks differ from its
relative's."""
_FOLLOWS: Final[Mapping[str, str]] = {"llamacpp@2025": "llamacpp@2024"}
"""Generations with kernels of their own that go on from those of another, of which more is measured."""


def engine_priors(name: str, kind: str, rows: Sequence[FitRow], found: EngineOverhead) -> dict[str, Prior]:
    """Constants that are fitted for an engine and generation: host terms, factors on kernels of its own, block-scaled
    experts; `found` is the entry from which they start.

    A generation of kernels of its own that follows another one differs from that by half of what was expected before.
    """
    if found.eager:
        return dict(EAGER_PRIORS)
    if kind.startswith("moe"):
        return {**ENGINE_PRIORS, **(EXPERT_PRIORS if any(block_scaled(r) for r in rows) else {})}
    own = {k: KERNEL_PRIORS[k] for k in _OWN_KERNELS.get(name, ())}
    every = {**ENGINE_PRIORS, **own, **(READ_PRIORS if name in _FEW_READS else {})}
    return {k: _near(p, float(getattr(found, k))) for k, p in every.items()} if name in _FOLLOWS else every


def _near(prior: Prior, value: float) -> Prior:
    return replace(prior, mean=min(max(value, prior.low), prior.high), width=prior.width / 2)


def before(key: str, table: ServingCalibration) -> EngineOverhead:
    """The entry from which an entry's constants start: its own, or the one that prices it without.

    A mixture runs on its engine's own kernels, whose factors the rows of dense models tell; a generation that follows
    another one starts from that.
    """
    name, _, kind = key.partition("/")
    engine, _, generation = name.partition("@")
    earlier = table.engines.get(f"{_FOLLOWS.get(name)}/{kind}")
    if earlier is not None:
        return earlier
    own = table.engines.get(key) or table.engine(engine, generation, kind)
    dense = table.engines.get(f"{name}/dense")
    if kind != "moe" or name not in _OWN_KERNELS or dense is None:
        return own
    return replace(own, **{k: getattr(dense, k) for k in (*KERNEL_PRIORS, *READ_PRIORS)})


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
