"""Number formats: how many bits a stored element takes, scales included, and what the arithmetic runs in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rooflab.errors import unknown

__all__ = ["DTYPES", "DType", "dtype"]


@dataclass(frozen=True, slots=True)
class DType:
    """A storage format.

    `bits` counts the element and its share of scales and zero points (int4 in groups of 128 with a
    16-bit scale and a 4-bit zero: 4 + 20/128).  `element_bits` is the bare element.  `compute` names the
    peak that a matrix product with *both* operands in this format would run at.
    """

    name: str
    bits: float
    element_bits: float
    compute: str

    @property
    def bytes(self) -> float:
        """Stored bytes per element, scales included."""
        return self.bits / 8


DTYPES: Final[dict[str, DType]] = {
    d.name: d
    for d in (
        DType("fp32", 32, 32, "fp32"),
        DType("tf32", 32, 32, "tf32"),
        DType("bf16", 16, 16, "bf16"),
        DType("fp16", 16, 16, "fp16"),
        DType("fp8", 8, 8, "fp8"),  # one scale a tensor or a channel: nothing per element
        DType("fp8-block", 8 + 32 / (128 * 128), 8, "fp8"),  # 128 x 128 blocks, fp32 scale (DeepSeek-V3 report, 3.3)
        DType("int8", 8, 8, "int8"),
        DType("int4", 4 + 20 / 128, 4, "int4"),  # AWQ, GPTQ: group 128, fp16 scale and int4 zero
        DType("int4-g32", 4 + 16 / 32, 4, "int4"),  # symmetric, group 32, bf16 scale (Kimi-K2.5)
        DType("mxfp4", 4 + 8 / 32, 4, "fp4"),  # OCP MX: 8-bit exponent per 32
        DType("nvfp4", 4 + 8 / 16, 4, "fp4"),  # fp8 scale per 16
        DType("q8_0", 8 + 16 / 32, 8, "int8"),  # GGUF block of 32, fp16 scale
        DType("q4_0", 4 + 16 / 32, 4, "int4"),
        DType("q4_k_m", 4.85, 4, "int4"),  # llama.cpp: mean over a Llama's tensors
        DType("q6_k", 6.5625, 6, "int8"),
        DType("int2", 2 + 32 / 128, 2, "int4"),
        DType("int1", 1 + 16 / 128, 1, "int4"),
    )
}

_ALIASES: Final = {
    "float32": "fp32", "f32": "fp32", "bfloat16": "bf16", "float16": "fp16", "half": "fp16", "f16": "fp16",
    "fp8_e4m3": "fp8", "fp8_e5m2": "fp8", "e4m3": "fp8", "float8": "fp8", "fp8_block": "fp8-block",
    "fp8block": "fp8-block",
    "w8a8": "int8", "awq": "int4", "gptq": "int4", "w4a16": "int4", "fp4": "nvfp4",
    "nvfp4_block": "nvfp4", "q4_k": "q4_k_m", "q8": "q8_0", "q4": "q4_0",
}  # fmt: skip


def dtype(name: str, where: str = "") -> DType:
    """The format called `name` (case and common aliases accepted); InputError names the nearest otherwise."""
    key = name.strip().lower()
    key = _ALIASES.get(key, key)
    if key not in DTYPES:
        raise unknown("number format", name, DTYPES, where)
    return DTYPES[key]
