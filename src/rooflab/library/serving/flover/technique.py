"""Flover as a technique: one running batch that requests join and leave at any step, and the plan of its shuffle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.deploy.complete import default_engine
from rooflab.deploy.rules import ENGINE_SCHEDULERS, engine_rules
from rooflab.papers.reasons import Reason, fact, moved
from rooflab.papers.technique import Technique, require
from rooflab.scenario.scenario import Scenario

__all__ = ["Flover", "moves"]

_JOINING: Final = (
    "joins requests at every step already: what the fusion replaces is static batches or an instance for every request"
)


class Flover(Technique):
    """Fuse all requests in flight into one running batch that they join and leave at any step (sections 3 and 4).

    `shuffle`: the last cache moves into the hole that a finished one leaves; without, holes stay in the batch until its
    edge reaches them.
    """

    engine = "simulate"
    saves = "e2e_s_mean"
    shuffle: bool = True

    def apply(self, scenario: Scenario) -> Scenario:
        """Refuses engines that join requests already, batches that arrive whole, and pipelines."""
        d, model = scenario.deployment, scenario.model
        require(model.kind == "decoder", f"{model.name} generates no tokens: there is no loop to fuse")
        require(
            not d.cluster.pools,
            "prompts and decodes run in pools of their own, which join requests at every step already",
        )
        engine = d.runtime.engine or default_engine(model, scenario.hardware)
        rules = engine_rules(d.limits.scheduler or ENGINE_SCHEDULERS[engine])
        require(rules.gated or d.runtime.batching == "separate", f"{d.limits.scheduler or engine} {_JOINING}")
        require(scenario.workload.mode != "static", "a static batch arrives whole: nobody joins it later")
        require(d.split.pp == 1, f"one loop holds all layers; a pipeline of {d.split.pp} stages has one for each")
        buffers = "compacted" if self.shuffle else "held"
        return scenario.with_deployment(scheduler="orca", batching="shared", buffers=buffers)

    def because(self, before: Any, after: Any) -> Sequence[Reason]:
        """What requests waited for before, and how long."""
        if before is None:
            return ()
        how = (
            "without it, every sequence reads the weights for itself"
            if before.scenario.deployment.runtime.batching == "separate"
            else "without it, who comes while a batch runs waits for its end"
        )
        return (
            fact(how),
            *moved("ttft_s_mean", before, after, better="first tokens come sooner", worse="first tokens come later"),
            *moved("tpot_s_mean", before, after, better="the others are faster", worse="the others are slower"),
        )


def moves(finished: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The memory shuffle's plan: (from, to) of active entries, the last ones first, into the holes; the rest of the
    buffer is free."""
    active = int((~finished).sum())
    holes = np.flatnonzero(finished[:active])
    last = np.flatnonzero(~finished[active:])[::-1] + active
    return [(int(a), int(b)) for a, b in zip(last, holes, strict=True)]
