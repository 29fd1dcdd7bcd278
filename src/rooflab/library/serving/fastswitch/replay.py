"""Requests replayed step by step over a pool of cache blocks that is too small: who runs, gives way, and is copied.

Every so many steps all requests draw new priorities; the best of them run as far as memory goes, and who gives way is
copied to the host and back. The blocks are those of a real allocator, so that runs of adjacent ones are counted, not
assumed. The paper's three parts are switches: an allocator of groups, one copy a run instead of one a block (3.1),
copies beside the steps (3.2), and the host's copy that is kept (3.3).

Blocks that leave beside the steps are handed out when they are gone, and a sequence that comes decodes once it is
there. A conversation's cache waits on the host for its next turn. The host's memory is taken to suffice.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np

from rooflab.errors import Infeasible
from rooflab.library.serving.fastswitch.blocks import Allocator, count_runs

__all__ = ["BLOCK_TOKENS", "Copies", "Replay", "Tally", "Turn", "need"]

BLOCK_TOKENS: Final = 16
"""Tokens of a block, vLLM's default."""

Way = Literal["out", "in"]


@dataclass(frozen=True, slots=True)
class Turn:
    """A request: the step at which it comes, its prompt with all that went before (tokens), its answer (tokens)."""

    step: float
    prompt: int
    output: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """What copying takes: `pieces` copies (keys and values of each layer) a run of blocks, or a block where not
    `whole_runs`; `call_s` to issue one; bytes of a block over all layers; the link's bytes/s; and `step_s`, seconds of
    a step that copies may hide behind."""

    pieces: int
    call_s: float
    block_bytes: float
    bytes_per_s: float
    step_s: float
    whole_runs: bool = True

    def calls(self, blocks: int, runs: int) -> int:
        """Copies of a swap."""
        return self.pieces * (runs if self.whole_runs else blocks)

    def seconds(self, blocks: int, runs: int) -> float:
        """Seconds of a swap: its copies issued one by one, or its bytes on the link, whichever takes longer."""
        return max(self.calls(blocks, runs) * self.call_s, blocks * self.block_bytes / self.bytes_per_s)


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a replay did.

    `swaps` out; `blocks` and `runs` of adjacent ones that were copied, each way (out, in); the `calls` and `copy_s`
    that took; `waited_s` that steps waited for copies; `steps` with someone running and `used`, the sum over them of
    the share of the pool in use.
    """

    swaps: int = 0
    blocks: dict[str, int] = field(default_factory=lambda: {"out": 0, "in": 0})
    runs: dict[str, int] = field(default_factory=lambda: {"out": 0, "in": 0})
    calls: int = 0
    copy_s: float = 0.0
    waited_s: float = 0.0
    steps: int = 0
    used: float = 0.0

    @property
    def mean_run(self) -> float:
        """Adjacent blocks, on average over all runs that were copied; NaN where none was."""
        runs = sum(self.runs.values())
        return sum(self.blocks.values()) / runs if runs else float("nan")


@dataclass(slots=True, kw_only=True, eq=False)
class _Sequence:
    """A conversation: its turns to come; tokens to generate in this one; tokens that have a cache, on the host while it
    does not run; tokens that need one before it decodes; blocks that the host has as they are."""

    name: int
    turns: deque[Turn]
    left: int = 0
    cached: int = 0
    goal: int = 0
    clean: int = 0
    key: float = 0.0


@dataclass(slots=True, kw_only=True)
class Replay:
    """One run over `allocator`, which has `pool` blocks; `draw` gives priorities, anew every `every` steps.

    `reuse`: the host keeps its copy. `asynchronous`: copies run beside the steps.
    """

    allocator: Allocator
    pool: int
    every: int
    copies: Copies
    draw: np.random.Generator
    reuse: bool = False
    asynchronous: bool = False
    tally: Tally = field(default_factory=Tally)
    _coming: list[_Sequence] = field(default_factory=list)
    _waiting: list[_Sequence] = field(default_factory=list)
    _running: list[_Sequence] = field(default_factory=list)
    _moving: list[tuple[float, _Sequence, Way]] = field(default_factory=list)
    _free_at: dict[str, float] = field(default_factory=lambda: {"out": 0.0, "in": 0.0})

    def run(self, conversations: Iterable[Sequence[Turn]]) -> Tally:
        """Replay all to their ends. Raises Infeasible where the pool does not hold the longest request."""
        self._coming = [_Sequence(name=i, turns=deque(turns)) for i, turns in enumerate(conversations)]
        most = max(need(t.prompt + t.output) for s in self._coming for t in s.turns) + 1
        if most > self.pool:
            raise Infeasible(f"a pool of {self.pool:,} blocks does not hold the longest request, which needs {most:,}")
        now = 0
        while self._coming or self._waiting or self._running or self._moving:
            self._begin(now)
            for landed in [m for m in self._moving if m[0] <= now]:
                self._moving.remove(landed)
                self._land(*landed[1:])
            if now % self.every == 0:
                self._rotate(now)
            self._admit(now)
            now = self._step(now) if self._running else self._idle(now)
        return self.tally

    def _begin(self, now: int) -> None:
        """Turns that have come ask for their place."""
        due = [s for s in self._coming if s.turns[0].step <= now]
        for s in due:
            self._coming.remove(s)
            turn = s.turns.popleft()
            if turn.prompt < s.cached:  # it does not go on where the last one ended
                s.cached = s.clean = 0
            s.goal, s.left, s.key = turn.prompt, turn.output, float(self.draw.random())
            self._wait(s)

    def _rotate(self, now: int) -> None:
        """All draw new priorities; those that run give way to better ones, as far as memory goes."""
        every = [*self._running, *self._waiting]
        for s in every:
            s.key = float(self.draw.random())
        self._waiting.sort(key=_key)
        room = self.pool - sum(len(self.allocator.held(s.name)) for _, s, way in self._moving)
        best: set[int] = set()
        for s in sorted(every, key=_key):
            room -= need(s.goal) + 1
            if room < 0:
                break
            best.add(s.name)
        for s in [s for s in self._running if s.name not in best]:
            self._running.remove(s)
            self._swap_out(s, now)

    def _admit(self, now: int) -> None:
        """Who waits comes in by priority, while everyone who runs keeps a block for the next token."""
        while self._waiting:
            s = self._waiting[0]
            if need(s.goal) + len(self._running) >= self.allocator.free_blocks():
                return
            self._waiting.pop(0)
            self.allocator.grow(s.name, need(s.goal))
            there = need(s.cached)
            s.cached = s.goal
            self._copy(s, self.allocator.held(s.name)[:there], "in", now)

    def _step(self, now: int) -> int:
        """Everyone who runs gains a token; who finds no block for it takes one from the worst."""
        for s in list(self._running):
            if s not in self._running:
                continue
            if s.cached % BLOCK_TOKENS == 0:
                if self.allocator.room(s.name) == 0:
                    worst = max(self._running, key=_key)
                    self._running.remove(worst)
                    self._swap_out(worst, now)
                    if worst is s or self.allocator.room(s.name) == 0:
                        continue  # blocks that leave beside the steps are not there yet
                self.allocator.grow(s.name, 1)
            s.cached, s.left = s.cached + 1, s.left - 1
            s.goal = s.cached
            if s.left == 0:
                self._end(s, now)
        self.tally.steps += 1
        self.tally.used += self.allocator.in_use() / self.pool
        return now + 1

    def _end(self, s: _Sequence, now: int) -> None:
        """An answer is complete: its cache waits on the host for the next turn, or is given back."""
        self._running.remove(s)
        if s.turns:
            self._swap_out(s, now)
        else:
            self.allocator.release(s.name)

    def _idle(self, now: int) -> int:
        """The step at which something happens, when nobody runs."""
        landing = [at for at, _, _ in self._moving]
        at = min([*landing, *(s.turns[0].step for s in self._coming)], default=now + 1.0)
        then = max(int(np.ceil(at)), now + 1)
        if self._waiting or any(way == "in" for _, _, way in self._moving):
            self.tally.waited_s += (then - now) * self.copies.step_s
        return then

    def _swap_out(self, s: _Sequence, now: int) -> None:
        """What the host lacks of a sequence's cache goes there."""
        first = s.clean if self.reuse else 0
        s.clean = s.cached // BLOCK_TOKENS
        self.tally.swaps += 1
        self._copy(s, self.allocator.held(s.name)[first : need(s.cached)], "out", now)

    def _copy(self, s: _Sequence, blocks: list[int], way: Way, now: int) -> None:
        """Blocks move; who moved arrives at once where steps wait for it."""
        runs = count_runs(blocks)
        self.tally.blocks[way] += len(blocks)
        self.tally.runs[way] += runs
        seconds = self.copies.seconds(len(blocks), runs)
        self.tally.calls += self.copies.calls(len(blocks), runs)
        self.tally.copy_s += seconds
        if not self.asynchronous or not blocks:
            self.tally.waited_s += seconds
            self._land(s, way)
            return
        self._free_at[way] = max(self._free_at[way], float(now)) + seconds / self.copies.step_s
        self._moving.append((self._free_at[way], s, way))

    def _land(self, s: _Sequence, way: Way) -> None:
        """A copy has ended: blocks are free again, or a sequence runs."""
        if way == "in":
            self._running.append(s)
            return
        self.allocator.release(s.name)
        if s.left:
            self._wait(s)
        else:
            self._coming.append(s)

    def _wait(self, s: _Sequence) -> None:
        """Into the line, which is in order of priority."""
        insort(self._waiting, s, key=_key)


def _key(s: _Sequence) -> float:
    return s.key


def need(tokens: int) -> int:
    """Blocks of so many tokens."""
    return -(-tokens // BLOCK_TOKENS)
