"""What data of a kind check about themselves when they are made: axes, types, lengths, finite numbers, plain names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.errors import InputError
from rooflab.inputs.content import frozen

__all__ = ["finite", "names", "numbers", "one_of", "plain_name", "put", "texts", "whole"]

Array = npt.NDArray[Any]

_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ +-]{0,99}")


def put(data: Any, **fields: Any) -> None:
    """Set fields of a frozen dataclass while it is made."""
    for name, value in fields.items():
        object.__setattr__(data, name, value)


def finite(values: Array, where: str, *, missing: bool = False) -> None:
    """InputError with the place of the first value that is infinite or so large that its square is infinite.

    NaN is refused, too, unless values may be `missing`.
    """
    limit = 1e150 if values.dtype.itemsize > 4 else 1e15
    with np.errstate(invalid="ignore"):
        bad = (np.abs(values) > limit) if missing else ~(np.abs(values) <= limit)
    if bad.any():
        place = tuple(np.argwhere(bad)[0])
        at = ", ".join(str(int(i)) for i in place)
        raise InputError(f"[{at}] is {values[place]}, not a number up to {limit:g}", where)


def numbers(
    values: Any, where: str, axes: str, dtype: type = np.float64, *, missing: bool = False, low: float | None = None
) -> Array:
    """An array of numbers with one axis for each word of `axes` ("N D"), none of them empty; read-only.

    An axis that is a number must be as long as it says. Raises InputError for other shapes, types, and for numbers
    that are not finite or below `low`.
    """
    array = np.asarray(values)
    _check_shape(array, "biuf", "numbers", where, axes)
    with np.errstate(over="ignore"):
        array = array.astype(dtype)
    finite(array, where, missing=missing)
    _check_low(array, low, where)
    return frozen(array)


def whole(values: Any, where: str, axes: str, dtype: type = np.int64, *, low: int | None = None) -> Array:
    """The same for whole numbers (or truth values, as 0 and 1) that fit `dtype`."""
    array = np.asarray(values)
    _check_shape(array, "biu", "whole numbers", where, axes)
    found: Array = array.astype(dtype)
    if not np.array_equal(found, array):
        raise InputError(f"holds numbers beyond {np.iinfo(dtype).min} to {np.iinfo(dtype).max}", where)
    _check_low(found, low, where)
    return frozen(found)


def _check_shape(array: Array, kinds: str, what: str, where: str, axes: str) -> None:
    wanted = axes.split()
    right = array.ndim == len(wanted) and all(
        size == int(word) if word.isdigit() else size > 0 for word, size in zip(wanted, array.shape, strict=True)
    )
    if array.dtype.kind not in kinds or not right:
        shape = " × ".join(str(n) for n in array.shape)
        raise InputError(f"expected {what}, {' × '.join(wanted)}; got {array.dtype}, {shape or 'one value'}", where)


def _check_low(array: Array, low: float | None, where: str) -> None:
    if low is not None and (array < low).any():
        place = tuple(np.argwhere(array < low)[0])
        at = ", ".join(str(int(i)) for i in place)
        raise InputError(f"[{at}] is {array[place]}; at least {low:g}", where)


def texts(values: Any, where: str, count: int | None = None) -> tuple[str, ...]:
    """Texts as a tuple, `count` of them if that is known."""
    held = tuple(values)
    if not all(isinstance(v, str) for v in held):
        raise InputError("holds other values than texts", where)
    if count is not None and len(held) != count:
        raise InputError(f"holds {len(held):,} texts; there are {count:,} rows", where)
    return tuple(str(v) for v in held)


def names(values: Any, where: str, count: int | None = None) -> tuple[str, ...]:
    """Texts that differ and can stand in a column's name."""
    held = texts(values, where, count)
    for name in held:
        if not name or not name.isprintable() or len(name) > 200:
            raise InputError(f"{name[:40]!a} is no name that can be printed", where)
    if len(set(held)) != len(held):
        again = next(name for name in held if held.count(name) > 1)
        raise InputError(f"{again!a} stands twice", where)
    return held


def plain_name(name: Any, where: str) -> str:
    """A name that may also be that of a file: letters, digits, and . _ + - or spaces between them."""
    if not isinstance(name, str) or not _PLAIN.fullmatch(name) or ".." in name:
        raise InputError(f"{str(name)[:40]!a} is no plain name (letters, digits, . _ + -)", where)
    return name


def one_of(value: Any, options: Sequence[str], where: str) -> str:
    """One of a closed list of words."""
    if not isinstance(value, str) or value not in options:
        raise InputError(f"{str(value)[:40]!a} is not one of {', '.join(options)}", where)
    return str(value)
