"""The scheduler on a reader's log: a batch of requests of any lengths, run to its end over a paged cache.

All decodes go first, then prompts up to the tokens that the GPU computes while a step's weights arrive, as long as
there are blocks; who finds none is preempted, the youngest first, and read again. Separate phases, the control: as many
requests as fit whole are read, and decoded until all have ended. It is `rooflab.simulator.alike` for requests that
differ.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from rooflab.errors import Infeasible
from rooflab.inputs.requests import with_lengths
from rooflab.inputs.runs import Runs
from rooflab.library.serving.moe_lens.stages import Rates, rates
from rooflab.library.serving.moe_lens.technique import MoeLens
from rooflab.papers.lab import Lab
from rooflab.papers.method import Method
from rooflab.papers.outcome import Figure, Outcome
from rooflab.papers.parameters import PositiveFloat, PositiveInt

__all__ = ["Schedule", "Scheduled", "run_requests"]

I64 = npt.NDArray[np.int64]

_BLOCK: Final = 16


@dataclass(frozen=True, slots=True)
class Scheduled:
    """What a run found: seconds, steps, mean sequences in flight, preemptions."""

    seconds: float
    steps: int
    running: float
    preempted: int


def run_requests(prompts: I64, outputs: I64, r: Rates, *, overlapped: bool = True) -> Scheduled:
    """Run requests of `prompts` and `outputs` tokens, in their order, to their ends.

    A step lasts as long as its weights take to stream, its tokens to compute, or its cache to be attended to, whichever
    is longest. Not `overlapped`: separate phases, each request with blocks for all its tokens from the start. Raises
    Infeasible where one fits neither cache nor step.
    """
    blocks = int(r.cache_tokens // _BLOCK)
    whole = _blocks(prompts + outputs)
    if int(whole.max()) > blocks:
        longest = int(np.argmax(whole))
        raise Infeasible(
            f"a cache of {r.cache_tokens:,.0f} tokens does not hold request {longest + 1:,} of "
            f"{prompts[longest] + outputs[longest]:,}"
        )
    step_tokens = max(r.step_tokens, int(prompts.max()))
    waiting = [(int(p), int(o)) for p, o in zip(prompts[::-1], outputs[::-1], strict=True)]
    length = left = held = np.zeros(0, dtype=np.int64)
    seconds, steps, preempted, sequence_s = 0.0, 0, 0, 0.0
    while waiting or len(length):
        needs = _blocks(length + 1) if overlapped else held
        used = int(needs.sum())
        while used > blocks:  # the youngest loses its blocks and is read again
            waiting.append((int(length[-1]), int(left[-1])))
            used -= int(needs[-1])
            length, left, held, needs = length[:-1], left[:-1], held[:-1], needs[:-1]
            preempted += 1
        n = tokens = len(length)
        joined: list[tuple[int, int, int]] = []
        while waiting and (overlapped or not n):
            size, rest = waiting[-1]
            each = int(_blocks(np.int64(size + 1 if overlapped else size + rest)))
            spare = blocks - used - (n // _BLOCK if overlapped else 0)
            if each > spare or (overlapped and tokens + size > step_tokens):
                break
            waiting.pop()
            joined.append((size, rest, each))
            used, tokens = used + each, tokens + size
        if not n and not joined:
            raise Infeasible(f"a step of {step_tokens:,} tokens takes no prompt of {waiting[-1][0]:,}")
        span_s = max(r.stream_s, tokens * r.token_s, float(length.sum()) * r.cached_s)
        seconds, steps = seconds + span_s, steps + 1
        sequence_s += span_s * (n + len(joined))
        new = np.array(joined, dtype=np.int64).reshape(-1, 3)
        length = np.concatenate([length, new[:, 0]]) + 1
        left = np.concatenate([left, new[:, 1]]) - 1
        held = np.concatenate([held, new[:, 2]])
        alive = left > 0
        length, left, held = length[alive], left[alive], held[alive]
    return Scheduled(seconds, steps, sequence_s / seconds, preempted)


class Schedule(Method[Runs]):
    """A log's requests as one batch with weights in host memory: what the scheduler reaches over separate phases.

    `model` streams past one `hardware` at `link_gb_per_s`, with `cache_gb` of host memory for the cache. Only the first
    `requests` of the log; their times are not looked at.
    """

    model: str = "mistralai/Mixtral-8x7B-v0.1"
    hardware: str = "a40"
    cache_gb: PositiveFloat = 70.0
    link_gb_per_s: PositiveFloat = 19.5
    requests: PositiveInt = 2000
    overlapped: bool = True

    def run(self, lab: Lab, given: Runs) -> Outcome:
        """Execute on a log of the reader. Raises InputError where it lacks lengths, Infeasible where nothing fits."""
        log, notes = with_lengths(given, self.requests)
        prompts, outputs = log.input_tokens, log.output_tokens
        assert prompts is not None
        assert outputs is not None
        r = self._rates(lab, float(prompts.mean()), float(outputs.mean()))
        apart, together = (run_requests(prompts, outputs, r, overlapped=o) for o in (False, True))
        reached = together if self.overlapped else apart
        generated = float(outputs.sum())
        return Outcome(
            (
                Figure(name="sequences in flight", value=reached.running, baseline=apart.running, better="higher",
                       how="executed"),
                Figure(name="steps", value=reached.steps, baseline=apart.steps, better="lower", how="executed"),
                Figure(name="preemptions", value=reached.preempted, baseline=apart.preempted, how="executed"),
                Figure(name="generated", value=generated / reached.seconds, baseline=generated / apart.seconds,
                       unit="tokens/s", better="higher", how="modelled"),
                Figure(name="the whole batch", value=reached.seconds, baseline=apart.seconds, unit="s", better="lower",
                       how="modelled"),
            ),
            f"weights take {r.stream_s:.3g} s to stream in every step, in which the GPU computes {r.step_tokens:,} "
            f"tokens; prompts that join while others decode need {reached.steps:,} steps instead of {apart.steps:,}",
            notes=notes,
        )  # fmt: skip

    def ablated(self, seed: int) -> Schedule:
        """Prompts and decodes in phases of their own."""
        return replace(self, overlapped=False)

    def _rates(self, lab: Lab, prompt: float, output: float) -> Rates:
        """What steps take: all weights and the cache lie in host memory."""
        host_gb = 2.0 * lab.model(self.model).parameters / 1e9 + self.cache_gb
        tier = {"name": "dram", "size": f"{host_gb} GB", "bandwidth": f"{self.link_gb_per_s} GB/s"}
        s = lab.scenario(
            model=self.model, hardware={"device": self.hardware, "tiers": [tier]},
            workload={"isl": prompt, "osl": output, "scenario": "max-throughput"},
            deployment={"tp": 1, "engine": "ideal", "weights": "bf16"},
        )  # fmt: skip
        return rates(lab.engine(s | MoeLens()), prompt)


def _blocks(tokens: I64 | np.int64) -> I64:
    blocks: I64 = -(-np.asarray(tokens) // _BLOCK)
    return blocks
