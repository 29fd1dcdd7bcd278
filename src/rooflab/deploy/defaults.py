"""What an engine does with limits that nobody gave: its own defaults, in one place."""

from __future__ import annotations

from typing import Final

from rooflab.scenario.deployment import Deployment
from rooflab.scenario.hardware import Device
from rooflab.scenario.workload import Workload

__all__ = ["users_at_once", "with_engine_limits"]

_SEQUENCES: Final = 256
_TOKENS: Final = 8192
_SHARE: Final = 0.9
_SGLANG_SHARE: Final = 0.88
"""``mem_fraction_static`` of SGLang's server_args (0.4) on one device; down to 0.81 on eight."""
_LARGE_BYTES: Final = 70 * 2.0**30
_LLAMACPP_TOKENS: Final = 512
"""``n_ubatch`` of llama.cpp: positions whose activations and logits live at once."""
_SHARES: Final = {"llamacpp": 0.98, "sglang": _SGLANG_SHARE}
"""llama.cpp takes what is free; driver and display keep the rest. Assumed."""
_APPLE_SHARE: Final = 0.75
"""What macOS lends the GPU unless `iogpu.wired_limit_mb` says more: Metal's recommendedMaxWorkingSetSize is 73,728 MB
of 96 GB and 11.84 of 16 GB (ggml-org/llama.cpp 3213, AlexsJones/llmfit 754); older systems gave two thirds of 32 GB and
less (llama.cpp 2011)."""
_TRTLLM_SEQUENCES: Final = 2048
"""`max_batch_size` where none is asked of TensorRT-LLM, which memory undercuts. Assumed: the default of BuildConfig was
not looked up, and a guide to trtllm-serve says 256."""
_LLAMACPP_SLOTS: Final = 4
"""Slots of llama-server where nothing says how many users there are (its own choice since late 2025)."""


def users_at_once(workload: Workload) -> int:
    """Sequences that a load asks an engine to hold at the same time; 0 where requests arrive by themselves, or in a
    burst that no client holds back, which tells the engine nothing."""
    return workload.batch or workload.concurrency or (1 if workload.scenario == "batch1" else 0)


def with_engine_limits(deployment: Deployment, device: Device, users: int) -> Deployment:
    """`deployment`, whose engine is chosen, with its engine's defaults for sequences, tokens of a step and share of
    memory where they are open.

    llama.cpp has a slot for each of the `users`, micro-batches of 512 tokens, and all free memory. vLLM holds 1,024
    sequences on devices of 70 GiB and more, but for A100s (EngineArgs of vLLM since 0.8.4), 256 on others; TensorRT-LLM
    2,048.  Other servers are given 256, too, and 8,192 tokens and nine tenths of the memory (TensorRT-LLM: of what the
    weights leave free; SGLang's share is of weights and cache alone). A GPU of Apple's has three
    quarters in any engine.
    """
    limits, engine = deployment.limits, deployment.runtime.engine
    if limits.max_num_seqs and limits.max_num_batched_tokens and limits.gpu_memory_utilization:
        return deployment
    desktop = engine == "llamacpp"
    wide = engine == "vllm" and device.memory_bytes >= _LARGE_BYTES and device.family != "ampere"
    sequences = (users or _LLAMACPP_SLOTS) if desktop else 1024 if wide else _SEQUENCES
    sequences = _TRTLLM_SEQUENCES if engine == "trtllm" else sequences
    share = _APPLE_SHARE if device.kind == "apple" else _SHARES.get(engine, _SHARE)
    return deployment.changed(
        max_num_seqs=limits.max_num_seqs or sequences,
        max_num_batched_tokens=limits.max_num_batched_tokens or (_LLAMACPP_TOKENS if desktop else _TOKENS),
        gpu_memory_utilization=limits.gpu_memory_utilization or share,
    )
