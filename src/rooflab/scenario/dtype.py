"""Number formats: how many bits a stored element takes, scales included, and what the arithmetic runs in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Final

from rooflab.errors import unknown

__all__ = ["DTYPES", "DType", "dtype"]


@dataclass(frozen=True, slots=True)
class DType:
    """A storage format.

    `bits` counts the element and its share of scales and zero points (int4 in groups of 128 with a
    16-bit scale and a 4-bit zero: 4 + 20/128).  `element_bits` is the bare element.  `compute` names the
    peak that a matrix product with *both* operands in this format would run at.  `everywhere`: embedding and head are
    stored in it, too (files of llama.cpp).
    """

    name: str
    bits: float
    element_bits: float
    compute: str
    everywhere: bool = False

    @property
    def bytes(self) -> float:
        """Stored bytes per element, scales included."""
        return self.bits / 8


_GGUF: Final = (
    # bits a weight of Llama-3.1-8B, all tensors of the file (llama.cpp, tools/quantize/README.md); blocks of one type
    # with their scales where that is what the name means
    ("q8_0", 8 + 16 / 32, 8), ("q6_k", 6.5625, 6), ("q5_k_m", 5.7036, 5), ("q5_k_s", 5.5704, 5),
    ("q5_1", 5 + 32 / 32, 5), ("q5_0", 5 + 16 / 32, 5), ("q4_k_m", 4.85, 4), ("q4_k_s", 4.6672, 4),
    ("q4_1", 4 + 32 / 32, 4), ("q4_0", 4 + 16 / 32, 4), ("iq4_nl", 4.6818, 4), ("iq4_xs", 4.4597, 4),
    ("q3_k_l", 4.2979, 3), ("q3_k_m", 3.9960, 3), ("q3_k_s", 3.6429, 3), ("iq3_m", 3.7628, 3), ("iq3_s", 3.6606, 3),
    ("iq3_xs", 3.4977, 3), ("iq3_xxs", 3.2548, 3), ("q2_k", 3.1593, 2), ("q2_k_s", 2.9697, 2), ("iq2_m", 2.9294, 2),
    ("iq2_s", 2.7403, 2), ("iq2_xs", 2.5882, 2), ("iq2_xxs", 2.3824, 2), ("iq1_m", 2.1460, 1), ("iq1_s", 2.0042, 1),
)  # fmt: skip

DTYPES: Final[dict[str, DType]] = {
    d.name: d
    for d in (
        DType("fp32", 32, 32, "fp32"),
        DType("tf32", 32, 32, "tf32"),
        DType("bf16", 16, 16, "bf16"),
        DType("fp16", 16, 16, "fp16"),
        DType("fp8", 8, 8, "fp8"),  # one scale a tensor or a channel: nothing per element
        DType("fp8-block", 8 + 32 / (128 * 128), 8, "fp8"),  # 128 x 128 blocks, fp32 scale (DeepSeek-V3 report, 3.3)
        DType("mxfp8", 8 + 8 / 32, 8, "fp8"),  # OCP MX: 8-bit exponent per 32
        DType("int8", 8, 8, "int8"),
        DType("int4", 4 + 20 / 128, 4, "int4"),  # AWQ, GPTQ: group 128, fp16 scale and int4 zero
        DType("int4-g32", 4 + 16 / 32, 4, "int4"),  # symmetric, group 32, bf16 scale (Kimi-K2.5)
        DType("mxfp4", 4 + 8 / 32, 4, "fp4"),  # OCP MX: 8-bit exponent per 32
        DType("nvfp4", 4 + 8 / 16, 4, "fp4"),  # fp8 scale per 16
        DType("nvfp4-a16", 4 + 8 / 16, 4, "fp4"),  # the same weights beside 16-bit activations (W4A16_NVFP4)
        DType("int6", 6 + 32 / 64, 6, "int8"),  # MLX: a scale and a bias of 16 bits for a group of 64
        DType("int5", 5 + 32 / 64, 5, "int8"),
        DType("int3", 3 + 32 / 64, 3, "int4"),
        DType("int2", 2 + 32 / 128, 2, "int4"),
        DType("int1", 1 + 16 / 128, 1, "int4"),
        *(DType(name, bits, element, "int8" if element > 4 else "int4", True) for name, bits, element in _GGUF),
    )
}

_ALIASES: Final = {
    "float32": "fp32", "f32": "fp32", "bfloat16": "bf16", "float16": "fp16", "half": "fp16", "f16": "fp16",
    "fp8_e4m3": "fp8", "fp8_e5m2": "fp8", "e4m3": "fp8", "float8": "fp8", "fp8_block": "fp8-block",
    "fp8block": "fp8-block",
    "w8a8": "int8", "awq": "int4", "gptq": "int4", "w4a16": "int4", "fp4": "nvfp4",
    "nvfp4_block": "nvfp4", "nvfp4a16": "nvfp4-a16",
    "q4_k": "q4_k_m", "q5_k": "q5_k_m", "q3_k": "q3_k_m", "q8": "q8_0", "q4": "q4_0", "ud-q4_k_xl": "q4_k_m",
}  # fmt: skip


_OF_A_FILE: Final = re.compile(r"^gguf-(\d{1,2}\.\d{4})$")


_OF_GROUPS: Final = re.compile(r"^int([2-8])-g(16|32|64|128|256|512|1024)$")


_PACKED: Final = re.compile(r"^packed-(\d{1,2}\.\d{4})$")


_OF_MLX: Final = re.compile(r"^mlx-([2-68])-g(32|64|128)$")


@cache
def _of_a_file(bits: float) -> DType:
    """Tensors of a file of llama.cpp, of several types with `bits` a weight on average."""
    if bits >= 16:
        return DType(f"gguf-{bits:.4f}", bits, 16, "bf16", True)
    element = max(1, min(8, int(bits)))
    return DType(f"gguf-{bits:.4f}", bits, element, "int8" if element > 4 else "int4", True)


def dtype(name: str, where: str = "") -> DType:
    """The format called `name` (case and common aliases accepted); InputError names the nearest otherwise.

    ``gguf-4.8500`` is that of a file whose tensors have so many bits a weight on average, ``mlx-4-g64`` that of MLX:
    integers of so many bits, a scale and a bias of 16 bits for each group; ``int4-g64`` that of integers with a scale
    of 16 bits and a zero point for each group, ``packed-2.0000`` that of so many bits a weight, whatever holds them.
    """
    key = name.strip().lower()
    key = _ALIASES.get(key, key)
    if (own := _OF_A_FILE.match(key)) and 1.0 <= float(own[1]) <= 32.0:
        return _of_a_file(float(own[1]))
    if of_mlx := _OF_MLX.match(key):
        bits, group = int(of_mlx[1]), int(of_mlx[2])
        return DType(key, bits + 32 / group, bits, "int8" if bits > 4 else "int4", True)
    if key not in DTYPES and (own := _OF_GROUPS.match(key)):
        bits, group = int(own[1]), int(own[2])
        return DType(key, bits + (16 + bits) / group, bits, "int8" if bits > 4 else "int4")
    if (own := _PACKED.match(key)) and 1.0 <= float(own[1]) <= 16.0:
        stored = float(own[1])
        return DType(key, stored, min(int(stored), 8), "int8" if stored > 4.9 else "int4")
    if key not in DTYPES:
        raise unknown("number format", name, DTYPES, where)
    return DTYPES[key]
