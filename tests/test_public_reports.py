"""What people measured and reported in public, by kind of case: speeds within a fifth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rooflab as rl
from rooflab.costs.moe import MoeCurve, moe_s

QWEN_30B = "Qwen/Qwen3-30B-A3B-Instruct-2507"
LFM2_8B = {
    "model_type": "lfm2_moe", "vocab_size": 65536, "hidden_size": 2048, "intermediate_size": 7168,
    "num_hidden_layers": 24, "num_attention_heads": 32, "num_key_value_heads": 8, "conv_L_cache": 3,
    "layer_types": ["full_attention" if i in (2, 6, 10, 14, 18, 21) else "conv" for i in range(24)],
    "num_experts": 32, "num_experts_per_tok": 4, "moe_intermediate_size": 1792, "num_dense_layers": 2,
    "tie_word_embeddings": True,
}  # fmt: skip


@pytest.mark.parametrize(
    ("model", "hardware", "osl", "weights", "tokens_per_s"),
    [
        # community files of AlexsJones/llmfit: llama.cpp, Q4_K_M (gpt-oss: MXFP4), a prompt of about 64 tokens
        (QWEN_30B, "m4-pro", 161, "q4_k_m", 70.6),
        (QWEN_30B, "rx-7900-xt", 144, "q4_k_m", 151.8),
        ("openai/gpt-oss-20b", "rx-7900-xt", 252, None, 162.6),
        ("deepseek-ai/DeepSeek-V2-Lite", "rx-7900-xt", 201, "q4_k_m", 187.8),
        ("google/gemma-2-27b", "rx-7900-xt", 183, "q4_k_m", 34.2),
        (LFM2_8B, "m4-pro", 128, "q4_k_m", 144.9),
    ],
)
def test_llamacpp_on_desktops(model: Any, hardware: str, osl: int, weights: str | None, tokens_per_s: float) -> None:
    found = rl.estimate(
        {
            "model": model, "hardware": hardware, "workload": {"isl": 64, "osl": osl, "batch": 1},
            "deployment": {"engine": "llamacpp", "weights": weights},
        }
    )  # fmt: skip
    assert found.output_tokens_per_s == pytest.approx(tokens_per_s, rel=0.2)


def test_files_of_llamacpp_keep_what_is_no_expert_in_8_bits() -> None:
    # gpt-oss-20b-mxfp4.gguf has 12.1 GB
    found = rl.estimate(
        {
            "model": "openai/gpt-oss-20b", "hardware": "rx-7900-xt", "workload": {"isl": 64, "osl": 64, "batch": 1},
            "deployment": {"engine": "llamacpp"},
        }
    )  # fmt: skip
    assert found.weights_bytes == pytest.approx(12.1e9, rel=0.01)


def test_products_with_vectors_pad_nothing_and_more_tokens_never_take_less() -> None:
    curve = MoeCurve(t0_s=1e-5, ec=0.5, em=0.75, a=2.0, pad_tokens=32.0, vector_tokens=8.0)
    tokens = np.concatenate([np.arange(1.0, 64.0), [128.0, 512.0, 4096.0]])
    shape = {"hidden": 2048.0, "width": 768.0, "experts": 128.0, "top_k": 8.0, "weight_bytes": 0.6}
    device = {"peak_flops": 17e12, "bytes_per_s": 273e9}
    seconds = moe_s(tokens, **shape, **device, curve=curve, alpha=1.0, imbalance=1.0)
    assert (np.diff(seconds) > 0).all()
    read = 8.0 * 3.0 * 2048.0 * 768.0 * 0.6 / (273e9 * 0.75)
    assert seconds[0] == pytest.approx(1e-5 + read, rel=0.03)
    tiles = MoeCurve(t0_s=1e-5, ec=0.5, em=0.75, a=2.0, pad_tokens=32.0)
    padded = moe_s(tokens, **shape, **device, curve=tiles, alpha=1.0, imbalance=1.0)
    assert (seconds <= padded * (1 + 1e-12)).all()
    assert seconds[-1] == pytest.approx(padded[-1])


TURING = {"device": "rtx-2080", "tiers": [{"name": "dram", "size": "62 GB", "bandwidth": "102 GB/s"}]}


def with_host(model: str, osl: int, offload: dict[str, Any], hardware: Any = None, **deployment: Any) -> Any:
    return rl.estimate(
        {
            "model": model, "hardware": hardware or TURING, "workload": {"isl": 64, "osl": osl, "batch": 1},
            "deployment": {"engine": "llamacpp", "offload": offload, **deployment},
        }
    )  # fmt: skip


def test_layers_and_experts_on_the_cpu() -> None:
    # AlexsJones/llmfit 755 and 778: quad-channel DDR4 at 102 GB/s behind a card of 8 GB
    dense = with_host("Qwen/Qwen2.5-14B", 179, {"gpu_layers": 42}, weights="q4_k_m")
    assert dense.output_tokens_per_s == pytest.approx(20.8, rel=0.2)
    mixture = with_host(QWEN_30B, 151, {"cpu_experts": 36}, weights="q4_k_m")
    assert mixture.output_tokens_per_s == pytest.approx(36.7, rel=0.2)
    for found in (dense, mixture):
        assert found.limit_ratio < 1


def test_llamacpp_chooses_the_split_by_itself() -> None:
    chosen = with_host(QWEN_30B, 151, {"weights": "dram"}, weights="q4_k_m")
    offload = chosen.scenario.deployment.runtime.offload
    assert offload.gpu_layers is None
    assert 20 <= offload.cpu_experts <= 40
    # a gibibyte stays free, and not another layer's experts
    left = 8.59e9 - chosen.weights_bytes - chosen.kv_bytes
    assert 2**30 < left < 2**30 + 1.5e9
    small = with_host("Llama-3.2-1B", 64, {"weights": "dram"}, weights="q4_k_m")
    assert small.scenario.deployment.runtime.offload is None


def test_more_on_the_cpu_never_makes_a_token_faster() -> None:
    paces = [
        with_host(QWEN_30B, 64, {"cpu_experts": n}, "rtx-4090", weights="q4_k_m").tpot_s_mean for n in (8, 16, 32, 48)
    ]
    assert paces == sorted(paces)
    layers = [
        with_host("Qwen/Qwen2.5-14B", 64, {"gpu_layers": n}, "rtx-4090", weights="q4_k_m").tpot_s_mean
        for n in (48, 40, 24, 0)
    ]
    assert layers == sorted(layers)


def test_a_plan_for_a_gaming_card_leaves_experts_to_the_cpu() -> None:
    # people measure 20 to 40 tokens/s of gpt-oss-120b on a card of 24 GB
    plan = rl.plan(
        {"model": "openai/gpt-oss-120b", "hardware": "rtx-4090", "workload": {"isl": 500, "osl": 300, "batch": 1}}
    )
    assert 20 <= plan.best.estimate.output_tokens_per_s <= 40
    command = plan.best.launch_command()
    assert "--n-cpu-moe" in command
    assert "MXFP4.gguf" in command


@pytest.mark.parametrize(
    ("offload", "engine", "message"),
    [
        (
            {"gpu_layers": 4},
            "vllm",
            r"deployment.offload.gpu_layers: layers and experts on the CPU are priced for llama",
        ),
        ({"cpu_experts": 4}, "llamacpp", r"cpu_experts: .* has no routed experts"),
        ({"gpu_layers": 4, "weights": "dram"}, "llamacpp", "say where all weights are"),
        ({"gpu_layers": -1}, "llamacpp", "gpu_layers"),
    ],
)
def test_impossible_splits_are_named(offload: dict[str, Any], engine: str, message: str) -> None:
    with pytest.raises(rl.InputError, match=message):
        rl.estimate(
            {
                "model": "Llama-3.1-8B", "hardware": "rtx-4090", "workload": {"isl": 64, "osl": 64, "batch": 1},
                "deployment": {"engine": engine, "offload": offload},
            }
        )  # fmt: skip
