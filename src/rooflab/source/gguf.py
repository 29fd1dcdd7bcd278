"""The header of a ``.gguf`` file (ggml's docs/gguf.md): what it says of a model, and the name, shape and type of each
tensor.

Only the header is read, never a tensor. Nothing in it is believed: counts and lengths are held against what is left of
the file before anything is made of them, and each tensor has to end inside the file.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from rooflab.errors import InputError

__all__ = ["TYPES", "Header", "TensorInfo", "read_header"]

TYPES: Final[Mapping[int, tuple[str, int, int]]] = {
    # number: name, elements of a block, bytes of a block (ggml-common.h)
    0: ("f32", 1, 4), 1: ("f16", 1, 2), 2: ("q4_0", 32, 18), 3: ("q4_1", 32, 20), 6: ("q5_0", 32, 22),
    7: ("q5_1", 32, 24), 8: ("q8_0", 32, 34), 9: ("q8_1", 32, 36), 10: ("q2_k", 256, 84), 11: ("q3_k", 256, 110),
    12: ("q4_k", 256, 144), 13: ("q5_k", 256, 176), 14: ("q6_k", 256, 210), 15: ("q8_k", 256, 292),
    16: ("iq2_xxs", 256, 66), 17: ("iq2_xs", 256, 74), 18: ("iq3_xxs", 256, 98), 19: ("iq1_s", 256, 50),
    20: ("iq4_nl", 32, 18), 21: ("iq3_s", 256, 110), 22: ("iq2_s", 256, 82), 23: ("iq4_xs", 256, 136),
    24: ("i8", 1, 1), 25: ("i16", 1, 2), 26: ("i32", 1, 4), 27: ("i64", 1, 8), 28: ("f64", 1, 8),
    29: ("iq1_m", 256, 56), 30: ("bf16", 1, 2), 34: ("tq1_0", 256, 54), 35: ("tq2_0", 256, 66),
    39: ("mxfp4", 32, 17), 40: ("nvfp4", 64, 36),
}  # fmt: skip
"""Types of tensors."""
_SCALARS: Final = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<B", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY, _BOOL = 8, 9, 7
_MOST_ENTRIES: Final = 1 << 16
_MOST_TENSORS: Final = 1 << 17
_LONGEST_NAME: Final = 1 << 16
_LONGEST_KEPT: Final = 1 << 12
"""Of a list (tokens, merges) no more is kept than the layers of any model."""
_DEEPEST: Final = 4


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor: `shape` in ggml's order (the fastest first), `bytes` that it takes in the file."""

    name: str
    shape: tuple[int, ...]
    type: str
    bytes: int

    @property
    def elements(self) -> int:
        """Numbers in it."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Header:
    """`metadata` by key (a list longer than 4,096 is its length, as ``KEY#``), `tensors` in the order of the file."""

    metadata: Mapping[str, Any]
    tensors: tuple[TensorInfo, ...]


def read_header(path: Path) -> Header:
    """The header of the file at `path`; InputError in a line for a file that is none, is cut off, or contradicts
    itself."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            return _Reader(stream, size, str(path)).header()
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", str(path)) from None


class _Reader:
    """Takes values off a stream, none beyond the end of the file."""

    def __init__(self, stream: BinaryIO, size: int, where: str) -> None:
        self.stream, self.size, self.where, self.at = stream, size, where, 0

    def header(self) -> Header:
        if self.size < 24 or self._take(4) != b"GGUF":
            raise self._wrong("is no GGUF file: it does not begin with the four letters")
        version = self._number("<I")
        if version not in (2, 3):
            big = int.from_bytes(version.to_bytes(4, "little"), "big")
            raise self._wrong(
                "is of a big-endian machine, which is not read"
                if big in (2, 3)
                else f"GGUF {version} is not read (2, 3)"
            )
        tensors, entries = self._number("<Q"), self._number("<Q")
        if entries > _MOST_ENTRIES or tensors > _MOST_TENSORS:
            raise self._wrong(f"states {entries:,} entries and {tensors:,} tensors, more than any model has")
        metadata: dict[str, Any] = {}
        for _ in range(entries):
            key = self._text("a key")
            if key in metadata:
                raise self._wrong(f"{_shown(key)} stands twice")
            value = self._value(self._number("<I"), key, 0)
            metadata[f"{key}#" if isinstance(value, _Counted) else key] = (
                value.count if isinstance(value, _Counted) else value
            )
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 0 < alignment <= 1 << 20 or alignment & (alignment - 1):
            raise self._wrong(f"general.alignment: {alignment!r} is no power of two")
        found = [self._tensor(alignment) for _ in range(tensors)]
        begin = -(-self.at // alignment) * alignment
        names: set[str] = set()
        for one, offset in found:
            if one.name in names:
                raise self._wrong(f"{_shown(one.name)} stands twice")
            names.add(one.name)
            if begin + offset + one.bytes > self.size:
                raise self._wrong(
                    f"{_shown(one.name)} ends at byte {begin + offset + one.bytes:,}, the file has {self.size:,}: "
                    "it is cut off or none of ours"
                )
        return Header(metadata, tuple(one for one, _ in found))

    def _tensor(self, alignment: int) -> tuple[TensorInfo, int]:
        name = self._text("the name of a tensor")
        dimensions = self._number("<I")
        if not 1 <= dimensions <= 4:
            raise self._wrong(f"{_shown(name)} has {dimensions} dimensions (1 to 4)")
        shape = tuple(self._number("<Q") for _ in range(dimensions))
        number, offset = self._number("<I"), self._number("<Q")
        if number not in TYPES:
            raise self._wrong(f"{_shown(name)} is of type {number}, which is not known")
        kind, block, bytes_ = TYPES[number]
        if not all(0 < n < 1 << 40 for n in shape) or math.prod(shape) >= 1 << 48:
            raise self._wrong(f"{_shown(name)}: {' x '.join(map(str, shape))} is no shape of a model's")
        if shape[0] % block:
            raise self._wrong(f"{_shown(name)}: rows of {shape[0]:,} are no multiple of {kind}'s blocks of {block}")
        if offset % alignment:
            raise self._wrong(f"{_shown(name)} begins at {offset:,}, no multiple of {alignment}")
        return TensorInfo(name, shape, kind, math.prod(shape) // block * bytes_), offset

    def _value(self, kind: int, key: str, depth: int) -> Any:
        if kind == _STRING:
            return self._text(key)
        if kind == _ARRAY:
            return self._list(key, depth)
        if kind not in _SCALARS:
            raise self._wrong(f"{_shown(key)}: values of type {kind} are not known")
        value = self._number(_SCALARS[kind])
        return bool(value) if kind == _BOOL else value

    def _list(self, key: str, depth: int) -> Any:
        kind, count = self._number("<I"), self._number("<Q")
        least = struct.calcsize(_SCALARS[kind]) if kind in _SCALARS else 8
        if depth >= _DEEPEST or count * least > self.size - self.at:
            raise self._wrong(f"{_shown(key)}: a list of {count:,} goes beyond the end of the file")
        if count <= _LONGEST_KEPT:
            return [self._value(kind, key, depth + 1) for _ in range(count)]
        if kind in _SCALARS:
            self._skip(count * least)
        else:
            for _ in range(count):
                if kind == _STRING:
                    self._skip(self._number("<Q"))
                else:
                    self._value(kind, key, depth + 1)
        return _Counted(count)

    def _text(self, what: str) -> str:
        length = self._number("<Q")
        if length > self.size - self.at:
            raise self._wrong(f"{_shown(what)}: a text of {length:,} bytes goes beyond the end of the file")
        if length > _LONGEST_NAME:  # chat templates and licences: nothing is asked of them
            self._skip(length)
            return ""
        return self._take(length).decode("utf-8", errors="replace")

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _take(self, count: int) -> bytes:
        taken = self.stream.read(count)
        if len(taken) < count:
            raise self._wrong(f"ends at byte {self.at + len(taken):,}, inside its header")
        self.at += count
        return taken

    def _skip(self, count: int) -> None:
        if count > self.size - self.at:
            raise self._wrong(f"ends at byte {self.size:,}, inside its header")
        self.stream.seek(count, 1)
        self.at += count

    def _wrong(self, message: str) -> InputError:
        return InputError(message, self.where)


@dataclass(frozen=True, slots=True)
class _Counted:
    """A list of which only the length is kept."""

    count: int


def _shown(name: str) -> str:
    """A name of the file's own, short and printable."""
    text = name if len(name) <= 60 else f"{name[:57]}..."
    return repr(text)[1:-1]
