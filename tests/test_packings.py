"""Quantisation methods with layouts of their own: bits a weight by hand, and sizes of published checkpoints."""

from __future__ import annotations

from typing import Any

import pytest

import rooflab as rl
from rooflab.catalogue.models import model
from rooflab.errors import InputError
from rooflab.scenario.dtype import dtype

LLAMA = {"like": "meta-llama/Llama-3.1-8B-Instruct"}
LINEAR = 32 * (4096 * 4096 * 2 + 4096 * 1024 * 2 + 3 * 4096 * 14336)
"""Weights of the products of Llama-3.1-8B, head and embedding apart."""
TABLE = 128256 * 4096


def stored(quantisation: dict[str, Any]) -> float:
    """Bytes of the checkpoint's weights on one device."""
    model = {**LLAMA, "quantization_config": quantisation}
    load, one = {"isl": 64, "osl": 64, "concurrency": 1}, {"engine": "vllm", "tp": 1}
    asked = {"model": model, "hardware": "1 x h100-sxm", "workload": load, "deployment": one}
    return float(rl.estimate(rl.load(asked)).metrics["weights_bytes"])


@pytest.mark.parametrize(
    ("quantisation", "bits", "head_bits"),
    [
        ({"quant_method": "bitnet"}, 2.0, 16.0),
        ({"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 4, "group_size": 64}},
          "skip_modules": ["lm_head"]}, 4.5, 16.0),
        ({"quant_method": "aqlm", "in_group_size": 8, "out_group_size": 1, "num_codebooks": 1,
          "nbits_per_codebook": 16}, 2.0, 16.0),
        ({"quant_method": "exl2", "bits": 4.25, "head_bits": 6}, 4.25, 6.0),
        ({"quant_method": "exl3", "bits": 3.0, "head_bits": 6}, 3.0, 6.0),
        ({"quant_method": "torchao", "quant_type": "int4_weight_only", "quant_type_kwargs": {"group_size": 128}},
         4.25, 16),
        ({"quant_method": "torchao", "quant_type": {"default": {"_type": "Int4WeightOnlyConfig",
                                                                "_data": {"group_size": 64}}}}, 4.5, 16),
        ({"quant_method": "torchao", "quant_type": {"default": {"_type": "Float8WeightOnlyConfig", "_data": {}}}},
         8, 16),
        ({"quant_method": "torchao", "quant_type": "int8_weight_only"}, 8, 16),
        ({"quant_method": "gptq", "bits": 4, "group_size": 64}, 4 + 20 / 64, 16),
        ({"quant_method": "gptq", "bits": 4, "group_size": -1}, 4.0, 16),
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, 4 + 20 / 128, 16),
        ({"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": {"group_0": {
            "targets": ["Linear"], "weights": {"num_bits": 4, "type": "int", "strategy": "channel"}}},
          "ignore": ["lm_head"]}, 4.0, 16),
    ],
)  # fmt: skip
def test_weights_take_the_bits_that_their_layout_takes(
    quantisation: dict[str, Any], bits: float, head_bits: float
) -> None:
    by_hand = (LINEAR * bits + TABLE * (16 + head_bits)) / 8
    assert stored(quantisation) == pytest.approx(by_hand, rel=0.002)


@pytest.mark.parametrize(
    "quantisation",
    [
        {"quant_method": "torchao", "quant_type": "int3_weight_only"},
        {"quant_method": "torchao", "quant_type": {"default": {"_type": "UIntXWeightOnlyConfig"}}},
        {"quant_method": "torchao", "quant_type": {"default": {"_type": "Int8WeightOnlyConfig"}, "model.x": {}}},
        {"quant_method": "hqq"},
        {"quant_method": "hqq", "quant_config": {}},
        {"quant_method": "exl2"},
        {"quant_method": "exl2", "bits": 40},
        {"quant_method": "aqlm", "num_codebooks": 0},
        {"quant_method": "gptq", "bits": 4, "group_size": 100},
        {"quant_method": "bitnett"},
    ],
)
def test_what_is_not_known_is_refused_in_a_line(quantisation: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"quantization_config|quant") as refused:
        model({**LLAMA, "quantization_config": quantisation})
    assert "\n" not in str(refused.value)


def test_names_of_layouts_are_formats() -> None:
    assert dtype("int4-g64").bits == 4 + 20 / 64
    assert dtype("packed-2.5000").bits == 2.5
    for name in ("packed-0.5000", "packed-99.0000", "int4-g65", "int9-g64"):
        with pytest.raises(InputError, match="number format"):
            dtype(name)
