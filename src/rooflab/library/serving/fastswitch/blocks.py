"""Two ways to hand out KV blocks, executed: one block at a time, and in groups of adjacent blocks; and a trace that
exercises them.

`BlockGroups` is FastSwitch's manager (section 3.1): a sequence gets a run of blocks sized for what it needs and some
room to grow, and grows into that room; freed runs merge with their neighbours; when free runs are short, the unused
tails of others are taken back, so that no more memory is lost than with paging. `Pages` is vLLM's free list: any block,
the last freed first.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass
from typing import Protocol

import numpy as np

__all__ = ["BlockGroups", "Churn", "Pages", "churn"]


class Allocator(Protocol):
    """What a trace needs of one."""

    def free_blocks(self) -> int:
        """Blocks that could be handed out."""
        ...

    def grow(self, sequence: int, blocks: int) -> None:
        """Give `sequence` so many more blocks; they must be free."""
        ...

    def release(self, sequence: int) -> list[int]:
        """Take all blocks back, in the sequence's order."""
        ...


class Pages:
    """A stack of free blocks."""

    def __init__(self, blocks: int) -> None:
        self._free = list(range(blocks))[::-1]
        self._held: dict[int, list[int]] = {}

    def free_blocks(self) -> int:
        """Blocks on the stack."""
        return len(self._free)

    def grow(self, sequence: int, blocks: int) -> None:
        """The top of the stack."""
        self._held.setdefault(sequence, []).extend(self._free.pop() for _ in range(blocks))

    def release(self, sequence: int) -> list[int]:
        """Back onto the stack."""
        held = self._held.pop(sequence)
        self._free.extend(held[::-1])
        return held


class BlockGroups:
    """Runs of adjacent blocks. `group` blocks are asked for at first; the largest free run is cut when none fits."""

    def __init__(self, blocks: int, group: int) -> None:
        self._group = group
        self._starts = [0]
        self._length = {0: blocks}
        self._held: dict[int, list[int]] = {}
        self._tail: dict[int, tuple[int, int]] = {}

    def free_blocks(self) -> int:
        """Blocks in free runs and in unused tails."""
        return sum(self._length.values()) + sum(n for _, n in self._tail.values())

    def grow(self, sequence: int, blocks: int) -> None:
        """The sequence's own tail first, then new groups."""
        held = self._held.setdefault(sequence, [])
        while blocks > 0:
            start, room = self._tail.pop(sequence, (0, 0))
            if room == 0:
                start, room = self._cut(max(blocks, self._group))
            used = min(room, blocks)
            held.extend(range(start, start + used))
            blocks -= used
            if room > used:
                self._tail[sequence] = (start + used, room - used)

    def release(self, sequence: int) -> list[int]:
        """All runs and the tail, merged with free neighbours."""
        held = self._held.pop(sequence)
        if sequence in self._tail:
            self._put(*self._tail.pop(sequence))
        for start, end in _runs(held):
            self._put(start, end - start)
        return held

    def _cut(self, wanted: int) -> tuple[int, int]:
        """A free run of `wanted` blocks, or the longest there is."""
        if not self._starts:
            for sequence in list(self._tail):
                self._put(*self._tail.pop(sequence))
        fitting = [s for s in self._starts if self._length[s] >= wanted]
        start = (
            min(fitting, key=lambda s: self._length[s]) if fitting else max(self._starts, key=lambda s: self._length[s])
        )
        length = self._length.pop(start)
        self._starts.remove(start)
        if length > wanted:
            insort(self._starts, start + wanted)
            self._length[start + wanted] = length - wanted
        return start, min(length, wanted)

    def _put(self, start: int, length: int) -> None:
        at = bisect_left(self._starts, start)
        if at < len(self._starts) and self._starts[at] == start + length:
            length += self._length.pop(self._starts.pop(at))
        if at > 0 and self._starts[at - 1] + self._length[self._starts[at - 1]] == start:
            self._length[self._starts[at - 1]] += length
            return
        insort(self._starts, start)
        self._length[start] = length


def _runs(blocks: list[int]) -> list[tuple[int, int]]:
    """(first, end) of each run of adjacent blocks, in order."""
    at = np.array(blocks)
    if len(at) == 0:
        return []
    breaks = np.flatnonzero(np.diff(at) != 1) + 1
    first = np.concatenate([[0], breaks])
    last = np.concatenate([breaks, [len(at)]]) - 1
    return [(int(at[a]), int(at[b]) + 1) for a, b in zip(first, last, strict=True)]


@dataclass(frozen=True, slots=True)
class Churn:
    """What a trace did to an allocator: blocks swapped and the runs (copies) they came in, and the mean share of blocks
    in use."""

    blocks: int
    copies: int
    used: float

    @property
    def mean_run(self) -> float:
        """Blocks a copy."""
        return self.blocks / max(self.copies, 1)


def churn(
    allocator: Allocator, blocks: int, lengths: list[tuple[int, int]], every: int, block_tokens: int = 16
) -> Churn:
    """Decode sequences of (prompt, answer) tokens in a pool that is too small, with new priorities `every` steps.

    The best by priority run; who gives way is swapped out whole and comes back whole.
    """
    rng = np.random.default_rng(7)
    waiting = [[i, prompt, answer] for i, (prompt, answer) in enumerate(lengths)]
    running: list[list[int]] = []
    moved = copies = steps = 0
    used = 0.0

    def need(tokens: int) -> int:
        return -(-tokens // block_tokens)

    while waiting or running:
        if steps % every == 0:
            rng.shuffle(running)
            half = running[: len(running) // 2] if waiting else []
            running = running[len(half) :]
            for job in half:
                held = allocator.release(job[0])
                moved, copies = moved + len(held), copies + len(_runs(held))
            rng.shuffle(waiting)
            waiting += half
        while waiting and need(waiting[0][1]) + len(running) < allocator.free_blocks():
            job = waiting.pop(0)
            allocator.grow(job[0], need(job[1]))
            running.append(job)
        if not running:
            break
        for job in list(running):
            if job[1] % block_tokens == 0:
                if allocator.free_blocks() == 0:
                    held = allocator.release(job[0])
                    moved, copies = moved + len(held), copies + len(_runs(held))
                    running.remove(job)
                    waiting.append(job)
                    continue
                allocator.grow(job[0], 1)
            job[1], job[2] = job[1] + 1, job[2] - 1
            if job[2] == 0:
                allocator.release(job[0])
                running.remove(job)
        steps += 1
        used += 1 - allocator.free_blocks() / blocks
    return Churn(moved, copies, used / max(steps, 1))
