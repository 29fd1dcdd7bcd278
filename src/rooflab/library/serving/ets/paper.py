"""ETS (seed 54): an integer program prunes the tree of a reward-guided search so that kept branches share cache and
still differ.

`selection` has the program, `prune` runs it on a reader's own tree, `trees` grows trees by a documented process where
there are none, `served` prices a search on them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, Literal

import numpy as np

from rooflab.charts.marks import Series
from rooflab.charts.plot import Plot
from rooflab.inputs.graph import Graph
from rooflab.library.serving.ets.prune import Prune, Weight
from rooflab.library.serving.ets.selection import I64, Frontier, Select, Weights, ancestors, beam, ets, released
from rooflab.library.serving.ets.served import by_rebase, mean_cache, serve
from rooflab.library.serving.ets.trees import Cache, Grown, Growth, grow, growth
from rooflab.papers.lab import Lab
from rooflab.papers.method import Method
from rooflab.papers.outcome import Figure, Outcome
from rooflab.papers.paper import Paper
from rooflab.papers.parameters import Count, PositiveInt
from rooflab.papers.technique import require
from rooflab.scenario.scenario import Scenario

__all__ = ["PrunedSearch", "paper"]

paper = Paper.beside(__file__)
paper.method(Prune)

_SEARCHES = 8
"""At once, as in the released configurations."""
_SHORTEST_ANSWER = 64
"""Tokens of an answer that is searched step by step."""


@paper.method
class PrunedSearch(Method[Scenario]):
    """Searches of `width` paths on the reader's model, side by side: cache, throughput and answers with and without
    pruning, on trees of a documented process.

    `searches` at once (0: the workload's concurrency up to 16, 8 without one). `nodes` and `coverage` weigh the terms
    (those of the released configuration of the nearest width where they are not given). `cache` names the definition
    behind the reduction: the leaves that go on, or all leaves of a step, as the released code counts.
    """

    headline = "searches a second"
    takes_s = 6.0

    extra = "ets"
    width: PositiveInt = 256
    searches: Count = 0
    nodes: Weight | None = None
    coverage: Weight | None = None
    cache: Cache = "kept"
    keep: Literal["program", "all"] = "program"

    def ablated(self, seed: int) -> PrunedSearch:
        """REBASE alone."""
        return replace(self, keep="all")

    def run(self, lab: Lab, given: Scenario) -> Outcome:
        """Execute on a scenario of the reader."""
        w = given.workload
        require(given.model.kind == "decoder", f"{given.model.name} is no decoder: there is no tree of texts to search")
        require(
            w.mean_output_tokens >= _SHORTEST_ANSWER,
            f"answers of {w.mean_output_tokens:.0f} tokens are too short to be searched step by step",
        )
        count = self.searches or min(w.concurrency or _SEARCHES, 2 * _SEARCHES)
        grown = growth(lab, prompt_tokens=w.mean_prompt_tokens, answer_tokens=w.mean_output_tokens)
        seeds = [1000 * lab.seed + i for i in range(count)]
        before, _ = lab.cached(
            ("rebase", grown, self.width, count),
            lambda: _searched(lab, "searches without pruning", grown, self.width, None, seeds=seeds),
        )
        weights = None if self.keep == "all" else self.weights()
        after, clock = _searched(lab, "searches", grown, self.width, weights, seeds=seeds)
        pause_s = lab.assume(
            "seconds of a selection", 0.02, low=0.005, high=0.2,
            source="clustering and program of 256 leaves on one core take some 20 ms here; the authors' embedding and "
            "solver were not timed in print",
        )  # fmt: skip
        s = lab.priced_as(given)
        then, now = serve(s, before), serve(s, after, 0.0 if self.keep == "all" else pause_s)
        each = [a.kv_tokens(self.cache) / b.kv_tokens(self.cache) for a, b in zip(before, after, strict=True)]
        reduction = mean_cache(before, self.cache) / mean_cache(after, self.cache)
        figures = (
            *(
                Figure(name=f"cache of a search, {which} leaves", value=mean_cache(after, which), unit="tokens",
                       how="executed", baseline=mean_cache(before, which), better="lower")
                for which in ("kept", "all")
            ),
            Figure(name="cache reduction", value=reduction, unit="x", how="executed", spread=(min(each), max(each)),
                   runs=count, over="searches"),
            Figure(name="searches a second", value=now, unit="1/s", how="modelled", baseline=then, better="higher"),
            Figure(name="throughput gain", value=now / then, unit="x", how="modelled"),
            Figure.timed("clustering and program a step", clock, over="steps"),
            Figure(name="right answers on these trees", value=100 * float(np.mean([t.answers_right for t in after])),
                   unit="percent", how="executed", better="higher",
                   baseline=100 * float(np.mean([t.answers_right for t in before]))),
        )  # fmt: skip
        text = f"{count} searches of {self.width} paths, {grown.steps:.0f} steps of {grown.step_tokens:.0f} tokens: "
        return Outcome(figures, text + _reason(now / then), notes=("trees are grown by a process, not by the model",))

    def weights(self) -> Weights:
        """What was asked for, else what was released."""
        return released(self.width).but(self.nodes, self.coverage)


def _reason(gain: float) -> str:
    if gain < 1.05:
        return ("the cache holds both ways of searching, or neither, so that sharing more of it saves next to nothing"
                if gain > 0.95 else "waiting for the selection costs more than the shared cache saves")  # fmt: skip
    return "paths that share their ancestors leave room in the cache, so that fewer prefixes are computed again"


def _searched(
    lab: Lab, name: str, process: Growth, width: int, weights: Weights | None, *, seeds: Sequence[int]
) -> tuple[list[Grown], list[float]]:
    """One question a seed, searched with a selection (None: REBASE), and the seconds that each selection took."""
    found = lab.cells(name, seeds, partial(_search, process, width, weights)).values()
    return [Grown.of(tree) for tree, _ in found], [s for _, clock in found for s in clock]


@lru_cache(maxsize=1024)
def _search(process: Growth, width: int, weights: Weights | None, seed: int) -> tuple[dict[str, Any], list[float]]:
    """One of them, grown once: what it is served on has no part in it."""
    clock: list[float] = []
    select: Select = by_rebase if weights is None else partial(ets, weights=weights)
    return grow(process, width, _timed(select, clock), seed).record(), clock


def _timed(select: Select, clock: list[float]) -> Select:
    def timed(frontier: Frontier, width: int) -> I64:
        started = time.perf_counter()
        found = select(frontier, width)
        clock.append(time.perf_counter() - started)
        return found

    return timed


@paper.setup("Llemma-34B on one H100 NVL")
def setup(lab: Lab) -> Scenario:
    """The policy's own GPU: problems of 120 tokens, solutions of 360, eight searches at once."""
    return lab.scenario(
        model="codellama/CodeLlama-34b-hf",
        hardware="h100-nvl",
        workload={"isl": 120, "osl": 360, "concurrency": _SEARCHES},
        deployment={"engine": "sglang", "tp": 1, "weights": "bf16", "max_num_seqs": 2048, "policy": "longest-prefix"},
    )


def _published(lab: Lab, cache: Cache = "kept") -> Outcome:
    """MATH500's shape: eight questions, 256 paths each, with the released weights."""
    return lab.run(PrunedSearch(cache=cache), lab.cached("the setup of ets", lambda: setup(lab)))


@paper.claim("c1")
def cache_reduction(lab: Lab) -> float:
    """Mean tokens that stay, REBASE's over ETS's."""
    return _published(lab)["cache reduction"]


@paper.claim("c1-all")
def cache_reduction_of_all_leaves(lab: Lab) -> float:
    """The same of all leaves of a step, kept or not."""
    found = _published(lab).figure("cache of a search, all leaves")
    assert found.baseline is not None
    return found.baseline / found.value


@paper.claim("c2")
def throughput_gain(lab: Lab) -> float:
    """Searches a second, eight at once, each step's continuations as requests of SGLang with its prefix cache."""
    return _published(lab)["throughput gain"]


_PARENTS = (-1, 0, 0, 0, 1, 1, 2, 2, 3)
_CLUSTERS = (-1, -1, -1, -1, 0, 0, 0, 0, 1)
"""Of the nodes of the overview figure: the question, three parents, five leaves."""


@paper.setup("overview figure")
def figure(lab: Lab) -> Graph:
    """Three parents with 2, 2 and 1 children, one of which is of another cluster; rewards give REBASE's drawn
    shares."""
    parent, rewards = np.array(_PARENTS), lab.data("rewards in the figure", [0.9, 0.5, 0.8, 0.8, 0.8])
    child, score = np.flatnonzero(parent >= 0), np.full(len(parent), np.nan)
    score[len(parent) - len(rewards) :] = rewards
    return Graph(
        nodes=len(parent), source=parent[child], target=child, labels=np.array(_CLUSTERS),
        extra={"tokens": np.ones(len(parent), dtype=np.int64), "score": score},
    )  # fmt: skip


def _figure(lab: Lab, coverage: float | None) -> float:
    """Nodes that stay in the overview figure's tree, the question aside; REBASE's without a weight of coverage."""
    width = lab.data("width in the figure", 5)
    prune = Prune(width=width, keep="all")
    if coverage is not None:
        usual = released(width)
        nodes = lab.assume(
            "weight of nodes in the figure", usual.nodes, low=0.5 * usual.nodes, high=2 * usual.nodes,
            source="the drawing states none: the released one, and half and double",
        )  # fmt: skip
        prune = Prune(width=width, nodes=nodes, coverage=coverage)
    return lab.run(prune, lab.cached("the figure of ets", lambda: figure(lab)))["nodes kept, questions aside"]


@paper.claim("c3-rebase")
def figure_rebase(lab: Lab) -> float:
    """Leaves with continuations and their parents."""
    return _figure(lab, None)


@paper.claim("c3-prune")
def figure_pruned(lab: Lab) -> float:
    """Without the coverage term."""
    return _figure(lab, 0.0)


@paper.claim("c3-ets")
def figure_ets(lab: Lab) -> float:
    """With coverage of both clusters."""
    return _figure(lab, released(lab.data("width in the figure", 5)).coverage)


@paper.draws
def by_depth(lab: Lab) -> Plot:
    """Tokens that stay at each step, by selection, for one question."""
    w = setup(lab).workload
    process = growth(lab, prompt_tokens=w.mean_prompt_tokens, answer_tokens=w.mean_output_tokens)
    ways: tuple[tuple[str, Select], ...] = (
        ("REBASE", by_rebase), ("ETS", partial(ets, weights=released(256))),
        ("beam search", lambda frontier, width: beam(frontier.rewards, width, frontier.depth)),
    )  # fmt: skip
    lines = []
    for name, select in ways:
        tree = grow(process, 256, select, 0)
        parent, tokens = np.array(tree.parent), np.array(tree.tokens)
        kept = [leaves[shares > 0] for leaves, shares in tree.opened]
        held = tuple(float(tokens[k].sum() + tokens[ancestors(parent, k)].sum()) for k in kept)
        lines.append(Series(name, tuple(float(d) for d in range(len(held))), held))
    return Plot("Cache of one search of 256 paths", "step", "tokens", tuple(lines))
