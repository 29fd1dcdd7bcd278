"""A model and a step's token count → operators of one device.

Per block: one fused QKV product, attention, the output product, the feed-forward (two products, or routed
and shared experts), about ten passes over the hidden state (norms, residuals, rotary embedding,
activations), and the collectives of the split: an all-reduce behind the mixer and one behind the
feed-forward under tensor parallelism; dispatch and combine all-to-alls where experts are spread over
data-parallel ranks.  The head computes logits for `rows` positions only and reads them twice (sampling).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from rooflab.operators.formats import StepFormats
from rooflab.operators.mixers import mixer_operators
from rooflab.operators.ops import Collective, Elementwise, ExpertGemm, Gemm, Operator, Real
from rooflab.operators.place import Place
from rooflab.operators.split import Degrees
from rooflab.scenario.dtype import DType
from rooflab.scenario.model import Block, Dense, Experts, Model

__all__ = ["HIDDEN_PASSES", "step_operators"]

HIDDEN_PASSES = 10.0
"""Reads and writes of the hidden state a block makes outside its products (fitted with the engine constants in the
first study)."""


def step_operators(
    model: Model, formats: StepFormats, split: Degrees, tokens: Real, rows: Real
) -> tuple[Operator, ...]:
    """Operators of one rank for a step of `tokens` (all of the engine) with logits at `rows` positions.

    `tokens` and `rows` may be arrays that broadcast with those of `split`.  Pipeline stages are laid end to end:
    counts are those of the whole depth.
    """
    m = split.tokens_here(tokens)
    operators: list[Operator] = [_embedding(model, formats, m)]
    for run in model.runs:
        operators += _block(
            run.block,
            Place(
                count=float(run.count),
                hidden=float(model.hidden),
                formats=formats,
                split=split,
                tokens=tokens,
                here=m,
            ),
        )
    crossings = np.maximum(np.asarray(split.pp, dtype=np.float64) - 1.0, 0.0)
    operators.append(Collective("pipeline send", "comm", crossings, "send", m * model.hidden * 2.0, split.pp))
    if model.head:
        operators += _head(model, formats, split, split.tokens_here(rows))
    return tuple(operators)


def _embedding(model: Model, formats: StepFormats, m: Real) -> Operator:
    if model.vision:
        v = model.vision
        return Gemm(
            name="patch embedding",
            group="embedding",
            count=1.0,
            m=m,
            n=float(model.hidden),
            k=float(v.channels * v.patch**2),
            weight=formats.plain,
            act=formats.plain,
        )
    return Elementwise("token embedding", "embedding", 1.0, m * model.hidden * 4.0)


def _head(model: Model, formats: StepFormats, split: Degrees, rows: Real) -> Iterator[Operator]:
    width = float(model.vision.classes if model.vision else model.vocab)
    yield Gemm(
        name="head",
        group="head",
        count=1.0,
        m=rows,
        n=width / split.tp,
        k=float(model.hidden),
        weight=formats.head,
        act=formats.plain,
    )
    yield Elementwise("logits", "head", 1.0, rows * width / split.tp * 2.0 * 2.0, 2.0)
    yield Collective("logits gather", "head", 1.0, "all_gather", rows * width * 2.0, split.tp)


def _block(block: Block, place: Place) -> Iterator[Operator]:
    at_mixers = replace(place, formats=place.formats.mixer(block.stored))
    for mixer in block.mixers:
        yield from mixer_operators(mixer, at_mixers)
        if not block.parallel:
            yield place.all_reduce("mixer all-reduce")
    if isinstance(block.ffn, Dense):
        yield from _dense(block.ffn, replace(place, formats=place.formats.ffn(block.stored)))
    elif isinstance(block.ffn, Experts):
        at_experts = replace(place, formats=place.formats.routed(block.stored))
        yield from _experts(block.ffn, at_experts, place.formats.shared(block.stored))
    elif block.parallel:
        yield place.all_reduce("mixer all-reduce")
    parts = len(block.mixers) + (block.ffn is not None)
    passes = place.hidden_bytes * HIDDEN_PASSES * parts / 2.0
    yield Elementwise("norms and residuals", "norm", place.count, passes)


def _dense(ffn: Dense, place: Place) -> Iterator[Operator]:
    width, up = ffn.width / place.split.tp, float(ffn.matrices - 1)
    yield place.product("ffn", "ffn up", n=up * width, k=place.hidden)
    yield Elementwise("activation", "ffn", place.count, place.here * width * 2.0 * ffn.matrices)
    yield place.product("ffn", "ffn down", n=place.hidden, k=width)
    yield place.all_reduce("ffn all-reduce")


def _experts(ffn: Experts, place: Place, shared: tuple[DType, DType]) -> Iterator[Operator]:
    formats, split, hidden = place.formats, place.split, place.hidden
    inner = float(ffn.latent or hidden)
    yield place.product("experts", "router", n=float(ffn.experts), k=hidden, weight=formats.plain, act=formats.plain)
    if ffn.latent:
        yield place.product("experts", "latent down", n=inner, k=hidden)
        yield place.product("experts", "latent up", n=hidden, k=inner)
    yield ExpertGemm(
        name="experts",
        group="experts",
        count=place.count,
        tokens=place.tokens + 0.0 * place.here,
        hidden=inner,
        width=ffn.width / split.expert_tp,
        experts=float(ffn.experts),
        top_k=float(ffn.top_k),
        ep=split.ep,
        matrices=float(ffn.matrices),
        weight=formats.experts,
        act=formats.expert_activations,
        gathered=np.where(np.asarray(split.dp, dtype=np.float64) > 1.0, 0.0, 1.0),
    )
    if ffn.shared_width:
        width, up = ffn.shared_width / split.tp, float(ffn.matrices - 1)
        weight, act = shared
        yield place.product("experts", "shared expert up", n=up * width, k=hidden, weight=weight, act=act)
        yield place.product("experts", "shared expert down", n=hidden, k=width, weight=weight, act=act)
    yield from _expert_comm(ffn, inner, place)


def _expert_comm(ffn: Experts, inner: float, place: Place) -> Iterator[Operator]:
    """Without data-parallel attention every rank has all tokens and the sum is one all-reduce; with it, tokens travel.

    A token goes once to each of the other ranks that hold one of its experts, (n − 1)·(1 − (1 − 1/n)^K) of n.
    """
    count, split, m = place.count, place.split, place.here
    travels = np.asarray(split.dp, dtype=np.float64) > 1.0
    ranks = np.asarray(split.ep, dtype=np.float64)
    reached = (ranks - 1.0) * -np.expm1(ffn.top_k * np.log1p(-1.0 / np.maximum(ranks, 1.0 + 1e-12)))
    here = np.where(travels, 0.0, m * inner * 2.0)
    sent = np.where(travels, m / split.tp * np.maximum(reached, 0.0) * inner, 0.0)
    dispatch_bytes = 1.0 if place.formats.expert_activations.bits <= 8 else 2.0
    yield Collective("experts all-reduce", "comm", count, "all_reduce", here, split.tp)
    yield Collective("expert dispatch", "comm", count, "all_to_all", sent * dispatch_bytes, split.ep)
    yield Collective("expert combine", "comm", count, "all_to_all", sent * 2.0, split.ep)
    # experts that are cut over data-parallel ranks need the tokens of all of them, and their partial sums go back
    span = np.where(travels, np.maximum(np.asarray(split.expert_tp) / split.tp, 1.0), 1.0)
    shared = np.where(span > 1.0, m * span * inner * 2.0, 0.0)
    yield Collective("expert token gather", "comm", count, "all_gather", shared, span)
    yield Collective(
        "expert sum scatter", "comm", count, "all_gather", shared, np.where(span > 1.0, split.expert_tp, 1.0)
    )
    gathered = np.where(travels & (np.asarray(split.tp) > 1.0), m * inner * 2.0, 0.0)
    yield Collective("expert gather", "comm", count, "all_gather", gathered, split.tp)
