"""Ways to disturb an input on purpose, which a claim must follow or fall to its null: scale, halve, shuffle, exchange.

*scale* multiplies one quantity.  *halve* keeps half of the rows, chosen at random, in their order.  *shuffle* permutes
what is to be learned or found (labels, targets, order) and leaves every value in place.  *exchange* swaps two sides;
done twice it is undone, but for what belongs to one side alone and is dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from rooflab.errors import InputError
from rooflab.inputs.kind import Disturbance

__all__ = ["exchanging", "halving", "scaled", "scaling", "shuffled", "shuffling"]

T = TypeVar("T")
Values = npt.NDArray[Any] | tuple[str, ...]
I64 = npt.NDArray[np.int64]


def scaling(target: str, what: str, change: Callable[[T, float], T]) -> Disturbance[T]:
    """*scale*: a quantity times a factor."""
    return Disturbance(sort="scale", target=target, what=what, change=lambda data, rng, factor: change(data, factor))


def halving(
    count: Callable[[T], int], take: Callable[[T, I64], T], what: str = "half of the rows", target: str = ""
) -> Disturbance[T]:
    """*halve*: `take` is given ⌈n / 2⌉ of the n rows, chosen at random, in their order."""

    def change(data: T, rng: np.random.Generator, factor: float) -> T:
        rows = count(data)
        if rows < 2:
            raise InputError(f"cannot be halved: {what} of {rows}")
        return take(data, np.sort(rng.permutation(rows)[: (rows + 1) // 2]))

    return Disturbance(sort="halve", target=target, what=what, change=change)


def shuffling(target: str, what: str, change: Callable[[T, np.random.Generator], T]) -> Disturbance[T]:
    """*shuffle*: what is to be learned or found, in another order."""
    return Disturbance(sort="shuffle", target=target, what=what, change=lambda data, rng, factor: change(data, rng))


def exchanging(target: str, what: str, change: Callable[[T], T]) -> Disturbance[T]:
    """*exchange*: two sides swapped."""
    return Disturbance(sort="exchange", target=target, what=what, change=lambda data, rng, factor: change(data))


def scaled(values: npt.NDArray[Any], factor: float) -> npt.NDArray[Any]:
    """Numbers times a factor; whole ones stay whole (rounded), truth values stay."""
    if values.dtype.kind == "b":
        return values
    if values.dtype.kind == "f":
        return np.asarray(values * values.dtype.type(factor))
    product = np.round(values * factor)
    if np.abs(product).max(initial=0.0) > np.iinfo(values.dtype).max:
        raise InputError(f"times {factor:g} is too large for {values.dtype}")
    return np.asarray(product.astype(values.dtype))


def shuffled(values: Values, rng: np.random.Generator) -> Any:
    """Rows of an array, or texts, in an order drawn by `rng`."""
    order = rng.permutation(len(values))
    return tuple(values[i] for i in order) if isinstance(values, tuple) else values[order]
