"""A batch of requests that are all alike, run to its end step by step over a paged cache.

All decodes go first, then prompts up to the tokens of a step, as long as there are blocks; who finds none is preempted,
the youngest first, and read again. Requests that joined in one step stay alike, so that the work grows with steps, not
with requests.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rooflab.errors import Infeasible

__all__ = ["Batch", "run_batch"]


@dataclass(frozen=True, slots=True)
class Batch:
    """What a run found: seconds, generated tokens/s, steps, mean sequences in flight while work waits, preemptions."""

    seconds: float
    output_tokens_per_s: float
    steps: int
    running: float
    preempted: int


def run_batch(
    prompt: int, output: int, requests: int, *, cache_tokens: float, stream_s: float, token_s: float, cached_s: float,
    step_tokens: int, block: int = 16, overlapped: bool = True,
) -> Batch:  # fmt: skip
    """Run `requests` of `prompt` and `output` tokens to their end, step by step.

    A step computes at most `step_tokens` and lasts max(`stream_s`, tokens · `token_s`, cached tokens · `cached_s`);
    `cache_tokens` are held in blocks of `block`. Not `overlapped`: prompts wait until no sequence decodes, and each
    reserves its whole cache at once (separate phases). Raises Infeasible where no request fits the cache or a step.
    """
    blocks = int(cache_tokens // block)
    whole = -(-(prompt + output) // block)
    if blocks < whole:
        raise Infeasible(f"a cache of {cache_tokens:,.0f} tokens holds no request of {prompt + output:,}")
    count, length, left = (np.zeros(0, dtype=np.int64) for _ in range(3))
    waiting = [(requests, prompt, output)]
    seconds, steps, preempted, weighted, held = 0.0, 0, 0, 0.0, 0.0
    while waiting or len(count):
        n = int(count.sum())
        used = int((count * (whole if not overlapped else -(-(length + 1) // block))).sum())
        while used > blocks:  # the youngest lose their blocks and are read again
            lost = min(int(count[-1]), -(-(used - blocks) // int(-(-(length[-1] + 1) // block))))
            waiting.append((lost, int(length[-1]), int(left[-1])))
            used -= lost * int(-(-(length[-1] + 1) // block))
            preempted, n = preempted + lost, n - lost
            count[-1] -= lost
            if count[-1] == 0:
                count, length, left = count[:-1], length[:-1], left[:-1]
        tokens, joined = n, []
        while waiting and (overlapped or not n):
            many, size, rest = waiting[-1]
            each = whole if not overlapped else -(-(size + 1) // block)
            # room for the next token of every sequence is kept, so that admission does not preempt at once
            spare = blocks - used - (n // block if overlapped else 0)
            fits = min(many, spare // each, (step_tokens - tokens) // size if overlapped else many)
            if fits <= 0:
                break
            joined.append((fits, size, rest))
            used, tokens = used + fits * each, tokens + fits * size
            waiting[-1] = (many - fits, size, rest)
            if waiting[-1][0] == 0:
                waiting.pop()
        if not n and not joined:
            raise Infeasible(f"a step of {step_tokens:,} tokens takes no prompt of {prompt:,}")
        span_s = max(stream_s, tokens * token_s, float((count * length).sum()) * cached_s)
        if waiting:
            weighted, held = weighted + span_s * n, held + span_s
        seconds, steps = seconds + span_s, steps + 1
        length, left = length + 1, left - 1
        for fits, size, rest in joined:
            count, length, left = np.append(count, fits), np.append(length, size + 1), np.append(left, rest - 1)
        alive = left > 0
        count, length, left = count[alive], length[alive], left[alive]
    return Batch(seconds, requests * output / seconds, steps, weighted / held if held else float(requests), preempted)
