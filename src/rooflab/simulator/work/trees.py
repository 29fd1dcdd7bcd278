"""Requests of searches over trees of texts: a continuation each, the tree in their prefix blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from rooflab.simulator.work.requests import Requests, make_requests

__all__ = ["TextTree", "TreeWork"]

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
    """Lengths and prefix blocks of a tree's paths, filled from the prompt on.

    A node's blocks are its parent's and new ones; they are put together where a node goes on.
    """

    def __init__(self, tree: TextTree, block_tokens: int) -> None:
        self.tree, self._block_tokens = tree, block_tokens
        self.steps = _by_step(tree)
        self.length = {0: tree.tokens[0]}
        self._parts: dict[int, tuple[I64, I64]] = {}
        self._blocks: dict[int, I64] = {}

    def extend(self, node: int, fresh: int) -> int:
        """Blocks of `node`: its parent's, and new ones numbered from `fresh`; the next free number."""
        up = self.tree.parent[node]
        if up not in self._blocks:
            if up in self._parts:
                self._blocks[up] = np.concatenate(self._parts[up])
            else:
                whole = self.length[up] // self._block_tokens
                self._blocks[up] = np.arange(fresh, fresh + whole)
                fresh += whole
        above = self._blocks[up]
        self.length[node] = self.length[up] + self.tree.tokens[node]
        new = self.length[node] // self._block_tokens - len(above)
        self._parts[node] = above, np.arange(fresh, fresh + new)
        return fresh + new

    def parts(self, node: int) -> tuple[I64, I64]:
        """Blocks of a node's parent, and its own."""
        return self._parts[node]


def _by_step(tree: TextTree) -> list[list[int]]:
    """Nodes of each step, in order."""
    steps: list[list[int]] = [[] for _ in range(max(tree.born) + 1)]
    for node, step in enumerate(tree.born):
        steps[step].append(node)
    return steps


class TreeWork:
    """Searches of threads side by side: each continuation is a request, whose path is the prompt and whose own text is
    the answer; the trees are the prefix blocks, of `block_tokens` tokens. A thread does its searches one after the
    other."""

    def __init__(self, threads: Sequence[Sequence[TextTree]], *, block_tokens: int) -> None:
        self._block_tokens = block_tokens
        rows: list[tuple[int, int, int]] = []
        self._steps: list[tuple[int, int, int]] = []
        chains: list[I64] = []
        lines = [
            [(paths, step) for paths in (_Paths(tree, block_tokens) for tree in searches) for step in paths.steps[1:]]
            for searches in threads
        ]
        fresh = 0
        for stage in range(max(len(line) for line in lines)):
            for q, line in enumerate(lines):
                if stage >= len(line):
                    continue
                paths, nodes = line[stage]
                begin = len(rows)
                for node in nodes:
                    fresh = paths.extend(node, fresh)
                    rows.append((paths.length[paths.tree.parent[node]], paths.tree.tokens[node], q))
                    chains += paths.parts(node)
                self._steps.append((q, begin, len(rows)))
        self._prompt, self._answer, self._session = (np.array(column) for column in zip(*rows, strict=True))
        self._blocks = np.concatenate(chains)
        lengths = np.array([len(c) for c in chains]).reshape(-1, 2).sum(axis=1)
        self._start = np.concatenate([[0], np.cumsum(lengths)])

    def requests(self, *, ending: F64 | None = None, pause_s: float = 0.0) -> Requests:
        """The requests: a step begins `pause_s` after the end of the step before, whose requests ended, in a run
        before, when `ending` says (without it, the longest answer of a step is taken for the last)."""
        ends = self._answer if ending is None else ending
        after, last = np.full(len(self._prompt), -1), dict[int, int]()
        for q, begin, end in self._steps:
            after[begin:end] = last.get(q, -1)
            last[q] = begin + int(np.argmax(ends[begin:end]))
        return make_requests(
            np.zeros(len(after)), self._prompt, self._answer, after=after, session=self._session,
            think_s=np.where(after >= 0, pause_s, 0.0), prefix_start=self._start, prefix_block=self._blocks,
            prefix_block_tokens=self._block_tokens,
        )  # fmt: skip
