"""When a replica that decodes takes up who waits."""

from __future__ import annotations

from typing import Any, Final

from rooflab.simulator.serving.batch import next_line
from rooflab.simulator.serving.compiled import compiled
from rooflab.simulator.serving.queues import peek

__all__ = ["steps_held"]

_FULL_BATCH: Final = 0.9
"""Share of the token budget at which prompts wait no longer for company (TensorRT-LLM: batch_wait_max_tokens_ratio)."""


@compiled
def steps_held(sim: Any, r: int) -> int:
    """Steps until replica r takes up who waits: while it decodes it looks every `admit_every` steps, and waits for
    company."""
    rep = sim.reps[r]
    step = int(sim.totals[r, 0])
    if rep.n_decode == 0:
        rep.look_at = step
        rep.wait_until = -1
        return 0
    left = 0
    if rep.batch_wait_steps > 0:
        if rep.wait_until < 0:
            rep.wait_until = step + rep.batch_wait_steps
        left = rep.wait_until - step
        if (
            left > 0
            and rep.waiting * sim.jobs[peek(sim, next_line(sim, r))].goal >= _FULL_BATCH * rep.max_num_batched_tokens
        ):
            left = 0
        if left <= 0:
            rep.wait_until = -1
    if rep.admit_every > 1:
        behind = max(step - rep.look_at, 0)
        look = rep.look_at + (behind + rep.admit_every - 1) // rep.admit_every * rep.admit_every
        rep.look_at = look
        left = max(left, look - step)
    return int(max(left, 0))
