"""Values of cells as plain JSON values, and back as they were: the same types, the same bits."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from rooflab.errors import InputError

__all__ = ["decode", "encode"]

_TAG: Final = "as"


def encode(value: Any, where: str) -> Any:
    """`value` as plain JSON values: None, truth values, numbers, texts, bytes, tuples, lists, mappings and arrays of
    numbers. Raises InputError, with `where`, for anything else."""
    if value is None or isinstance(value, (bool, str)) or type(value) in (int, float):
        return value
    if isinstance(value, np.generic):
        return encode(value.item(), where)
    if isinstance(value, bytes):
        return {_TAG: "bytes", "of": base64.b64encode(value).decode("ascii")}
    if isinstance(value, tuple):
        return {_TAG: "tuple", "of": [encode(v, where) for v in value]}
    if isinstance(value, list):
        return [encode(v, where) for v in value]
    if isinstance(value, Mapping):
        return {_TAG: "mapping", "of": [[encode(k, where), encode(v, where)] for k, v in value.items()]}
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        content = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode("ascii")
        return {_TAG: "array", "dtype": value.dtype.str, "shape": list(value.shape), "of": content}
    raise InputError(f"a cell gives plain values and arrays, not {type(value).__name__}", where)


def decode(plain: Any) -> Any:
    """What `encode` was given; numbers of NumPy come back as Python's, every mapping as a dict.

    Raises ValueError, TypeError or LookupError for what `encode` did not make.
    """
    if isinstance(plain, list):
        return [decode(v) for v in plain]
    if not isinstance(plain, dict):
        return plain
    sort, of = plain[_TAG], plain["of"]
    if sort == "tuple":
        return tuple(decode(v) for v in of)
    if sort == "mapping":
        return {decode(k): decode(v) for k, v in of}
    content = base64.b64decode(of, validate=True)
    if sort == "bytes":
        return content
    return np.frombuffer(content, np.dtype(plain["dtype"])).reshape(plain["shape"]).copy()
