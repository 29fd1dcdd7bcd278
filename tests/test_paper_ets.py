"""ETS: shares, program and search trees."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

pytest.importorskip("scipy")

import rooflab as rl
from rooflab import api
from rooflab.errors import Infeasible
from rooflab.library.serving.ets import paper as ets
from rooflab.library.serving.ets.trees import Growth, ancestors, grow
from rooflab.papers.lab import Lab
from rooflab.scenario.lengths import Lengths
from rooflab.simulator.work.trees import tree_requests


def test_rebase_hands_out_the_whole_width_best_first() -> None:
    shares = ets.rebase(np.array([0.2, 0.9, 0.6]), 16)
    assert shares.sum() == 16
    assert shares[1] > shares[2] >= shares[0]
    assert ets.rebase(np.full(5, 0.5), 4).tolist() == [1, 1, 1, 1, 0]


@pytest.mark.parametrize("seed", range(6))
def test_program_finds_what_trying_every_selection_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    parent = np.array([-1, 0, 0, 1, 1, 2, 3, 3, 4, 5, 5, 2])
    leaves = np.array([6, 7, 8, 9, 10, 11])
    value = rng.random(6)
    value /= value.sum()
    group = np.unique(rng.integers(0, 3, 6), return_inverse=True)[1]
    weights = ets.Weights(rng.uniform(0.5, 3), rng.uniform(0, 1.5))

    def worth(kept: np.ndarray) -> float:
        above = ancestors(parent, leaves[kept])
        cost = weights.nodes / (6 + len(ancestors(parent, leaves)))
        covered = len(set(group[kept])) / (group.max() + 1)
        return float(value[kept].sum() - cost * (kept.sum() + len(above)) + weights.coverage * covered)

    tried = [np.array(x, dtype=bool) for x in itertools.product((False, True), repeat=6)]
    best = max(worth(x) for x in tried if x.any())
    assert worth(ets.keep(parent, leaves, value, group, weights)) == pytest.approx(best, abs=1e-9)


def test_paraphrases_share_a_cluster_and_ideas_do_not() -> None:
    rng = np.random.default_rng(0)
    ideas = np.eye(24)[[0, 0, 5, 5, 5, 9]]
    found = ets.clusters(ideas + 0.01 * rng.standard_normal(ideas.shape))
    assert found[0] == found[1] != found[2] == found[3] == found[4] != found[5]


def test_trees_end_where_they_began_to() -> None:
    tree = grow(Growth(), 16, lambda f, width: ets.rebase(f.rewards, width), 3)
    assert len(tree.parent) == len(tree.tokens) == len(tree.right) == len(tree.born)
    for node, up in enumerate(tree.parent[1:], 1):
        assert tree.born[node] == tree.born[up] + 1
        assert tree.right[up] or not tree.right[node], "a wrong path does not become right"
    assert 0 < len(tree.ended) <= 16 + len(tree.opened)


def test_more_weight_on_nodes_keeps_less() -> None:
    from functools import partial

    few, many = (grow(Growth(), 32, partial(ets.ets, weights=ets.Weights(w, 1.4)), 0).kv_tokens() for w in (2.0, 0.5))
    assert few < many


def test_requests_follow_the_tree() -> None:
    tree = grow(Growth(), 8, lambda f, width: ets.rebase(f.rewards, width), 1)
    requests = tree_requests([[tree], [tree]], block_tokens=ets.PAGE_TOKENS)
    assert len(requests) == 2 * (len(tree.parent) - 1)
    assert requests.output_tokens.sum() == 2 * (sum(tree.tokens) - tree.tokens[0])
    assert (requests.after < np.arange(len(requests))).all()
    first = requests.prefix_block[: requests.prefix_start[1]]
    assert len(first) == (tree.tokens[0] + tree.tokens[1]) // ets.PAGE_TOKENS


def test_readers_scenario() -> None:
    chat = rl.load("examples/chat-70b.yaml")
    search, lab = ets.PrunedSearch(), Lab(api.engines())
    found = search.run(lab, chat)
    assert found["cache reduction"] > 1.2
    assert found["throughput gain"] > 0.9
    with pytest.raises(Infeasible, match="too short"):
        search.run(lab, chat.with_workload(osl=Lengths("fixed", 16.0)))
    with pytest.raises(Infeasible, match="no decoder"):
        search.run(lab, rl.load("examples/bert.yaml"))
