"""Round-to-nearest quantisers along the last axis, symmetric and with a zero point, and groups of an axis.

    symmetric    code = round(x / scale),                    x ≈ code · scale             codes −limit … limit
    affine       code = round(x / scale) + zero,             x ≈ (code − zero) · scale    codes 0 … levels − 1

Ties go to the even code, as IEEE 754 and PyTorch round.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from rooflab.errors import InputError

__all__ = ["Codes", "affine", "grouped", "symmetric", "ungrouped"]

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Scalar = TypeVar("Scalar", bound=np.generic)


class Codes(NamedTuple):
    """Whole numbers that stand for values.

    codes: … × N int64. scale: … × 1 float64. zero: … × 1 int64, the code of 0 (0 for a symmetric quantiser).
    """

    codes: I64
    scale: F64
    zero: I64

    @property
    def values(self) -> F64:
        """What the codes stand for: … × N."""
        out: F64 = (self.codes - self.zero) * self.scale
        return out


def symmetric(values: npt.ArrayLike, limit: int) -> Codes:
    """Codes from −`limit` to `limit`, one scale for each row of the last axis; rows of zeros have scale 1.

    Raises InputError for a limit below 1 and for values that are not finite.
    """
    x = _finite(values)
    if limit < 1:
        raise InputError(f"{limit} is no largest code; at least 1", "limit")
    step = np.abs(x).max(axis=-1, keepdims=True) / limit
    scale = np.where(step > 0, step, 1.0)
    return Codes(np.round(x / scale).astype(np.int64), scale, np.zeros(scale.shape, dtype=np.int64))


def affine(values: npt.ArrayLike, levels: int, *, whole: bool = False) -> Codes:
    """Codes from 0 to `levels` − 1 with a zero point, one scale for each row of the last axis.

    The range is stretched to hold 0, so that 0 has a code. `whole` rounds the scale to a whole number (at least 1), as
    a second quantiser of codes needs it. Raises InputError for fewer than two levels and for values that are not
    finite.
    """
    x = _finite(values)
    if levels < 2:
        raise InputError(f"{levels} levels tell nothing apart; at least 2", "levels")
    low, high = np.minimum(x.min(axis=-1, keepdims=True), 0), np.maximum(x.max(axis=-1, keepdims=True), 0)
    step = (high - low) / (levels - 1)
    scale = np.maximum(np.round(step), 1.0) if whole else np.where(step > 0, step, 1.0)
    zero = np.clip(np.round(-low / scale), 0, levels - 1)
    codes = np.clip(np.round(x / scale) + zero, 0, levels - 1)
    return Codes(codes.astype(np.int64), scale, zero.astype(np.int64))


def grouped(values: npt.NDArray[Scalar], size: int) -> npt.NDArray[Scalar]:
    """The last axis cut into groups: … × N to … × N/size × size. Raises InputError where `size` does not divide N."""
    n = values.shape[-1]
    if size < 1 or n % size:
        raise InputError(f"groups of {size} do not divide {n}", "group")
    return values.reshape(*values.shape[:-1], n // size, size)


def ungrouped(values: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    """Groups put together again: … × G × size to … × G·size."""
    return values.reshape(*values.shape[:-2], values.shape[-2] * values.shape[-1])


def _finite(values: npt.ArrayLike) -> F64:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim == 0 or x.size == 0 or not np.isfinite(x).all():
        raise InputError(f"expected finite numbers along an axis, got shape {x.shape}", "values")
    return x
