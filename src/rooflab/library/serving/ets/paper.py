"""ETS (seed 54): an integer program prunes the tree of a reward-guided search so that kept branches share cache and
still differ.

At each depth every open leaf i has a reward; REBASE gives it W_i = ceil(width · softmax(r / 0.2)_i) continuations, the
best leaf first and on what is left. Before that ETS keeps the leaves x that solve (section 4, with the weights of the
released configurations)

    max  Σ W_i/ΣW · x_i − λ_b / (M + N) · (Σ_j y_j + Σ_i x_i) + λ_d / K · Σ_k c_k,
         y_j ≥ x_i for j above i,   c_k ≤ Σ_{i in k} x_i

over N leaves, their M ancestors and K clusters of the last steps' texts (average linkage on cosine distance, cut at
0.05). The program is solved by HiGHS. Ancestors are linked child to parent, which says the same as leaf to ancestor
with fewer rows.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt

from rooflab import extras
from rooflab.charts.marks import Series
from rooflab.charts.plot import Plot
from rooflab.errors import Infeasible
from rooflab.library.serving.ets.trees import Cache, Frontier, Grown, Growth, ancestors, grow
from rooflab.papers.lab import Lab
from rooflab.papers.method import Method
from rooflab.papers.outcome import Outcome, as_figures
from rooflab.papers.paper import Paper
from rooflab.papers.technique import require
from rooflab.scenario.scenario import Scenario
from rooflab.simulator.work.trees import tree_requests

__all__ = ["Weights", "ets", "keep", "paper", "rebase", "serve"]

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

paper = Paper.beside(__file__)

TEMPERATURE: Final = 0.2
CUT: Final = 0.05


@dataclass(frozen=True, slots=True)
class Weights:
    """λ_b of the cost of nodes and λ_d of coverage; 0 turns a term off."""

    nodes: float = 1.0
    coverage: float = 1.45


WEIGHTS: Final = {16: Weights(1.0, 1.5), 64: Weights(1.0, 1.4), 256: Weights(1.0, 1.45)}
"""By width, as in the released configurations for MATH500."""


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


def clusters(texts: F64, cut: float = CUT) -> I64:
    """Number of the cluster of each text, from 0. Raises InputError without SciPy."""
    if len(texts) < 2:
        return np.zeros(len(texts), dtype=np.int64)
    with extras.needed("scipy", "clustering texts", "ets"):
        from scipy.cluster import hierarchy
    found = hierarchy.fcluster(hierarchy.linkage(texts, method="average", metric="cosine"), cut, criterion="distance")
    return np.unique(found, return_inverse=True)[1].astype(np.int64)


def keep(parent: I64, leaves: I64, value: F64, group: I64, weights: Weights) -> npt.NDArray[np.bool_]:
    """Which leaves to keep: the integer program. `parent` by node (−1: none), `value` a leaf's share of the width,
    `group` its cluster."""
    with extras.needed("scipy", "the integer program", "ets"):
        from scipy import optimize, sparse
    above = ancestors(parent, leaves)
    place = {int(node): len(leaves) + j for j, node in enumerate(above)}
    n, m, k = len(leaves), len(above), int(group.max()) + 1
    cost = weights.nodes / (m + n)
    gain = np.concatenate([value - cost, np.full(m, -cost), np.full(k, weights.coverage / k)])
    child = np.concatenate([np.arange(n), np.arange(n, n + m)])
    over = np.array([place.get(int(parent[node]), -1) for node in np.concatenate([leaves, above])])
    linked = np.flatnonzero(over >= 0)
    rows = np.arange(len(linked))
    ones = np.ones(len(linked))
    link = sparse.coo_matrix(
        (np.concatenate([ones, -ones]), (np.tile(rows, 2), np.concatenate([child[linked], over[linked]]))),
        (len(linked), n + m + k),
    )
    cover = sparse.coo_matrix(
        (
            np.concatenate([np.ones(k), -np.ones(n)]),
            (np.concatenate([np.arange(k), group]), np.concatenate([n + m + np.arange(k), np.arange(n)])),
        ),
        (k, n + m + k),
    )  # fmt: skip
    some = sparse.coo_matrix((np.ones(n), (np.zeros(n, dtype=int), np.arange(n))), (1, n + m + k))
    constraints = [
        optimize.LinearConstraint(sparse.vstack([link, cover]).tocsc(), ub=0.0),
        optimize.LinearConstraint(some.tocsc(), lb=1.0),
    ]  # fmt: skip
    # leaves are whole, ancestors and coverage become so by themselves; the relaxation mostly is, and takes half the
    # time
    for whole in (0.0, 1.0):
        integrality = np.concatenate([np.full(n, whole), np.zeros(m + k)])
        solved = optimize.milp(-gain, integrality=integrality, bounds=optimize.Bounds(0, 1), constraints=constraints)
        if solved.x is None:
            raise Infeasible(f"HiGHS found no selection among {n} leaves: {solved.message}")
        if np.abs(solved.x[:n] - solved.x[:n].round()).max() < 1e-6:
            break
    return np.asarray(solved.x[:n] > 0.5)


def ets(frontier: Frontier, width: int, *, weights: Weights, clock: list[float] | None = None) -> I64:
    """Continuations of each leaf after pruning; appends the seconds spent to `clock`."""
    shares = rebase(frontier.rewards, width)
    if len(shares) == 1:
        return shares
    started = time.perf_counter()
    group = clusters(frontier.texts)
    kept = keep(frontier.parent, frontier.leaves, shares / shares.sum(), group, weights)
    out = np.zeros(len(shares), dtype=np.int64)
    out[kept] = rebase(frontier.rewards[kept], width)
    if clock is not None:
        clock.append(time.perf_counter() - started)
    return out


def _rebase(frontier: Frontier, width: int) -> I64:
    return rebase(frontier.rewards, width)


def _beam(frontier: Frontier, width: int) -> I64:
    """Beam search: the best √width leaves share the width evenly."""
    kept = max(int(np.ceil(width**0.5)), 1)
    shares = np.zeros(len(frontier.leaves), dtype=np.int64)
    shares[np.argsort(-frontier.rewards, kind="stable")[:kept]] = width if frontier.depth == 0 else -(-width // kept)
    return shares


PAGE_TOKENS: Final = 4
"""Tokens of a block of the prefix cache in the simulated search; SGLang's radix tree shares single tokens."""


def serve(scenario: Scenario, threads: Sequence[Sequence[Grown]], pause_s: float = 0.0) -> float:
    """Searches a second that `threads` of searches do side by side on the deployment of `scenario`, by simulation."""
    from rooflab.simulator.serving.run import run
    from rooflab.simulator.serving.scenario import cluster_of

    cluster, _ = cluster_of(
        scenario.with_deployment(prefix_caching=True, block_size=PAGE_TOKENS, router="prefix-affinity")
    )
    asked = partial(tree_requests, threads, block_tokens=PAGE_TOKENS, pause_s=pause_s)
    first = run(asked(), cluster)
    result = run(asked(ending=first.records.last_token_s), cluster)
    return sum(map(len, threads)) / float(result.end_s)


_SOLVE_S: Final = 0.02
"""Seconds of clustering and program a step in simulated time: what 256 leaves take on one core (the analysis measures
them)."""
Both = tuple[list[Grown], list[Grown]]


def _searches(growth: Growth, width: int, weights: Weights, questions: int, clock: list[float] | None = None) -> Both:
    """The same questions searched by REBASE and by ETS."""
    pruned = partial(ets, weights=weights, clock=clock)
    return [grow(growth, width, _rebase, q) for q in range(questions)], [
        grow(growth, width, pruned, q) for q in range(questions)
    ]


def _cache(trees: Sequence[Grown], cache: Cache = "kept") -> float:
    return float(np.mean([t.kv_tokens(cache) for t in trees]))


def _published(lab: Lab) -> Both:
    """MATH500's shape: eight questions, 256 paths each, with the released weights."""
    growth = Growth(
        noise=lab.data("noise of the reward model", Growth().noise), ideas=lab.data("ideas a step", Growth().ideas),
        step_tokens=lab.data("tokens a step", Growth().step_tokens),
    )  # fmt: skip
    threads = 8
    before, after = lab.cached(("ets", growth), lambda: _searches(growth, 256, WEIGHTS[256], threads))
    return before, after if lab.with_idea() else before


@paper.claim("c1")
def cache_reduction(lab: Lab) -> float:
    """Mean tokens that stay, REBASE's over ETS's."""
    before, after = _published(lab)
    return _cache(before) / _cache(after)


@paper.claim("c1-all")
def cache_reduction_of_all_leaves(lab: Lab) -> float:
    """The same of all leaves of a step, kept or not."""
    before, after = _published(lab)
    return _cache(before, "all") / _cache(after, "all")


@paper.setup("Llemma-34B on one H100 NVL")
def setup(lab: Lab) -> Scenario:
    """The policy's own GPU: problems of 120 tokens, solutions of 360, eight searches at once."""
    return lab.scenario(
        model="codellama/CodeLlama-34b-hf",
        hardware="h100-nvl",
        workload={"isl": 120, "osl": 360, "concurrency": 8},
        deployment={"engine": "sglang", "tp": 1, "weights": "bf16", "max_num_seqs": 2048, "policy": "longest-prefix"},
    )


@paper.claim("c2")
def throughput_gain(lab: Lab) -> float:
    """Searches a second, eight at once, each step's continuations as requests of SGLang with its prefix cache."""
    before, after = _published(lab)
    s = lab.priced_as(setup(lab))
    return serve(s, [[t] for t in after], _SOLVE_S if lab.with_idea() else 0.0) / serve(s, [[t] for t in before])


def _figure(lab: Lab, weights: Weights | None) -> float:
    """Nodes that stay in the overview figure's tree, the question aside: three parents with 2, 2 and 1 children, width
    5."""
    parent = np.array([-1, 0, 0, 0, 1, 1, 2, 2, 3])
    leaves, group = np.arange(4, 9), np.array([0, 0, 0, 0, 1])
    rewards = np.array(lab.data("rewards in the figure", [0.9, 0.5, 0.8, 0.8, 0.8]))
    shares = rebase(rewards, lab.data("width in the figure", 5))
    kept = shares > 0
    if weights is not None and lab.with_idea():
        kept = keep(parent, leaves, shares / shares.sum(), group, weights)
    return float(kept.sum() + len(ancestors(parent, leaves[kept])) - 1)


@paper.claim("c3-rebase")
def figure_rebase(lab: Lab) -> float:
    """Leaves with continuations and their parents."""
    return _figure(lab, None)


@paper.claim("c3-prune")
def figure_pruned(lab: Lab) -> float:
    """Without the coverage term."""
    return _figure(lab, Weights(lab.data("weight of nodes in the figure", 1.5), 0.0))


@paper.claim("c3-ets")
def figure_ets(lab: Lab) -> float:
    """With coverage of both clusters."""
    return _figure(
        lab, Weights(lab.data("weight of nodes in the figure", 1.5), lab.data("weight of coverage in the figure", 1.0))
    )


@paper.method
class PrunedSearch(Method[Scenario]):
    """Eight searches of width 64 (or the scenario's concurrency, up to 16) on the reader's model: cache, throughput and
    answers."""

    def run(self, lab: Lab, scenario: Scenario) -> Outcome:
        """Execute on a scenario of the reader."""
        w = scenario.workload
        require(
            scenario.model.kind == "decoder",
            f"{scenario.model.name} is no decoder: there is no tree of texts to search",
        )
        require(
            w.mean_output_tokens >= 64,
            f"answers of {w.mean_output_tokens:.0f} tokens are too short to be searched step by step",
        )
        width, steps = 64, min(max(w.mean_output_tokens / 45, 4.0), 16.0)
        growth = Growth(
            prompt_tokens=w.mean_prompt_tokens,
            step_tokens=w.mean_output_tokens / steps,
            steps=steps,
            most_tokens=2 * w.mean_output_tokens,
        )
        clock: list[float] = []
        threads = min(w.concurrency or 8, 16)
        before, after = _searches(growth, width, WEIGHTS[width], threads, clock)
        solve_s = float(np.mean(clock))
        then, now = serve(scenario, [[t] for t in before]), serve(scenario, [[t] for t in after], _SOLVE_S)
        figures = (
            ("cache of a search, REBASE", _cache(before), "tokens"),
            ("cache of a search, ETS", _cache(after), "tokens"),
            ("cache reduction", _cache(before) / _cache(after), "x"), ("searches a second, REBASE", then, "1/s"),
            ("searches a second, ETS", now, "1/s"), ("throughput gain", now / then, "x"),
            ("clustering and program a step", 1e3 * solve_s, "ms"),
            ("right answers on synthetic trees, REBASE", 100 * float(np.mean([t.answers_right for t in before])),
            "percent"),
            ("right answers on synthetic trees, ETS", 100 * float(np.mean([t.answers_right for t in after])),
            "percent"),
        )  # fmt: skip
        full = now / then < 1.05
        because = (
            f"{threads} searches of {width} paths, {steps:.0f} steps of {growth.step_tokens:.0f} tokens: "
            + ("the cache holds both ways of searching, so sharing more of it saves next to nothing; raise width or "
               "concurrency" if full
               else "paths that share their ancestors leave room in the cache, so that fewer prefixes are computed "
                    "again")
        )  # fmt: skip
        return Outcome(as_figures("modelled", figures), because)


@paper.draws
def by_depth(lab: Lab) -> Plot:
    """Tokens that stay at each step, by selection, for one question."""
    lines = []
    for name, select in (("REBASE", _rebase), ("ETS", partial(ets, weights=WEIGHTS[256])), ("beam search", _beam)):
        tree = grow(Growth(), 256, select, 0)
        parent, tokens = np.array(tree.parent), np.array(tree.tokens)
        kept = [leaves[shares > 0] for leaves, shares in tree.opened]
        held = tuple(float(tokens[k].sum() + tokens[ancestors(parent, k)].sum()) for k in kept)
        lines.append(Series(name, tuple(float(d) for d in range(len(held))), held))
    return Plot("Cache of one search of 256 paths", "step", "tokens", tuple(lines))
