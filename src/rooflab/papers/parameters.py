"""Typed parameters of techniques and methods: annotations that say what is allowed, checked when one is made.

    class Splitwise(Technique):
        prefill: PositiveInt = 1

A subclass becomes a frozen dataclass. Its parameters are checked against their annotations when one is made, so that a
scenario file, the command line and Python code get the same errors.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from functools import wraps
from types import NoneType
from typing import Annotated, Any, Final, Literal, Union, cast, get_args, get_origin, get_type_hints

from rooflab.errors import InputError, unknown

__all__ = [
    "Count", "Described", "Fraction", "PositiveFloat", "PositiveInt", "Range", "checked", "described", "parameters_of",
    "snake_case",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Range:
    """Bounds of a parameter; `above` shuts the lower one."""

    low: float
    high: float = float("inf")
    above: bool = False

    def holds(self, value: float) -> bool:
        """Whether `value` lies inside."""
        return (self.low < value if self.above else self.low <= value) and value <= self.high

    def __str__(self) -> str:
        start = f"above {self.low:g}" if self.above else f"at least {self.low:g}"
        return start if self.high == float("inf") else f"{start} and at most {self.high:g}"


_EXPONENT: Final = re.compile(r"[+-]?\d+[eE][+-]?\d+")

_LARGEST: Final = 10**15
"""Whole numbers up to here are exact in every arithmetic."""

PositiveInt = Annotated[int, Range(1)]
Count = Annotated[int, Range(0)]
PositiveFloat = Annotated[float, Range(0, above=True)]
Fraction = Annotated[float, Range(0, 1)]


def snake_case(name: str) -> str:
    """SplitWise → split_wise."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def parameters_of(item: Any) -> dict[str, Any]:
    """Parameters of a technique or method by name."""
    return {f.name: getattr(item, f.name) for f in fields(cast(Any, item))}


@dataclass(frozen=True, slots=True)
class Described:
    """A parameter in words: what it may be, and what it is unless said ("": it has to be given)."""

    name: str
    allowed: str
    usual: str


def described(cls: type[Any]) -> tuple[Described, ...]:
    """Parameters of a technique or method in words, in their order."""
    hints = get_type_hints(cls, include_extras=True)
    return tuple(
        Described(f.name, _allowed(hints[f.name]), "" if f.default is MISSING else _said(f.default))
        for f in fields(cast(Any, cls))
    )


def _allowed(kind: Any) -> str:
    """What an annotation allows: "whole number, at least 1", "fast or slow"."""
    if get_origin(kind) is Annotated:
        inner, *checks = get_args(kind)
        return ", ".join([_allowed(inner), *map(str, checks)])
    if get_origin(kind) is Literal:
        return " or ".join(map(str, get_args(kind)))
    if _is_union(kind):
        return " or ".join(_allowed(member) for member in get_args(kind))
    names = {int: "whole number", float: "number", bool: "true or false", str: "text", NoneType: "none"}
    return names.get(kind, getattr(kind, "__name__", str(kind)))


def _said(value: Any) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _is_union(kind: Any) -> bool:
    return get_origin(kind) is Union or str(type(kind)) == "<class 'types.UnionType'>"


def checked(cls: type[Any]) -> Any:
    """The constructor of a technique or method with errors for users: unknown, missing and unfit parameters by name."""
    make = cls.__init__
    parameters = [f for f in fields(cast(Any, cls)) if f.init]

    @wraps(make)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        names = [f.name for f in parameters]
        for name in kwargs:
            if name not in names:
                raise unknown("parameter", name, names, cls.key)
        if len(args) > len(names):
            raise InputError(f"takes {len(names)} parameters ({', '.join(names)}), got {len(args)}", cls.key)
        given = dict(zip(names, args, strict=False)) | kwargs
        for f in parameters:
            if f.name not in given and f.default is MISSING and f.default_factory is MISSING:
                raise InputError(f"needs {f.name}", cls.key)
        hints = get_type_hints(cls, include_extras=True)
        make(self, **{name: _read(hints[name], value, f"{cls.key}.{name}") for name, value in given.items()})

    return init


def _read(kind: Any, value: Any, where: str) -> Any:
    """`value` as an annotation asks for it: int, float, bool, str, Literal, Annotated with a Range, optional ones."""
    origin = get_origin(kind)
    if origin is Annotated:
        inner, *checks = get_args(kind)
        value = _read(inner, value, where)
        for check in checks:
            if isinstance(check, Range) and not check.holds(value):
                raise InputError(f"{value!r} is out of range; {check}", where)
        return value
    if origin is Literal:
        if value is None and None not in get_args(kind):
            raise InputError("has no value", where)
        if value not in get_args(kind):
            raise unknown("choice", str(value), [str(a) for a in get_args(kind)], where)
        return value
    if _is_union(kind):
        members = get_args(kind)
        if value is None and NoneType in members:
            return None
        return _read(next(m for m in members if m is not NoneType), value, where)
    if kind is str:
        return _text(value, where)
    if value is None:
        raise InputError("has no value", where)
    if kind in (int, float) and isinstance(value, str) and _EXPONENT.fullmatch(value):
        value = float(value)  # YAML takes 1e-3, without a point, for a text
    if kind is int and not _is_whole(value):
        raise InputError(f"{value!r} is not a whole number", where)
    if kind is int and abs(value) > _LARGEST:
        raise InputError(f"{value:g} is more than can be counted; at most {_LARGEST:g}", where)
    if kind is float and (isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value)):
        raise InputError(f"{value!r} is not a number", where)
    if kind is bool and not isinstance(value, bool):
        raise InputError(f"{value!r} is not true or false", where)
    return kind(value) if kind in (int, float) else value


def _text(value: Any, where: str) -> str:
    """A text; nothing at all is an empty one, and a number or a date that was meant as a text is one."""
    if isinstance(value, (Mapping, list, tuple, set, bool)):
        raise InputError(f"{value!r} is no text", where)
    return "" if value is None else str(value)


def _is_whole(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value) and value == int(value)
