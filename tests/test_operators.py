"""Operators: FLOPs and bytes known by hand, splits that conserve work, rewrites that are seen by the step cost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rooflab.catalogue.hardware import hardware
from rooflab.catalogue.models import model
from rooflab.costs.compile import compile_steps
from rooflab.costs.price import compute_of, format_key
from rooflab.errors import InputError
from rooflab.operators.formats import formats_of
from rooflab.operators.ops import AttentionOp, Collective, ExpertGemm, Gemm
from rooflab.operators.split import Degrees, check_split
from rooflab.operators.step import step_operators
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.dtype import dtype
from rooflab.scenario.model import Model

H100 = hardware("8 x h100-sxm")
ALONE = Degrees(1.0, 1.0, 1.0, 1.0, 1.0)


def operators(shape: Model, split: Degrees = ALONE, tokens: float = 1.0, **fields: object):
    deployment = Deployment.of(engine="vllm", tp=1, **fields)
    return step_operators(shape, formats_of(shape, H100.device, deployment), split, tokens, tokens)


def flops(ops) -> float:
    return sum(
        float(op.count * np.asarray(op.flops)) for op in ops if not isinstance(op, AttentionOp) and hasattr(op, "flops")
    )


@pytest.mark.parametrize(
    "name", ["Llama-3.1-8B", "Llama-3.1-70B", "gemma-2-9b", "Qwen2.5-7B", "bloom-7b1", "gpt-j-6b", "falcon-40b"]
)
def test_a_token_costs_two_flops_a_parameter(name: str) -> None:
    shape = model(name)
    products = shape.active_parameters - shape.embedding_parameters + (shape.embedding_parameters if shape.tied else 0)
    assert flops(operators(shape)) == pytest.approx(2 * products, rel=0.01)


@pytest.mark.parametrize("name", ["Mixtral-8x7B-v0.1", "Qwen3-30B-A3B", "DeepSeek-V3", "gpt-oss-120b"])
def test_a_token_costs_two_flops_an_active_parameter(name: str) -> None:
    shape = model(name)
    products = shape.active_parameters - shape.embedding_parameters
    assert flops(operators(shape)) == pytest.approx(2 * products, rel=0.02)


def test_llama_8b_weights_and_cache_by_hand() -> None:
    ops = operators(model("Llama-3.1-8B"))
    weights = sum(float(op.count * np.asarray(op.weight_bytes)) for op in ops if isinstance(op, Gemm))
    # all but the embedding table (128,256 x 4,096) is read each step: 7.505e9 parameters of 2 bytes
    assert weights == pytest.approx(2 * (8_030_261_248 - 128_256 * 4096), rel=1e-3)
    (attention,) = (op for op in ops if isinstance(op, AttentionOp))
    # 32 layers x 8 KV heads x (128 + 128) x 2 bytes
    assert attention.count * attention.cache_elements * attention.kv.bytes == 131_072


def test_deepseek_caches_576_elements_a_layer_whatever_the_split() -> None:
    shape = model("DeepSeek-V3")
    for tp in (1.0, 8.0):
        ops = operators(shape, replace(ALONE, tp=tp))
        cached = sum(float(op.count * np.asarray(op.cache_elements)) for op in ops if isinstance(op, AttentionOp))
        assert cached == 61 * 576


@pytest.mark.parametrize("tp", [2.0, 4.0, 8.0])
def test_tensor_parallelism_splits_the_products_and_adds_two_all_reduces_a_layer(tp: float) -> None:
    shape = model("Llama-3.1-70B")
    one, many = operators(shape), operators(shape, replace(ALONE, tp=tp))
    assert flops(many) * tp == pytest.approx(flops(one), rel=1e-9)
    reduces = sum(float(np.asarray(op.count)) for op in many if isinstance(op, Collective) and op.kind == "all_reduce")
    assert reduces == 2 * shape.layers
    size = next(op.message_bytes for op in many if isinstance(op, Collective) and op.kind == "all_reduce")
    assert size == shape.hidden * 2


def test_expert_parallelism_conserves_expert_work() -> None:
    shape = model("DeepSeek-V3")
    for split in (replace(ALONE, tp=8.0), replace(ALONE, tp=8.0, ep=8.0), replace(ALONE, dp=8.0, ep=8.0)):
        (experts,) = (op for op in operators(shape, split, 256.0) if isinstance(op, ExpertGemm))
        ranks = float(np.asarray(split.ranks))
        assert float(np.asarray(experts.flops)) * ranks == pytest.approx(2 * 3 * 7168 * 2048 * 256 * 8)


def test_tokens_travel_only_under_data_parallel_attention() -> None:
    shape = model("DeepSeek-V3")

    def sent(split: Degrees) -> float:
        ops = operators(shape, split, 256.0)
        return sum(
            float(np.asarray(op.message_bytes)) for op in ops if isinstance(op, Collective) and op.kind == "all_to_all"
        )

    assert sent(replace(ALONE, tp=8.0, ep=8.0)) == 0
    # each token reaches 7 · (1 − (7/8)^8) of the seven other ranks, one byte an element on the way out and two back
    assert sent(replace(ALONE, dp=8.0, ep=8.0)) == pytest.approx(256 / 8 * 7 * (1 - (7 / 8) ** 8) * 7168 * (1 + 2))


def test_experts_cut_over_data_parallel_ranks_gather_tokens_and_scatter_sums() -> None:
    ops = operators(model("DeepSeek-V3"), replace(ALONE, dp=4.0), 256.0)
    moved = [
        op
        for op in ops
        if isinstance(op, Collective) and op.name.startswith("expert") and float(np.asarray(op.link_bytes)) > 0
    ]
    assert {op.name for op in moved} == {"expert token gather", "expert sum scatter"}
    # three quarters of 256 tokens of 7,168 two-byte elements, there and back
    assert all(float(np.asarray(op.link_bytes)) == pytest.approx(0.75 * 256 * 7168 * 2) for op in moved)


@pytest.mark.parametrize(
    ("weights", "activations", "key", "compute"),
    [
        ("bf16", "bf16", "bf16", "bf16"),
        ("fp8", "fp8", "fp8", "fp8"),
        ("fp8-block", "fp8", "fp8_block", "fp8"),
        ("fp8", "bf16", "int8", "bf16"),
        ("int4", "bf16", "int4", "bf16"),
        ("int4", "int8", "int8_w8a8", "int8"),
        ("int8", "int8", "int8_w8a8", "int8"),
        ("nvfp4", "nvfp4", "nvfp4", "fp4"),
        ("mxfp4", "bf16", "mxfp4", "bf16"),
    ],
)
def test_which_curve_and_arithmetic_price_a_product(weights: str, activations: str, key: str, compute: str) -> None:
    assert format_key(dtype(weights), dtype(activations)) == key
    assert compute_of(dtype(weights), dtype(activations)) == compute


def test_fp8_weights_compute_in_fp8_only_where_the_device_can() -> None:
    shape = model("Llama-3.1-8B")
    deployment = Deployment.of(engine="vllm", tp=1, weights="fp8")
    assert formats_of(shape, H100.device, deployment).activations.name == "fp8"
    assert formats_of(shape, hardware("a100").device, deployment).activations.name == "bf16"


def test_gpt_oss_keeps_attention_in_16_bits() -> None:
    formats = formats_of(model("gpt-oss-120b"), H100.device, Deployment.of(engine="vllm", tp=1))
    assert (formats.weights.name, formats.experts.name) == ("bf16", "mxfp4")


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        (
            "Llama-3.1-70B",
            {"tp": 3},
            "deployment.tp: 3 does not divide the 64 attention heads of meta-llama/Llama-3.1-70B; 1, 2, 4, 8",
        ),
        ("Llama-3.1-8B", {"tp": 1, "pp": 40}, "deployment.pp: 40 stages for the 32 layers"),
        ("Llama-3.1-8B", {"tp": 2, "ep": 2}, "deployment.ep: meta-llama/Llama-3.1-8B has no routed experts"),
        ("Qwen3-30B-A3B", {"tp": 4, "ep": 3}, "deployment.ep: 3 does not divide the 128 experts"),
        ("Qwen3-30B-A3B", {"tp": 2, "ep": 4}, "deployment.ep: 4 does not divide the 2 devices of a stage"),
    ],
)
def test_impossible_splits_name_the_nearest_valid_degree(name: str, fields: dict[str, int], message: str) -> None:
    with pytest.raises(InputError) as error:
        check_split(model(name), Deployment.of(engine="vllm", **fields))
    assert str(error.value).startswith(message)


def test_a_rewrite_changes_the_step_and_nothing_else() -> None:
    shape, deployment = model("Llama-3.1-8B"), Deployment.of(engine="vllm", tp=1)
    plain = compile_steps(shape, H100, [deployment])[0].step(n_decode=8, context=8192)

    def drop_norms(ops):
        return [op for op in ops if op.group != "norm"]

    fused = compile_steps(shape, H100, [deployment], [drop_norms])[0].step(n_decode=8, context=8192)
    assert fused.linear_s[0] < plain.linear_s[0]
    assert fused.attention_s[0] == plain.attention_s[0]
    assert fused.flops[0] == plain.flops[0]


def test_sliding_layers_stop_reading_at_their_window() -> None:
    shape = model("gpt-oss-20b")
    cost = compile_steps(shape, H100, [Deployment.of(engine="vllm", tp=1)])[0]
    growth = [
        cost.step(n_decode=1, context=c + 1000).bytes[0] - cost.step(n_decode=1, context=c).bytes[0]
        for c in (0, 100_000)
    ]
    # 24 layers, half of them sliding over 128 tokens: 12 layers of 8 KV heads x 128 elements x 2 bytes keep growing
    assert growth[1] == pytest.approx(12 * 8 * 128 * 2 * 1000)
    assert growth[0] == pytest.approx(growth[1] + 12 * 8 * 128 * 2 * 128)
