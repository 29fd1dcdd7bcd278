"""What QoQ does to channels before it quantises, where the inputs of a layer are known (sections 4.2 and 4.3).

smoothing       λ = max|X|^a / max|W|^(1 − a) of an input channel:  W · λ meets X / λ
reordering      input channels by max|X|, so that channels of like weight share a group
attention       λ = max|K|^0.5 of a channel of keys, one for the two channels that a rotary embedding turns together:
                keys / λ, queries · λ, folded into the rows of their projections
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from rooflab.inputs.weights import Weights
from rooflab.numerics.quantise import affine

__all__ = ["INPUTS", "inputs_of", "key_scale", "ordered", "score_error", "smoothing"]

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

INPUTS: Final = ".inputs"
"""What an array is called that holds samples of the inputs of a matrix: its name and this."""
_LEAST: Final = 1e-5
"""Share of the largest channel below which a channel counts as so large: a channel without inputs is not blown up."""


def smoothing(weights: F64, inputs: F64, strength: float) -> F64:
    """λ of each input channel, its geometric mean 1: `weights` O × I, `inputs` samples × I, `strength` the share of
    the inputs' outliers that moves into the weights."""
    scale = _most(inputs) ** strength / _most(weights) ** (1 - strength)
    out: F64 = scale / np.exp(np.log(scale).mean())
    return out


def ordered(inputs: F64) -> I64:
    """Input channels by their largest magnitude, largest first."""
    return np.argsort(-np.abs(inputs).max(axis=0), kind="stable").astype(np.int64)


def key_scale(keys: F64, head_dim: int) -> F64:
    """λ of each channel of keys (tokens × heads·head_dim), channels i and i + head_dim/2 of a head alike."""
    halves = _most(keys).reshape(-1, 2, head_dim // 2)
    both = np.sqrt(halves.max(axis=1, keepdims=True))
    both = both / np.exp(np.log(both).mean())
    out: F64 = np.broadcast_to(both, halves.shape).reshape(-1)
    return out


def score_error(queries: F64, keys: F64, head_dim: int) -> float:
    """Relative error of attention scores (queries × keys, before the softmax) with keys in 4 bits, each token's head
    with a scale and a zero point of its own.

    `queries` and `keys` are tokens × heads·head_dim, several query heads to a head of keys.
    """
    heads = keys.reshape(len(keys), -1, head_dim)
    asked = queries.reshape(len(queries), heads.shape[1], -1, head_dim)
    lost = affine(heads, 16).values - heads
    wrong, whole = (float((np.einsum("qhgd,khd->hgqk", asked, k) ** 2).sum()) for k in (lost, heads))
    return float(np.sqrt(wrong / whole)) if whole else 0.0


def inputs_of(given: Weights, name: str) -> F64 | None:
    """Samples of what a matrix of `given` multiplies, samples × I; None where the file holds none that fit."""
    held = given.arrays.get(name + INPUTS)
    if held is None or held.ndim != 2 or held.shape[1] != given[name].shape[1]:
        return None
    return held.astype(np.float64)


def _most(values: F64) -> F64:
    most = np.abs(values).max(axis=0)
    out: F64 = np.maximum(most, _LEAST * max(float(most.max()), 1e-300))
    return out
