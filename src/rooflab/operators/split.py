"""How a model is cut: the parallel degrees of one engine, as numbers or as arrays over many candidates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rooflab.errors import InputError
from rooflab.operators.blocks import block_problem
from rooflab.operators.ops import Real
from rooflab.scenario.deployment import Priced
from rooflab.scenario.model import Attention, CompressedAttention, Experts, LatentAttention, Model
from rooflab.scenario.split import Split

__all__ = ["PADDING_ENGINES", "Degrees", "check_split", "degrees_of", "split_problem"]


@dataclass(frozen=True, slots=True)
class Degrees:
    """Degrees of tensor, pipeline, expert, attention-data and context parallelism of one engine.

    `padded`: cores a device over which the engine pads heads (0: heads divide as they are).
    """

    tp: Real
    pp: Real
    ep: Real
    dp: Real
    cp: Real
    padded: float = 0.0

    def heads_here(self, heads: int) -> Real:
        """Query heads on a rank, those that pad included."""
        return np.ceil(heads / (self.tp * self.padded)) * self.padded if self.padded else heads / self.tp

    def kv_heads_here(self, kv_heads: int) -> Real:
        """KV heads on a rank: never less than one (where heads pad: one a core); below that they are replicated."""
        return np.maximum(self.heads_here(kv_heads), 1.0)

    @property
    def ranks(self) -> Real:
        """Devices of one pipeline stage: tp·dp·cp."""
        return self.tp * self.dp * self.cp

    @property
    def devices(self) -> Real:
        """Devices of the engine."""
        return self.ranks * self.pp

    @property
    def expert_tp(self) -> Real:
        """Devices that share one expert."""
        return self.ranks / self.ep

    def tokens_here(self, tokens: Real) -> Real:
        """Tokens on one attention rank when the engine's step has `tokens`: the fullest rank has at least one."""
        return np.maximum(tokens / (self.dp * self.cp), np.minimum(tokens, 1.0))


def degrees_of(split: Split) -> Degrees:
    """The degrees of a split whose `tp` is chosen; `ep` defaults to 1."""
    assert split.tp is not None
    return Degrees(float(split.tp), float(split.pp), float(split.ep or 1), float(split.dp), float(split.cp))


PADDING_ENGINES = ("neuron",)
"""Engines that pad heads to whatever degree is asked for."""


def split_problem(model: Model, deployment: Priced) -> tuple[str, str] | None:
    """The first reason why `model` cannot be cut as `deployment` says, as (field, message), or None.

    Query heads must divide by tp; KV heads must divide by tp or be replicated evenly; layers must give every
    stage at least one; experts must divide by ep, and ep must divide the devices of a stage; quantised widths are cut
    into whole blocks.
    """
    split = deployment.split
    assert split.tp is not None
    tp, pp, ep = split.tp, split.pp, split.ep or 1
    heads, kv_heads = _heads(model)
    if deployment.runtime.engine in PADDING_ENGINES:
        heads, kv_heads = set(), set()
    if heads and any(h % tp for h in heads):
        good = [d for d in range(1, max(heads) + 1) if all(h % d == 0 for h in heads)]
        return (
            "tp",
            f"{tp} does not divide the {_words(heads)} attention heads of {model.name}; {_listing(good, tp)} do",
        )
    for kv in kv_heads:
        if kv % tp and tp % kv:
            good = [
                d
                for d in range(1, max(heads) + 1)
                if all(h % d == 0 for h in heads) and all(k % d == 0 or d % k == 0 for k in kv_heads)
            ]
            return "tp", f"{tp} does not divide the {kv} KV heads of {model.name}, nor they it; {_listing(good, tp)} do"
    if pp > model.layers:
        return "pp", f"{pp} stages for the {model.layers} layers of {model.name}; at most {model.layers}"
    experts = {r.block.ffn.experts for r in model.runs if isinstance(r.block.ffn, Experts)}
    stage = tp * split.dp * split.cp
    if ep > 1 and not experts:
        return "ep", f"{model.name} has no routed experts; leave ep out"
    if ep > 1 and any(e % ep for e in experts):
        good = [d for d in range(1, max(experts) + 1) if all(e % d == 0 for e in experts)]
        return "ep", f"{ep} does not divide the {_words(experts)} experts of {model.name}; {_listing(good, ep)} do"
    if ep > 1 and stage % ep:
        good = [d for d in range(1, stage + 1) if stage % d == 0]
        return "ep", f"{ep} does not divide the {stage} devices of a stage (tp·dp·cp); {_listing(good, ep)} do"
    return block_problem(model, deployment)


def check_split(model: Model, deployment: Priced, where: str = "deployment") -> None:
    """Raise InputError with the nearest valid degrees when the split is impossible."""
    problem = split_problem(model, deployment)
    if problem:
        raise InputError(problem[1] + ".", f"{where}.{problem[0]}")


def _heads(model: Model) -> tuple[set[int], set[int]]:
    heads, kv_heads = set(), set()
    for run in model.runs + model.encoder:
        for mixer in run.block.mixers:
            if isinstance(mixer, Attention):
                heads.add(mixer.heads)
                kv_heads.add(mixer.kv_heads)
            elif isinstance(mixer, (LatentAttention, CompressedAttention)):
                heads.add(mixer.heads)
    return heads, kv_heads


def _words(numbers: set[int]) -> str:
    return " and ".join(str(n) for n in sorted(numbers))


def _listing(good: list[int], wanted: int) -> str:
    """Up to six valid values around the one wanted."""
    near = sorted(sorted(good, key=lambda g: (abs(g - wanted), g))[:6])
    return ", ".join(str(g) for g in near)
