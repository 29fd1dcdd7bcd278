"""Quantisation methods with layouts of their own: how many bits a weight takes, scales and codes counted.

Codebooks of AQLM and tables of ExLlama (some kilobytes a layer) are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from rooflab.errors import InputError, unknown
from rooflab.scenario.hf.config import Config

__all__ = ["MORE", "integers", "packed"]

_GROUPS: Final = (16, 32, 64, 128, 256, 512, 1024)
_TORCHAO: Final = {
    "int8_weight_only": "int8", "int8_dynamic_activation_int8_weight": "int8", "int4_weight_only": "int4",
    "int8_dynamic_activation_int4_weight": "int4", "float8_weight_only": "fp8",
    "float8_dynamic_activation_float8_weight": "fp8", "float8_static_activation_float8_weight": "fp8",
}  # fmt: skip
"""Names of torchao's configurations, as the older files have them; the newer ones have the class of each."""


def integers(bits: int, group: int, where: str) -> str:
    """The format of integers with a scale and a zero point for each `group` (0: a scale a row, nothing an element)."""
    if bits not in (2, 3, 4, 5, 6, 8):
        raise InputError(f"{bits}-bit integers are not known (2 to 6, 8)", where)
    if bits == 8:
        return "int8"
    if group == 0:
        return packed(bits, where)
    if group not in _GROUPS:
        raise InputError(f"groups of {group} are not known ({', '.join(map(str, _GROUPS))}, or -1 for a row)", where)
    return f"int{bits}" if group == 128 else f"int{bits}-g{group}"


def packed(bits: float, where: str) -> str:
    """The format of so many bits a weight, whatever holds them."""
    if not 1.0 <= bits <= 16.0:
        raise InputError(f"{bits:g} bits a weight are not known (1 to 16)", where)
    return f"packed-{bits:.4f}"


def _torchao(q: Config) -> str | None:
    """transformers' TorchAoConfig: a name with its arguments, or a class with its fields for the default of all
    modules."""
    given = q.data.get("quant_type")
    arguments = q.sub("quant_type_kwargs")
    name = str(given or "")[:60]
    if isinstance(given, Mapping):
        default = Config(given, q.at("quant_type")).sub("default")
        if default is None or set(given) - {"default"}:
            raise InputError("modules with a type of their own are not read", q.at("quant_type"))
        name, arguments = _snake(default.text("_type").removesuffix("Config")), default.sub("_data")
    if name not in _TORCHAO:
        raise unknown("type of torchao", name, _TORCHAO, q.at("quant_type"))
    if _TORCHAO[name] != "int4":
        return _TORCHAO[name]
    size = arguments.count("group_size", default=128) if arguments is not None else 128
    return packed(4 + 32 / size, q.at("quant_type"))  # a scale and a zero point of 16 bits for each group


def _snake(name: str) -> str:
    out = "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
    return out.lstrip("_")


def _hqq(q: Config) -> str | None:
    """Half-quadratic quantisation: scales and zero points of 16 bits for each group."""
    outer = q.sub("quant_config")
    weights = outer.sub("weight_quant_params") if outer is not None else None
    if weights is None:
        raise InputError("missing", q.at("quant_config.weight_quant_params"))
    return packed(weights.count("nbits") + 32 / weights.count("group_size", default=64), weights.at("nbits"))


def _bitnet(q: Config) -> str | None:
    """Ternary weights: four in a byte, one scale a tensor (microsoft/bitnet-b1.58-2B-4T)."""
    return packed(2.0, q.at("quant_method"))


def _aqlm(q: Config) -> str | None:
    """Codes of `num_codebooks` for each block of in x out weights (arXiv 2401.06118, section 3)."""
    block = q.count("in_group_size", default=8) * q.count("out_group_size", default=1)
    codes = q.count("num_codebooks", default=1) * q.count("nbits_per_codebook", default=16)
    return packed(codes / block, q.at("nbits_per_codebook"))


def _exllama(q: Config) -> str | None:
    """ExLlama's files state their mean bits a weight."""
    return packed(q.number("bits", 0.0), q.at("bits"))


MORE: Final[Mapping[str, Callable[[Config], str | None]]] = {
    "torchao": _torchao, "hqq": _hqq, "bitnet": _bitnet, "aqlm": _aqlm, "exl2": _exllama, "exl3": _exllama,
}  # fmt: skip
