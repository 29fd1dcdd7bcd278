"""Configs whose layers differ: which mixer each has, what it caches, and what is refused in a line."""

from __future__ import annotations

from typing import Any

import pytest

from rooflab.errors import InputError
from rooflab.scenario.hf.model import model_from_config
from rooflab.scenario.model import Attention, LatentAttention, LinearAttention, Model, ShortConvolution, StateSpace

BAMBA = {
    "model_type": "bamba", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "attn_layer_indices": [9, 18, 27], "mamba_n_heads": 128,
    "mamba_d_head": 64, "mamba_d_state": 128, "mamba_d_conv": 4, "mamba_n_groups": 1, "mamba_expand": 2,
    "vocab_size": 128256, "attn_rotary_emb": 64, "max_position_embeddings": 4096,
}  # fmt: skip
MINIMAX = {
    "model_type": "minimax_m1", "hidden_size": 6144, "intermediate_size": 9216, "num_hidden_layers": 80,
    "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 200064,
    "num_local_experts": 32, "num_experts_per_tok": 2, "attn_type_list": [*([0] * 7), 1] * 10,
}  # fmt: skip
LONGCAT = {
    "model_type": "longcat_flash", "hidden_size": 6144, "num_layers": 28, "num_attention_heads": 64,
    "kv_lora_rank": 512, "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
    "ffn_hidden_size": 12288, "expert_ffn_hidden_size": 2048, "n_routed_experts": 512, "moe_topk": 12,
    "zero_expert_num": 256, "vocab_size": 131072,
}  # fmt: skip
MLLAMA_TEXT = {
    "model_type": "mllama_text_model", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 40,
    "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256,
    "cross_attention_layers": [3, 8, 13, 18, 23, 28, 33, 38],
}  # fmt: skip
LFM2 = {
    "model_type": "lfm2_moe", "vocab_size": 65536, "hidden_size": 2048, "intermediate_size": 7168,
    "num_hidden_layers": 24, "num_attention_heads": 32, "num_key_value_heads": 8, "conv_L_cache": 3,
    "layer_types": ["full_attention" if i in (2, 6, 10, 14, 18, 21) else "conv" for i in range(24)],
    "num_experts": 32, "num_experts_per_tok": 4, "moe_intermediate_size": 1792, "num_dense_layers": 2,
    "use_expert_bias": True, "tie_word_embeddings": True,
}  # fmt: skip
LLAMA = {
    "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256,
}  # fmt: skip


GEMMA4 = {
    "model_type": "gemma4_text", "hidden_size": 2816, "intermediate_size": 2112, "num_hidden_layers": 30,
    "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 256, "vocab_size": 262144, "sliding_window": 1024,
}  # fmt: skip


def read(config: dict[str, Any]) -> Model:
    return model_from_config(config, "test", "config.json")


def mixers(m: Model, kind: type) -> int:
    """Layers with a mixer of `kind`."""
    return sum(r.count for r in m.runs for one in r.block.mixers if isinstance(one, kind))


def test_bamba_has_three_attention_layers() -> None:
    m = read(BAMBA)
    assert (mixers(m, Attention), mixers(m, StateSpace)) == (3, 29)
    assert m.parameters == pytest.approx(9.78e9, rel=0.01)
    assert 2 * m.kv_elements_per_token == 12_288
    assert m.state_elements == pytest.approx(29 * 128 * 64 * 128, rel=0.05)  # the rest is the convolution's tail


def test_minimax_keeps_a_cache_in_one_layer_of_eight() -> None:
    m = read(MINIMAX)
    assert (mixers(m, Attention), mixers(m, LinearAttention)) == (10, 70)
    assert 2 * m.kv_elements_per_token == 40_960
    assert m.parameters == pytest.approx(456e9, rel=0.01)
    assert m.active_parameters - m.embedding_parameters - m.head_parameters == pytest.approx(45.9e9, rel=0.01)


def test_lightning_attention_by_the_names_of_transformers() -> None:
    later = {k: v for k, v in MINIMAX.items() if k not in ("attn_type_list", "model_type")}
    kinds = ["full_attention" if i % 8 == 7 else "linear_attention" for i in range(80)]
    assert read({**later, "model_type": "minimax", "layer_types": kinds}).runs == read(MINIMAX).runs


def test_a_layer_of_longcat_has_two_attentions_and_a_mixture_beside() -> None:
    m = read(LONGCAT)
    assert mixers(m, LatentAttention) == 56
    assert 2 * m.kv_elements_per_token == 64_512
    assert m.parameters == pytest.approx(560e9, rel=0.005)
    assert m.active_parameters == pytest.approx(27e9, rel=0.05)  # 8 of 12 choices do work on average


def test_cross_attention_layers_cache_no_text() -> None:
    m = read({"model_type": "mllama", "text_config": MLLAMA_TEXT})
    assert 2 * m.kv_elements_per_token == 131_072
    assert sum(r.count for r in m.runs for one in r.block.mixers if isinstance(one, Attention) and one.cross) == 8
    with pytest.raises(InputError, match="cross_attention_layers: 40 is not a layer of 40"):
        read({"model_type": "mllama", "text_config": {**MLLAMA_TEXT, "cross_attention_layers": [40]}})


def test_short_convolutions_keep_two_tokens() -> None:
    m = read(LFM2)
    assert (mixers(m, Attention), mixers(m, ShortConvolution)) == (6, 18)
    assert m.parameters == pytest.approx(8.3e9, rel=0.01)
    assert m.active_parameters == pytest.approx(1.5e9, rel=0.05)
    assert m.state_elements == 18 * 2 * 2048


@pytest.mark.parametrize("name", ["deepseek_sparse_attention", "indexed_attention"])
def test_layers_that_choose_tokens_by_any_name(name: str) -> None:
    sparse = {
        **LONGCAT, "model_type": "glm_moe_dsa", "num_hidden_layers": 4, "index_topk": 2048, "index_n_heads": 32,
        "index_head_dim": 128, "moe_intermediate_size": 2048, "num_experts_per_tok": 8, "intermediate_size": 12288,
    }  # fmt: skip
    for key in ("zero_expert_num", "moe_topk", "num_layers", "expert_ffn_hidden_size"):
        del sparse[key]
    assert read({**sparse, "layer_types": [name] * 4}).runs == read(sparse).runs


def test_falcon_h1_has_both_mixers_in_every_layer() -> None:
    config = {k: v for k, v in BAMBA.items() if k not in ("model_type", "attn_layer_indices")}
    m = read({**config, "model_type": "falcon_h1"})
    assert (mixers(m, Attention), mixers(m, StateSpace)) == (32, 32)


def test_state_spaces_under_the_one_name_of_transformers_5() -> None:
    kinds = ["linear_attention" if i % 8 else "full_attention" for i in range(32)]
    config = {k: v for k, v in BAMBA.items() if k not in ("model_type", "attn_layer_indices")}
    m = read({**config, "model_type": "granitemoehybrid", "layer_types": kinds})
    assert (mixers(m, Attention), mixers(m, StateSpace)) == (4, 28)


def test_tables_that_feed_each_layer_are_weights() -> None:
    plain = {
        "model_type": "gemma4_text", "hidden_size": 1536, "intermediate_size": 6144, "num_hidden_layers": 30,
        "num_attention_heads": 8, "num_key_value_heads": 1, "head_dim": 256, "vocab_size": 262144,
        "sliding_window": 512,
    }  # fmt: skip
    more = read({**plain, "hidden_size_per_layer_input": 256}).parameters - read(plain).parameters
    assert more == pytest.approx(262144 * 256 * 30, rel=0.03)


def test_towers_share_the_memory_and_are_in_no_count() -> None:
    tower = {"hidden_size": 1152, "num_hidden_layers": 27, "intermediate_size": 4304, "patch_size": 14}
    m = read({"model_type": "gemma3", "text_config": {**LLAMA, "model_type": "gemma3_text"}, "vision_config": tower})
    assert m.tower_parameters == pytest.approx(0.41e9, rel=0.05)  # SigLIP so400m
    assert m.parameters == read({**LLAMA, "model_type": "gemma3_text"}).parameters
    assert any("share the memory" in note for note in m.sources)


def test_a_part_beside_that_says_too_little_is_named() -> None:
    m = read({"model_type": "idefics2", "text_config": LLAMA, "perceiver_config": {"resampler_depth": 3}})
    assert "weights of perceiver_config are not counted" in m.sources


def test_experts_that_see_images_only_share_the_memory() -> None:
    ernie = {
        "model_type": "ernie4_5_vl_moe", "hidden_size": 2560, "intermediate_size": 12288, "num_hidden_layers": 28,
        "num_attention_heads": 20, "num_key_value_heads": 4, "vocab_size": 103424, "moe_num_experts": [64, 64],
        "moe_intermediate_size": [1536, 512], "moe_k": 6, "moe_num_shared_experts": 2, "moe_layer_start_index": 1,
        "tie_word_embeddings": True,
    }  # fmt: skip
    m = read(ernie)
    assert m.tower_parameters == 64 * 3 * 2560 * 512 * 27
    assert m.parameters == pytest.approx(21.825e9, rel=0.005)  # as transformers builds it, without those


def test_a_layer_may_have_keys_of_its_own() -> None:
    own = {str(i): {"head_dim": 512, "num_key_value_heads": 2} for i in range(5, 30, 6)}
    by_layer = {**GEMMA4, "attention_k_eq_v": True, "per_layer_config": own}
    by_kind = {**GEMMA4, "attention_k_eq_v": True, "global_head_dim": 512, "num_global_key_value_heads": 2}
    assert set(read(by_layer).runs) == set(read(by_kind).runs)


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"3": {"lru_width": 7}}, "per_layer_config.3.lru_width: differs in layer 3"),
        ({"30": {"head_dim": 512}}, "'30' is not a layer of 30"),
        ({"first": {"head_dim": 512}}, "'first' is not a layer of 30"),
        ({"3": 512}, "per_layer_config.3: 512 is not a group of fields"),
        ([1], "per_layer_config: .* is not a group of fields"),
    ],
)
def test_what_no_reader_asks_of_one_layer_is_refused(own: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read({**GEMMA4, "per_layer_config": own})


@pytest.mark.parametrize(
    ("model_type", "beside", "billions"),
    [
        # as transformers 5.24 builds them
        ("apertus", {"hidden_act": "xielu", "vocab_size": 131072, "num_key_value_heads": 32}, 6.9796),
        ("jais2", {"hidden_act": "relu2", "intermediate_size": 26624, "hidden_size": 3328, "vocab_size": 150272,
                   "num_attention_heads": 26, "num_key_value_heads": 26, "head_dim": 128}, 8.0904),
    ],
)  # fmt: skip
def test_counts_are_those_of_the_class(model_type: str, beside: dict[str, Any], billions: float) -> None:
    config = {**LLAMA, "model_type": model_type, "tie_word_embeddings": False, **beside}
    assert read(config).parameters == pytest.approx(billions * 1e9, rel=0.0001)


@pytest.mark.parametrize(
    ("config", "billions", "cache"),
    [
        # LFM2, Falcon-H1, Command A, Hunyuan-A13B, MiniCPM3 and Granite 4.0 H Small as their repositories write them
        ({"model_type": "lfm2", "hidden_size": 2048, "block_dim": 2048, "block_ff_dim": 12288, "conv_L_cache": 3,
          "block_auto_adjust_ff_dim": True, "block_multiple_of": 256, "block_ffn_dim_multiplier": 1.0, "conv_dim": 2048,
          "conv_dim_out": 2048, "full_attn_idxs": [2, 5, 8, 10, 12, 14], "num_attention_heads": 32, "num_heads": 32,
          "num_hidden_layers": 16, "num_key_value_heads": 8, "vocab_size": 65536}, 1.170, 12_288),
        ({"model_type": "falcon_h1", "hidden_size": 5120, "intermediate_size": 21504, "num_hidden_layers": 72,
          "num_attention_heads": 20, "num_key_value_heads": 4, "head_dim": 128, "vocab_size": 261120,
          "mamba_n_heads": 32, "mamba_d_head": 128, "mamba_d_state": 256, "mamba_n_groups": 2, "mamba_d_ssm": 4096,
          "mamba_rms_norm": False, "mlp_expansion_factor": 8}, 33.64, 147_456),
        ({"model_type": "cohere2", "hidden_size": 12288, "intermediate_size": 36864, "num_hidden_layers": 64,
          "num_attention_heads": 96, "num_key_value_heads": 8, "vocab_size": 256000, "sliding_window": 4096,
          "layer_switch": 4, "order_of_interleaved_layers": "local_attn_first"}, 111.1, 262_144),
        ({"model_type": "hunyuan_v1_moe", "hidden_size": 4096, "intermediate_size": 3072, "num_hidden_layers": 32,
          "num_attention_heads": 32, "num_key_value_heads": 8, "attention_head_dim": 128, "head_dim": 128,
          "vocab_size": 128167, "num_experts": 64, "num_shared_expert": [1] * 32, "moe_topk": [8] * 32,
          "moe_intermediate_size": [3072] * 32, "use_cla": False, "cla_share_factor": 2}, 80.4, 131_072),
        ({"model_type": "minicpm3", "hidden_size": 2560, "intermediate_size": 6400, "num_hidden_layers": 62,
          "num_attention_heads": 40, "num_key_value_heads": 40, "vocab_size": 73448, "q_lora_rank": 768,
          "kv_lora_rank": 256, "qk_nope_head_dim": 64, "qk_rope_head_dim": 32, "v_head_dim": 64, "scale_emb": 12,
          "dim_model_base": 256, "scale_depth": 1.4}, 4.074, 62 * 288 * 2),
        ({"model_type": "granitemoehybrid", "hidden_size": 4096, "intermediate_size": 768, "num_hidden_layers": 40,
          "shared_intermediate_size": 1536, "num_local_experts": 72, "num_experts_per_tok": 10, "vocab_size": 100352,
          "num_attention_heads": 32, "num_key_value_heads": 8, "mamba_n_heads": 128, "mamba_d_head": "auto",
          "layer_types": ["attention" if i in (5, 15, 25, 35) else "mamba" for i in range(40)], "mamba_d_state": 128,
          "tie_word_embeddings": True}, 32.2, 16_384),
    ],
)  # fmt: skip
def test_real_files_with_keys_of_their_own(config: dict[str, Any], billions: float, cache: int) -> None:
    m = read(config)
    assert m.parameters == pytest.approx(billions * 1e9, rel=0.002)
    assert (2 * m.kv_elements_per_token, m.tower_parameters) == (cache, 0)


def test_sliding_layers_of_mimo_have_twice_the_heads_where_nothing_else_is_said() -> None:
    kinds = ["full_attention" if i == 0 or (i + 1) % 6 == 0 else "sliding_attention" for i in range(48)]
    mimo = {
        "model_type": "mimo_v2_flash", "hidden_size": 4096, "intermediate_size": 16384, "num_hidden_layers": 48,
        "num_attention_heads": 64, "num_key_value_heads": 4, "head_dim": 192, "v_head_dim": 128, "vocab_size": 152576,
        "sliding_window": 129, "layer_types": kinds,
    }  # fmt: skip
    assert read(mimo).kv_elements_per_token == 9 * 4 * 320 + 39 * 8 * 320


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({**LLAMA, "attn_layer_indices_of_mine": [1, 2]}, "config.json.attn_layer_indices_of_mine: describes layers"),
        ({**LLAMA, "model_type": "newest", "lru_width": 2560}, "config.json.lru_width: describes layers, and 'newest'"),
        ({**LLAMA, "model_type": "gemma3n", "altup_num_inputs": 4}, "altup_num_inputs: describes layers"),
        ({**LLAMA, "intermediate_size": [14336, 4096]}, "intermediate_size: one for each layer, and they differ"),
        ({**LLAMA, "model_type": "ouro", "total_ut_steps": 4}, "total_ut_steps: describes layers"),
        ({**LLAMA, "ffn_expansion_factor": 3}, "ffn_expansion_factor: describes layers"),
        ({**LLAMA, "model_type": "hunyuan", "use_cla": True, "cla_share_factor": 2}, "use_cla: layers that share"),
        ({**LLAMA, "model_type": "newest", "hidden_act": "relu2"}, "hidden_act: 'relu2' in a model of unknown type"),
        ({**LLAMA, "model_type": "newbert", "type_vocab_size": 2}, "type_vocab_size: an encoder of unknown type"),
        ({**LLAMA, "model_type": "jetmoe"}, "model_type: 'jetmoe' is not read: its attention has experts"),
        ({**LLAMA, "layer_types": ["rwkv"] * 32}, "layer_types.0.: no layer type called 'rwkv'"),
    ],
)
def test_layers_that_no_reader_knows_are_refused_in_a_line(config: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        read(config)
    assert len(str(refused.value)) < 400


def test_what_training_and_numerics_add_is_no_layer() -> None:
    beside = {
        "attention_dropout": 0.1, "rms_norm_eps": 1e-5, "router_aux_loss_coef": 0.02, "attn_logit_softcapping": 50.0,
        "initializer_range": 0.02, "use_cache": True, "mlp_hidden_act": "silu", "rope_scaling": {"factor": 8.0},
    }  # fmt: skip
    assert read({**LLAMA, **beside}) == read(LLAMA)


def test_a_width_that_is_the_same_in_every_layer_may_be_a_list() -> None:
    assert read({**LLAMA, "intermediate_size": [14336] * 32}) == read(LLAMA)
