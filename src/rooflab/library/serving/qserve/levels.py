"""Progressive group quantisation (section 4.1): to int8 per output channel, then to 4 bits per group with whole scales.

W8 = round(W / s0),  |W8| ≤ P      s0 = max |W| / P of an output channel, kept in 16 bits
Q4 = round(W8 / s1) + z            s1 = round((max − min) / 15) of a group of W8, z = round(−min / s1)
W  ≈ (Q4 · s1 − z · s1) · s0       the bracket never leaves int8 where P is the protective range
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from rooflab.numerics.quantise import affine, grouped, symmetric, ungrouped

__all__ = ["INT8", "LEVELS", "Progressive", "clipped", "quantised", "rounded", "second_level"]

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Loss = Callable[[F64], F64]
"""Error of each output channel, O, from the difference of two matrices, O × I."""

LEVELS: Final = 1 << 4
INT8: Final = (1 << 7) - 1
"""Largest magnitude of an int8 weight, which a quantiser without the protective range uses."""
_CLIPS: Final = tuple(np.linspace(1.0, 0.6, 9).tolist())
"""Shares of a channel's largest weight that a clip tries."""


class Progressive(NamedTuple):
    """A matrix of O outputs and I inputs on two levels.

    codes: O × I, 0 to 15. scale: O × G, whole, of groups of I/G inputs. zero: O × G, 0 to 15. channel: O × 1, scales of
    the output channels.
    """

    codes: I64
    scale: I64
    zero: I64
    channel: F64

    @property
    def eight(self) -> I64:
        """(Q4 − z) · s1, O × I, before it is put into int8."""
        groups = self.codes.reshape(*self.scale.shape, -1)
        out: I64 = ((groups - self.zero[..., None]) * self.scale[..., None]).reshape(self.codes.shape)
        return out

    @property
    def values(self) -> F64:
        """What the codes stand for, O × I."""
        out: F64 = self.eight * self.channel
        return out


def second_level(codes: npt.ArrayLike) -> tuple[I64, I64, I64]:
    """Groups of int8 codes along the last axis: codes of 4 bits, and the whole scale and zero point of each group."""
    q = affine(codes, LEVELS, whole=True)
    return q.codes, q.scale.astype(np.int64)[..., 0], q.zero[..., 0]


def quantised(weights: F64, group: int, protective: int) -> Progressive:
    """`weights` (O × I) on two levels. Raises InputError where groups do not divide the inputs."""
    half = np.finfo(np.float16)
    # codes are taken with the scale that is kept, whose 16 bits end at 6e-8 and 65,504
    channel = np.clip(symmetric(weights, protective).scale, float(half.smallest_subnormal), float(half.max))
    channel = channel.astype(np.float16).astype(np.float64)
    eight = np.clip(np.round(weights / channel), -protective, protective)
    codes, scale, zero = second_level(grouped(eight, group))
    return Progressive(codes.reshape(weights.shape), scale, zero, channel)


def rounded(weights: F64, group: int) -> F64:
    """The control: round to nearest in 4 bits, groups with a zero point and a scale that is no whole number, O × I."""
    out: F64 = ungrouped(affine(grouped(weights, group), LEVELS).values)
    return out


def clipped(weights: F64, group: int, protective: int, loss: Loss) -> F64:
    """`weights` with each output channel cut where its two levels then lose least (section 4.3.4), O × I."""
    most = np.abs(weights).max(axis=1, keepdims=True)
    best, kept = np.full(len(weights), np.inf), weights
    for share in _CLIPS:
        cut = np.clip(weights, -share * most, share * most)
        lost = loss(weights - quantised(cut, group, protective).values)
        better = lost < best
        kept, best = np.where(better[:, None], cut, kept), np.where(better, lost, best)
    return kept
