"""MoE-Lens as a technique: weights and cache in host memory, weights streamed once a step, attention on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from rooflab.deploy.complete import complete
from rooflab.deploy.engine import engine_of
from rooflab.errors import Infeasible, InputError
from rooflab.operators.ops import ExpertGemm, Gemm, Operator
from rooflab.papers.reasons import Reason, fact
from rooflab.papers.technique import Technique, require
from rooflab.scenario.offload import Offload
from rooflab.scenario.scenario import Scenario

__all__ = ["MoeLens", "SeparateExperts"]

_HELD: Final = 1 << 17
"""Sequences that the host's scheduler may hold at once: no limit in practice."""


@dataclass(frozen=True, slots=True)
class SeparateExperts:
    """A rewrite: experts are dense products one after the other, as weights that stream in by layer and thousands of
    rows allow."""

    def __call__(self, operators: Sequence[Operator]) -> tuple[Operator, ...]:
        """Operators in which each grouped product of experts is two products an expert, over its share of the
        tokens."""
        return tuple(out for op in operators for out in self._parts(op))

    def _parts(self, op: Operator) -> tuple[Operator, ...]:
        if not isinstance(op, ExpertGemm):
            return (op,)
        rows, here, up = op.tokens * op.top_k / op.experts, op.experts / op.ep, op.matrices - 1.0
        return (
            Gemm(
                name="experts up",
                group=op.group,
                count=op.count,
                m=rows,
                n=up * op.width,
                k=op.hidden,
                weight=op.weight,
                act=op.act,
                batch=here,
            ),
            Gemm(
                name="experts down",
                group=op.group,
                count=op.count,
                m=rows,
                n=op.hidden,
                k=op.width,
                weight=op.weight,
                act=op.act,
                batch=here,
            ),
        )


class MoeLens(Technique):
    """Keep weights and cache in host memory, stream the weights once a step and attend to the cache on the CPU
    (sections 5 and 6)."""

    def apply(self, scenario: Scenario) -> Scenario:
        """Refuses models that fit on the devices, hosts without the memory, and caches that are not keys and values."""
        d, model, hardware = scenario.deployment, scenario.model, scenario.hardware
        require(model.kind == "decoder", f"{model.name} generates no tokens: there is no cache to keep in host memory")
        require(d.runtime.offload is None, "the deployment offloads already")
        require(
            not d.cluster.pools and d.split.pp == 1,
            "weights stream through one engine; pools and pipeline stages are not its case",
        )
        require(
            any(t.name == "dram" for t in hardware.tiers), f"{hardware.device.name} has no host memory behind a link"
        )
        require(
            not _fits(scenario),
            f"{model.name} fits on the devices: streaming its weights in every step would only slow it down",
        )
        tried = (
            [d.split.tp]
            if d.split.tp
            else [2**i for i in range(min(hardware.count, hardware.devices_per_host).bit_length())][::-1]
        )
        problem, alone = "", replace(scenario, rewrites=(*scenario.rewrites, SeparateExperts()))
        for tp in tried:
            changed = alone.with_deployment(
                tp=tp, offload=Offload("dram", "dram", "cpu"), max_num_seqs=_HELD,
                max_num_batched_tokens=_filling(scenario, tp),
            )  # fmt: skip
            try:
                complete(changed)
            except (Infeasible, InputError) as error:
                problem = problem or str(error)
                continue
            return changed
        raise Infeasible(f"weights do not fit host memory either: {problem}")

    def because(self, before: Any, after: Any) -> Sequence[Reason]:
        """What a step waits for, and how many sequences share it."""
        m = after.capacity or after.load
        cost = engine_of(after.scenario).step_cost
        return (
            fact("weights stay in host memory", "a stream of all of them takes", cost.scalar("stream_s"), "s"),
            fact("", "sequences that the host's cache holds", m["max_running"]),
        )


def _fits(scenario: Scenario) -> bool:
    try:
        complete(scenario)
    except Infeasible:
        return False
    return True


def _filling(scenario: Scenario, tp: int) -> int:
    """Tokens a step that the device computes while its share of the weights arrives: peak FLOP/s · bytes / (2 · active
    · B)."""
    model, device = scenario.model, scenario.hardware.device
    link = next(t for t in scenario.hardware.tiers if t.name == "dram").bytes_per_s
    weight_bytes = 2.0 * model.parameters / tp
    tokens = device.peak("bf16") * weight_bytes / link / (2.0 * model.active_parameters / tp)
    # steps are as wide as activations allow beside two layers of weights
    width = 2.0 * 16 * model.hidden
    return int(max(min(tokens, 0.25 * device.memory_bytes / width), 512))
