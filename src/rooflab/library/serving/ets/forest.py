"""A reader's search trees: nodes with tokens and a score, told apart by embeddings, labels or texts.

A node is open while it has no children and does not say that it is finished; a finished one has used up one
continuation, as in the released code. Several roots are several searches.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from rooflab.errors import Infeasible, InputError
from rooflab.inputs.cells import as_number
from rooflab.inputs.graph import Graph
from rooflab.inputs.trees import words
from rooflab.library.serving.ets.selection import I64, clusters

__all__ = ["Forest", "Open", "forest_of", "groups"]

F64 = npt.NDArray[np.float64]

_TOKENS: Final = ("tokens", "num_tokens", "output_tokens", "num_step_tokens")
_SCORE: Final = ("score", "reward", "value")
_FINISHED: Final = ("finished", "leaf", "done", "ended")
MOST_OPEN: Final = 8_000
"""Open leaves of one search: clustering compares each pair."""
_GRAM: Final = 3
MOST_COUNTS: Final = 50_000_000
"""Leaves times runs of letters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """The open leaves of the search below `root`, and how many of its leaves have finished."""

    root: int
    leaves: I64
    finished: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """Trees by node: `parent` (−1 for a root), `depth`, `tokens`, `score` (all alike where none is known); `searches`
    with their open leaves; `notes` say what was counted in place of what was not given."""

    graph: Graph
    parent: I64
    depth: I64
    tokens: F64
    score: F64
    searches: tuple[Open, ...]
    notes: tuple[str, ...]

    def name(self, node: int) -> str:
        """What the reader calls a node."""
        return str(node) if self.graph.names is None else self.graph.names[node]


def forest_of(g: Graph, frontier: Literal["leaves", "deepest"]) -> Forest:
    """The trees of a graph; open are all leaves, or those at the last depth of their search only.

    Raises Infeasible for a graph that is no tree or has nothing to choose from, InputError for missing numbers.
    """
    parent, depth, root = _parents(g)
    tokens, of_tokens = _tokens(g)
    childless = np.ones(g.nodes, dtype=bool)
    childless[g.source] = False
    ended = _ended(g) & childless
    searches = []
    for top in np.flatnonzero(parent < 0):
        own = root == top
        leaves = np.flatnonzero(own & childless & ~ended & (parent >= 0))
        if frontier == "deepest" and len(leaves):
            leaves = leaves[depth[leaves] == depth[leaves].max()]
        if len(leaves) > MOST_OPEN:
            raise Infeasible(f"{len(leaves):,} open leaves are more than the {MOST_OPEN:,} that are compared in pairs")
        if len(leaves):
            searches.append(Open(root=int(top), leaves=leaves, finished=int((own & ended).sum())))
    if not any(len(search.leaves) > 1 for search in searches):
        raise Infeasible("no search has two open leaves to choose from")
    score, of_score = _scores(g, np.concatenate([search.leaves for search in searches]))
    return Forest(
        graph=g, parent=parent, depth=depth, tokens=tokens, score=score, searches=tuple(searches),
        notes=(*of_tokens, *of_score),
    )  # fmt: skip


def _parents(g: Graph) -> tuple[I64, I64, I64]:
    """Parent, depth and root of each node."""
    above = np.bincount(g.target, minlength=g.nodes)
    if above.max() > 1:
        node = int(above.argmax())
        name = str(node) if g.names is None else g.names[node]
        raise Infeasible(
            f"node {name} has {above[node]} parents: this is no tree (edges lead from a parent to a child)"
        )
    parent = np.full(g.nodes, -1)
    parent[g.target] = g.source
    depth, root, up = np.zeros(g.nodes, dtype=np.int64), np.arange(g.nodes), parent.copy()
    for _ in range(g.nodes):
        on = np.flatnonzero(up >= 0)
        if not len(on):
            return parent, depth, root
        depth[on] += 1
        root[on] = up[on]
        up[on] = parent[up[on]]
    raise Infeasible("edges go round in a circle: this is no tree")


def _column(g: Graph, names: tuple[str, ...]) -> tuple[str, Any] | None:
    known = {name.lower(): name for name in g.extra}
    found = next((known[name] for name in names if name in known), None)
    return None if found is None else (found, g.extra[found])


def _tokens(g: Graph) -> tuple[F64, tuple[str, ...]]:
    found = _column(g, _TOKENS)
    if found is not None:
        return _numbers(g, *found, np.arange(g.nodes), low=0.0), ()
    text = g.extra.get("text")
    if not isinstance(text, tuple):
        among = f" among {', '.join(g.extra)}" if g.extra else ""
        raise InputError(f"nodes have no column tokens (nor text){among}", "graph")
    return np.array([float(words(t)) for t in text]), ("tokens are words and marks of the text: none are given",)


def _scores(g: Graph, needed: I64) -> tuple[F64, tuple[str, ...]]:
    found = _column(g, _SCORE)
    if found is None:
        return np.zeros(g.nodes), ("all leaves have the same share: no score is given",)
    return _numbers(g, *found, needed), ()


def _numbers(g: Graph, name: str, values: Any, needed: I64, low: float | None = None) -> F64:
    """A column of nodes as numbers; those of `needed` have to be there."""
    if isinstance(values, tuple):
        others = ((i, v) for i, v in enumerate(values) if v and as_number(v) is None)
        row, cell = next(others, (0, values[0]))
        at = row if g.names is None else g.names[row]
        raise InputError(f"holds texts, not numbers ({cell!r} at node {at})", f"nodes: {name}")
    held = values.astype(np.float64)
    for node in needed[np.isnan(held[needed])][:1]:
        raise InputError(f"is missing at node {node if g.names is None else g.names[node]}", f"nodes: {name}")
    if low is not None and held.min() < low:
        raise InputError(f"holds {held.min():g}; at least {low:g}", f"nodes: {name}")
    return np.asarray(held)


def _ended(g: Graph) -> npt.NDArray[np.bool_]:
    found = _column(g, _FINISHED)
    if found is None:
        return np.zeros(g.nodes, dtype=bool)
    name, values = found
    if isinstance(values, tuple) or not np.isin(values[~np.isnan(values.astype(float))], (0, 1)).all():
        raise InputError("says true or false", f"nodes: {name}")
    return np.asarray(np.nan_to_num(values.astype(float)) > 0)


def groups(forest: Forest, leaves: I64, cut: float) -> tuple[I64, str]:
    """The cluster of each leaf, from 0, and by what they were told apart: labels as they are, else embeddings, else the
    letters of the texts. Raises InputError where there is none of these."""
    g = forest.graph
    if g.labels is not None and (g.labels[leaves] >= 0).all():
        return np.unique(g.labels[leaves], return_inverse=True)[1].astype(np.int64), "their labels"
    if g.features is not None:
        vectors = g.features[leaves].astype(np.float64)
        for node in leaves[~vectors.any(axis=1)][:1]:
            raise InputError(f"is zero at node {forest.name(int(node))}: it has no direction", "nodes: features")
        return clusters(vectors, cut), "their embeddings"
    text = g.extra.get("text")
    if not isinstance(text, tuple):
        raise InputError("nodes have no features (embedding), label or text to tell them apart; give one, or set "
                         "coverage=0", "graph")  # fmt: skip
    return clusters(_letters([text[node] for node in leaves]), cut), "the letters of their texts"


def _letters(texts: list[str]) -> F64:
    """Texts as counts of their runs of three letters, rare ones weighing more (TF-IDF); nothing is a run of its own."""
    counts = [Counter(t[i : i + _GRAM] for i in range(max(len(t) - _GRAM + 1, 1))) for t in texts]
    grams = {gram: i for i, gram in enumerate(sorted(set().union(*counts)))}
    if len(texts) * len(grams) > MOST_COUNTS:
        raise Infeasible(
            f"texts of {len(texts):,} leaves hold {len(grams):,} runs of letters, too many to compare; give embeddings"
        )
    found = np.zeros((len(texts), len(grams)))
    for row, count in enumerate(counts):
        for gram, times in count.items():
            found[row, grams[gram]] = times
    held = (found > 0).sum(axis=0)
    return np.asarray(found * (np.log((1 + len(texts)) / (1 + held)) + 1))
