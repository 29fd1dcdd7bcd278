"""Searches side by side on a deployment: grown trees as requests of the serving simulator, whose prefix cache holds
them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from rooflab.library.serving.ets.selection import I64, Frontier, rebase
from rooflab.library.serving.ets.trees import Cache, Grown
from rooflab.scenario.scenario import Scenario
from rooflab.simulator.work.trees import TreeWork

__all__ = ["PAGE_TOKENS", "by_rebase", "mean_cache", "serve"]

PAGE_TOKENS: Final = 4
"""Tokens of a block of the prefix cache in the simulated search; SGLang's radix tree shares single tokens."""


def serve(scenario: Scenario, trees: Sequence[Grown], pause_s: float = 0.0) -> float:
    """Searches a second that `trees` are, all side by side on the deployment of `scenario`, by simulation; each step
    waits `pause_s` for its selection."""
    from rooflab.simulator.serving.run import run
    from rooflab.simulator.serving.scenario import cluster_of

    cluster, _ = cluster_of(
        scenario.with_deployment(prefix_caching=True, block_size=PAGE_TOKENS, router="prefix-affinity")
    )
    work = TreeWork([[tree] for tree in trees], block_tokens=PAGE_TOKENS)
    first = run(work.requests(pause_s=pause_s), cluster)
    result = run(work.requests(ending=first.records.last_token_s, pause_s=pause_s), cluster)
    return len(trees) / float(result.end_s)


def by_rebase(frontier: Frontier, width: int) -> I64:
    """REBASE: no leaf is dropped before the shares."""
    return rebase(frontier.rewards, width)


def mean_cache(trees: Sequence[Grown], cache: Cache) -> float:
    """Tokens that a search holds, mean over steps and over searches."""
    return float(np.mean([tree.kv_tokens(cache) for tree in trees]))
