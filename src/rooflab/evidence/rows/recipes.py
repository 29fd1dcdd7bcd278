"""What the recipes and the client of a published measurement set, where its table does not say.

InferenceX publishes the launch script of every run (github.com/SemiAnalysisAI/InferenceX, `benchmarks/`; the Llama 70B
ones are in its history): cache format, share of memory, tokens a step, and how the scheduler takes up prompts.  Its
client sends ten prompts a user, all users at once, with lengths uniform in 0.8 to 1.0 of the nominal.  The gap analysis
of AIConfigurator holds some of the same runs (ids with `gap_analysis`); its own runs send equal lengths.

Recipes are read per model and device.  fp8 and nvfp4 recipes on NVIDIA devices (October 2025 to April 2026) ask for an
fp8 cache (`kv-cache-dtype: fp8`, `fp8_e4m3`, `kv_cache_config.dtype`), or serve a ModelOpt checkpoint whose own
configuration does, but GLM-5 on H200 and MiniMax-M2.5 on H100, where the flag is absent; bf16, int4 and mxfp4 recipes
leave the cache in 16 bits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["LENGTH_JITTER", "is_inferencex", "recipe", "recipe_cache", "stated_rounds", "stated_settings"]

LENGTH_JITTER: Final = 0.2
"""InferenceX: random-range-ratio 0.8."""
_NARROW: Final = ("fp8", "fp8-block", "nvfp4", "fp4")
_PLAIN_CACHE: Final = {("GLM-5", "H200"), ("MiniMax-M2.5", "H100")}
"""(model, device) of the recipes that leave the cache in 16 bits in spite of narrow weights."""
_REPUBLISHED: Final = ("Qwen3.5-397B-A17B", "Kimi-K2.5")
"""Models of which the gap analysis republishes InferenceX's runs."""


def is_inferencex(row: Mapping[str, str]) -> bool:
    """Whether InferenceX ran a row."""
    return row["source"] == "InferenceX" or "gap_analysis" in row.get("source_url_or_path", "")


def recipe(row: Mapping[str, str], engine: str) -> dict[str, Any]:
    """Deployment fields that a row's recipe sets; empty for other sources and for pools, whose recipes differ by
    row."""
    if not is_inferencex(row) or "disagg" in row["scenario"] or not row["batch_or_concurrency"].isdigit():
        return {}
    users, isl = int(row["batch_or_concurrency"]), float(row["isl"] or 0)
    if engine == "vllm":
        return _vllm(row, isl)
    return _sglang(row, users, isl) if engine == "sglang" else _trtllm(row, users, isl) if engine == "trtllm" else {}


def recipe_cache(row: Mapping[str, str]) -> str | None:
    """The cache format of a row whose table states none, where its source's launch scripts do."""
    source, model = row["source"], row["model"]
    ours = source == "InferenceX" or (
        source == "NVIDIA AIC gap-analysis" and any(name in model for name in _REPUBLISHED)
    )
    if not ours or row["precision_weights"].lower() not in _NARROW:
        return None
    plain = any(name in model and row["gpu"].startswith(device) for name, device in _PLAIN_CACHE)
    return None if plain else "fp8"


def _low(row: Mapping[str, str]) -> bool:
    return row["precision_weights"].lower() in _NARROW


def _vllm(row: Mapping[str, str], isl: float) -> dict[str, Any]:
    """70b_fp8_*, 70b_fp4_b200, gptoss_fp4_*, kimik2.5_{fp4,int4}_*: gpu-memory-utilization 0.9, 8192 tokens a step."""
    out: dict[str, Any] = {"max_num_batched_tokens": 8192}
    if "Kimi" in row["model"]:
        out["max_num_batched_tokens"] = max(int(2 * isl), 2048) if _low(row) else 8192
        out["gpu_memory_utilization"] = 0.9 if _low(row) else 0.95
    if "MiniMax" in row["model"]:
        return _minimax(row)
    return out


def _minimax(row: Mapping[str, str]) -> dict[str, Any]:
    """minimaxm2.5_fp8_{h100,h200}: H100 takes vLLM's own tokens a step, H200 more from 64 users on; both keep attention
    out of the captured graphs, which nothing here prices."""
    if not row["gpu"].startswith("H200"):
        return {"max_num_seqs": 256, "gpu_memory_utilization": 0.9}
    users = int(row["batch_or_concurrency"])
    return {
        "max_num_seqs": 512,
        "max_num_batched_tokens": 16384 if users <= 32 else 32768,
        "gpu_memory_utilization": 0.95,
    }


_SETTINGS: Final = re.compile(r"\b(max_num_seqs|max_num_batched_tokens)\s*=\s*(\d+)")
_NO_GRAPHS: Final = re.compile(r"cuda[ _-]?graphs?\s*(=|:)?\s*(off|disabled|false)|enforce[_-]eager", re.IGNORECASE)
_REQUESTS: Final = re.compile(r"\b([\d,]+) (?:requests|prompts)\b|\bnum[_-]prompts\s*=\s*(\d+)")


def stated_settings(row: Mapping[str, str]) -> dict[str, Any]:
    """Deployment fields that a row's own notes state: limits of the scheduler, graphs switched off."""
    out: dict[str, Any] = {name: int(value) for name, value in _SETTINGS.findall(row["notes"])}
    return out | ({"cuda_graphs": False} if _NO_GRAPHS.search(row["notes"]) else {})


def stated_rounds(row: Mapping[str, str]) -> int | None:
    """Requests that each user of a closed loop sends one behind the other, where a row's notes count the requests."""
    found = _REQUESTS.search(row["notes"])
    if found is None or not row["batch_or_concurrency"].isdigit():
        return None
    requests = int((found[1] or found[2]).replace(",", ""))
    return max(round(requests / max(int(row["batch_or_concurrency"]), 1)), 1)


def _trtllm(row: Mapping[str, str], users: int, isl: float) -> dict[str, Any]:
    """70b_*_trt, gptoss_*_trt, dsr1_*_trt: tokens a step and share of memory.

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
    out["gpu_memory_utilization"] = fraction
    return out
