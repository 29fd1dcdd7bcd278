"""Intervals stay where something can be: within the physical bound, what is offered, and what errors have ever been."""

from __future__ import annotations

import math
from typing import Any

import pytest

import rooflab as rl
from rooflab.evidence.intervals.intervals import intervals

CASES: list[dict[str, Any]] = [
    {"model": "Qwen/Qwen3-30B-A3B", "hardware": "m4-pro", "workload": {"isl": 64, "osl": 161, "batch": 1},
     "deployment": {"engine": "llamacpp", "weights": "q4_k_m"}},
    {"model": "openai/gpt-oss-20b", "hardware": "rx-7900-xt", "workload": {"isl": 64, "osl": 252, "batch": 1},
     "deployment": {"engine": "llamacpp"}},
    {"model": "Llama-3.1-8B", "hardware": "h100-sxm", "workload": {"isl": 1024, "osl": 256, "rate": "2/s"}},
    {"model": "Llama-3.1-70B", "hardware": "8 x h100-sxm", "workload": {"isl": 4096, "osl": 256, "concurrency": 64}},
    {"model": "deepseek-ai/DeepSeek-V3", "hardware": "8 x h200-sxm",
     "workload": {"isl": 1024, "osl": 512, "concurrency": 32}, "deployment": {"engine": "sglang"}},
]  # fmt: skip


@pytest.mark.parametrize("given", CASES)
def test_no_interval_crosses_its_bound(given: dict[str, Any]) -> None:
    found = rl.estimate(given)
    ratio = found.limit_ratio
    assert 0 < ratio <= 1
    for name, i in intervals(found).items():
        assert i.low <= i.value <= i.high
        if name.startswith(("output_tokens_per_s", "requests_per_s")):
            assert i.high <= i.value / ratio * (1 + 1e-9)
            assert math.log(i.value / i.low) <= 1.9 + 1e-9
        if name == "tpot_s_mean":
            assert i.low >= i.value * ratio * (1 - 1e-9)


def test_no_more_comes_out_than_is_offered() -> None:
    found = rl.estimate(CASES[2])
    assert intervals(found)["requests_per_s"].high <= 2.0 * (1 + 1e-9)
