"""Which leaves of a search go on: REBASE's shares, the clusters of the last steps, and the integer program.

At each depth every open leaf i has a reward; REBASE gives it W_i = ceil(width · softmax(r / T)_i) continuations, the
best leaf first and on what is left. Before that ETS keeps the leaves x that solve (section 4, as in the released code)

    max  Σ W_i/ΣW · x_i − λ_b / (M + N) · (Σ_j y_j + Σ_i x_i) + λ_d / K · Σ_k c_k,
         y_j ≥ x_i for j above i,   c_k ≤ Σ_{i in k} x_i,   Σ_i x_i ≥ 1

over N leaves, their M ancestors and K clusters of the last steps' texts (average linkage on cosine distance). The
program is solved by HiGHS. Ancestors are linked child to parent, which says the same as leaf to ancestor with fewer
rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from rooflab import extras
from rooflab.errors import Infeasible

__all__ = [
    "CUT", "TEMPERATURE", "Frontier", "Select", "Weights", "ancestors", "beam", "clusters", "ets", "keep", "rebase",
    "released",
]  # fmt: skip

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

TEMPERATURE: Final = 0.2
CUT: Final = 0.05
"""Cosine distance at which clusters are cut, and the temperature of the shares: as in the released code."""


@dataclass(frozen=True, slots=True)
class Weights:
    """λ_b of the cost of nodes and λ_d of coverage; 0 turns a term off."""

    nodes: float
    coverage: float

    def but(self, nodes: float | None, coverage: float | None) -> Weights:
        """The same with what is given in place of either."""
        return Weights(self.nodes if nodes is None else nodes, self.coverage if coverage is None else coverage)


_RELEASED: Final = {16: Weights(1.0, 1.5), 64: Weights(1.0, 1.4), 256: Weights(1.0, 1.45)}
"""By width, as in the released configurations for MATH500."""


def released(width: int) -> Weights:
    """The weights of the released configuration whose width is nearest, as a ratio."""
    return _RELEASED[min(_RELEASED, key=lambda known: abs(math.log(known / width)))]


@dataclass(frozen=True, slots=True)
class Frontier:
    """Open leaves of a tree: node numbers, rewards, and vectors of their texts (N × D); `parent` of every node (−1 for
    a root), `depth` of the search."""

    depth: int
    leaves: I64
    rewards: F64
    texts: F64
    parent: I64


Select = Callable[[Frontier, int], I64]
"""(frontier, width left) → continuations of each leaf."""


def ancestors(parent: I64, leaves: I64) -> I64:
    """Nodes above `leaves`, each once."""
    seen = np.zeros(len(parent), dtype=bool)
    above = parent[leaves]
    while len(above := above[above >= 0]):
        above = np.unique(above[~seen[above]])
        seen[above] = True
        above = parent[above]
    return np.flatnonzero(seen)


def rebase(rewards: F64, width: int, temperature: float = TEMPERATURE) -> I64:
    """Continuations of each leaf: the best first, each its share of what is left, rounded up; sums to `width`."""
    shares = np.zeros(len(rewards), dtype=np.int64)
    weight = np.exp((rewards - rewards.max()) / temperature)
    rest = float(weight.sum())
    for i in np.argsort(-rewards, kind="stable"):
        if width <= 0 or rest <= 0:
            break
        shares[i] = min(int(np.ceil(width * weight[i] / rest - 1e-9)), width)
        width -= int(shares[i])
        rest -= float(weight[i])
    return shares


def beam(rewards: F64, width: int, depth: int) -> I64:
    """Beam search: the best √width leaves share the width evenly; the question takes all of it."""
    kept = max(int(np.ceil(width**0.5)), 1)
    shares = np.zeros(len(rewards), dtype=np.int64)
    shares[np.argsort(-rewards, kind="stable")[:kept]] = width if depth == 0 else -(-width // kept)
    return shares


def clusters(texts: F64, cut: float = CUT) -> I64:
    """Number of the cluster of each text, from 0. Raises InputError without SciPy."""
    if len(texts) < 2:
        return np.zeros(len(texts), dtype=np.int64)
    with extras.needed("scipy", "clustering texts", "ets"):
        from scipy.cluster import hierarchy
    found = hierarchy.fcluster(hierarchy.linkage(texts, method="average", metric="cosine"), cut, criterion="distance")
    return np.unique(found, return_inverse=True)[1].astype(np.int64)


def keep(parent: I64, leaves: I64, value: F64, group: I64, weights: Weights) -> Bools:
    """Which leaves to keep: the integer program. `parent` by node (−1: none), `value` a leaf's share of the width,
    `group` its cluster."""
    with extras.needed("scipy", "the integer program", "ets"):
        from scipy import optimize, sparse
    above = ancestors(parent, leaves)
    n, m, k = len(leaves), len(above), int(group.max()) + 1
    cost = weights.nodes / (m + n)
    gain = np.concatenate([value - cost, np.full(m, -cost), np.full(k, weights.coverage / k)])
    place = np.full(len(parent) + 1, -1)
    place[above] = n + np.arange(m)
    over = place[parent[np.concatenate([leaves, above])]]
    linked = np.flatnonzero(over >= 0)
    # rows: a node kept needs its parent, then a cluster covered needs one of its leaves, then one leaf at least
    links, last = np.arange(len(linked)), np.full(n, len(linked) + k)
    row = np.concatenate([links, links, len(linked) + np.arange(k), len(linked) + group, last])
    column = np.concatenate([linked, over[linked], n + m + np.arange(k), np.arange(n), np.arange(n)])
    sign = np.concatenate([np.ones(len(linked)), -np.ones(len(linked)), np.ones(k), -np.ones(n), -np.ones(n)])
    rows = sparse.csc_matrix((sign, (row, column)), (len(linked) + k + 1, n + m + k))
    limit = np.zeros(len(linked) + k + 1)
    limit[-1] = -1.0
    constraint = optimize.LinearConstraint(rows, ub=limit)
    # leaves are whole, ancestors and coverage become so by themselves; the relaxation mostly is, and takes half the
    # time
    for whole in (0.0, 1.0):
        integrality = np.concatenate([np.full(n, whole), np.zeros(m + k)])
        solved = optimize.milp(-gain, integrality=integrality, bounds=optimize.Bounds(0, 1), constraints=constraint)
        if solved.x is None:
            raise Infeasible(f"HiGHS found no selection among {n} leaves: {solved.message}")
        if np.abs(solved.x[:n] - solved.x[:n].round()).max() < 1e-6:
            break
    return np.asarray(solved.x[:n] > 0.5)


def ets(frontier: Frontier, width: int, *, weights: Weights) -> I64:
    """Continuations of each leaf after pruning."""
    shares = rebase(frontier.rewards, width)
    if len(shares) == 1:
        return shares
    kept = keep(frontier.parent, frontier.leaves, shares / shares.sum(), clusters(frontier.texts), weights)
    out = np.zeros(len(shares), dtype=np.int64)
    out[kept] = rebase(frontier.rewards[kept], width)
    return out
