"""Quantities: read at the edge ("80 GB/s", "1.2 s", "4/s"), SI floats inside, printed for people.

Inside the package a number never carries a unit object; its unit stands at the end of its name
(``_s``, ``_bytes``, ``_flops``, ``_w``, ``_j``, ``_usd``, ``_tokens``).  This module is the only place
where text becomes a number and a number becomes text.  Prefixes k, M, G, T, P are decimal
(1 GB = 1e9 B), Ki, Mi, Gi, Ti binary.
"""

from __future__ import annotations

import math
import re
from typing import Final

from rooflab.errors import InputError

__all__ = ["format_quantity", "format_seconds", "parse", "significant"]

_NUMBER: Final = re.compile(r"^\s*([+-]?(?:\d[\d_,]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*?)\s*$")

_PREFIX: Final[dict[str, float]] = {
    "": 1.0, "n": 1e-9, "u": 1e-6, "µ": 1e-6, "m": 1e-3, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15,
    "E": 1e18,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40,
}  # fmt: skip

# dimension -> accepted base symbols and their size in SI; symbols that take a prefix are in _SCALES
_BASES: Final[dict[str, dict[str, float]]] = {
    "time": {"s": 1.0, "sec": 1.0, "min": 60.0, "h": 3600.0, "hour": 3600.0, "d": 86400.0, "day": 86400.0,
    "days": 86400.0},
    "bytes": {"B": 1.0, "b": 0.125, "bit": 0.125},
    "bandwidth": {"B/s": 1.0, "Bps": 1.0, "b/s": 0.125, "bps": 0.125, "bit/s": 0.125},
    "flops": {"FLOP/s": 1.0, "FLOPS": 1.0, "FLOPs": 1.0, "flops": 1.0, "OP/s": 1.0, "OPS": 1.0},
    "rate": {"/s": 1.0, "rps": 1.0, "qps": 1.0, "req/s": 1.0, "/min": 1 / 60.0, "/h": 1 / 3600.0, "Hz": 1.0},
    "power": {"W": 1.0},
    "energy": {"J": 1.0, "Wh": 3600.0},
    "money": {"USD": 1.0, "usd": 1.0, "$": 1.0},
    "frequency": {"Hz": 1.0},
    "tokens": {"": 1.0, "tok": 1.0, "tokens": 1.0},
    "count": {"": 1.0},
    "fraction": {"": 1.0, "%": 0.01},
}  # fmt: skip
_UNPREFIXED: Final = {
    "min",
    "h",
    "hour",
    "hours",
    "d",
    "day",
    "days",
    "sec",
    "%",
    "$",
    "/s",
    "/min",
    "/h",
    "USD",
    "usd",
    "rps",
    "qps",
    "req/s",
}
_DEFAULT: Final = {
    "time": "s",
    "bytes": "B",
    "bandwidth": "B/s",
    "flops": "FLOP/s",
    "rate": "/s",
    "power": "W",
    "energy": "J",
    "frequency": "Hz",
}


def parse(value: object, dimension: str, where: str = "") -> float:
    """`value` as an SI float of `dimension`; a bare number is taken to be SI already.

    Dimensions: time (s), bytes (B), bandwidth (B/s), flops (FLOP/s), rate (1/s), power (W), energy (J),
    money (USD), frequency (Hz), tokens, count, fraction.  Raises InputError with an example when the
    text is not a number with a unit of that dimension.
    """
    bases = _BASES[dimension]
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise InputError(f"{value!r} is not {_article(dimension)} (for example {_example(dimension)})", where)
    if isinstance(value, (int, float)):
        return float(value)
    match = _NUMBER.match(value)
    if match is None:
        raise InputError(f"{value!r} is not {_article(dimension)} (for example {_example(dimension)})", where)
    number, symbol = float(match[1].replace("_", "").replace(",", "")), match[2]
    if symbol in bases:
        return number * bases[symbol]
    if symbol == "" and dimension in _DEFAULT:
        return number
    for prefix, scale in sorted(_PREFIX.items(), key=lambda item: -len(item[0])):
        rest = symbol[len(prefix) :]
        if prefix and symbol.startswith(prefix) and rest in bases and rest not in _UNPREFIXED:
            return number * scale * bases[rest]
    raise InputError(f"{value!r} is not {_article(dimension)} (for example {_example(dimension)})", where)


def _article(dimension: str) -> str:
    return {"bytes": "a size", "time": "a time", "flops": "an arithmetic rate", "tokens": "a token count"}.get(
        dimension, f"a {dimension}"
    )


def _example(dimension: str) -> str:
    return {
        "time": "50 ms", "bytes": "80 GB", "bandwidth": "450 GB/s", "flops": "989 TFLOP/s", "rate": "4/s",
        "power": "700 W",
        "energy": "3 J", "money": "2.5 USD", "frequency": "1.4 GHz", "tokens": "1024", "count": "8",
        "fraction": "0.9 or 90 %",
    }[dimension]  # fmt: skip


def significant(value: float, digits: int = 3) -> str:
    """`value` with `digits` significant digits, thousands separated, never in scientific notation below 1e15."""
    if math.isnan(value):
        return "–"
    if value == 0:
        return "0"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, decimals)
    return f"{rounded:,.{max(decimals, 0)}f}"


def format_quantity(value: float, unit: str, digits: int = 3) -> str:
    """`value` in `unit` with a decimal prefix that keeps it between 1 and 1000: ``format_quantity(4.1e9, "B") == "4.10
    GB"``."""
    if value == 0 or not math.isfinite(value):
        return f"{significant(value, digits)} {unit}"
    for prefix in ("E", "P", "T", "G", "M", "k", "", "m", "µ", "n"):
        scale = _PREFIX[prefix]
        if abs(value) >= scale * 0.9995:
            return f"{significant(value / scale, digits)} {prefix}{unit}"
    return f"{significant(value / 1e-9, digits)} n{unit}"


def format_seconds(seconds: float, digits: int = 3) -> str:
    """A duration as people say it: µs, ms, s up to two minutes, then min, h, days."""
    if not 120 <= abs(seconds) < float("inf"):
        return format_quantity(seconds, "s", digits)
    for name, size in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if abs(seconds) >= 2 * size or name == "min":
            return f"{significant(seconds / size, digits)} {name}"
    raise AssertionError("unreachable")
