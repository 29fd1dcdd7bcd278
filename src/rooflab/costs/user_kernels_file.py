"""What a calibration file may say: its parts, and for every number the range in which the model still obeys physics."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields, replace
from typing import Any, Final

from rooflab.costs.fit_file import CURVE_TYPES, parse_fit_file
from rooflab.costs.power import PowerCurve
from rooflab.costs.user_kernels import UserKernels
from rooflab.errors import InputError, unknown

__all__ = ["check_parts", "checked", "read_kernels", "read_power"]

_PARTS: Final = (
    "name", "date", "engines", "devices", "power", "kernels", "prior", "slow_host", "contended_host",
    "eager_layer_s", "measured", "data", "fits",
    "rows", "left_out",
)  # fmt: skip
_ABOUT_A_FIT: Final = ("rows", "median", "p90", "left_out_median", "left_out_p90", "fitted")
_WORDS: Final = ("provenance", "source")
_NOT_NEGATIVE: Final = frozenset(
    {
        "skew", "launch", "quantise", "convoy", "memory", "compute", "loaded_idle", "active", "link", "q", "a",
        "s0_tokens", "narrow",
        "pad_tokens", "alpha", "heat", "remote", "share",
    }
)  # fmt: skip
_SHARES: Final = frozenset({"ec", "em", "e", "io", "b", "b1", "b2"})
"""Shares of a datasheet figure: above 1 a kernel would beat its device."""


def check_parts(content: Any, where: str) -> Mapping[str, Any]:
    """`content` as the parts of a calibration file. Raises InputError for anything else, or a part that no file has."""
    if not isinstance(content, Mapping):
        raise InputError("expected engines, devices, power or kernels", where)
    for key in content:
        if key not in _PARTS:
            raise unknown("part", key, _PARTS, where)
    for part in ("engines", "devices", "power", "kernels"):
        inner = content.get(part, {})
        if not isinstance(inner, Mapping) or not all(isinstance(v, Mapping) for v in inner.values()):
            raise InputError("expected entries with constants by name", f"{where}: {part}")
    measured = content.get("measured", {})
    if not isinstance(measured, Mapping) or not all(
        isinstance(v, list) and all(isinstance(d, str) for d in v) for v in measured.values()
    ):
        raise InputError("expected lists of devices by engine entry", f"{where}: measured")
    return content


def checked(kind: type[Any], values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Constants of a `kind` (a dataclass) from an entry of a file. Raises InputError with the constant at fault.

    Seconds and factors are at least 0, shares of a datasheet figure above 0 and at most 1.
    """
    known = {f.name for f in fields(kind)}
    for key in values:
        if key not in known and key not in _ABOUT_A_FIT:
            raise unknown("constant", key, known, where)
    needed = [f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING]
    for name in needed:
        if name not in values and name not in _WORDS:
            raise InputError(f"lacks {name}", where)
    words = {*_WORDS, *(f.name for f in fields(kind) if isinstance(f.default, bool | str))}
    return {
        name: value if name in words else _number(name, value, where) for name, value in values.items() if name in known
    }


def _number(name: str, value: Any, where: str) -> float:
    at = f"{where}.{name}"
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"expected a number, got {value!r}", at)
    if value < 0 and (name in _NOT_NEGATIVE or name.endswith("_s")):
        raise InputError(f"cannot be {value:g}; 0 or more", at)
    if name in _SHARES and not 0 < value <= 1:
        raise InputError(f"cannot be {value:g}: a share of the datasheet's figure lies above 0 and is at most 1", at)
    if name in ("memory", "compute") and value == 0:
        raise InputError("cannot be 0", at)
    return float(value)


def read_power(content: Mapping[str, Any], where: str) -> dict[str, PowerCurve]:
    """The power constants by device. Raises InputError."""
    out = {}
    for device, values in content.get("power", {}).items():
        at = f"{where}: power.{device}"
        found = checked(PowerCurve, values, at)
        if not found["loaded_idle"] < 1:
            raise InputError(
                f"cannot be {found['loaded_idle']:g}: an idle device draws less than its TDP", f"{at}.loaded_idle"
            )
        out[device] = PowerCurve(**{"provenance": "fitted", "source": where, **found})
    return out


def read_kernels(content: Mapping[str, Any], where: str) -> dict[str, UserKernels]:
    """The user's own kernel curves by device. Raises InputError."""
    out = {}
    for device, entry in content.get("kernels", {}).items():
        at = f"{where}: kernels.{device}"
        curves = entry.get("curves")
        if not isinstance(curves, Mapping) or not all(isinstance(v, Mapping) for v in curves.values()):
            raise InputError("expected curves by engine and kernel", at)
        for engine, by_key in curves.items():
            for key, constants in by_key.items():
                kind = CURVE_TYPES.get(key.partition("/")[0])
                if kind is None:
                    raise unknown("kernel", key, CURVE_TYPES, at)
                if not isinstance(constants, Mapping):
                    raise InputError("expected constants by name", f"{at}.{engine or 'all'}.{key}")
                checked(kind, constants, f"{at}.{engine or 'all'}.{key}")
        file = parse_fit_file({"device": device, "source": entry.get("source", where), "curves": curves})
        mine = {
            place: (curve, replace(fit, provenance="fitted", mine=True)) for place, (curve, fit) in file.curves.items()
        }
        out[device] = UserKernels(mine, file.source, str(entry.get("fitted", "")))
    return out
