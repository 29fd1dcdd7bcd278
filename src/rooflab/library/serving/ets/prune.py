"""ETS on a reader's own tree: which of its open leaves go on, and what that leaves in the cache."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np

from rooflab.inputs.graph import KIND, Graph
from rooflab.inputs.row_files import csv_bytes
from rooflab.library.serving.ets.forest import Forest, forest_of, groups
from rooflab.library.serving.ets.selection import (
    CUT,
    F64,
    I64,
    TEMPERATURE,
    Bools,
    Weights,
    ancestors,
    keep,
    rebase,
    released,
)
from rooflab.library.serving.ets.trees import Cache
from rooflab.papers.lab import Lab
from rooflab.papers.method import Method
from rooflab.papers.outcome import Figure, Outcome
from rooflab.papers.parameters import PositiveFloat, PositiveInt, Range

__all__ = ["Prune", "Weight"]

Weight = Annotated[float, Range(0)]
_TIMED, _TIMED_S = 5, 1.0
"""Times that a program is run to be timed, and the seconds after which it is not run once more."""
_DRAWS = 20
"""Random selections that the program is compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    """The open leaves of one search as the program sees them: shares of the width and clusters by leaf."""

    forest: Forest
    leaves: I64
    width: int
    shares: I64
    group: I64

    @property
    def value(self) -> F64:
        """Each leaf's share of the continuations."""
        return np.asarray(self.shares / self.shares.sum())

    def nodes(self, kept: Bools) -> I64:
        """Nodes that have to stay for these leaves, the root's aside."""
        leaves = self.leaves[kept]
        every = np.concatenate([leaves, ancestors(self.forest.parent, leaves)])
        below: I64 = every[self.forest.parent[every] >= 0]
        return below

    def tokens(self, kept: Bools) -> float:
        """Tokens of these leaves and of all above them."""
        leaves = self.leaves[kept]
        above = ancestors(self.forest.parent, leaves)
        return float(self.forest.tokens[leaves].sum() + self.forest.tokens[above].sum())

    def covered(self, kept: Bools) -> int:
        """Clusters that keep a leaf."""
        return len(np.unique(self.group[kept]))


class Prune(Method[Graph]):
    """Choose by the integer program which open leaves of a reader's search tree go on with `width` continuations.

    Nodes have tokens and a score, and features (an embedding), a label (their cluster) or a text. `nodes` and
    `coverage` weigh the two terms (those of the released configuration of the nearest width where they are not given).
    `cache` names the definition behind the reduction: the leaves that are kept, or all open ones as the released code.
    `frontier`: every leaf, or those of the last step only. `keep`: by the program, all (REBASE alone), or at random as
    many as the program keeps.
    """

    extra = "ets"
    width: PositiveInt = 64
    nodes: Weight | None = None
    coverage: Weight | None = None
    temperature: PositiveFloat = TEMPERATURE
    cut: PositiveFloat = CUT
    cache: Cache = "kept"
    frontier: Literal["leaves", "deepest"] = "leaves"
    keep: Literal["program", "all", "random"] = "program"

    def ablated(self, seed: int) -> Prune:
        """REBASE alone: no leaf is dropped before the shares."""
        return replace(self, keep="all")

    def weights(self) -> Weights:
        """What was asked for, else what was released."""
        return released(self.width).but(self.nodes, self.coverage)

    def run(self, lab: Lab, given: Graph) -> Outcome:
        """Execute on a tree, or on several (one a root)."""
        forest = forest_of(given, self.frontier)
        searches, by = self._searches(forest)
        chosen, taken_s = _timed([partial(_chosen, s, self.weights()) for s in searches])
        by_program = [self._continuations(s, c) > 0 for s, c in zip(searches, chosen, strict=True)]
        rng = lab.rng("leaves kept at random")
        randoms = [[_random(s, kept, rng) for s, kept in zip(searches, by_program, strict=True)] for _ in range(_DRAWS)]
        by_rebase = [s.shares > 0 for s in searches]
        kept = {"program": by_program, "all": by_rebase, "random": randoms[0]}[self.keep]
        plain = [self._continuations(s, _chosen(s, Weights(self.weights().nodes, 0.0))) > 0 for s in searches]
        figures = [
            _executed("open leaves", sum(len(s.leaves) for s in searches), "leaves"),
            _executed("leaves that the program selects", _count(chosen), "leaves"),
            *self._figures(searches, kept, by_rebase),
            _drawn("as many leaves at random: clusters covered", "clusters", [_covered(searches, r) for r in randoms]),
            _drawn("as many leaves at random: cache", "tokens", [_tokens(searches, r) for r in randoms]),
            _executed("without the diversity term: clusters covered", _covered(searches, plain), "clusters"),
            _executed("without the diversity term: nodes kept", _nodes(searches, plain), "nodes"),
            Figure.timed("program, a search", taken_s),
        ]
        return Outcome(
            tuple(figures), self._because(searches, kept, by_rebase), files=self._files(forest, searches, kept),
            notes=(*forest.notes, f"leaves are told apart by {by}") if by else forest.notes,
        )  # fmt: skip

    def _searches(self, forest: Forest) -> tuple[list[_Search], str]:
        found, by = [], ""
        for search in forest.searches:
            leaves = search.leaves
            group = np.zeros(len(leaves), dtype=np.int64)
            if self.weights().coverage > 0 or forest.graph.labels is not None:
                group, by = groups(forest, leaves, self.cut)
            width = max(self.width - search.finished, 1)
            shares = rebase(forest.score[leaves], width, self.temperature)
            found.append(_Search(forest=forest, leaves=leaves, width=width, shares=shares, group=group))
        return found, by

    def _continuations(self, s: _Search, kept: Bools) -> I64:
        """Continuations of each leaf when the width is shared among these."""
        out = np.zeros(len(s.leaves), dtype=np.int64)
        out[kept] = rebase(s.forest.score[s.leaves[kept]], s.width, self.temperature)
        return out

    def _figures(self, searches: Sequence[_Search], kept: Sequence[Bools], before: Sequence[Bools]) -> list[Figure]:
        every = [np.ones(len(s.leaves), dtype=bool) for s in searches]
        now, then = (_tokens(searches, every if self.cache == "all" else k) for k in (kept, before))
        return [
            _against("leaves kept", _count(kept), _count(before), "leaves"),
            _against("nodes kept, questions aside", _nodes(searches, kept), _nodes(searches, before), "nodes", "lower"),
            _against("cache, kept leaves", _tokens(searches, kept), _tokens(searches, before), "tokens", "lower"),
            _against("cache, all open leaves", _tokens(searches, every), _tokens(searches, every), "tokens", "lower"),
            _executed(f"cache reduction ({self.cache} leaves)", then / now if now else 1.0, "x"),
            _executed("clusters among open leaves", sum(int(s.group.max()) + 1 for s in searches), "clusters"),
            _against("clusters covered", _covered(searches, kept), _covered(searches, before), "clusters", "higher"),
        ]

    def _because(self, searches: Sequence[_Search], kept: Sequence[Bools], before: Sequence[Bools]) -> str:
        there, were = _count(kept), _count(before)
        text = f"{there} of {sum(len(s.leaves) for s in searches)} open leaves go on"
        if self.keep != "program":
            return f"{text}, {'each that REBASE gives a continuation' if self.keep == 'all' else 'drawn at random'}."
        w, gone = self.weights(), sum(int((b & ~k).sum()) for k, b in zip(kept, before, strict=True))
        if not gone:
            added = f", {there - were} more than by REBASE, for their clusters" if there > were else ""
            return (
                f"{text}{added}; no leaf is dropped: none costs more than its share of the width and its cluster give."
            )
        return (
            f"{text}; {gone} that REBASE would go on with are dropped: their share of the width and their cluster are "
            f"worth less than the nodes that only they need (weights: nodes {w.nodes:g}, clusters {w.coverage:g})."
        )

    def _files(self, forest: Forest, searches: Sequence[_Search], kept: Sequence[Bools]) -> dict[str, bytes]:
        """Every open leaf with what became of it, and the tree that stays."""
        rows: dict[str, list[Any]] = {
            name: []
            for name in ("search", "node", "depth", "tokens", "score", "cluster", "rebase", "continuations", "kept")
        }
        nodes, goes_on = [np.flatnonzero(forest.parent < 0)], np.zeros(forest.graph.nodes, dtype=np.int64)
        for i, (s, k) in enumerate(zip(searches, kept, strict=True)):
            after = self._continuations(s, k)
            goes_on[s.leaves] = after
            nodes.append(s.nodes(k))
            columns = (
                [i] * len(s.leaves), [forest.name(int(n)) for n in s.leaves], forest.depth[s.leaves].tolist(),
                forest.tokens[s.leaves].tolist(), forest.score[s.leaves].tolist(), s.group.tolist(), s.shares.tolist(),
                after.tolist(), k.tolist(),
            )  # fmt: skip
            for name, values in zip(rows, columns, strict=True):
                rows[name] += values
        stays = replace(forest.graph, features=None, extra={**forest.graph.extra, "continuations": goes_on})
        tree = KIND.dumped(stays.take(np.unique(np.concatenate(nodes))), KIND.format("kept.json"))
        assert isinstance(tree, bytes)
        return {"leaves.csv": csv_bytes(rows), "kept.json": tree}


def _chosen(s: _Search, weights: Weights) -> Bools:
    """Leaves that the program selects; a search with one open leaf has no choice."""
    if len(s.leaves) == 1:
        return np.ones(1, dtype=bool)
    return keep(s.forest.parent, s.leaves, s.value, s.group, weights)


def _random(s: _Search, kept: Bools, rng: np.random.Generator) -> Bools:
    chosen = np.zeros(len(kept), dtype=bool)
    chosen[rng.choice(len(kept), size=int(kept.sum()), replace=False)] = True
    return chosen


def _count(kept: Sequence[Bools]) -> int:
    return sum(int(k.sum()) for k in kept)


def _nodes(searches: Sequence[_Search], kept: Sequence[Bools]) -> int:
    return sum(len(s.nodes(k)) for s, k in zip(searches, kept, strict=True))


def _tokens(searches: Sequence[_Search], kept: Sequence[Bools]) -> float:
    return sum(s.tokens(k) for s, k in zip(searches, kept, strict=True))


def _covered(searches: Sequence[_Search], kept: Sequence[Bools]) -> int:
    return sum(s.covered(k) for s, k in zip(searches, kept, strict=True))


def _executed(name: str, value: float, unit: str) -> Figure:
    return Figure(name=name, value=float(value), unit=unit, how="executed")


def _timed(programs: Sequence[Callable[[], Bools]]) -> tuple[list[Bools], list[float]]:
    """What each program gives, and the seconds that they take: of a few, several times, the first one aside, which
    may have loaded the solver."""
    found, taken_s = [], list[float]()
    repeats = [program for program in programs[:1] for _ in range(_TIMED)] if len(programs) < _TIMED else []
    for program in [*programs, *repeats]:
        started = time.perf_counter()
        found.append(program())
        taken_s.append(time.perf_counter() - started)
        if len(found) >= len(programs) and sum(taken_s) > _TIMED_S:
            break
    return found[: len(programs)], taken_s[1:] or taken_s


def _against(
    name: str, value: float, baseline: float, unit: str, better: Literal["higher", "lower", ""] = ""
) -> Figure:
    return Figure(
        name=name, value=float(value), unit=unit, how="executed", baseline=float(baseline), better=better
    )  # fmt: skip


def _drawn(name: str, unit: str, values: Sequence[float]) -> Figure:
    return Figure(
        name=name, value=float(np.mean(values)), unit=unit, how="executed", runs=len(values), over="draws",
        spread=(float(min(values)), float(max(values))),
    )  # fmt: skip
