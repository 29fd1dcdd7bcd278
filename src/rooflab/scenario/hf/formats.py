"""Number formats of a checkpoint: `torch_dtype` and the many forms of `quantization_config`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from rooflab.errors import InputError, unknown
from rooflab.scenario.hf.config import Config

__all__ = ["Formats", "read_formats"]

_BASE: Final = {
    "bfloat16": "bf16",
    "float16": "fp16",
    "float32": "fp32",
    "half": "fp16",
    "auto": "bf16",
    "float8_e4m3fn": "fp8",
}
_MODELOPT: Final = {
    "FP8": "fp8", "FP8_PER_CHANNEL_PER_TOKEN": "fp8", "FP8_PB_WO": "fp8-block", "FP8_PB_REAL": "fp8-block",
    "NVFP4": "nvfp4",
    "NVFP4_AWQ": "nvfp4", "MXFP4": "mxfp4", "W4A16_AWQ": "int4", "W4A8_AWQ": "int4", "W4A16": "int4", "W8A16": "int8",
    "INT8_SQ": "int8",
}  # fmt: skip
_METHODS: Final = (
    "fp8",
    "fbgemm_fp8",
    "mxfp4",
    "modelopt",
    "compressed-tensors",
    "awq",
    "gptq",
    "bitsandbytes",
    "quark",
    "nvfp4",
)
_ATTENTION: Final = re.compile(r"(self_attn|attention|attn)(\.\*|\*|$|\.[a-z_]*proj)")


@dataclass(frozen=True, slots=True)
class Formats:
    """What weights, routed experts and cache are stored in; None: as the weights, as the engine chooses."""

    dtype: str
    expert_dtype: str | None = None
    kv_dtype: str | None = None


def read_formats(outer: Config, text: Config, experts: bool) -> Formats:
    """Formats of the checkpoint that `outer` (and its text part) describes; `experts`: the model has routed ones.

    Where attention is listed as not converted, only the experts of a mixture take the quantised format: it is nearly
    all of their weights (gpt-oss, DeepSeek-R1-NVFP4).  Raises InputError for a method that is not known.
    """
    base = _base(text) or _base(outer) or "bf16"
    quantised = (
        outer.sub("quantization_config")
        or text.sub("quantization_config")
        or outer.sub("compression_config")
        or outer.sub("quantization")
    )
    kv = None if quantised is None else _kv(quantised)
    if quantised is None:
        return Formats(base)
    name = _format(quantised)
    if name is None:
        return Formats(base, kv_dtype=kv)
    declared = text.text("expert_dtype") or outer.text("expert_dtype")
    if declared and experts:
        return Formats(name, {"fp4": "mxfp4"}.get(declared, declared), kv)
    if experts and (name == "mxfp4" or _skips_attention(quantised)):
        return Formats(base, name, kv)
    return Formats(name, None, kv)


def _base(config: Config) -> str | None:
    name = config.text("torch_dtype") or config.text("dtype")
    if not name:
        return None
    name = name.removeprefix("torch.")
    if name not in _BASE:
        raise unknown("number format", name, _BASE, config.at("torch_dtype" if config.has("torch_dtype") else "dtype"))
    return _BASE[name]


def _format(q: Config) -> str | None:
    """The name of the weight format, None where the checkpoint leaves weights as they are."""
    algorithm = q.text("quant_algo").upper()
    if algorithm == "MIXED_PRECISION":
        return _mixed(q)
    if algorithm:
        if algorithm not in _MODELOPT:
            raise unknown("quantisation", algorithm, _MODELOPT, q.at("quant_algo"))
        return _MODELOPT[algorithm]
    method = q.text("quant_method").lower()
    if not method and q.has("bits"):  # MLX: a scale and a bias of 16 bits for each group
        return _integers(q.count("bits"), 32 if q.count("group_size", default=64) <= 64 else 128, q.at("bits"))
    if method in ("fp8", "fbgemm_fp8"):
        return "fp8-block" if q.has("weight_block_size") else "fp8"
    if method in ("mxfp4", "nvfp4"):
        return method
    if method in ("awq", "gptq"):
        return _integers(
            q.count("bits", "w_bit", default=4), q.maybe("group_size", "q_group_size") or 128, q.at("bits")
        )
    if method == "bitsandbytes":
        return "int4" if q.flag("load_in_4bit") else "int8"
    if method in ("compressed-tensors", "modelopt"):
        return _groups(q)
    if method == "quark":
        return _quark(q)
    raise unknown("quantisation method", method, _METHODS, q.at("quant_method"))


def _integers(bits: int, group: int, where: str) -> str:
    names = {2: "int2", 3: "int4", 4: "int4-g32" if group == 32 else "int4", 8: "int8"}
    if bits not in names:
        raise InputError(f"{bits}-bit integers are not known (2, 3, 4, 8)", where)
    return names[bits]


def _groups(q: Config) -> str | None:
    groups = q.sub("config_groups")
    if groups is None or not groups.data:
        return {
            "float-quantized": "fp8",
            "int-quantized": "int8",
            "pack-quantized": "int4",
            "nvfp4-pack-quantized": "nvfp4",
        }.get(q.text("format"), "fp8")
    first = groups.sub(next(iter(groups.data)))
    weights = first.sub("weights") if first else None
    if weights is None:
        return None
    bits, kind, size = weights.count("num_bits", default=8), weights.text("type", "int"), weights.maybe("group_size")
    if kind == "float" and bits == 8:
        return "fp8-block" if weights.text("strategy") == "block" else "fp8"
    if kind == "float" and bits == 4:
        return "mxfp4" if size == 32 else "nvfp4"
    return _integers(bits, size or 128, weights.at("num_bits"))


def _quark(q: Config) -> str | None:
    outer = q.sub("global_quant_config")
    weight = outer.sub("weight") if outer else None
    name = weight.text("dtype") if weight else ""
    return {"fp8_e4m3": "fp8", "fp4": "mxfp4", "int8": "int8", "int4": "int4", "uint4": "int4"}.get(name)


def _mixed(q: Config) -> str | None:
    """The format of most layers in a mixed checkpoint, by its own list."""
    layers = q.data.get("quantized_layers")
    if not isinstance(layers, Mapping) or not layers:
        return None
    names = [str(v.get("quant_algo", "")).upper() for v in layers.values() if isinstance(v, Mapping)]
    known = [_MODELOPT[n] for n in names if n in _MODELOPT]
    return max(known, key=known.count) if known else None


def _kv(q: Config) -> str | None:
    algorithm = q.text("kv_cache_quant_algo").lower()
    if algorithm in ("fp8", "nvfp4", "int8"):
        return algorithm
    scheme: Any = q.data.get("kv_cache_scheme")
    if isinstance(scheme, Mapping) and scheme.get("num_bits") == 8:
        return "fp8" if scheme.get("type") == "float" else "int8"
    return None


def _skips_attention(q: Config) -> bool:
    for key in ("modules_to_not_convert", "exclude_modules", "ignore", "exclude", "ignored_layers"):
        names = q.data.get(key)
        if isinstance(names, (list, tuple)) and any(_ATTENTION.search(str(n).replace("\\", "")) for n in names):
            return True
    return False
