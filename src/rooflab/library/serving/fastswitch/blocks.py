"""Two ways to hand out KV blocks, executed: one block at a time, and in groups of adjacent blocks.

`BlockGroups` is FastSwitch's manager (section 3.1): a sequence gets a run of blocks sized for what it needs and some
room to grow, and grows into that room; freed runs merge with their neighbours; when free runs are short, the unused
tails of others are taken back, so that no more memory is lost than with paging. `Pages` is vLLM's free list: any block,
the last freed first.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from itertools import islice, pairwise
from operator import ne
from typing import Protocol

__all__ = ["Allocator", "BlockGroups", "Pages", "count_runs", "runs_of"]


class Allocator(Protocol):
    """What a trace needs of one."""

    def free_blocks(self) -> int:
        """Blocks that could be handed out to anyone."""
        ...

    def room(self, sequence: int) -> int:
        """Blocks that could be handed out to `sequence`."""
        ...

    def grow(self, sequence: int, blocks: int) -> None:
        """Give `sequence` so many more blocks; they must be free."""
        ...

    def in_use(self) -> int:
        """Blocks that sequences hold."""
        ...

    def held(self, sequence: int) -> list[int]:
        """Blocks of `sequence`, in its order."""
        ...

    def release(self, sequence: int) -> list[int]:
        """Take all blocks back, in the sequence's order."""
        ...


class Pages:
    """A stack of free blocks."""

    def __init__(self, blocks: int) -> None:
        self._blocks = blocks
        self._free = list(range(blocks))[::-1]
        self._held: dict[int, list[int]] = {}

    def free_blocks(self) -> int:
        """Blocks on the stack."""
        return len(self._free)

    def room(self, sequence: int) -> int:
        """The same for all."""
        return len(self._free)

    def grow(self, sequence: int, blocks: int) -> None:
        """The top of the stack."""
        assert blocks <= len(self._free), "more blocks than are free"
        rest = len(self._free) - blocks
        self._held.setdefault(sequence, []).extend(reversed(self._free[rest:]))
        del self._free[rest:]

    def in_use(self) -> int:
        """Blocks off the stack."""
        return self._blocks - len(self._free)

    def held(self, sequence: int) -> list[int]:
        """Blocks of `sequence`, in its order."""
        return self._held.get(sequence, [])

    def release(self, sequence: int) -> list[int]:
        """Back onto the stack."""
        held = self._held.pop(sequence)
        self._free.extend(held[::-1])
        return held


class BlockGroups:
    """Runs of adjacent blocks. `group` blocks are asked for at first; the largest free run is cut when none fits.

    Not `takes_back`: a sequence keeps the unused tail of its group for itself.
    """

    def __init__(self, blocks: int, group: int, *, takes_back: bool = True) -> None:
        self._blocks, self._group, self._takes_back = blocks, group, takes_back
        self._starts = [0]
        self._length = {0: blocks}
        self._held: dict[int, list[int]] = {}
        self._tail: dict[int, tuple[int, int]] = {}
        self._used = 0

    def free_blocks(self) -> int:
        """Blocks in free runs, and in unused tails where these are taken back."""
        tails = 0 if self._takes_back else sum(n for _, n in self._tail.values())
        return self._blocks - self._used - tails

    def room(self, sequence: int) -> int:
        """Those, and the sequence's own tail."""
        own = 0 if self._takes_back else self._tail.get(sequence, (0, 0))[1]
        return self.free_blocks() + own

    def grow(self, sequence: int, blocks: int) -> None:
        """The sequence's own tail first, then new groups."""
        held = self._held.setdefault(sequence, [])
        self._used += blocks
        while blocks > 0:
            start, room = self._tail.pop(sequence, (0, 0))
            if room == 0:
                start, room = self._cut(max(blocks, self._group))
            used = min(room, blocks)
            held.extend(range(start, start + used))
            blocks -= used
            if room > used:
                self._tail[sequence] = (start + used, room - used)

    def in_use(self) -> int:
        """Blocks that sequences grew into, tails left out."""
        return self._used

    def held(self, sequence: int) -> list[int]:
        """Blocks of `sequence`, in its order, without its unused tail."""
        return self._held.get(sequence, [])

    def release(self, sequence: int) -> list[int]:
        """All runs and the tail, merged with free neighbours."""
        held = self._held.pop(sequence)
        self._used -= len(held)
        if sequence in self._tail:
            self._put(*self._tail.pop(sequence))
        for start, end in runs_of(held):
            self._put(start, end - start)
        return held

    def _cut(self, wanted: int) -> tuple[int, int]:
        """A free run of `wanted` blocks, or the longest there is."""
        if not self._starts and self._takes_back:
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


def runs_of(blocks: list[int]) -> list[tuple[int, int]]:
    """(first, end) of each run of adjacent blocks, in order."""
    ends = [i + 1 for i, (a, b) in enumerate(pairwise(blocks)) if b != a + 1]
    return [(blocks[a], blocks[b - 1] + 1) for a, b in pairwise([0, *ends, len(blocks)])] if blocks else []


def count_runs(blocks: list[int]) -> int:
    """Runs of adjacent blocks."""
    return sum(map(ne, islice(blocks, 1, None), map((1).__add__, blocks))) + 1 if blocks else 0
