"""How many sequences a cache holds whose prompts begin alike: a beginning lies in it once for all that use it.

n sequences of L tokens, of which p begin with one of the prefixes of s tokens, prefix k with chance q_k, need

    n (L − p s) + s D(n) = room,     D(n) = Σ_k 1 − (1 − q_k)^(p n)

D: how many of the prefixes are in use.  The room left falls as n grows while what n sequences need rises, so that there
is one answer; bisection finds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from rooflab.memory.account import MemoryAccount
from rooflab.scenario.traffic import Prefixes
from rooflab.scenario.workload import Workload

__all__ = ["held", "in_use", "once", "shared_tokens"]

Array = npt.NDArray[np.float64]

_HALVINGS: Final = 40
_MOST: Final = 1e9
_RANKS: Final = 512
"""Prefixes up to this rank are counted each, those behind by groups of like rank."""


def shared_tokens(workload: Workload) -> float:
    """Tokens at the beginning of a prompt, on average, that are other requests', too."""
    shared = workload.shared
    return 0.0 if shared is None else min(shared.share * shared.tokens, workload.mean_prompt_tokens)


def in_use(prefixes: Prefixes, sequences: Array) -> Array:
    """How many of the prefixes `sequences` (N,) requests use between them, on average."""
    edges = np.unique(np.concatenate((np.arange(min(prefixes.count, _RANKS) + 1),
                                      np.geomspace(1, prefixes.count, _RANKS).round()))).astype(np.float64)  # fmt: skip
    several = np.diff(edges)
    rank = (edges[:-1] + 1 + edges[1:]) / 2
    chance = rank**-prefixes.skew
    chance /= several @ chance
    asked = np.maximum(sequences, 0.0) * prefixes.share
    used = (1 - np.exp(asked[:, None] * np.log1p(-np.minimum(chance, 1 - 1e-12)))) @ several
    out: Array = np.minimum(used, asked)
    return out


def once(workloads: Sequence[Workload], shared: Array, sequences: Array) -> Array:
    """Tokens of beginnings in a cache of `sequences` (R,) at a time, of which `shared` of each are others', too."""
    out = np.where(sequences > 0, shared, 0.0)
    for prefixes, rows in _several(workloads, shared).items():
        out[rows] = prefixes.tokens * in_use(prefixes, sequences[rows])
    return out


def held(memory: MemoryAccount, length: Array, cross: Array, workloads: Sequence[Workload], shared: Array) -> Array:
    """Sequences of `length` tokens (R,), a billion at most, that engines of `memory` hold; `shared` tokens of each are
    others', too (0 where an engine keeps no prefixes)."""
    out: Array = np.minimum(memory.sequences(length, cross, shared, shared), _MOST)
    for prefixes, rows in _several(workloads, shared).items():
        low, high = np.zeros(len(rows)), np.minimum(memory.sequences(length, cross, shared), _MOST)[rows]
        each = np.zeros_like(out)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            each[rows] = prefixes.tokens * in_use(prefixes, middle / memory.dp[rows])
            enough = memory.sequences(length, cross, shared, each)[rows] >= middle
            low, high = np.where(enough, middle, low), np.where(enough, high, middle)
        out[rows] = low
    return out


def _several(workloads: Sequence[Workload], shared: Array) -> dict[Prefixes, npt.NDArray[np.intp]]:
    """Rows in which not all share one beginning, by what they share."""
    groups: dict[Prefixes, list[int]] = {}
    for row in np.flatnonzero(shared > 0).tolist():
        prefixes = workloads[row].shared
        if prefixes is not None and (prefixes.count > 1 or prefixes.share < 1):
            groups.setdefault(prefixes, []).append(row)
    return {prefixes: np.array(rows) for prefixes, rows in groups.items()}
