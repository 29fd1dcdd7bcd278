"""What swapping moves on a reader's own trace: the allocator, the kept copy and copies beside steps, each executed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Final, Literal

import numpy as np

from rooflab.inputs.requests import with_lengths
from rooflab.inputs.runs import Runs
from rooflab.library.serving.fastswitch.blocks import Allocator, BlockGroups, Pages
from rooflab.library.serving.fastswitch.replay import BLOCK_TOKENS, Copies, Replay, Tally, Turn, need
from rooflab.papers.lab import Lab
from rooflab.papers.method import Method
from rooflab.papers.outcome import Figure, How, Outcome
from rooflab.papers.parameters import Count, PositiveInt

__all__ = ["CALL_S", "Swapping", "call_s", "mean_run", "peak"]

CALL_S: Final = 5e-6
"""Seconds to issue one small asynchronous copy: 5 to 7 us measured in DualPath (arXiv:2602.21548, section 5.2), the
lower end; vLLM's copies of 32 KB take 4.0 us on the host of an H100 (vLLM pull request 38460: 4,096 of them in 16.4
ms)."""


def call_s(lab: Lab) -> float:
    """Seconds to issue a copy, which the paper does not say."""
    source = "5 to 7 us in DualPath (arXiv:2602.21548, section 5.2), 4.0 us for vLLM's copies of 32 KB (pull 38460)"
    return lab.assume("seconds to issue a copy", CALL_S, low=4e-6, high=7e-6, source=source)


_LEAST: Final = 40
"""Conversations that a budget leaves at the least."""
Better = Literal["higher", "lower", ""]


class Swapping(Method[Runs]):
    """Fairness by turns on a trace: what preemption copies with the paper's manager, and with vLLM's (section 3).

    `model` and `hardware` say what a block holds, how many fit (`blocks`: another pool), how long a step takes and how
    fast the link is. New priorities come every `every` steps. `group` blocks are handed out at once (0: one by one, as
    vLLM does), whose unused tails are taken back when memory is short (`takes_back`); `reuse` keeps the host's copy,
    `asynchronous` copies beside the steps. Only the first `requests` run.
    """

    model: str = "meta-llama/Llama-3.1-8B"
    hardware: str = "a10"
    blocks: Count = 0
    every: PositiveInt = 25
    group: Count = 16
    takes_back: bool = True
    reuse: bool = True
    asynchronous: bool = True
    requests: PositiveInt = 400

    def run(self, lab: Lab, given: Runs) -> Outcome:
        """Execute on a trace of the reader. Raises InputError where it lacks lengths, Infeasible for a pool too
        small."""
        log, notes = with_lengths(given, self.requests)
        copies, fits = self._machine(lab, log)
        conversations, pool = _conversations(log, copies.step_s), self.blocks or fits
        conversations = conversations[: self._affordable(lab, conversations, pool, copies)]
        managers = {"this": self, "vLLM's": self.ablated(0)}
        replays = lab.cells(
            "replays", managers, lambda name: asdict(managers[name].replay(lab, conversations, pool, copies))
        )
        ours, plain = (Tally(**replays[name]) for name in managers)
        figures = _figures(ours, plain, copies.block_bytes)
        if not ours.swaps and not plain.swaps:
            because = (
                f"nothing gives way: {pool:,} blocks hold all that are in flight (at full length at once they would be "
                f"{peak(conversations):,}); a smaller pool (blocks) makes them take turns"
            )
        else:
            spared, every = plain.blocks["out"] - ours.blocks["out"], plain.blocks["out"]
            because = (
                f"who gives way leaves {pool:,} blocks in runs of {ours.mean_run:.1f} adjacent ones instead of "
                f"{plain.mean_run:.1f}; of {every:,} blocks that vLLM sends out {spared:,} need not go, since the host "
                f"has them"
            )
        return Outcome(figures, because, notes=notes)

    def _affordable(self, lab: Lab, conversations: Sequence[Sequence[Turn]], pool: int, copies: Copies) -> int:
        """Conversations that the budget has time for."""
        return lab.budget.fits(
            "conversations", len(conversations), least=min(len(conversations), _LEAST), times=2,
            trial=lambda n: self.replay(lab, conversations[:n], pool, copies),
        )  # fmt: skip

    def ablated(self, seed: int) -> Swapping:
        """vLLM's manager: single blocks, each a copy of its own, all of them every time, while steps wait."""
        return replace(self, group=0, reuse=False, asynchronous=False)

    def _machine(self, lab: Lab, log: Runs) -> tuple[Copies, int]:
        """What copies take on the hardware, and the blocks that fit beside the model."""
        assert log.input_tokens is not None
        assert log.output_tokens is not None
        prompt, output = float(log.input_tokens.mean()), float(log.output_tokens.mean())
        s = lab.scenario(
            model=self.model, hardware=self.hardware, workload={"isl": prompt, "osl": output, "batch": 1},
            deployment={"engine": "vllm", "engine_version": "0.3.3", "weights": "fp16"},
        )  # fmt: skip
        engine = lab.engine(s)
        block_bytes = float(engine.memory.kv_bytes_per_token[0]) * BLOCK_TOKENS
        fits = int(engine.free_bytes / block_bytes)
        context = prompt + output / 2
        together = min(max(fits * BLOCK_TOKENS / context, 1.0), float(len(log)))
        step = engine.step_cost.step(n_decode=together, context=together * context)
        links = [t.bytes_per_s for t in s.hardware.tiers if t.name == "dram"]
        copies = Copies(
            pieces=2 * s.model.layers, call_s=call_s(lab), block_bytes=block_bytes, step_s=float(step.seconds[0]),
            bytes_per_s=[*links, s.hardware.device.host_link.bytes_per_s][0],
        )  # fmt: skip
        return copies, fits

    def replay(self, lab: Lab, conversations: Sequence[Sequence[Turn]], pool: int, copies: Copies) -> Tally:
        """What this manager does on conversations."""
        return Replay(
            allocator=_allocator(pool, self.group, self.takes_back),
            pool=pool,
            every=self.every,
            copies=replace(copies, whole_runs=self.group > 0),
            draw=lab.rng("priorities"),
            reuse=self.reuse,
            asynchronous=self.asynchronous,
        ).run(conversations)


def _allocator(pool: int, group: int, takes_back: bool = True) -> Allocator:
    """Block groups of `group`, or vLLM's free list for 0."""
    return BlockGroups(pool, group, takes_back=takes_back) if group else Pages(pool)


def peak(conversations: Sequence[Sequence[Turn]]) -> int:
    """Blocks that all requests in flight need at the most, if none waits."""
    turns = [t for c in conversations for t in c]
    sizes = [need(t.prompt + t.output) for t in turns]
    changes = sorted([
        *((t.step, n) for t, n in zip(turns, sizes, strict=True)),
        *((t.step + t.output, -n) for t, n in zip(turns, sizes, strict=True)),
    ])  # fmt: skip
    return int(np.cumsum([n for _, n in changes]).max())


def _conversations(log: Runs, step_s: float) -> list[list[Turn]]:
    """Sessions as turns, each at the step of its time."""
    assert log.input_tokens is not None
    assert log.output_tokens is not None
    at = np.zeros(len(log)) if log.time_s is None else (log.time_s - log.time_s.min()) / step_s
    found: dict[str, list[Turn]] = {}
    for i, name in enumerate(log.session):
        found.setdefault(name, []).append(Turn(float(at[i]), int(log.input_tokens[i]), int(log.output_tokens[i])))
    return list(found.values())


def _figures(ours: Tally, plain: Tally, block_bytes: float) -> tuple[Figure, ...]:
    """What was copied, with vLLM's manager as the baseline, and what that takes."""

    def row(
        name: str, of: Callable[[Tally], float], unit: str, how: How, better: Literal["higher", "lower", ""]
    ) -> Figure:
        return Figure(name=name, value=of(ours), baseline=of(plain), unit=unit, how=how, better=better)

    return (
        row("adjacent blocks", lambda t: t.mean_run, "blocks", "executed", "higher"),
        row("copies a swap", lambda t: t.calls / max(t.swaps, 1), "", "executed", "lower"),
        row("copied out", lambda t: t.blocks["out"] * block_bytes / 1e9, "GB", "executed", "lower"),
        row("copied in", lambda t: t.blocks["in"] * block_bytes / 1e9, "GB", "executed", "lower"),
        row("swaps", lambda t: float(t.swaps), "", "executed", ""),
        row("pool in use", lambda t: 100 * t.used / max(t.steps, 1), "percent", "executed", "higher"),
        row("seconds of copies", lambda t: t.copy_s, "s", "modelled", "lower"),
        row("steps wait for copies", lambda t: t.waited_s, "s", "modelled", "lower"),
    )


@lru_cache(maxsize=64)
def mean_run(lengths: tuple[tuple[int, int], ...], pool: int, every: int, group: int) -> float:
    """Adjacent blocks that groups of `group` leave on (prompt, answer) `lengths`, all there from the start; the seed of
    its priorities is fixed, since a technique has none."""
    copies = Copies(pieces=1, call_s=0.0, block_bytes=0.0, bytes_per_s=1.0, step_s=1.0)
    trace = [[Turn(0.0, prompt, output)] for prompt, output in lengths]
    draw = np.random.default_rng(7)
    replay = Replay(allocator=_allocator(pool, group), pool=pool, every=every, copies=copies, draw=draw)
    return replay.run(trace).mean_run
