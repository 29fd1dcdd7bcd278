"""What the recipes and the client of a published measurement set, where its table does not say.

InferenceX publishes the launch script of every run (github.com/SemiAnalysisAI/InferenceX, `benchmarks/`; the Llama 70B ones are in
its history): cache format, share of memory, tokens a step, and how the scheduler takes up prompts.  Its client sends ten prompts a
user, all users at once, with lengths uniform in 0.8 to 1.0 of the nominal.  The gap analysis of AIConfigurator holds some of the
same runs (ids with `gap_analysis`); its own runs send equal lengths.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["LENGTH_JITTER", "is_inferencex", "recipe"]

LENGTH_JITTER: Final = 0.2
"""InferenceX: random-range-ratio 0.8."""
_EIGHT_BITS: Final = ("fp8", "fp8-block", "nvfp4", "fp4")
_STATIC_MARGIN: Final = 0.03
"""SGLang's mem-fraction-static counts weights and cache alone; what runs beside them (2 GB, activations) is about this share of memory."""


def is_inferencex(row: Mapping[str, str]) -> bool:
    """Whether InferenceX ran a row."""
    return row["source"] == "InferenceX" or "gap_analysis" in row["source_url_or_path"]


def recipe(row: Mapping[str, str], engine: str) -> dict[str, Any]:
    """Deployment fields that a row's recipe sets; empty for other sources and for pools, whose recipes differ by row."""
    if not is_inferencex(row) or "disagg" in row["scenario"] or not row["batch_or_concurrency"].isdigit():
        return {}
    users, isl = int(row["batch_or_concurrency"]), float(row["isl"] or 0)
    if engine == "vllm":
        return _vllm(row, isl)
    return _sglang(row, users, isl) if engine == "sglang" else _trtllm(row, users, isl) if engine == "trtllm" else {}


def _low(row: Mapping[str, str]) -> bool:
    return row["precision_weights"].lower() in _EIGHT_BITS


def _vllm(row: Mapping[str, str], isl: float) -> dict[str, Any]:
    """70b_fp8_*, 70b_fp4_b200, gptoss_fp4_*, kimik2.5_{fp4,int4}_*: gpu-memory-utilization 0.9, 8192 tokens a step, fp8 cache."""
    out: dict[str, Any] = {"max_num_batched_tokens": 8192}
    if _low(row):
        out["kv"] = "fp8"
    if "Kimi" in row["model"]:
        out["max_num_batched_tokens"] = max(int(2 * isl), 2048) if _low(row) else 8192
        out["gpu_memory_utilization"] = 0.9 if _low(row) else 0.95
    return out


def _trtllm(row: Mapping[str, str], users: int, isl: float) -> dict[str, Any]:
    """70b_*_trt, gptoss_*_trt, dsr1_*_trt: fp8 cache but for gpt-oss on Hopper, which is also what fits assume for these weights.

    Llama 70B at 1k/1k on less than 8 GPUs waits up to 20 steps for company (batch_wait_timeout_iters 20, ratio 0.9).
    """
    if "70B" in row["model"]:
        waits = row["isl"] == row["osl"] == "1024" and int(row["tp"] or 1) < 8
        return {"max_num_batched_tokens": 16384, "batch_wait_steps": 20 if waits else 0}
    if "gpt-oss" in row["model"]:
        return {"max_num_batched_tokens": 20000, "gpu_memory_utilization": 0.9}
    return {"max_num_batched_tokens": max(8192, int((users + isl + 127) // 64 * 64))}


def _sglang(row: Mapping[str, str], users: int, isl: float) -> dict[str, Any]:
    """dsr1_*, qwen3.5_*, glm5_* : scheduler-recv-interval 10, and 30 from 16 users on, on B200; every step on H200."""
    model, blackwell = row["model"], row["gpu"].startswith("B200")
    fraction, chunk, every = 0.82, 16384, 1
    if "GLM" in model:
        fraction, chunk = (0.9, 32768) if "fp4" in row["precision_weights"] else (0.85, 32768)
        every = 10 if "fp4" in row["precision_weights"] else 1
    elif blackwell:
        every = 30 if users >= 16 else 10
        if "DeepSeek" in model and "fp8" in row["precision_weights"]:
            chunk = 32768
            if row["tp"] == "4":
                fraction, chunk, every = 0.95, 8192, 10
    out: dict[str, Any] = {"max_num_batched_tokens": chunk, "admit_every": every}
    out["gpu_memory_utilization"] = min(fraction + _STATIC_MARGIN, 0.97)
    if _low(row) and (blackwell or "GLM" not in model):  # glm5_fp8_h200 leaves the cache as it is
        out["kv"] = "fp8"
    return out
