"""Reading a mapping into a frozen dataclass: every key known, every value read by its own reader, errors that say
where."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from rooflab import units
from rooflab.errors import InputError, unknown

__all__ = ["Reader", "at_least", "choice", "flag", "integer", "number", "quantity", "read", "text"]

T = TypeVar("T")
_LARGEST: Final = 10**15
"""Of whole numbers: sums of them still fit into 64 bits."""
Reader = Callable[[Any, str], Any]


def read(cls: type[T], mapping: object, where: str, readers: Mapping[str, Reader]) -> T:
    """An instance of `cls` from `mapping`; `readers` gives a reader for each key that may stand in it.

    Raises InputError for anything but a mapping, for an unknown key (naming the nearest) and whatever a reader raises.
    """
    if not isinstance(mapping, Mapping):
        raise InputError(f"expected fields such as {', '.join(list(readers)[:4])}, got {mapping!r}", where)
    values = {}
    for key, value in mapping.items():
        if key not in readers:
            raise unknown("field", str(key), readers, where)
        if value is not None:
            values[key] = readers[key](value, f"{where}.{key}" if where else key)
    return cls(**values)


def integer(value: Any, where: str, high: int = _LARGEST) -> int:
    """A whole number from 0 to `high`."""
    number = units.parse(value, "count", where)
    if not (0 <= number < float("inf")) or number != int(number):
        raise InputError(f"{value!r} is not a whole number", where)
    if number > high:
        raise InputError(f"{value!r} is too large; at most {high:,}", where)
    return int(number)


def at_least(low: int, high: int = _LARGEST) -> Reader:
    """A reader of whole numbers from `low` to `high`."""

    def reader(value: Any, where: str) -> int:
        number = integer(value, where, high)
        if number < low:
            raise InputError(f"{number} is too small; at least {low}", where)
        return number

    return reader


def number(low: float = 0.0, high: float = float("inf"), *, exclusive: bool = False) -> Reader:
    """A reader of plain numbers (or percentages) in [low, high]; `exclusive` shuts the lower end."""

    def reader(value: Any, where: str) -> float:
        x = units.parse(value, "fraction", where)
        if not (low < x if exclusive else low <= x) or x > high:
            above = f"above {low:g}" if exclusive else f"at least {low:g}"
            raise InputError(
                f"{value!r} is out of range; {above}" + (f", at most {high:g}" if high < float("inf") else ""), where
            )
        return x

    return reader


def quantity(dimension: str) -> Reader:
    """A reader of positive quantities of `dimension` (see `rooflab.units.parse`)."""

    def reader(value: Any, where: str) -> float:
        x = units.parse(value, dimension, where)
        if not 0 < x < float("inf"):
            raise InputError(f"{value!r} must be above zero and finite", where)
        return x

    return reader


def choice(*options: str) -> Reader:
    """A reader of one of `options`."""

    def reader(value: Any, where: str) -> str:
        if value not in options:
            raise InputError(f"{value!r} is not one of {', '.join(options)}", where)
        return str(value)

    return reader


def flag(value: Any, where: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise InputError(f"{value!r} is not true or false", where)
    return value


def text(value: Any, where: str) -> str:
    """Any text."""
    if isinstance(value, (Mapping, list)):
        raise InputError(f"expected text, got {value!r}", where)
    return str(value)
