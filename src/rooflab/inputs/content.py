"""Values of an input compared and named by what they hold: arrays, texts, numbers, mappings, records of these."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["digest", "frozen", "same", "taken"]


def digest(value: Any) -> str:
    """SHA-256 of what `value` holds, as hexadecimal digits: equal for equal contents, in every process.

    Fields of a dataclass that do not count when two are compared (sources, spelling) do not count here.
    """
    state = hashlib.sha256()
    _feed(state.update, value)
    return state.hexdigest()


def same(a: Any, b: Any) -> bool:
    """Whether two inputs hold the same, to the last bit; missing numbers are equal to each other."""
    return digest(a) == digest(b)


def frozen(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A view of the array that cannot be written to."""
    view = values.view()
    view.setflags(write=False)
    return view


def taken(values: Any, rows: npt.NDArray[Any]) -> Any:
    """Rows of an array or of texts, in this order; None stays None."""
    if values is None:
        return None
    return tuple(values[i] for i in rows) if isinstance(values, tuple) else frozen(values[rows])


def _feed(put: Callable[[bytes], None], value: Any) -> None:
    if isinstance(value, np.ndarray):
        put(f"array {value.dtype.str} {value.shape} ".encode())
        put(np.ascontiguousarray(value).tobytes())
    elif is_dataclass(value) and not isinstance(value, type):
        put(f"record {type(value).__qualname__} ".encode())
        for field in (f for f in fields(value) if f.compare):
            put(f"{field.name}=".encode())
            _feed(put, getattr(value, field.name))
    elif isinstance(value, Mapping):
        put(f"mapping {len(value)} ".encode())
        for key, item in value.items():
            _feed(put, key)
            _feed(put, item)
    elif isinstance(value, (tuple, list)):
        put(f"list {len(value)} ".encode())
        for item in value:
            _feed(put, item)
    elif isinstance(value, (bytes, str)):
        held = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
        put(f"{type(value).__name__} {len(held)} ".encode() + held)
    elif callable(value):
        put(f"function {value.__module__}.{value.__qualname__} ".encode())
    else:
        put(f"{type(value).__name__} {value!r} ".encode())
