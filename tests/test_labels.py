"""Names of engines and formats as published tables write them."""

from __future__ import annotations

import pytest

from rooflab.errors import InputError
from rooflab.evidence.rows.labels import activations_of, cache_of, engine_of, weights_of


@pytest.mark.parametrize(
    ("label", "engine"),
    [
        ("vLLM 0.6.3+rocm", "vllm"), ("TensorRT-LLM (PyTorch backend)", "trtllm"), ("SGLang v0.4", "sglang"),
        ("llama.cpp b4000", "llamacpp"),
        ("Ollama / llama.cpp", "llamacpp"), ("HF Transformers", "transformers"), ("Transformers NeuronX", "neuron"),
        ("TGI", "tgi"),
        ("DeepSpeed-FastGen", "deepspeed"), ("MLX", "mlx"),
    ],
)  # fmt: skip
def test_engines_by_the_words_in_their_names(label: str, engine: str) -> None:
    assert engine_of(label, "NVIDIA") == engine


def test_a_label_without_an_engine_stands_for_the_vendors_stack() -> None:
    assert (engine_of("CUDA 12.4", "NVIDIA"), engine_of("", "AMD")) == ("trtllm", "vllm")


@pytest.mark.parametrize(
    ("label", "found"),
    [
        ("FP8 (E4M3)", "fp8"), ("W8A8-INT8", "int8"), ("AWQ", "int4"), ("GPTQ-Int8", "int8"), ("GPTQ-Int4", "int4"),
        ("Q5_K_M", "q5_k_m"),
        ("float16", "fp16"), ("MXFP4", "mxfp4"), ("Q4_K_M (default tag)", "q4_k_m"), ("?", None), ("", None),
    ],
)  # fmt: skip
def test_formats_by_the_words_in_their_names(label: str, found: str | None) -> None:
    assert weights_of(label) == found


def test_doubtful_formats() -> None:
    assert cache_of("fp8?") == "fp8"
    assert activations_of("bf16/fp8?") is None


def test_what_is_named_and_not_known_is_said() -> None:
    with pytest.raises(InputError, match="ExLlamaV2"):
        engine_of("ExLlamaV2", "NVIDIA")
    with pytest.raises(InputError, match="weird"):
        weights_of("weird")
