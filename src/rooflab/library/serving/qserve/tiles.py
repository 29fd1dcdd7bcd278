"""How 4-bit weights lie in memory so that threads find what tensor cores want (section 5.2), and how they unpack it.

A tile is 32 outputs × 32 inputs, 512 bytes, 16 consecutive ones for each of 32 threads: output 16h + 8e + r and input
16k + 4c + b belong to thread 4r + c, byte b of its word 2k + e, low half for h = 0 and high half for h = 1.  So a word
is 8 weights, of which the low halves are 4 of one output channel and the high halves 4 of another:

    low = w & 0x0F0F0F0F,  high = (w & 0xF0F0F0F0) >> 4        4 weights in a register
    low · s1 + spread(−z · s1)                                  one product and one addition byte by byte, for 4 weights

Products stay below 256 (15 · s1), so nothing is carried into the next weight; a subtraction before the product would
leave negative bytes, whose product is.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import numpy as np
import numpy.typing as npt

from rooflab.errors import InputError
from rooflab.library.serving.qserve.levels import Progressive
from rooflab.numerics.bits import packed, unpacked

__all__ = [
    "TILE",
    "Registers",
    "by_thread",
    "interleaved",
    "one_by_one",
    "plain",
    "scales_of",
    "unpack",
    "unpack_subtracting_first",
]

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
I8 = npt.NDArray[np.int8]

TILE: Final = 32
_LOW, _HIGH = np.uint32(0x0F0F0F0F), np.uint32(0xF0F0F0F0)
_ONES: Final = np.uint32(0x01010101)
_SIGNS: Final = np.uint32(0x80808080)
_BYTE: Final = np.uint32(0xFF)
_ORDER: Final = (0, 4, 3, 6, 5, 2, 7, 1)
"""Axes (tile of outputs, h, e, r, tile of inputs, k, c, b) as they lie in memory: tiles, thread, word, byte, half."""
_BACK: Final = tuple(int(i) for i in np.argsort(_ORDER))


class Registers:
    """32-bit registers of all threads at once, and how many operations they did, by sort."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()

    @property
    def operations(self) -> int:
        """Operations of all threads."""
        return self.done.total()

    def masked(self, a: U32, mask: np.uint32) -> U32:
        """a & mask."""
        return self._did("logic", a & mask)

    def shifted(self, a: U32, bits: int) -> U32:
        """a >> bits."""
        return self._did("shift", a >> np.uint32(bits))

    def times(self, a: U32, b: U32) -> U32:
        """The low 32 bits of a · b."""
        return self._did("multiply", a * b)

    def spread(self, a: U32, byte: int) -> U32:
        """One byte of a in all four places: a byte permutation."""
        return self._did("permute", ((a >> np.uint32(8 * byte)) & _BYTE) * _ONES)

    def plus(self, a: U32, b: U32) -> U32:
        """Four sums of bytes, nothing carried between them: the vector addition that the kernel calls."""
        return self._did("add", ((a & ~_SIGNS) + (b & ~_SIGNS)) ^ ((a ^ b) & _SIGNS))

    def minus(self, a: U32, b: U32) -> U32:
        """Four differences of bytes, nothing borrowed between them."""
        return self._did("add", ((a | _SIGNS) - (b & ~_SIGNS)) ^ ((a ^ ~b) & _SIGNS))

    def less(self, a: U32, b: U32) -> U32:
        """a − b, whole registers."""
        return self._did("add", a - b)

    def _did(self, sort: str, result: U32) -> U32:
        self.done[sort] += result.size
        return result


def interleaved(codes: npt.NDArray[np.integer]) -> U8:
    """Codes of 4 bits (O × I) as they lie in memory, O × I/2 bytes. Raises InputError where tiles do not cover them."""
    outputs, inputs = codes.shape
    if outputs % TILE or inputs % TILE:
        raise InputError(f"{outputs} × {inputs} weights are not whole tiles of {TILE} × {TILE}", "weights")
    axes = codes.reshape(outputs // TILE, 2, 2, 8, inputs // TILE, 2, 4, 4)
    return packed(axes.transpose(_ORDER), 4).reshape(outputs, inputs // 2)


def plain(held: U8) -> U8:
    """The codes that lie in memory, O × I: by their places alone, to check the threads against."""
    outputs, inputs = held.shape[0], 2 * held.shape[1]
    axes = unpacked(held.reshape(outputs // TILE, inputs // TILE, 8, 4, 2, 2, 4, 1), 4)
    return axes.transpose(_BACK).reshape(outputs, inputs)


def scales_of(two: Progressive) -> tuple[U8, U8]:
    """s1 and −z · s1 (two's complement) of each group in the order of the threads, G × O bytes each."""
    return by_thread(two.scale), by_thread((-two.zero * two.scale) & int(_BYTE))


def by_thread(values: npt.NDArray[np.int64]) -> U8:
    """A number of each output and group (O × G) as threads read them: G × O bytes, outputs r, 8 + r, 16 + r, 24 + r of
    a tile together."""
    outputs, groups = values.shape
    rows = values.T.reshape(groups, outputs // TILE, 4, 8).transpose(0, 1, 3, 2)
    return rows.reshape(groups, outputs).astype(np.uint8)


def unpack(held: U8, scales: U8, offsets: U8, registers: Registers) -> I8:
    """What the threads hand to the tensor cores: W8, O × I int8. `scales` and `offsets` as `scales_of` gives them."""
    words, scale, offset = _words(held), _per_tile(scales, held), _per_tile(offsets, held)
    out = np.empty((*words.shape[:4], 2, 2, 2), dtype=np.uint32)
    low, high = _halves(words, registers)
    for place in range(4):
        h, e = divmod(place, 2)
        byte = registers.masked(scale, _BYTE << np.uint32(8 * place))
        factor = registers.shifted(byte, 8 * place) if place else byte
        added = registers.spread(offset, place)
        for k in range(2):
            codes = (low, high)[h][2 * k + e]
            out[..., k, e, h] = registers.plus(registers.times(codes, factor), added)
    return _matrix(out, held)


def unpack_subtracting_first(held: U8, scales: U8, zeros: U8, registers: Registers) -> I8:
    """The same with (Q4 − z) · s1 in this order: products of negative bytes run into their neighbours."""
    words, scale, zero = _words(held), _per_tile(scales, held), _per_tile(zeros, held)
    out = np.empty((*words.shape[:4], 2, 2, 2), dtype=np.uint32)
    low, high = _halves(words, registers)
    for place in range(4):
        h, e = divmod(place, 2)
        byte = registers.masked(scale, _BYTE << np.uint32(8 * place))
        factor = registers.shifted(byte, 8 * place) if place else byte
        taken = registers.spread(zero, place)
        for k in range(2):
            out[..., k, e, h] = registers.times(registers.minus((low, high)[h][2 * k + e], taken), factor)
    return _matrix(out, held)


def one_by_one(held: U8, scales: U8, zeros: U8, registers: Registers) -> I8:
    """The control: each weight in a register of its own, (Q4 − z) · s1; right, and four times the work or so."""
    words, scale, zero = _words(held), _per_tile(scales, held), _per_tile(zeros, held)
    out = np.zeros((*words.shape[:4], 2, 2, 2), dtype=np.uint32)
    for place in range(4):
        h, e = divmod(place, 2)
        factor = registers.shifted(registers.masked(scale, _BYTE << np.uint32(8 * place)), 8 * place)
        taken = registers.shifted(registers.masked(zero, _BYTE << np.uint32(8 * place)), 8 * place)
        for k in range(2):
            for b in range(4):
                at = 8 * b + 4 * h
                code = registers.masked(registers.shifted(words[..., 2 * k + e], at), np.uint32(0xF))
                value = registers.times(registers.less(code, taken), factor)
                out[..., k, e, h] |= (value & _BYTE) << np.uint32(8 * b)
    return _matrix(out, held)


def _words(held: U8) -> U32:
    """Tiles of outputs × tiles of inputs × 8 × 4 threads × 4 words."""
    outputs, inputs = held.shape[0], 2 * held.shape[1]
    shape = (outputs // TILE, inputs // TILE, 8, 4, 4)
    return np.ascontiguousarray(held).view("<u4").reshape(shape).astype(np.uint32)


def _halves(words: U32, registers: Registers) -> tuple[list[U32], list[U32]]:
    low = [registers.masked(words[..., j], _LOW) for j in range(4)]
    return low, [registers.shifted(registers.masked(words[..., j], _HIGH), 4) for j in range(4)]


def _per_tile(values: U8, held: U8) -> U32:
    """The word of four scales that each thread reads for a tile: as `_words` without its last axis."""
    groups, outputs = values.shape
    tiles = 2 * held.shape[1] // TILE
    words = np.ascontiguousarray(values).view("<u4").reshape(groups, outputs // TILE, 8).astype(np.uint32)
    each = np.repeat(words, tiles // groups, axis=0).transpose(1, 0, 2)
    return np.repeat(each[..., None], 4, axis=-1)


def _matrix(registers: U32, held: U8) -> I8:
    """Registers (tiles, thread, k, e, h) of four bytes each as the matrix that they are of."""
    lanes = registers.astype("<u4")[..., None].view(np.int8)
    ordered = np.moveaxis(lanes, -2, -1)
    return ordered.transpose(_BACK).reshape(held.shape[0], 2 * held.shape[1])
