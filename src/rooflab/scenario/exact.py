"""Frozen nouns as plain values and back, field by field: how a noun is written that no shorter form stands for.

``{exact: {name: tiny, kind: decoder, hidden: 64, ...}}``: fields carry the names that they have in Python, what has its
default is left out, and where several kinds may stand (a layer's mixers, its feed-forward) the kind's name is in front.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from rooflab.errors import InputError, unknown

__all__ = ["given_as", "plain", "read_exact", "tidy"]

T = TypeVar("T")


def given_as(noun: T, given: Any) -> T:
    """`noun`, which must be newly made, with what it was read from: a name, fields, or a noun before a look-up.

    That is how it is written again; a noun that is changed (`dataclasses.replace`) no longer has it.
    """
    object.__setattr__(noun, "given", given)
    return noun


def plain(noun: Any, *, compared: bool = False) -> Any:
    """A noun as mappings, lists, texts and numbers; `compared`: only the fields that equality sees."""
    return _plain(noun, type(noun), compared)


def tidy(number: float | Real) -> float | str:
    """A number (numpy's, too) as files hold it: whole ones without a point, "inf" for no limit."""
    if isinstance(number, (bool, Integral)):
        return number if isinstance(number, bool) else int(number)
    value = float(number)
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _plain(value: Any, kind: Any, compared: bool) -> Any:
    if is_dataclass(value):
        noun: Any = type(value)
        hints = _hints(noun)
        own = {
            f.name: _plain(getattr(value, f.name), hints[f.name], compared)
            for f in fields(value)
            if f.init and (f.compare or not compared) and getattr(value, f.name) != _default(f)
        }
        return {noun.__name__: own} if len(_nouns(kind)) > 1 else own
    if isinstance(value, Mapping):
        inner = get_args(kind)[1] if get_args(kind) else Any
        return {str(key): _plain(item, inner, compared) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        inner = _inner(kind, len(value))
        return [_plain(item, i, compared) for item, i in zip(value, inner, strict=True)]
    return tidy(value) if isinstance(value, Real) else value


def read_exact(kind: type[T], value: Any, where: str) -> T:
    """A noun of `kind` from what `plain` made of one. Raises InputError that names the field."""
    out: T = _read(kind, value, where)
    return out


def _read(kind: Any, value: Any, where: str) -> Any:
    origin = get_origin(kind)
    if origin is Union or isinstance(kind, UnionType):
        return _read_either(kind, value, where)
    if is_dataclass(kind):
        return _read_noun(kind, value, where)
    if origin is Literal:
        if value not in get_args(kind):
            raise unknown("choice", str(value), [str(a) for a in get_args(kind)], where)
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise InputError(f"expected a list, got {value!r}"[:200], where)
        inner = _inner(kind, len(value))
        return tuple(_read(i, item, f"{where}[{n}]") for n, (i, item) in enumerate(zip(inner, value, strict=True)))
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise InputError(f"expected fields, got {value!r}"[:200], where)
        return {str(key): _read(get_args(kind)[1], item, f"{where}.{key}") for key, item in value.items()}
    return _read_atom(kind, value, where)


def _read_either(kind: Any, value: Any, where: str) -> Any:
    members = get_args(kind)
    if value is None and NoneType in members:
        return None
    nouns = {noun.__name__: noun for noun in _nouns(kind)}
    if len(nouns) < 2:
        return _read(next(m for m in members if m is not NoneType), value, where)
    if not isinstance(value, Mapping) or len(value) != 1:
        raise InputError(f"expected one of {', '.join(nouns)} with its fields, got {value!r}"[:200], where)
    ((name, own),) = value.items()
    if name not in nouns:
        raise unknown("kind", str(name), nouns, where)
    return _read(nouns[name], own, f"{where}.{name}")


def _read_noun(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise InputError(f"expected the fields of a {kind.__name__}, got {value!r}"[:200], where)
    known = {f.name: f for f in fields(kind) if f.init}
    for key in value:
        if key not in known:
            raise unknown("field", str(key), known, where)
    for name, f in known.items():
        if name not in value and _default(f) is MISSING:
            raise InputError(f"needs {name}", where)
    return kind(**{key: _read(_hints(kind)[key], item, f"{where}.{key}") for key, item in value.items()})


def _read_atom(kind: Any, value: Any, where: str) -> Any:
    name = {float: "a number", int: "a whole number", str: "text", bool: "true or false"}.get(kind)
    if name is None:
        return value
    if kind is float and value in ("inf", "-inf"):
        return float(value)
    if not isinstance(value, (int, float) if kind is float else kind) or (kind is not bool and isinstance(value, bool)):
        raise InputError(f"{value!r} is not {name}", where)
    return kind(value)


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _default(f: Field[Any]) -> Any:
    return f.default if f.default_factory is MISSING else f.default_factory()


def _nouns(kind: Any) -> list[type[Any]]:
    """The dataclasses among what may stand."""
    return [m for m in get_args(kind) if is_dataclass(m) and isinstance(m, type)]


def _inner(kind: Any, n: int) -> list[Any]:
    """The kind of each of `n` members of a tuple."""
    inner = get_args(kind)
    if len(inner) == 2 and inner[1] is Ellipsis:
        return [inner[0]] * n
    return list(inner) if len(inner) == n else [Any] * n
