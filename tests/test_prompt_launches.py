"""Prompts that no graph holds: the host's launches are the least that the first token of a lone request takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rooflab as rl
from rooflab.estimator.serving.breakdown import breakdown

LAYERS = {"meta-llama/Llama-3.1-8B": 32, "Qwen/Qwen3-30B-A3B": 48}
LAYER_S = 4.6e-4


def first_token_s(isl: int, *, model: str = "meta-llama/Llama-3.1-8B", **deployment: Any) -> float:
    """Of one request alone, seconds."""
    fields = {
        "model": model,
        "hardware": "h100-sxm",
        "workload": {"isl": isl, "osl": 16, "batch": 1},
        "deployment": {"engine": "sglang", "tp": 1, **deployment},
    }
    return float(rl.estimate(rl.load(fields)).metrics["ttft_s_mean"])


@pytest.mark.parametrize("model", LAYERS)
def test_a_short_prompt_takes_its_launches(model: str) -> None:
    least = LAYERS[model] * LAYER_S
    assert least <= first_token_s(1, model=model) < 1.2 * least + 1e-3


def test_the_first_token_is_flat_while_launches_last_longer_than_kernels() -> None:
    assert first_token_s(128) == pytest.approx(first_token_s(1), rel=0.02)


def test_launches_hide_behind_the_kernels_of_a_long_prompt() -> None:
    assert first_token_s(4096) == pytest.approx(first_token_s(4096, engine_version="0.5.10"), rel=1e-9)


@pytest.mark.parametrize(
    ("version", "captured"),
    [
        ("", False), ("0.4.6", False), ("0.5.9", False), ("2026-03", False), ("0.5.10", True), ("0.5.16.post1", True),
        ("0.6.0", True), ("2026-04-07", True),
    ],
)  # fmt: skip
def test_later_versions_hold_prompts_in_graphs(version: str, captured: bool) -> None:
    assert (first_token_s(64, engine_version=version) < 32 * LAYER_S) is captured


def test_without_graphs_a_later_version_launches_too() -> None:
    assert first_token_s(64, engine_version="0.5.10", cuda_graphs=False) >= 32 * LAYER_S


def test_other_engines_are_as_they_were() -> None:
    assert first_token_s(64, engine="vllm") < 32 * LAYER_S


def test_tensorrt_llm_launches_prompts_since_pytorch_runs_its_models() -> None:
    assert first_token_s(64, engine="trtllm") >= 32 * LAYER_S
    assert first_token_s(64, engine="trtllm", engine_version="0.12.0") < 32 * LAYER_S


def _deepseek(engine: str, isl: int, users: int) -> rl.Scenario:
    return rl.load(
        {
            "model": "deepseek-ai/DeepSeek-V3", "hardware": "8 x b200-sxm",
            "workload": {"isl": isl, "osl": 1024, "concurrency": users, "length_jitter": 0.2},
            "deployment": {"engine": engine, "tp": 8, "replicas": 1, "weights": "fp8", "activations": "fp8"},
        }
    )  # fmt: skip


def test_layers_with_latent_attention_take_more_launches() -> None:
    """82.6 ms for one token through the 61 layers of DeepSeek-V3 (sgl-project/sglang pull 12160)."""
    fields = {
        "model": "deepseek-ai/DeepSeek-V3", "hardware": "8 x b200-sxm", "workload": {"isl": 1, "osl": 16, "batch": 1},
        "deployment": {"engine": "sglang", "tp": 8, "replicas": 1},
    }  # fmt: skip
    assert 0.0826 * 0.95 < rl.estimate(fields).metrics["ttft_s_mean"] < 0.0826 * 1.15


@pytest.mark.parametrize(("engine", "isl", "users"), [("sglang", 1024, 4), ("trtllm", 1024, 32), ("trtllm", 256, 64)])
def test_users_of_a_loop_wait_for_launches_in_both_engines(engine: str, isl: int, users: int) -> None:
    asked = _deepseek(engine, isl, users)
    told, seen = rl.estimate(asked).metrics["ttft_s_mean"], rl.simulate(asked).metrics["ttft_s_mean"]
    assert told == pytest.approx(seen, rel=0.08)
    assert told > 61 * 1.35e-3


def test_operators_of_a_prompt_add_up_to_its_step() -> None:
    s = rl.load(
        {
            "model": "meta-llama/Llama-3.1-8B", "hardware": "h100-sxm", "workload": {"isl": 64, "osl": 16, "batch": 1},
            "deployment": {"engine": "sglang", "tp": 1},
        }
    )  # fmt: skip
    found = rl.estimate(s)
    seconds = sum(row.seconds for row in breakdown(found) if row.phase == "prefill")
    assert seconds == pytest.approx(float(found.metrics["ttft_s_mean"]), rel=0.02)


def test_an_idle_engine_in_the_simulator_waits_for_launches_and_a_busy_one_does_not() -> None:
    def simulated(load: dict[str, Any], version: str) -> float:
        fields = {
            "model": "meta-llama/Llama-3.1-8B", "hardware": "h100-sxm",
            "workload": {"isl": 128, "osl": 64, "requests": 60, **load},
            "deployment": {"engine": "sglang", "tp": 1, "engine_version": version},
        }  # fmt: skip
        return float(rl.simulate(rl.load(fields)).metrics["ttft_s_mean"])

    alone = simulated({"concurrency": 1}, "0.5.9") - simulated({"concurrency": 1}, "0.5.10")
    assert 0.004 < alone < 32 * LAYER_S
    assert simulated({"rate": 60}, "0.5.9") - simulated({"rate": 60}, "0.5.10") < alone / 2


@settings(deadline=None, max_examples=25)
@given(isl=st.integers(1, 20_000), more=st.integers(1, 20_000))
def test_longer_prompts_are_not_faster(isl: int, more: int) -> None:
    assert np.float64(first_token_s(isl + more)) >= first_token_s(isl) * (1 - 1e-9)
