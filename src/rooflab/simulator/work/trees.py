"""Requests of searches over trees of texts: a continuation each, the tree in their prefix blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from rooflab.simulator.work.requests import Requests, make_requests

__all__ = ["TextTree", "tree_requests"]

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


class TextTree(Protocol):
    """A tree by node, parents before children; node 0 is the prompt."""

    @property
    def parent(self) -> Sequence[int]:
        """The node that each one continues (−1: none)."""
        ...

    @property
    def tokens(self) -> Sequence[int]:
        """Tokens of each one's own text."""
        ...

    @property
    def born(self) -> Sequence[int]:
        """Its step: the prompt's is 0, and every step up to the last has nodes."""
        ...


class _Paths:
    """Lengths and prefix blocks of a tree's paths, filled from the prompt on."""

    def __init__(self, tree: TextTree, block_tokens: int) -> None:
        self.tree, self._block_tokens = tree, block_tokens
        self.length = {0: tree.tokens[0]}
        self.blocks: dict[int, I64] = {}

    def extend(self, node: int, fresh: int) -> int:
        """Blocks of `node`: its parent's, and new ones numbered from `fresh`; the next free number."""
        up = self.tree.parent[node]
        if up not in self.blocks:
            whole = self.length[up] // self._block_tokens
            self.blocks[up] = np.arange(fresh, fresh + whole)
            fresh += whole
        self.length[node] = self.length[up] + self.tree.tokens[node]
        new = self.length[node] // self._block_tokens - len(self.blocks[up])
        self.blocks[node] = np.concatenate([self.blocks[up], np.arange(fresh, fresh + new)])
        return fresh + new


def tree_requests(
    threads: Sequence[Sequence[TextTree]], *, block_tokens: int, ending: F64 | None = None, pause_s: float = 0.0
) -> Requests:
    """Every continuation as a request: its path is the prompt, its own text the answer, the tree the prefix blocks (of
    `block_tokens` tokens).

    A thread does its searches one after the other. A step begins `pause_s` after the end of the step before: `ending`
    says when each request ended in a run before (without it, the longest answer of a step is taken for the last).
    """
    rows: list[tuple[int, int, int, int]] = []
    chains: list[I64] = []
    last = [-1] * len(threads)
    lines = [
        [
            (paths, depth)
            for paths in (_Paths(tree, block_tokens) for tree in searches)
            for depth in range(1, max(paths.tree.born) + 1)
        ]
        for searches in threads
    ]
    fresh = 0
    for stage in range(max(len(line) for line in lines)):
        for q, line in enumerate(lines):
            if stage >= len(line):
                continue
            paths, depth = line[stage]
            begin = len(rows)
            for node in np.flatnonzero(np.array(paths.tree.born) == depth).tolist():
                fresh = paths.extend(node, fresh)
                rows.append((paths.length[paths.tree.parent[node]], paths.tree.tokens[node], last[q], q))
                chains.append(paths.blocks[node])
            ends = np.array([r[1] for r in rows[begin:]], dtype=float) if ending is None else ending[begin : len(rows)]
            last[q] = begin + int(np.argmax(ends))
    prompt, answer, after, session = (np.array(c) for c in zip(*rows, strict=True))
    return make_requests(
        np.zeros(len(rows)), prompt, answer, after=after, session=session, think_s=np.where(after >= 0, pause_s, 0.0),
        prefix_start=np.concatenate([[0], np.cumsum([len(c) for c in chains])]), prefix_block=np.concatenate(chains),
        prefix_block_tokens=block_tokens,
    )  # fmt: skip
