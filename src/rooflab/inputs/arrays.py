"""Named arrays in .npz files: read without unpickling and without trust in what the file says of its own size."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.errors import InputError, unknown
from rooflab.inputs.content import frozen
from rooflab.source.text import content

__all__ = ["Arrays", "npz_bytes", "read_npz"]

Array = npt.NDArray[Any]

LARGEST_UNPACKED_BYTES: Final = 2 << 30
"""All arrays of a file together, unpacked."""
MOST_ARRAYS: Final = 100_000
_KINDS: Final = {"b": "truth values", "i": "whole numbers", "u": "whole numbers", "f": "numbers", "U": "texts"}
_MAGIC: Final = b"\x93NUMPY"
_LONGEST_HEADER_BYTES: Final = 10_000
_DESCR: Final = re.compile(r"'descr'\s*:\s*'([<>|=]?([A-Za-z])\d{0,9})'")
_FORTRAN: Final = re.compile(r"'fortran_order'\s*:\s*(True|False)")
_SHAPE: Final = re.compile(r"'shape'\s*:\s*\((\s*|(?:\s*\d{1,18}\s*,)*\s*\d{0,18})\s*\)")


class Arrays(dict[str, Array]):
    """Arrays by name, of the file `path`."""

    def __init__(self, path: Path, arrays: Mapping[str, Array]) -> None:
        super().__init__(arrays)
        self.path = path

    def where(self, name: str) -> str:
        """Where an array stands, for an error."""
        return f"{self.path}: {name}"

    def check(self, known: tuple[str, ...], needed: tuple[str, ...]) -> None:
        """InputError for an array that is not known (with the nearest) or one that is not there."""
        for name in self:
            if name not in known:
                raise unknown("array", name, known, str(self.path))
        for name in needed:
            if name not in self:
                raise InputError(f"no array {name!r} among {', '.join(self) or 'none'}", str(self.path))

    def texts(self, name: str) -> tuple[str, ...] | None:
        """An array of texts as a tuple; None where there is none."""
        if name not in self:
            return None
        values = self[name]
        if values.dtype.kind != "U" or values.ndim != 1:
            raise InputError(f"holds {_KINDS[values.dtype.kind]} of shape {values.shape}, not texts", self.where(name))
        return tuple(str(x) for x in values.tolist())


def read_npz(path: Path) -> Arrays:
    """The arrays of a .npz file: numbers, truth values and texts.

    Raises InputError for anything else, Python objects among them, and for more than 2 GiB unpacked.
    """
    held = content(path)
    arrays = {}
    try:
        with zipfile.ZipFile(io.BytesIO(held)) as packed:
            members = packed.infolist()
            if len(members) > MOST_ARRAYS:
                raise InputError(f"holds {len(members):,} arrays; at most {MOST_ARRAYS:,} are read", str(path))
            total = sum(member.file_size for member in members)
            if total > LARGEST_UNPACKED_BYTES:
                raise InputError(f"unpacks to {total:,} bytes; at most {LARGEST_UNPACKED_BYTES:,} are read", str(path))
            for member in members:
                name = member.filename.removesuffix(".npy")
                if not name.isprintable() or not name or name in arrays:
                    raise InputError(f"array {name[:40]!a} stands twice or cannot be printed", str(path))
                if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise InputError(f"array {name} is packed in a way that is not read", str(path))
                with packed.open(member) as file:
                    arrays[name] = _array(file.read(member.file_size), f"{path}: {name}")
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError) as error:
        raise InputError(f"is not a .npz file ({' '.join(str(error).split())[:100]})", str(path)) from None
    except MemoryError:
        raise InputError("does not fit into memory", str(path)) from None
    if not arrays:
        raise InputError("holds no array", str(path))
    return Arrays(path, arrays)


def _array(held: bytes, where: str) -> Array:
    dtype, fortran, shape, left = _header(held, where)
    if len(shape) > 8 or prod(shape) * dtype.itemsize != len(left):
        raise InputError(f"says shape {shape} of {dtype} and holds {len(left):,} bytes", where)
    if dtype.itemsize == 0:
        raise InputError("holds texts of no length", where)
    values = np.frombuffer(left, dtype=dtype).reshape(shape, order="F" if fortran else "C")
    return frozen(_in_order(values, where))


def _header(held: bytes, where: str) -> tuple[np.dtype[Any], bool, tuple[int, ...], bytes]:
    """Type, order and shape that the header of a .npy file says, and the bytes behind it; nothing is evaluated."""
    wide = held[6:7] == b"\x02"
    start = 12 if wide else 10
    length = int.from_bytes(held[8:start], "little")
    if held[:6] != _MAGIC or held[6:7] not in (b"\x01", b"\x02") or length > _LONGEST_HEADER_BYTES:
        raise InputError("is not an array as numpy writes them", where)
    words = held[start : start + length].decode("latin-1")
    descr, fortran, shape = (pattern.search(words) for pattern in (_DESCR, _FORTRAN, _SHAPE))
    if not (descr and fortran and shape):
        raise InputError(f"is not an array of one type ({words[:60]!a})", where)
    if descr[2] == "O":
        raise InputError("holds Python objects, which are not unpickled", where)
    try:
        dtype = np.dtype(descr[1])
    except (TypeError, ValueError, OverflowError, MemoryError):
        raise InputError(f"holds values of type {descr[1]!a}, which numpy does not know", where) from None
    if dtype.kind not in _KINDS:
        raise InputError(f"holds {dtype}; whole numbers, numbers, truth values and texts are read", where)
    axes = tuple(int(n) for n in shape[1].split(",") if n.strip())
    return dtype, fortran[1] == "True", axes, held[start + length :]


def _in_order(values: Array, where: str) -> Array:
    """The array in this machine's byte order; texts must be characters that can be printed."""
    if values.dtype.kind == "U":
        points = np.frombuffer(values.astype("=U").tobytes(), dtype=np.uint32)
        if ((points > 0x10FFFF) | ((points >= 0xD800) & (points < 0xE000))).any():
            raise InputError("holds text that is not Unicode", where)
        return values.astype(values.dtype.newbyteorder("="))
    if values.dtype.kind == "b":
        return np.asarray(np.frombuffer(values.tobytes(), dtype=np.uint8).reshape(values.shape) != 0)
    return values.astype(values.dtype.newbyteorder("="))


def text_array(texts: tuple[str, ...], where: str) -> Array:
    """Texts as an array for a .npz file, where the longest sets the size of each."""
    longest = max((len(t) for t in texts), default=0)
    if longest * len(texts) * 4 > LARGEST_UNPACKED_BYTES:
        raise InputError(f"a text of {longest:,} characters is too long for a .npz file; write .jsonl", where)
    return np.array(texts, dtype=f"<U{max(longest, 1)}")


def npz_bytes(arrays: Mapping[str, Array | tuple[str, ...] | None]) -> bytes:
    """A compressed .npz file of arrays and texts, the same bytes for the same arrays; None is left out."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, values in arrays.items():
            if values is None:
                continue
            array = text_array(values, name) if isinstance(values, tuple) else values
            file = io.BytesIO()
            np.lib.format.write_array(file, np.asarray(array, order="C"), allow_pickle=False)
            packed.writestr(zipfile.ZipInfo(f"{name}.npy"), file.getvalue(), zipfile.ZIP_DEFLATED)
    return out.getvalue()
