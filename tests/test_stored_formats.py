"""Formats of checkpoints by module: what is kept in 16 bits, what is named apart, and the bytes that follow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import rooflab as rl
from rooflab.catalogue.models import model
from rooflab.errors import InputError
from rooflab.scenario.hf.model import model_from_config
from rooflab.scenario.hf.stored import Modules
from rooflab.scenario.model import Model, Stored

LLAMA_70B = {
    "model_type": "llama", "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80,
    "num_attention_heads": 64, "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 131072,
}  # fmt: skip
LLAMA_405B = {
    **LLAMA_70B, "hidden_size": 16384, "intermediate_size": 53248, "num_hidden_layers": 126,
    "num_attention_heads": 128,
}  # fmt: skip
QWEN_35B = {
    "model_type": "qwen3_5_moe_text", "hidden_size": 2048, "num_hidden_layers": 40, "num_attention_heads": 16,
    "num_key_value_heads": 2, "head_dim": 256, "attn_output_gate": True, "full_attention_interval": 4,
    "linear_num_key_heads": 16, "linear_num_value_heads": 32, "linear_key_head_dim": 128, "linear_value_head_dim": 128,
    "linear_conv_kernel_dim": 4, "num_experts": 256, "num_experts_per_tok": 8, "moe_intermediate_size": 512,
    "shared_expert_intermediate_size": 512, "vocab_size": 248320, "max_position_embeddings": 262144,
}  # fmt: skip


def read(config: dict[str, Any]) -> Model:
    return model_from_config(config, "test", "config.json")


def weights_gb(config: Model | dict[str, Any] | str, hardware: str, **deployment: Any) -> float:
    """Weights on one device, in 10⁹ bytes."""
    given = {"model": config, "hardware": hardware, "workload": {"isl": 1024, "osl": 64, "batch": 1}}
    return rl.estimate({**given, "deployment": deployment}).metrics["weights_bytes"] / 1e9


def test_modelopt_states_its_formats_in_a_file_beside(tmp_path: Path) -> None:
    # nvidia/Llama-3.1-70B-Instruct-FP8: linear layers in 8 bits, embedding and head in 16, an 8-bit cache
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_70B))
    stated = {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8", "exclude_modules": ["lm_head"]}
    (tmp_path / "hf_quant_config.json").write_text(json.dumps({"quantization": stated}))
    found = model(str(tmp_path))
    assert (found.dtype, found.kv_dtype) == ("fp8", "fp8")
    both = found.embedding_parameters + found.head_parameters
    expected = (found.parameters - both + 2 * both) / 1e9
    assert weights_gb(str(tmp_path), "h200-sxm") == pytest.approx(expected, rel=0.001)
    assert expected == pytest.approx(72.65, rel=0.001)


def test_a_config_that_says_it_itself_goes_before_the_file_beside(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**LLAMA_70B, "quantization_config": {"quant_method": "awq"}}))
    (tmp_path / "hf_quant_config.json").write_text(json.dumps({"quantization": {"quant_algo": "FP8"}}))
    assert model(str(tmp_path)).dtype == "int4"


def test_a_broken_file_beside_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_70B))
    (tmp_path / "hf_quant_config.json").write_text("{")
    with pytest.raises(InputError, match=r"hf_quant_config\.json: cannot be read as JSON"):
        model(str(tmp_path))


def test_attention_and_outer_layers_of_a_dense_checkpoint_stay_in_16_bits() -> None:
    # Llama-3.1-405B-Instruct-FP8 lists them by name; vLLM loads 57.75 GiB a device at TP8 (vllm-project/vllm 6746)
    kept = [f"model.layers.{i}.self_attn.{p}_proj" for i in range(126) for p in "qkvo"]
    kept += [f"model.layers.{i}.mlp.{p}_proj" for i in (0, 125) for p in ("gate", "up", "down")]
    listed = {"quant_method": "fbgemm_fp8", "modules_to_not_convert": [*kept, "lm_head"]}
    config = {**LLAMA_405B, "quantization_config": listed}
    found = read(config)
    assert found.dtype == "fp8"
    by_count = {r.count: r.block.stored for r in found.runs}
    assert by_count == {124: Stored(mixer="bf16"), 2: Stored(mixer="bf16", ffn="bf16")}
    assert weights_gb(config, "8 x h100-sxm", tp=8) == pytest.approx(60.9, rel=0.005)
    assert weights_gb("meta-llama/Llama-3.1-405B-Instruct-FP8", "8 x h100-sxm", tp=8) == pytest.approx(60.9, rel=0.005)


def test_a_deployment_that_asks_for_another_format_quantises_all() -> None:
    name = "meta-llama/Llama-3.1-405B-Instruct-FP8"
    assert weights_gb(name, "8 x h200-sxm", tp=8, weights="bf16") == pytest.approx(2 * 405.85 / 8, rel=0.01)
    assert weights_gb(name, "8 x h200-sxm", tp=8, weights="int4") < 30


def test_mixed_precision_is_counted_in_parameters() -> None:
    # one entry stands for 256 experts; names alone would make most of this checkpoint fp8
    layers: dict[str, Any] = {"lm_head": {"quant_algo": "W4A16_NVFP4", "group_size": 16}}
    for i in range(40):
        at = f"model.language_model.layers.{i}"
        own = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"]
        own = own if i % 4 == 3 else ["linear_attn.in_proj_qkv", "linear_attn.in_proj_z", "linear_attn.out_proj"]
        layers |= {f"{at}.{m}": {"quant_algo": "FP8"} for m in own}
        shared = [f"{at}.mlp.shared_expert.{p}_proj" for p in ("gate", "up", "down")]
        layers |= {m: {"quant_algo": "W4A16_NVFP4"} for m in (f"{at}.mlp.experts", *shared)}
    mixed = {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": layers}
    config = {**QWEN_35B, "quantization_config": mixed}
    found = read(config)
    assert (found.dtype, found.expert_dtype, found.head_dtype) == ("fp8", "nvfp4-a16", "nvfp4-a16")
    assert weights_gb(config, "rtx-5090") == pytest.approx(20.8, rel=0.01)


def test_shared_experts_may_be_kept_apart_from_routed_ones() -> None:
    groups = {"g": {"weights": {"num_bits": 4, "group_size": 32, "type": "int"}, "targets": ["Linear"]}}
    ignore = ["lm_head", "re:.*self_attn.*", "re:.*linear_attn.*", "re:.*shared_expert.*"]
    kimi = {"quant_method": "compressed-tensors", "config_groups": groups, "ignore": ignore}
    found = read({**QWEN_35B, "quantization_config": kimi})
    assert (found.dtype, found.expert_dtype) == ("bf16", "int4-g32")
    assert {r.block.stored.shared for r in found.runs if r.block.stored} == {"bf16"}


def test_groups_of_their_own_targets_are_formats_by_module() -> None:
    eight, four = {"num_bits": 8, "type": "float"}, {"num_bits": 4, "type": "float", "group_size": 16}
    groups = {
        "a": {"weights": eight, "targets": ["re:.*self_attn.*"]},
        "b": {"weights": four, "input_activations": four, "targets": ["Linear"]},
    }
    found = read({**LLAMA_70B, "quantization_config": {"quant_method": "compressed-tensors", "config_groups": groups}})
    assert found.dtype == "nvfp4"
    assert {r.block.stored.mixer for r in found.runs if r.block.stored} == {"fp8"}


def test_an_unknown_algorithm_of_a_module_is_an_error() -> None:
    layers = {"model.layers.0.mlp.up_proj": {"quant_algo": "FP7"}}
    mixed = {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": layers}
    with pytest.raises(InputError, match="no quantisation called 'FP7'"):
        read({**LLAMA_70B, "quantization_config": mixed})


@pytest.mark.parametrize(
    ("entry", "name", "listed"),
    [
        ("model.layers.1", "model.layers.1.mlp.up_proj", True),
        ("model.layers.1", "model.layers.12.mlp.up_proj", False),
        ("model.layers.*.self_attn", "model.layers.12.self_attn.q_proj", True),
        ("*.mlp.gate", "model.layers.3.mlp.gate_proj", False),
        ("gate", "model.layers.3.mlp.gate_proj", False),
        ("gate", "model.layers.3.mlp.gate", True),
        (r"re:.*mlp\.(gate|up)_proj.*", "model.layers.3.mlp.up_proj", True),
        ("re:(", "model.layers.3.mlp.up_proj", False),
    ],
)
def test_names_of_modules(entry: str, name: str, listed: bool) -> None:
    assert (name in Modules.of([entry])) is listed


@pytest.mark.parametrize(
    ("name", "bits"),
    [("q5_k_s", 5.57), ("Q5_K_M", 5.70), ("iq4_xs", 4.46), ("Q2_K", 3.16), ("q3_k_m", 4.00), ("iq1_s", 2.00)],
)
def test_gguf_files_by_name(name: str, bits: float) -> None:
    # bits a weight over all tensors of a Llama-3.1-8B file
    assert weights_gb("meta-llama/Llama-3.1-8B", "rtx-4090", engine="llamacpp", weights=name) == pytest.approx(
        8.03 * bits / 8, rel=0.01
    )


def test_a_gguf_file_too_large_for_three_cards_is_refused() -> None:
    # ggml-org/llama.cpp 6668: 66.86 GiB of weights on 3 x 24 GB
    with pytest.raises(rl.Infeasible, match=r"q5_k_s needs 7\d\.\d GB of weights"):
        weights_gb("CohereForAI/c4ai-command-r-plus", "3 x rtx-3090", engine="llamacpp", pp=3, weights="q5_k_s")


DENSE = {
    "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256, "torch_dtype": "bfloat16",
}  # fmt: skip
FOUR = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128}


@pytest.mark.parametrize(
    ("stated", "model", "mixer", "feed_forward"),
    [
        ({"quant_method": "gptq", "bits": 4, "group_size": -1}, "packed-4.0000", None, None),
        ({"quant_method": "gptq", "bits": 8, "group_size": -1}, "int8", None, None),
        ({"quant_method": "gptq", "bits": 4, "dynamic": {"-:.*self_attn.*": {}}}, "int4", "bf16", None),
        ({"quant_method": "gptq", "bits": 4, "dynamic": {"+:.*self_attn.*": {"bits": 8}}}, "int4", "int8", None),
        ({"quant_method": "auto-round", "bits": 4, "group_size": 128}, "int4", None, None),
        ({"quant_method": "auto-round", "bits": 4, "extra_config": {".*self_attn.*": {"bits": 16}}}, "int4", "bf16",
         None),
        ({"load_in_4bit": True}, "int4", None, None),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True, "llm_int8_skip_modules": ["self_attn"]}, "int8", "bf16",
         None),
        ({"quant_method": "bitsandbytes", "load_in_4bit": False}, "bf16", None, None),
        ({"quant_method": "fp8", "weight_block_size": [1, 32]}, "mxfp8", None, None),
        ({"quant_method": "compressed-tensors",
          "config_groups": {"group_0": {"targets": ["re:.*mlp.*"], "weights": FOUR}}}, "int4", "bf16", None),
        ({"quant_method": "compressed-tensors", "format": "dense"}, "bf16", None, None),
        ({"quant_method": "quark", "global_quant_config": {"weight": [{"dtype": "fp8_e4m3"}, {"dtype": "int4"}]}},
         "int4", None, None),
        ({"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp4"}},
          "layer_quant_config": {"*self_attn*": {"weight": {"dtype": "fp8_e4m3"}}}}, "mxfp4", "fp8", None),
    ],
)  # fmt: skip
def test_formats_of_a_dense_model(
    stated: dict[str, Any], model: str, mixer: str | None, feed_forward: str | None
) -> None:
    m = model_from_config({**DENSE, "quantization_config": stated}, "x", "config.json")
    stored = m.runs[0].block.stored
    assert (m.dtype, stored and stored.mixer, stored and stored.ffn) == (model, mixer, feed_forward)


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp6_e2m3"}}}, "called 'fp6_e2m3'"),
        ({"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION"}, "quantized_layers: missing"),
        ({"quant_method": "compressed-tensors", "sparsity_config": {"format": "sparse-24-bitmask"}}, "are not read"),
        ({"quant_method": "compressed-tensors", "format": "mystery"}, "format without config_groups called 'mystery'"),
        ({"quant_method": "gptq", "bits": 4, "dynamic": {"+:.*mlp.*": 8}}, "is not a group of fields"),
    ],
)
def test_a_format_that_is_not_known_is_no_16_bits(stated: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        model_from_config({**DENSE, "quantization_config": stated}, "x", "config.json")


def test_an_output_projection_may_be_quantised_like_the_rest() -> None:
    stated = {"quant_method": "gptq", "bits": 4, "group_size": 128, "lm_head": True}
    assert model_from_config({**DENSE, "quantization_config": stated}, "x", "").head_dtype == "int4"


def test_a_file_may_begin_with_a_mark_of_its_encoding(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(DENSE), encoding="utf-8-sig")
    assert model(str(tmp_path)).parameters == 8_030_261_248
