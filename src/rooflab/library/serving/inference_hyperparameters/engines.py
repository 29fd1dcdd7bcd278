"""Landscapes of two engines over the same prompts, each engine on so many GPUs and no others.

Continuous batching is the simulator's. A static pipeline pads every prompt of a batch to its longest, generates until
its longest answer is done, and walks through the GPUs one after the other (layers are spread over them by memory,
nothing overlaps), so that more GPUs hold larger batches and compute no faster:

    t(batch) = prefill(b · max prompt) + (max answer − 1) · decode(b),    throughput = Σ answers / Σ t
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from rooflab.costs.step import StepCosts
from rooflab.deploy.engine import engine_of
from rooflab.errors import RooflabError
from rooflab.library.serving.inference_hyperparameters.landscape import Key, Landscape
from rooflab.scenario.scenario import Scenario

__all__ = ["BATCHES", "GPUS", "Counts", "continuous_landscape", "static_landscape", "static_seconds"]

BATCHES: Final = tuple(2**k for k in range(11))
GPUS: Final = (1, 2, 4, 8)
_LOGIT_BYTES: Final = 6.0
"""Bytes of a logit: pipelines of 2024 compute those of every prompt position, in 16 bits and again in 32."""
Counts = npt.NDArray[np.int64]


def static_seconds(
    costs: StepCosts, prompt: Counts, output: Counts, batches: Sequence[int]
) -> list[tuple[npt.NDArray[np.float64], Counts]]:
    """For each size of `batches`, seconds of each static batch of so many requests in the order given, and tokens that
    its longest sequence reaches.

    `costs` holds one deployment (`StepCosts`); decode steps are priced at the context half-way.
    """
    starts = [np.arange(0, len(prompt), batch) for batch in batches]
    rows = np.concatenate([np.diff(np.append(at, len(prompt))) for at in starts]).astype(np.float64)
    longest = np.concatenate([np.maximum.reduceat(prompt, at) for at in starts])
    steps = np.concatenate([np.maximum.reduceat(output, at) for at in starts])
    which, none = np.zeros(len(rows), dtype=np.intp), np.zeros(len(rows))
    area = rows * longest * (longest + 1) / 2
    first = costs.step(
        which,
        n_decode=none,
        context=none,
        n_prefill=rows,
        prefill_tokens=rows * longest,
        area=area,
        rows=rows * longest,
    )
    each = costs.step(
        which, n_decode=rows, context=rows * (longest + steps / 2), n_prefill=none, prefill_tokens=none, area=none
    )
    ends = np.cumsum([len(at) for at in starts])[:-1]
    seconds, reached = first.seconds + (steps - 1) * each.seconds, longest + steps
    return list(zip(np.split(seconds, ends), np.split(reached, ends), strict=True))


def static_landscape(scenario: Scenario, prompt: Counts, output: Counts, batches: Sequence[int] = BATCHES) -> Landscape:
    """A static pipeline over requests in the order given: batches up to what memory holds, layers spread over each
    number of GPUs."""
    found: dict[Key, float] = {}
    for n in (n for n in GPUS if n <= scenario.hardware.count):
        try:
            engine = engine_of(
                scenario.with_deployment(engine="transformers", tp=1, pp=n, replicas=1, speculation=None)
            )
        except RooflabError:
            continue
        sizes = [b for b in batches if b < 2 * len(prompt)]
        priced = static_seconds(engine.step_cost.stack(), prompt, output, sizes)
        for b, (seconds, reached) in zip(sizes, priced, strict=True):
            rows, longest = min(b, len(prompt)), float(reached.max())
            logits = rows * float(prompt.max()) * engine.model.vocab * _LOGIT_BYTES
            if rows * engine.sequence_bytes(longest) + logits <= engine.free_bytes:
                found[n, b] = float(output.sum() / seconds.sum())
    return Landscape(found)


def continuous_landscape(scenario: Scenario, batches: Sequence[int] = BATCHES) -> Landscape:
    """Continuous batching of the scenario's requests, all there at the start, by one engine: its tensor-parallel GPUs
    by most sequences at once. GPUs beyond it do not take part."""
    from rooflab.simulator.serving.scenario import simulate

    found: dict[Key, float] = {}
    all_at_once = scenario.with_workload(
        rate=None, concurrency=None, batch=None, burst=None, trace=None, scenario="max-throughput"
    )
    for n in (n for n in GPUS if n <= scenario.hardware.count):
        one = all_at_once.with_deployment(tp=n, pp=1, dp=1, replicas=1)
        for b in (b for b in batches if b < 2 * (scenario.workload.requests or 1)):
            try:
                found[n, b] = float(simulate(one.with_deployment(max_num_seqs=b)).metrics["output_tokens_per_s"])
            except RooflabError:
                continue
    return Landscape(found)
