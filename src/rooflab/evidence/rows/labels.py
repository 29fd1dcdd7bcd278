"""How published tables call engines and number formats, read as ours: exact names first, then the words in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Final

from rooflab.errors import unknown
from rooflab.scenario.dtype import DTYPES
from rooflab.scenario.runtime import ENGINES

__all__ = ["activations_of", "cache_of", "engine_of", "stands_for", "weights_of"]

_ENGINES: Final = {
    "qserve": "trtllm", "quarot": "trtllm", "atom": "trtllm", "sambaflow": "pytorch", "pytorch": "pytorch",
}  # fmt: skip
"""Stacks that stand for another one's host and kernels."""
_STAND_INS: Final = ("qserve", "quarot", "atom")
"""Those of them that have kernels of their own on devices where the other one runs, too."""
_ENGINE_WORDS: Final = (
    (r"sglang", "sglang"), (r"vllm", "vllm"), (r"tensorrt|\btrt\b|trt-?llm", "trtllm"),
    (r"llama[._-]?cpp|ollama|lm ?studio|koboldcpp", "llamacpp"),
    (r"lmdeploy|turbomind", "lmdeploy"), (r"deepspeed", "deepspeed"), (r"neuronx?\b|nxd", "neuron"),
    (r"\bmlx\b", "mlx"),
    (r"text[- ]generation[- ]inference|\btgi\b", "tgi"), (r"fastertransformer", "fastertransformer"),
    (r"transformers|hugging ?face|optimum", "transformers"), (r"pytorch|torch", "pytorch"),
)  # fmt: skip
"""Words that name an engine, the more particular first."""
_UNSTATED: Final = ("", "?", "unset", "unknown", "n/a", "none", "auto", "default", "mixed")
_FORMAT_WORDS: Final = (
    (r"nvfp4", "nvfp4"), (r"mxfp4", "mxfp4"), (r"fp4", "nvfp4"),
    (r"fp8[-_ ]?block|block[-_ ]?fp8|fp8 ?\(?.*128", "fp8-block"),
    (r"fp8|e4m3|e5m2", "fp8"), (r"q4_k", "q4_k_m"), (r"q4_[01]|iq4", "q4_0"), (r"q5|q6", "q6_k"), (r"q8_0", "q8_0"),
    (r"w4a16|w4a8|awq|gptq(?!.*8)|u?int-?4|4[- ]?bit|nf4", "int4"), (r"w8a8|w8a16|u?int-?8|8[- ]?bit", "int8"),
    (r"bf16|bfloat16", "bf16"), (r"fp16|f16|float16|half", "fp16"), (r"tf32", "tf32"), (r"fp32|f32|float32", "fp32"),
)  # fmt: skip
"""Words that name a format of weights, the more particular first; 5- and 6-bit blocks of llama.cpp are priced as
q6_k."""
_NARROW: Final = ("fp8", "fp8-block", "nvfp4", "int8", "int4")


def engine_of(label: str, vendor: str) -> str:
    """The engine that a label names. A label that names none (a compiler, nothing) stands for the stack of the device's
    vendor.

    InputError for a runtime that is named and not known.
    """
    name = label.strip().lower()
    if name in _ENGINES:
        return _ENGINES[name]
    if name in ENGINES:
        return name
    for words, engine in _ENGINE_WORDS:
        if re.search(words, name):
            return engine
    if re.search(
        r"exllama|mlc[- ]?llm|openvino|onnx ?runtime|jetstream|maxtext|lightllm|tensorflow|candle|ctranslate", name
    ):
        raise unknown("engine", label, ENGINES, "engine")
    return "trtllm" if vendor == "NVIDIA" else "vllm"


def stands_for(label: str) -> bool:
    """Whether a label names a stack that is priced as another one's: its rows tell nothing of that one's constants."""
    return label.strip().lower() in _STAND_INS


@cache
def weights_of(label: str) -> str | None:
    """The format of weights that a label names, None where it states none; InputError for one that is stated and not
    known."""
    name = label.strip().lower().split(" (default tag)")[0].split("/")[0]
    if name in _UNSTATED:
        return None
    if name in DTYPES:
        return name
    for words, found in _FORMAT_WORDS:
        if re.search(words, name):
            return found
    raise unknown("number format", label, DTYPES, "precision_weights")


def activations_of(label: str) -> str | None:
    """The narrow format of activations that a label names without a doubt; None for 16 bits and for what is unsure
    ("fp8?")."""
    return _narrow(label, doubtful=False)


def cache_of(label: str) -> str | None:
    """The narrow format of the cache that a label names; None for 16 bits and for nothing."""
    return _narrow(label, doubtful=True)


def _narrow(label: str, *, doubtful: bool) -> str | None:
    name = label.strip().lower()
    if name.endswith("?") and not doubtful:
        return None
    found: Mapping[str, str] = {"fp4": "nvfp4", "fp8_e4m3": "fp8", "fp8_e5m2": "fp8"}
    name = found.get(name.rstrip("?"), name.rstrip("?"))
    return name if name in _NARROW else None
