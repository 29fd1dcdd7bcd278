"""Weights: arrays by name, as checkpoints hold them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.errors import InputError, unknown
from rooflab.inputs.arrays import npz_bytes, read_npz
from rooflab.inputs.checks import finite, names, put
from rooflab.inputs.content import frozen
from rooflab.inputs.disturb import exchanging, halving, scaled, scaling, shuffled, shuffling
from rooflab.inputs.kind import Disturbance, Format, Kind
from rooflab.inputs.summary import Summary, summary
from rooflab.source.text import content, parse_json

__all__ = ["KIND", "Weights"]

Array = npt.NDArray[Any]

_TYPES: Final = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip
"""Element types of safetensors that are read; of the bytes of BF16 float32 is made."""
_LONGEST_HEADER_BYTES: Final = 100 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """Arrays of a trained network.

    arrays: name → float32 of any shape (outputs × inputs for a linear layer), or whole numbers and truth values as they
        are stored.
    """

    arrays: Mapping[str, Array]

    def __post_init__(self) -> None:
        names(self.arrays, "arrays")
        if not self.arrays:
            raise InputError("holds no array", "arrays")
        put(self, arrays={name: _checked(values, name) for name, values in self.arrays.items()})

    def __len__(self) -> int:
        return len(self.arrays)

    def __getitem__(self, name: str) -> Array:
        if name not in self.arrays:
            raise unknown("array", name, self.arrays)
        return self.arrays[name]

    @property
    def parameters(self) -> int:
        """Numbers of all arrays."""
        return sum(values.size for values in self.arrays.values())

    @property
    def matrices(self) -> Mapping[str, Array]:
        """The arrays of two axes, which are what quantisers and pruners work on."""
        return {name: v for name, v in self.arrays.items() if v.ndim == 2 and v.dtype.kind == "f"}

    def with_array(self, name: str, values: Array) -> Weights:
        """The weights with one array replaced."""
        return Weights({**self.arrays, name: values})


def _checked(values: Any, name: str) -> Array:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf" or array.size == 0:
        raise InputError(f"holds {array.dtype} of shape {array.shape}; numbers are read", name)
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            array = array.astype(np.float32)
        finite(array, name)
    return frozen(array)


def _from_safetensors(path: Path) -> Weights:
    """The public format: 8 bytes of length, a JSON header of types, shapes and places, then the bytes."""
    held = content(path)
    length = int.from_bytes(held[:8], "little")
    if len(held) < 10 or length > min(len(held) - 8, _LONGEST_HEADER_BYTES):
        raise InputError(f"says a header of {length:,} bytes, which {len(held):,} bytes do not hold", str(path))
    try:
        words = held[8 : 8 + length].decode("utf-8")
    except UnicodeDecodeError:
        raise InputError("has a header that is not UTF-8 text", str(path)) from None
    header = parse_json(words, f"{path}: header")
    if not isinstance(header, dict):
        raise InputError("has a header that is no object of arrays", str(path))
    data = held[8 + length :]
    return Weights({n: _tensor(n, entry, data) for n, entry in header.items() if n != "__metadata__"})


def _tensor(name: str, entry: Any, data: bytes) -> Array:
    try:
        kind, shape, (start, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        right = all(type(n) is int and 0 <= n <= len(data) for n in (*shape, start, end)) and len(shape) <= 8
    except (KeyError, TypeError, ValueError):
        right = False
    if not right:
        raise InputError("needs dtype, shape and data_offsets (two whole numbers within the file)", name)
    if kind not in _TYPES:
        raise unknown("element type", str(kind), _TYPES, name)
    dtype = np.dtype(_TYPES[kind])
    if end < start or end - start != prod(shape) * dtype.itemsize:
        raise InputError(f"says shape {shape} of {kind} and holds {end - start} bytes", name)
    values = np.frombuffer(data[start:end], dtype=dtype).reshape(shape)
    if kind == "BF16":
        return (values.astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(data[start:end], dtype=np.uint8).reshape(shape) != 0 if kind == "BOOL" else values


def _to_safetensors(w: Weights) -> bytes:
    kinds = {np.dtype(code): kind for kind, code in _TYPES.items() if kind != "BF16"}
    header: dict[str, Any] = {}
    parts: list[bytes] = []
    end = 0
    for name, values in w.arrays.items():
        parts.append(np.ascontiguousarray(values).tobytes())
        start, end = end, end + len(parts[-1])
        header[name] = {"dtype": kinds[values.dtype], "shape": list(values.shape), "data_offsets": [start, end]}
    words = json.dumps(header, ensure_ascii=False).encode()
    words += b" " * (-len(words) % 8)
    return len(words).to_bytes(8, "little") + words + b"".join(parts)


def _describe(w: Weights) -> Summary:
    return summary({"arrays": len(w), "parameters": w.parameters}, w.arrays)


def _disturbances(w: Weights) -> tuple[Disturbance[Weights], ...]:
    return (
        scaling("weights", "every array of numbers times a factor", _scale_all),
        *(scaling(name, f"array {name} times a factor", partial(_scale, name=name)) for name in w.arrays),
        halving(len, _take, "half of the arrays"),
        shuffling("values", "the numbers of each array over its places", _shuffle),
        exchanging("rows and columns", "the two axes of each matrix", _exchange),
    )


def _scale_all(w: Weights, factor: float) -> Weights:
    return Weights({n: scaled(v, factor) if v.dtype.kind == "f" else v for n, v in w.arrays.items()})


def _scale(w: Weights, factor: float, name: str) -> Weights:
    return w.with_array(name, scaled(w.arrays[name], factor))


def _take(w: Weights, rows: npt.NDArray[np.int64]) -> Weights:
    kept = list(w.arrays)
    return Weights({kept[i]: w.arrays[kept[i]] for i in rows})


def _shuffle(w: Weights, rng: np.random.Generator) -> Weights:
    return Weights({n: shuffled(v.ravel(), rng).reshape(v.shape) for n, v in w.arrays.items()})


def _exchange(w: Weights) -> Weights:
    return Weights({n: v.T if v.ndim == 2 else v for n, v in w.arrays.items()})


KIND: Final[Kind[Weights]] = Kind(
    name="weights",
    does="Arrays of a trained network, by name.",
    data=Weights,
    formats=(
        Format(
            suffix=".npz", what="one array a name", load=lambda path: Weights(dict(read_npz(path))),
            dump=lambda w: npz_bytes(w.arrays),
        ),
        Format(
            suffix=".safetensors", what="the public format; no 8-bit floats",
            load=_from_safetensors, dump=_to_safetensors,
        ),
    ),
    describe=_describe,
    disturbances=_disturbances,
    example=lambda: Weights({n: v[:4] for n, v in KIND.sample().arrays.items()}),
    signs=(frozenset(),),
)  # fmt: skip
