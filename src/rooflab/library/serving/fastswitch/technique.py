"""FastSwitch as a technique: swapping in runs of blocks, beside the steps, and only what the host lacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from rooflab.deploy.engine import engines_of
from rooflab.library.serving.fastswitch.replay import need
from rooflab.library.serving.fastswitch.swapping import CALL_S, mean_run
from rooflab.papers.parameters import PositiveInt
from rooflab.papers.reasons import Reason, fact, moved
from rooflab.papers.technique import Technique, require
from rooflab.scenario.limits import Swap
from rooflab.scenario.scenario import Scenario
from rooflab.simulator.work.make import make_work

__all__ = ["FastSwitch"]

_ALLOCATOR_SEQUENCES: Final = 150


def _lengths(scenario: Scenario) -> tuple[tuple[int, int], ...]:
    """Lengths of the first requests of a workload, as many as a trace takes."""
    w = replace(scenario.workload, requests=_ALLOCATOR_SEQUENCES)
    work = make_work(w, slo=scenario.slo)
    n = min(len(work), _ALLOCATOR_SEQUENCES)
    return tuple(zip(work.input_tokens[:n].tolist(), work.output_tokens[:n].tolist(), strict=True))


def _pool(lengths: tuple[tuple[int, int], ...]) -> int:
    """Blocks of a pool that holds a third of a trace's sequences: enough contention that they give way."""
    whole = [need(p + o) for p, o in lengths]
    return max(sum(whole) // 3, 2 * max(whole) + len(whole))


class FastSwitch(Technique):
    """Swap preempted sequences in runs of blocks, beside the steps, and only what the host lacks (section 3)."""

    engine = "simulate"
    saves = "ttft_s_p99"
    group: PositiveInt = 16

    def apply(self, scenario: Scenario) -> Scenario:
        """Refuses models without a cache, batches that never preempt, and hosts without memory to swap to."""
        d, model = scenario.deployment, scenario.model
        require(model.kind == "decoder", f"{model.name} is no decoder: it has no cache to swap")
        require(
            scenario.workload.mode != "static", "a static batch takes memory for whole answers: nothing is preempted"
        )
        require(
            d.limits.swap is None or not d.limits.swap.asynchronous, "the deployment swaps beside its steps already"
        )
        room = d.cluster.kv_tiers.swap_bytes or sum(t.bytes for t in scenario.hardware.tiers if t.name == "dram")
        require(room > 0, f"{scenario.hardware.device.name} has no host memory of its own to swap to")
        engines_of(scenario)  # which refuses sequences that no memory holds
        lengths = _lengths(scenario)
        every = d.limits.rotation.steps if d.limits.rotation else 50
        run = mean_run(lengths, _pool(lengths), every, self.group)
        call_s = d.limits.swap.call_s if d.limits.swap and d.limits.swap.call_s else CALL_S
        swap = Swap(call_s, max(run, 1.0), asynchronous=True, reuse=True)
        return scenario.with_deployment(preemption="swap", swap=swap)

    def because(self, before: Any, after: Any) -> Sequence[Reason]:
        """How often sequences gave way, and what a copy carries."""
        if not any(m is not None and m.load.get("preemptions") for m in (before, after)):
            said = "nothing was preempted: memory holds all who run; deployment.rotation would have requests give way"
            return (fact(said),)
        swap: Swap = after.scenario.deployment.limits.swap
        return (
            *moved("preemptions", before, after, better="fewer sequences give way", worse="more sequences give way"),
            fact("copies go beside the steps, of what the host lacks", "blocks a copy carries", swap.run_blocks),
        )
