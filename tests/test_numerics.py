"""Quantisers and packers: errors within half a step, exact round trips, clear refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rooflab.errors import InputError
from rooflab.numerics.bits import packed, unpacked
from rooflab.numerics.quantise import affine, grouped, symmetric, ungrouped

rows = hnp.arrays(
    np.float64, hnp.array_shapes(min_dims=1, max_dims=3, max_side=9), elements=st.floats(-1e6, 1e6, width=32)
)


@given(rows, st.integers(1, 127))
@settings(max_examples=80, deadline=None)
def test_symmetric_codes_lie_within_half_a_step(x: np.ndarray, limit: int) -> None:
    q = symmetric(x, limit)
    assert np.abs(q.codes).max() <= limit
    assert (np.abs(q.values - x) <= q.scale * (0.5 + 1e-9)).all()


@given(rows, st.sampled_from([2, 4, 16, 256]))
@settings(max_examples=80, deadline=None)
def test_affine_codes_lie_within_a_step_and_zero_is_zero(x: np.ndarray, levels: int) -> None:
    q = affine(x, levels)
    assert q.codes.min() >= 0
    assert q.codes.max() < levels
    assert (np.abs(q.values - x) <= q.scale * (1 + 1e-9)).all(), "half a step, and half for the zero point"
    assert (q.values[x == 0] == 0).all()


@given(hnp.arrays(np.int64, (5, 8), elements=st.integers(-127, 127)))
@settings(max_examples=60, deadline=None)
def test_scales_of_codes_are_whole(x: np.ndarray) -> None:
    q = affine(x, 16, whole=True)
    assert (q.scale == np.round(q.scale)).all()
    assert (q.scale >= 1).all()
    assert (q.values == np.round(q.values)).all()


def test_rows_of_zeros_stay_zero() -> None:
    for q in (symmetric(np.zeros((2, 3)), 7), affine(np.zeros((2, 3)), 16), affine(np.zeros(3), 16, whole=True)):
        assert not q.values.any()


@given(st.sampled_from([1, 2, 4, 8]), st.integers(0, 7), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_packing_is_exact_both_ways(bits: int, length: int, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(0, 1 << bits, size=(3, length * 8))
    held = packed(codes, bits)
    assert held.nbytes == codes.size * bits // 8
    assert (unpacked(held, bits) == codes).all()


def test_the_first_code_lies_in_the_lowest_bits() -> None:
    assert packed(np.array([0x3, 0xA]), 4).tolist() == [0xA3]


def test_groups_go_both_ways() -> None:
    x = np.arange(24).reshape(2, 12)
    assert grouped(x, 4).shape == (2, 3, 4)
    assert (ungrouped(grouped(x, 4)) == x).all()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: symmetric(np.ones(3), 0), "largest code"),
        (lambda: symmetric(np.array([1.0, np.nan]), 7), "finite"),
        (lambda: symmetric(np.zeros((2, 0)), 7), "finite"),
        (lambda: affine(np.ones(3), 1), "levels"),
        (lambda: grouped(np.ones((2, 10)), 4), "groups of 4 do not divide 10"),
        (lambda: packed(np.array([16, 0]), 4), "do not fit 4 bits"),
        (lambda: packed(np.array([-1, 0]), 4), "do not fit"),
        (lambda: packed(np.array([1]), 4), "within a byte"),
        (lambda: packed(np.array([1]), 3), "3 bits"),
        (lambda: unpacked(np.zeros(1, dtype=np.uint8), 5), "5 bits"),
    ],
)
def test_what_cannot_be_coded_is_said(call: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        call()
