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
