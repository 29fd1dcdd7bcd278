"""Configs that spell a common block in their own way: counts as the model cards have them, errors that name the key."""

from __future__ import annotations

from typing import Any

import pytest

from rooflab.errors import InputError
from rooflab.scenario.hf.model import model_from_config
from rooflab.scenario.model import Model

DBRX: dict[str, Any] = {
    "model_type": "dbrx", "d_model": 6144, "n_heads": 48, "n_layers": 40, "max_seq_len": 32768, "vocab_size": 100352,
    "tie_word_embeddings": False, "torch_dtype": "bfloat16",
    "attn_config": {"clip_qkv": 8, "kv_n_heads": 8, "rope_theta": 500000},
    "ffn_config": {
        "ffn_hidden_size": 10752, "moe_jitter_eps": 0.01, "moe_loss_weight": 0.05, "moe_num_experts": 16,
        "moe_top_k": 4,
    },
}  # fmt: skip
OPENELM: dict[str, Any] = {
    "model_type": "openelm", "model_dim": 1280, "num_transformer_layers": 16, "head_dim": 64, "vocab_size": 32000,
    "num_query_heads": [12] * 5 + [16] * 7 + [20] * 4, "num_kv_heads": [3] * 5 + [4] * 7 + [5] * 4,
    "ffn_multipliers": [0.5, 0.73, 0.97, 1.2, 1.43, 1.67, 1.9, 2.13, 2.37, 2.6, 2.83, 3.07, 3.3, 3.53, 3.77, 4.0],
    "ffn_dim_divisor": 256, "ffn_with_glu": True, "normalize_qk_projections": True, "max_context_length": 2048,
    "share_input_output_layers": True, "num_gqa_groups": 4, "qkv_multipliers": [0.5, 1.0],
}  # fmt: skip


def read(config: dict[str, Any]) -> Model:
    return model_from_config(config, "test", "config")


def test_dbrx_has_the_counts_of_its_card() -> None:
    m = read(DBRX)
    assert m.parameters == pytest.approx(132e9, rel=0.005)
    assert m.active_parameters == pytest.approx(36e9, rel=0.02)
    assert m.kv_elements_per_token == 40 * 2 * 8 * 128


def test_openelm_270m_grows_with_depth() -> None:
    m = read(OPENELM)
    assert m.parameters == pytest.approx(0.27e9, rel=0.01)  # arXiv 2404.14619, table 1
    assert m.kv_elements_per_token == 2 * 64 * (5 * 3 + 7 * 4 + 4 * 5)
    assert (m.tied, m.max_context) == (True, 2048)


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({k: v for k, v in DBRX.items() if k != "ffn_config"}, "ffn_config"),
        ({**DBRX, "ffn_config": {**DBRX["ffn_config"], "moe_top_k": None}}, "ffn_config.moe_top_k"),
        ({**DBRX, "ffn_config": {**DBRX["ffn_config"], "moe_shared_width": 7}}, "ffn_config.moe_shared_width"),
        ({**DBRX, "ffn_config": 3}, "ffn_config"),
        ({**DBRX, "attn_config": {"kv_n_heads": 7}}, "num_key_value_heads"),
        ({**OPENELM, "num_kv_heads": [3] * 15 + [0]}, r"num_kv_heads\[15\]"),
        ({**OPENELM, "num_kv_heads": [5] * 16}, r"num_kv_heads\[0\]"),
        ({**OPENELM, "ffn_multipliers": [0.5] * 15}, "ffn_multipliers"),
        ({**OPENELM, "ffn_multipliers": [0.5] * 15 + [None]}, r"ffn_multipliers\[15\]"),
        ({**OPENELM, "share_layer_weights": 4}, "share_layer_weights"),
    ],
)
def test_what_cannot_be_is_one_line(config: dict[str, Any], key: str) -> None:
    with pytest.raises(InputError, match=key) as caught:
        read(config)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["zamba2", "rwkv7", "recurrent_gemma", "t5gemma", "m2m_100"])
def test_a_type_without_a_reader_says_why(name: str) -> None:
    with pytest.raises(InputError, match=r"model_type: .* is not read: its"):
        read({"model_type": name, "hidden_size": 2048, "num_hidden_layers": 30, "vocab_size": 32000})
