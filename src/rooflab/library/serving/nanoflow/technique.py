"""Nano-batches in a deployment: the operators of a layer cut, and what of attention and collectives then hides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final

from rooflab.library.serving.nanoflow.prices import layer_profile
from rooflab.library.serving.nanoflow.profile import Profile
from rooflab.library.serving.nanoflow.search import Found, search, whole_s
from rooflab.operators.ops import Collective, Elementwise, ExpertGemm, Gemm, Operator
from rooflab.papers.parameters import PositiveInt, Range
from rooflab.papers.reasons import Reason, fact
from rooflab.papers.technique import Technique, require
from rooflab.scenario.runtime import Overlap
from rooflab.scenario.scenario import Scenario

__all__ = ["MOST", "NanoFlow", "SplitBatch", "hidden_by"]

MOST: Final = 3
"""Nano-batches that a technique tries at most: a fourth gains a hundredth or two and takes the solver many times as
long."""


@dataclass(frozen=True, slots=True)
class SplitBatch:
    """A rewrite: every operator of a layer runs once for each nano-batch, `parts` being their shares of the tokens;
    weights are read again for each."""

    parts: tuple[float, ...]

    def __call__(self, operators: Sequence[Operator]) -> tuple[Operator, ...]:
        """Operators by nano-batch; attention is split without loss, embedding and head stay whole."""
        return tuple(cut for op in operators for cut in self._split(op))

    def _split(self, op: Operator) -> Sequence[Operator]:
        if op.group in ("head", "embedding"):
            return (op,)
        if isinstance(op, Gemm):
            return [replace(op, m=op.m * p) for p in self.parts]
        if isinstance(op, ExpertGemm):
            return [replace(op, tokens=op.tokens * p) for p in self.parts]
        if isinstance(op, Elementwise):
            return [replace(op, moved_bytes=op.moved_bytes * p) for p in self.parts]
        if isinstance(op, Collective) and op.kind != "send":
            return [replace(op, message_bytes=op.message_bytes * p) for p in self.parts]
        return (op,)


def hidden_by(profile: Profile, found: Found) -> Overlap:
    """The shares of attention and collectives that a pipeline hides; what one of them loses the other makes good."""
    seconds = profile.seconds(found.parts).sum(axis=1)
    spent = {r: float(seconds[list(profile.of(r))].sum()) for r in ("memory", "network")}
    saved = {r: found.run.hidden_s.get(r, 0.0) for r in spent}
    lost = sum(min(s, 0.0) for s in saved.values())
    shares = {r: min(max(s + lost, 0.0) / spent[r], 1.0) if s > 0 else 0.0 for r, s in saved.items()}
    return Overlap(attention=shares["memory"], comm=shares["network"])


class NanoFlow(Technique):
    """Run attention, products and collectives of different nano-batches at the same time (sections 4 and 5);
    `nano_batches` 0: as many as the search finds best."""

    batch: PositiveInt = 2048
    nano_batches: Annotated[int, Range(0, 4)] = 0

    def apply(self, scenario: Scenario) -> Scenario:
        """Refuses devices without several kernels at once, and layers that a pipeline of nano-batches does not
        shorten."""
        device, model = scenario.hardware.device, scenario.model
        require(
            device.kind == "gpu", f"{device.name} does not run kernels of different streams side by side as a GPU does"
        )
        require(model.kind == "decoder", f"{model.name} is no decoder: its steps have no attention to hide")
        require(scenario.deployment.runtime.overlap is None, "the deployment overlaps operators already")
        require(
            scenario.workload.mode != "static",
            "a static batch has no prompts beside its decodes to fill a dense batch with",
        )
        profile = layer_profile(scenario, self.batch)
        found = search(profile, MOST, self.nano_batches)
        whole = whole_s(profile)
        require(
            found.period_s < whole,
            f"a layer of {self.batch:,} tokens takes {found.period_s * 1e3:.3f} ms in {len(found.parts)} nano-batches "
            f"that overlap and {whole * 1e3:.3f} ms in one piece",
        )
        changed = replace(scenario, rewrites=(*scenario.rewrites, SplitBatch(found.parts)))
        overlap = hidden_by(profile, found)
        return changed.with_deployment(overlap=overlap, max_num_batched_tokens=self.batch, chunked_prefill=True)

    @classmethod
    def variants(cls, scenario: Scenario) -> Sequence[Technique]:
        """Dense batches of several sizes."""
        return [cls(batch=b) for b in (2048, 4096, 8192)]

    def because(self, before: Any, after: Any) -> Sequence[Reason]:
        """How much of attention and communication runs beside products; what that gains, and what cutting the batch
        costs, follows from each alone."""
        hidden: Overlap = after.scenario.deployment.runtime.overlap
        shares = {"decode attention": hidden.attention, "communication": hidden.comm}
        cut = next(r for r in after.scenario.rewrites if isinstance(r, SplitBatch))
        return [
            fact("", "nano-batches of a step", float(len(cut.parts)), "count"),
            *(
                fact("", f"share of {name} that may run beside products", share, "fraction")
                for name, share in shares.items()
                if share
            ),
        ]
