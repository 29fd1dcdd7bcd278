"""Codes of a few bits in bytes, and back: several to a byte, the first in the lowest bits."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from rooflab.errors import InputError

__all__ = ["packed", "unpacked"]

U8 = npt.NDArray[np.uint8]
_WIDTHS: Final = (1, 2, 4, 8)


def packed(codes: npt.NDArray[np.integer], bits: int) -> U8:
    """Bytes of codes from 0 to 2^`bits` − 1: … × N to … × N·bits/8.

    Raises InputError for widths that do not divide a byte, codes that need more bits, and a last axis that ends within
    a byte.
    """
    each = _each(bits)
    if codes.size and (codes.min() < 0 or codes.max() >> bits):
        raise InputError(f"codes from {codes.min()} to {codes.max()} do not fit {bits} bits", "codes")
    if codes.ndim == 0 or codes.shape[-1] % each:
        raise InputError(f"{codes.shape} codes of {bits} bits end within a byte", "codes")
    lanes = codes.astype(np.uint8).reshape(*codes.shape[:-1], -1, each)
    shifted = lanes << (bits * np.arange(each, dtype=np.uint8))
    out: U8 = np.bitwise_or.reduce(shifted, axis=-1)
    return out


def unpacked(held: U8, bits: int) -> U8:
    """The codes in bytes: … × N·bits/8 to … × N. Raises InputError for widths that do not divide a byte."""
    each = _each(bits)
    shifts = bits * np.arange(each, dtype=np.uint8)
    lanes = (held[..., None] >> shifts) & np.uint8((1 << bits) - 1)
    return lanes.reshape(*held.shape[:-1], held.shape[-1] * each)


def _each(bits: int) -> int:
    if bits not in _WIDTHS:
        raise InputError(f"codes of {bits} bits do not divide a byte; {', '.join(map(str, _WIDTHS))} do", "bits")
    return 8 // bits
