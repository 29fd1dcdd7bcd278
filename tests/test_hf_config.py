"""Reading config.json: shapes, caches computed by hand, formats, and errors that name the field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rooflab.errors import InputError
from rooflab.scenario.hf.model import model_from_config
from rooflab.scenario.model import (
    Attention,
    CompressedAttention,
    Dense,
    Experts,
    LatentAttention,
    LinearAttention,
    Model,
    StateSpace,
)

SHARED = Path(__file__).parents[1].parent / "shared" / "data" / "catalogue" / "configs"

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}
DEEPSEEK_V3: dict[str, Any] = {
    "model_type": "deepseek_v3",
    "hidden_size": 7168,
    "num_hidden_layers": 61,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "intermediate_size": 18432,
    "vocab_size": 129280,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_experts_per_tok": 8,
    "moe_intermediate_size": 2048,
    "first_k_dense_replace": 3,
    "moe_layer_freq": 1,
    "q_lora_rank": 1536,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "num_nextn_predict_layers": 1,
    "quantization_config": {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128]},
}
GEMMA_3_27B: dict[str, Any] = {
    "model_type": "gemma3",
    "text_config": {
        "model_type": "gemma3_text",
        "hidden_size": 5376,
        "num_hidden_layers": 62,
        "num_attention_heads": 32,
        "num_key_value_heads": 16,
        "head_dim": 128,
        "intermediate_size": 21504,
        "vocab_size": 262208,
        "sliding_window": 1024,
    },
    "vision_config": {"hidden_size": 1152},
}
GPT_OSS: dict[str, Any] = {
    "model_type": "gpt_oss",
    "hidden_size": 2880,
    "num_hidden_layers": 36,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "intermediate_size": 2880,
    "vocab_size": 201088,
    "num_local_experts": 128,
    "num_experts_per_tok": 4,
    "attention_bias": True,
    "sliding_window": 128,
    "layer_types": ["sliding_attention", "full_attention"] * 18,
    "quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]},
}
QWEN_3_5: dict[str, Any] = {
    "model_type": "qwen3_5_moe",
    "text_config": {
        "model_type": "qwen3_5_moe_text",
        "hidden_size": 4096,
        "num_hidden_layers": 60,
        "num_attention_heads": 32,
        "num_key_value_heads": 2,
        "head_dim": 256,
        "vocab_size": 248320,
        "num_experts": 512,
        "num_experts_per_tok": 10,
        "moe_intermediate_size": 1024,
        "shared_expert_intermediate_size": 1024,
        "linear_conv_kernel_dim": 4,
        "linear_key_head_dim": 128,
        "linear_num_key_heads": 16,
        "linear_num_value_heads": 64,
        "linear_value_head_dim": 128,
        "full_attention_interval": 4,
    },
}
NEMOTRON_H: dict[str, Any] = {
    "model_type": "nemotron_h",
    "hidden_size": 2688,
    "num_hidden_layers": 52,
    "num_attention_heads": 32,
    "num_key_value_heads": 2,
    "head_dim": 128,
    "intermediate_size": 1856,
    "vocab_size": 131072,
    "n_routed_experts": 128,
    "n_shared_experts": 1,
    "num_experts_per_tok": 6,
    "moe_intermediate_size": 1856,
    "moe_shared_expert_intermediate_size": 3712,
    "hybrid_override_pattern": "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME",
    "mamba_num_heads": 64,
    "mamba_head_dim": 64,
    "ssm_state_size": 128,
    "n_groups": 8,
    "conv_kernel": 4,
}
BFLOAT16 = 2


def read(config: dict[str, Any]) -> Model:
    return model_from_config(config, "m", "model")


def test_llama_3_8b_caches_131072_bytes_a_token() -> None:
    m = read(LLAMA)
    assert m.parameters == 8_030_261_248
    assert m.kv_elements_per_token * BFLOAT16 == 131_072  # 32 layers x 2 x 8 heads x 128 x 2 B
    assert m.cached_elements(1000) == 1000 * 65_536
    assert m.state_elements == 0
    assert (m.layers, m.dtype, m.max_context) == (32, "bf16", 131_072)


def test_deepseek_v3_caches_one_latent_and_one_rotary_key_a_layer() -> None:
    m = read(DEEPSEEK_V3)
    assert m.kv_elements_per_token * BFLOAT16 == 61 * 576 * 2
    assert m.parameters == 671_026_419_200
    assert m.mtp_layers == 1
    assert [(r.count, type(r.block.ffn)) for r in m.runs] == [(3, Dense), (58, Experts)]
    assert m.dtype == "fp8-block"
    assert m.expert_dtype is None


def test_sparse_selection_reads_a_window_and_keeps_everything() -> None:
    m = read(
        {**DEEPSEEK_V3, "model_type": "deepseek_v32", "index_head_dim": 128, "index_n_heads": 64, "index_topk": 2048}
    )
    (mixer,) = m.runs[0].block.mixers
    assert isinstance(mixer, LatentAttention)
    assert mixer.attended_tokens(100_000) == 2048
    assert mixer.attended_tokens(500) == 500
    assert mixer.cached_elements(100_000) == 100_000 * (576 + 128)


def test_gemma_3_keeps_a_window_in_five_of_six_layers() -> None:
    m = read(GEMMA_3_27B)
    width = 2 * 16 * 128
    assert m.parameters == 27_009_346_304  # the language part of a 27.4B checkpoint with its vision tower
    assert m.kv_elements_per_token == 62 * width
    assert m.cached_elements(32_768) == (10 * 32_768 + 52 * 1024) * width
    assert any("steps are those of the text model" in note for note in m.sources)


def test_gemma_3_4b_as_published_leaves_out_what_its_class_assumes() -> None:
    text = {
        "model_type": "gemma3_text",
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "num_hidden_layers": 34,
        "sliding_window": 1024,
    }
    m = read({"model_type": "gemma3", "text_config": text})
    assert m.parameters == 3_880_263_168  # 3,880,099,328 with a vocabulary of 262,144
    assert m.tied


def test_gpt_oss_alternates_windows_and_quantises_experts_only() -> None:
    m = read(GPT_OSS)
    width = 2 * 8 * 64
    assert m.parameters == 116_829_156_672
    assert m.cached_elements(8192) == 18 * (8192 + 128) * width
    assert (m.dtype, m.expert_dtype) == ("bf16", "mxfp4")


def test_qwen_3_5_has_a_state_in_three_of_four_layers() -> None:
    m = read(QWEN_3_5)
    assert m.kv_elements_per_token == 15 * 2 * 2 * 256
    channels = 2 * 16 * 128 + 64 * 128
    assert m.state_elements == 45 * (64 * 128 * 128 + channels * 3)
    linear = [r for r in m.runs if isinstance(r.block.mixers[0], LinearAttention)]
    assert sum(r.count for r in linear) == 45


def test_nemotron_h_layers_are_one_thing_each() -> None:
    m = read(NEMOTRON_H)
    assert m.layers == 52
    assert m.kv_elements_per_token == 6 * 2 * 2 * 128
    assert m.state_elements == 23 * (64 * 64 * 128 + (4096 + 2 * 8 * 128) * 3)
    assert all(len(r.block.mixers) + (r.block.ffn is not None) == 1 for r in m.runs)
    assert m.parameters == pytest.approx(31_577_937_344, rel=1e-6)


def test_deepseek_v4_keeps_a_window_and_a_compressed_past() -> None:
    config = {
        "model_type": "deepseek_v4", "hidden_size": 4096, "num_hidden_layers": 4, "num_attention_heads": 64,
        "head_dim": 512,
        "vocab_size": 129280, "sliding_window": 128, "n_routed_experts": 256, "n_shared_experts": 1,
        "num_experts_per_tok": 6,
        "moe_intermediate_size": 2048, "q_lora_rank": 1024, "qk_rope_head_dim": 64, "o_lora_rank": 1024, "o_groups": 8,
        "index_head_dim": 128, "index_n_heads": 64, "index_topk": 512, "compress_ratios": [0, 4, 128, 4, 0],
        "hc_mult": 4,
        "expert_dtype": "fp4", "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]},
    }  # fmt: skip
    m = read(config)
    window_only, picked, pooled = (r.block.mixers[0] for r in m.runs)
    assert isinstance(window_only, CompressedAttention)
    assert window_only.attended_tokens(10_000) == 128
    assert picked.attended_tokens(10_000) == 128 + 512
    assert pooled.attended_tokens(12_800) == 128 + 100
    assert picked.kv_elements_per_token == (512 + 128) // 4
    assert m.state_elements == 4 * 128 * 512
    assert (m.dtype, m.expert_dtype) == ("fp8-block", "mxfp4")


def test_minimax_m3_selects_blocks_and_keeps_all() -> None:
    config = {
        **{k: v for k, v in LLAMA.items() if k != "model_type"}, "model_type": "minimax_m3", "num_hidden_layers": 2,
        "sparse_attention_config": {
            "sparse_attention_freq": [0, 1], "sparse_block_size": 128, "sparse_index_dim": 128,
            "sparse_num_index_heads": 4,
            "sparse_topk_blocks": 16, "sparse_local_block": 1,
        },
    }  # fmt: skip
    full, sparse = (r.block.mixers[0] for r in read(config).runs)
    assert full.attended_tokens(50_000) == 50_000
    assert sparse.attended_tokens(50_000) == 17 * 128
    assert sparse.cached_elements(50_000) == 50_000 * (2 * 8 * 128 + 128)


def test_llama_4_looks_into_its_chunk_in_three_of_four_layers() -> None:
    text = {**LLAMA, "model_type": "llama4_text", "num_hidden_layers": 4, "attention_chunk_size": 8192,
    "no_rope_layers": [],
            "num_local_experts": 16, "num_experts_per_tok": 1, "intermediate_size_mlp": 16384,
            "interleave_moe_layer_step": 1}  # fmt: skip
    m = read({"model_type": "llama4", "text_config": text})
    chunked, full = (r.block.mixers[0] for r in m.runs)
    assert isinstance(chunked, Attention)
    assert chunked.chunked
    assert chunked.attended_tokens(100_000) == 4096.5
    assert [r.count for r in m.runs] == [3, 1]
    assert full.attended_tokens(100_000) == 100_000


def test_t5_has_cross_attention_and_buckets() -> None:
    m = read(
        {
            "model_type": "t5",
            "d_model": 768,
            "d_kv": 64,
            "d_ff": 3072,
            "num_layers": 12,
            "num_heads": 12,
            "vocab_size": 32128,
        }
    )
    assert m.parameters == 222_903_552
    assert m.kind == "encoder-decoder"
    assert m.kv_elements_per_token == m.cross_kv_elements_per_token == 12 * 2 * 768
    assert m.relative_parameters == 2 * 32 * 12


def test_mamba_keeps_state_only() -> None:
    m = read(
        {"model_type": "mamba", "hidden_size": 2560, "num_hidden_layers": 64, "vocab_size": 50280, "state_size": 16}
    )
    assert m.parameters == 2_768_345_600
    assert m.kv_elements_per_token == 0
    assert m.cached_elements(10) == m.cached_elements(10_000) == 64 * (5120 * 16 + 5120 * 3)


def test_searched_architectures_may_lack_attention() -> None:
    blocks = [
        {"attention": {"n_heads_in_group": 4, "no_op": False}, "ffn": {"ffn_mult": 2.0, "no_op": False}},
        {"attention": {"n_heads_in_group": None, "no_op": True}, "ffn": {"ffn_mult": 1.0, "no_op": False}},
    ]
    m = read({**LLAMA, "model_type": "nemotron-nas", "num_hidden_layers": 2, "block_configs": blocks})
    assert [len(r.block.mixers) for r in m.runs] == [1, 0]
    assert [r.block.norms for r in m.runs] == [2, 1]
    assert m.kv_elements_per_token == 2 * 8 * 128


def test_parallel_blocks_have_one_norm() -> None:
    gptj = read(
        {"model_type": "gptj", "n_embd": 4096, "n_layer": 28, "n_head": 16, "vocab_size": 50400, "n_positions": 2048}
    )
    falcon = read(
        {"model_type": "falcon", "hidden_size": 4544, "num_hidden_layers": 32, "num_attention_heads": 71,
        "num_kv_heads": 71,
         "multi_query": True, "parallel_attn": True, "bias": False, "vocab_size": 65024}
    )  # fmt: skip
    assert gptj.parameters == 6_050_882_784
    assert falcon.parameters == 6_921_720_704
    assert gptj.runs[0].block.parallel
    assert falcon.runs[0].block.norms == 1
    assert falcon.kv_elements_per_token == 32 * 2 * 64


@pytest.mark.parametrize(
    ("quantisation", "expected"),
    [
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, ("fp8-block", None, None)),
        ({"quant_method": "fp8", "activation_scheme": "static"}, ("fp8", None, None)),
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, ("int4", None, None)),
        ({"quant_method": "gptq", "bits": 8}, ("int8", None, None)),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8"}, ("nvfp4", None, "fp8")),
        ({"quant_algo": "FP8", "kv_cache_quant_algo": None}, ("fp8", None, None)),
        ({"quant_method": "compressed-tensors", "format": "float-quantized"}, ("fp8", None, None)),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int", "group_size": 128}}},
            },
            ("int4", None, None),
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"g": {"weights": {"num_bits": 8, "type": "float", "strategy": "block"}}},
            },
            ("fp8-block", None, None),
        ),
        ({"group_size": 64, "bits": 4}, ("mlx-4-g64", None, None)),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, ("int4", None, None)),
    ],
)
def test_formats(quantisation: dict[str, Any], expected: tuple[str, str | None, str | None]) -> None:
    m = read({**LLAMA, "quantization_config": quantisation})
    assert (m.dtype, m.expert_dtype, m.kv_dtype) == expected


def test_experts_alone_are_quantised_where_attention_is_not_converted() -> None:
    quantisation = {
        "quant_method": "modelopt",
        "quant_algo": "NVFP4",
        "ignore": ["lm_head", "model.layers.*.self_attn*"],
    }
    m = read({**DEEPSEEK_V3, "quantization_config": quantisation})
    assert (m.dtype, m.expert_dtype) == ("bf16", "nvfp4")


def test_an_unknown_type_with_llama_keys_is_read_and_says_so() -> None:
    m = read({**LLAMA, "model_type": "something_new"})
    assert m.parameters == 8_030_261_248
    assert any("something_new" in note for note in m.sources)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"hidden_size": "4096"}, "model.hidden_size"),
        ({"hidden_size": -1}, "model.hidden_size"),
        ({"hidden_size": 4096.5}, "model.hidden_size"),
        ({"num_hidden_layers": 0}, "model.num_hidden_layers"),
        ({"vocab_size": None}, "model.vocab_size"),
        ({"num_attention_heads": 30, "head_dim": None}, "model.num_attention_heads"),
        ({"num_key_value_heads": 5}, "model.num_key_value_heads"),
        ({"intermediate_size": None}, "model.intermediate_size"),
        ({"tie_word_embeddings": "no"}, "model.tie_word_embeddings"),
        ({"layer_types": ["full_attention"]}, "model.layer_types"),
        ({"layer_types": ["full_attenton"] * 32}, "model.layer_types[0]"),
        ({"torch_dtype": "bfloat15"}, "model.torch_dtype"),
        ({"quantization_config": {"quant_method": "magic"}}, "model.quantization_config.quant_method"),
        ({"model_type": "new", "num_attention_heads": None}, "model.num_attention_heads"),
        ({"model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 9}, "model.num_experts_per_tok"),
        ({"intermediate_size": 1e308}, "model.intermediate_size"),
        ({"sliding_window": 4096, "sliding_window_pattern": ""}, "model.sliding_window_pattern"),
        ({"num_attention_heads": 10**400}, "model.num_attention_heads"),
        ({"tie_word_embeddings": 10**400}, "model.tie_word_embeddings"),
        ({"torch_dtype": 10**400}, "model.torch_dtype"),
        ({"model_type": "mamba", "time_step_rank": 10**30}, "model.time_step_rank"),
    ],
)
def test_errors_name_the_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError) as caught:
        read({**LLAMA, **change})
    assert caught.value.where == field
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "config", [LLAMA, DEEPSEEK_V3, GEMMA_3_27B, GPT_OSS, QWEN_3_5, NEMOTRON_H], ids=lambda c: str(c["model_type"])
)
def test_no_bad_value_gets_past_as_anything_but_an_input_error(config: dict[str, Any]) -> None:
    for key in config:
        for bad in (None, 0, -1, 1.5, "x", True, [], {}, [1], float("inf"), float("nan")):
            try:
                read({**config, key: bad})
            except InputError as error:
                assert error.where  # noqa: PT017 - most values are fine, those that are not must say where


def test_an_empty_config_says_what_is_missing() -> None:
    with pytest.raises(InputError, match="model_type"):
        read({})


def test_a_state_space_mixer_reads_no_past() -> None:
    mixer = next(m for r in read(NEMOTRON_H).runs for m in r.block.mixers if isinstance(m, StateSpace))
    assert mixer.attended_tokens(1000) == 0


def test_every_shared_config_is_read() -> None:
    if not SHARED.is_dir():
        pytest.skip("the shared catalogue is not beside this checkout")
    files = sorted(SHARED.glob("*.json"))
    assert len(files) >= 185
    for path in files:
        config = json.loads(path.read_text())
        if config.get("quantization_config", {}).get("quant_algo") == "MIXED_PRECISION":
            config.pop("quantization_config")  # a summary without the modules that it speaks of
        m = model_from_config(config, path.stem, path.name)
        assert m.parameters > 1e8, path.name
        assert not any("not known" in note for note in m.sources), path.name
