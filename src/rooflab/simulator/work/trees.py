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
    """Lengths and prefix blocks of a tree's paths, filled step by step from the prompt on."""

    def __init__(self, tree: TextTree, block_tokens: int) -> None:
        self._block_tokens = block_tokens
        self._parent, self.tokens = np.array(tree.parent), np.array(tree.tokens)
        self._length = np.zeros(len(self.tokens), dtype=np.int64)
        self._length[0] = self.tokens[0]
        born = np.array(tree.born)
        self.steps = [np.flatnonzero(born == step) for step in range(1, int(born.max()) + 1)]
        self._blocks: dict[int, I64] = {}

    def extend(self, nodes: I64, fresh: int) -> tuple[I64, I64, int]:
        """Blocks of a step's nodes, one node after the other: those of its parent, then new ones numbered from `fresh`;
        how many each has, and the next free number."""
        if 0 not in self._blocks:
            whole = int(self._length[0]) // self._block_tokens
            self._blocks[0] = np.arange(fresh, fresh + whole)
            fresh += whole
        parents, which = np.unique(self._parent[nodes], return_inverse=True)
        above = [self._blocks[p] for p in parents.tolist()]
        held = np.array([len(blocks) for blocks in above])
        self._length[nodes] = self.prompts(nodes) + self.tokens[nodes]
        own = held[which]
        new = self._length[nodes] // self._block_tokens - own
        start = _starts(own + new)
        out = np.empty(int((own + new).sum()), dtype=np.int64)
        out[np.repeat(start, own) + _within(own)] = np.concatenate(above)[
            np.repeat(_starts(held)[which], own) + _within(own)
        ]
        out[np.repeat(start + own, new) + _within(new)] = fresh + np.arange(int(new.sum()))
        goes_on = np.flatnonzero(np.isin(nodes, self._parent))
        for i in goes_on.tolist():
            self._blocks[int(nodes[i])] = out[start[i] : start[i] + own[i] + new[i]]
        return out, own + new, fresh + int(new.sum())

    def prompts(self, nodes: I64) -> I64:
        """Tokens above each node."""
        return np.asarray(self._length[self._parent[nodes]])


def _starts(counts: I64) -> I64:
    """Where each of several runs begins that follow each other."""
    return np.asarray(np.cumsum(counts) - counts)


def _within(counts: I64) -> I64:
    """0, 1, ... within each of several runs."""
    return np.asarray(np.arange(int(counts.sum())) - np.repeat(_starts(counts), counts))


class TreeWork:
    """Searches of threads side by side: each continuation is a request, whose path is the prompt and whose own text is
    the answer; the trees are the prefix blocks, of `block_tokens` tokens. A thread does its searches one after the
    other."""

    def __init__(self, threads: Sequence[Sequence[TextTree]], *, block_tokens: int) -> None:
        self._block_tokens = block_tokens
        self._steps: list[tuple[int, int, int]] = []
        columns: list[tuple[I64, I64, I64, I64, I64]] = []
        lines = [
            [(paths, nodes) for paths in (_Paths(tree, block_tokens) for tree in searches) for nodes in paths.steps]
            for searches in threads
        ]
        fresh = begin = 0
        for stage in range(max(len(line) for line in lines)):
            for q, line in enumerate(lines):
                if stage >= len(line):
                    continue
                paths, nodes = line[stage]
                blocks, counts, fresh = paths.extend(nodes, fresh)
                columns.append((paths.prompts(nodes), paths.tokens[nodes], np.full(len(nodes), q), counts, blocks))
                self._steps.append((q, begin, begin + len(nodes)))
                begin += len(nodes)
        self._prompt, self._answer, self._session, counts, self._blocks = map(
            np.concatenate, zip(*columns, strict=True)
        )
        self._start = np.concatenate([[0], np.cumsum(counts)])

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
