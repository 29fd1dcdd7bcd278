"""Searches: the edge that halving finds, and fronts that nothing beats."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooflab.search.front import front
from rooflab.search.highest import Bracket, arithmetic, geometric_when_wide, highest, narrow, whole

COUNTS = st.integers(-1000, 1000)
HALVES = st.sampled_from([arithmetic, geometric_when_wide])
POSITIVE = st.floats(1e-3, 1e6)


@given(edge=COUNTS, low=COUNTS, width=st.integers(1, 2000))
def test_of_counts_the_last_that_holds(edge: int, low: int, width: int) -> None:
    high = low + width
    asked: list[int] = []
    found = highest(lambda n: n <= edge, low, high, halve=whole, tell=lambda n, _: asked.append(n))
    assert found == (min(edge, high - 1) if low <= edge else None)
    assert len(asked) == len(set(asked)) <= 2 + math.log2(width)
    assert all(low <= n < high for n in asked)


@given(edge=COUNTS, width=st.integers(1, 2000))
def test_the_lowest_from_above(edge: int, width: int) -> None:
    found = narrow(lambda n: n >= edge, Bracket(edge + width, edge - 1, whole))
    assert (found.holds, found.fails) == (edge, edge - 1)


@given(edge=POSITIVE, halve=HALVES, tolerance=st.sampled_from([0.0, 1e-9, 1e-2]))
def test_of_numbers_one_near_the_edge(edge: float, halve: Callable[[float, float], float], tolerance: float) -> None:
    found = narrow(lambda x: x <= edge, Bracket(edge / 7, edge * 300, halve), calls=200, tolerance=tolerance)
    assert found.holds <= edge < found.fails
    assert found.near(tolerance)
    if not tolerance:
        assert found.fails == math.nextafter(edge, math.inf)


@given(edge=POSITIVE, low=POSITIVE, high=POSITIVE, most=POSITIVE)
def test_growing_until_it_fails(edge: float, low: float, high: float, most: float) -> None:
    answers: dict[float, bool] = {}
    found = highest(
        lambda x: x <= edge, low, low + high, halve=geometric_when_wide, most=most, calls=60, tell=answers.__setitem__
    )
    if low > edge:
        assert found is None
        assert answers == {low: False}
    else:
        assert found == max(x for x, held in answers.items() if held)
        assert all(held == (x <= edge) for x, held in answers.items())
        assert found >= most or any(not held and x <= found * 1.000001 for x, held in answers.items())


def test_questions_are_bounded_and_in_order() -> None:
    asked: list[float] = []
    found = highest(
        lambda x: x <= 5.0, 1.0, 2.0, halve=geometric_when_wide, most=1e6, calls=3, tell=lambda x, _: asked.append(x)
    )
    assert asked == [1.0, 2.0, 4.0, 8.0, 6.0, 5.0, 5.5]
    assert found == 5.0
    assert highest(lambda _: True, 1.0, 2.0, halve=arithmetic, most=10.0) == 16.0


POINTS = st.lists(st.lists(st.integers(1, 6), min_size=3, max_size=3), min_size=0, max_size=25)


@given(points=POINTS, figures=st.integers(1, 3))
def test_a_front_is_what_nothing_beats(points: list[list[int]], figures: int) -> None:
    rows = np.array(points, dtype=float).reshape(-1, 3)[:, :figures]
    kept = front(rows)
    for i in range(len(rows)):
        others = [j for j in kept if j != i]
        beaten = any((rows[j] <= rows[i]).all() for j in others)
        assert beaten == (i not in kept)
    assert kept == sorted(kept, key=lambda i: tuple(rows[i]))


@given(points=POINTS, tolerance=st.sampled_from([0.1, 0.3]))
def test_a_coarse_front_covers_the_fine_one(points: list[list[int]], tolerance: float) -> None:
    rows = np.array(points, dtype=float).reshape(-1, 3)
    kept = front(rows, tolerance)
    for i in range(len(rows)):
        assert any((rows[j, 0] <= rows[i, 0]) and (rows[j, 1:] * (1 - tolerance) <= rows[i, 1:]).all() for j in kept)


@pytest.mark.parametrize("odd", [math.nan, math.inf])
def test_rows_without_a_number_are_on_no_front(odd: float) -> None:
    assert front(np.array([[1.0, odd], [odd, 1.0], [2.0, 2.0]])) == [2]
    assert front(np.zeros((0, 2))) == []
