"""Mixers → operators: grouped-query, latent, compressed and linear attention, and state-space layers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import singledispatch

import numpy as np

from rooflab.operators.formats import Formats
from rooflab.operators.ops import AttentionOp, Elementwise, Gemm, Operator, Real, RecurrentOp
from rooflab.operators.split import Split
from rooflab.scenario.model import (
    Attention,
    CompressedAttention,
    Indexer,
    LatentAttention,
    LinearAttention,
    Mixer,
    StateSpace,
)

__all__ = ["mixer_operators"]

_SCAN_CHUNK = 64.0
"""Tokens of a chunk in the chunked form of linear attention and state-space duality (Mamba-2, section 6; Gated
DeltaNet, 3.3)."""


@singledispatch
def mixer_operators(
    mixer: Mixer, count: float, h: float, formats: Formats, split: Split, m: Real
) -> Iterator[Operator]:
    """Operators of `count` mixers of this kind on one rank that sees `m` tokens of width `h`."""
    raise AssertionError(f"no operators for {type(mixer).__name__}")


def _proj(name: str, count: float, m: Real, n: Real, k: Real, formats: Formats) -> Gemm:
    return Gemm(
        name=name, group="attention", count=count, m=m, n=n, k=k, weight=formats.weights, act=formats.activations
    )


@mixer_operators.register
def _attention(mixer: Attention, count: float, h: float, formats: Formats, split: Split, m: Real) -> Iterator[Operator]:
    heads, kv_heads = split.heads_here(mixer.heads), split.kv_heads_here(mixer.kv_heads)
    kv_width = kv_heads * (mixer.kv_width / mixer.kv_heads)
    q_width = heads * (mixer.q_width / mixer.heads)
    yield _proj("qkv", count, m, q_width if mixer.cross else q_width + kv_width, h, formats)
    cached = kv_heads * (mixer.head_dim + mixer.v_head_dim)
    yield Elementwise(
        "rotary and cache write", "attention", count, m * (2.0 * heads * mixer.head_dim + 2.0 * cached) * 2.0
    )
    if mixer.qk_norm:
        # queries and keys are normed by two kernels of their own, each a pass in and out
        normed = 2.0 * (heads + kv_heads) * mixer.head_dim * 2.0
        yield Elementwise("query and key norms", "attention", count, m * normed, 2.0, launches=2.0)
    window = float("inf") if mixer.window is None else float(mixer.window)
    yield AttentionOp(
        name=("chunked " if mixer.chunked else "sliding " if mixer.window else "cross " if mixer.cross else "")
        + "attention",
        group="attention",
        count=count,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=float(mixer.head_dim),
        v_head_dim=float(mixer.v_head_dim),
        kv=formats.kv,
        # a token of a fixed chunk sees half of it on average
        window=(window + 1.0) / 2.0 if mixer.chunked else window,
        share=1.0 / np.asarray(split.dp, dtype=np.float64),
        context_share=1.0 / np.asarray(split.cp, dtype=np.float64),
        causal=mixer.causal,
    )
    if mixer.indexer:
        yield from _indexer(mixer.indexer, count, h, h, formats, split, m, 1.0)
    yield _proj("attention out", count, m, h, heads * mixer.v_head_dim, formats)


def _indexer(
    indexer: Indexer, count: float, h: float, q_in: float, formats: Formats, split: Split, m: Real, ratio: float
) -> Iterator[Operator]:
    """Every rank scores all cached tokens: the indexer is replicated, its keys are one small vector a token."""
    if indexer.own:
        yield Gemm(
            name="indexer query",
            group="attention",
            count=count,
            m=m,
            n=float(indexer.heads * indexer.head_dim),
            k=q_in,
            weight=formats.weights,
            act=formats.activations,
        )
        yield Gemm(
            name="indexer key",
            group="attention",
            count=count,
            m=m,
            n=float(indexer.head_dim + indexer.heads),
            k=h,
            weight=formats.weights,
            act=formats.activations,
        )
        # norm and rotation of the key, quantisation of queries and keys, choice of the best tokens
        moved = 2.0 * (indexer.heads + 1.0) * indexer.head_dim * 2.0
        yield Elementwise("indexer passes", "attention", count, m * moved, 4.0, launches=4.0)
    yield AttentionOp(
        name="indexer",
        group="attention",
        count=count,
        heads=float(indexer.heads),
        kv_heads=1.0,
        head_dim=float(indexer.head_dim),
        v_head_dim=0.0,
        kv=formats.kv,
        share=1.0 / np.asarray(split.dp, dtype=np.float64),
        context_share=1.0 / (np.asarray(split.cp, dtype=np.float64) * ratio),
        indexer=True,
    )


@mixer_operators.register
def _latent(
    mixer: LatentAttention, count: float, h: float, formats: Formats, split: Split, m: Real
) -> Iterator[Operator]:
    heads = mixer.heads / split.tp
    q_in = float(mixer.q_rank or h)
    down = float(mixer.kv_rank + mixer.rope_dim + (mixer.q_rank or 0))
    yield _proj("latent down", count, m, down, h, formats)
    yield _proj("query up", count, m, heads * mixer.head_dim, q_in, formats)
    # the same FLOPs whether keys and values are expanded (prefill) or absorbed into query and output (decode)
    yield Gemm(
        name="key-value up",
        group="attention",
        count=count,
        m=m,
        n=float(mixer.nope_dim + mixer.v_dim),
        k=float(mixer.kv_rank),
        weight=formats.plain,
        act=formats.plain,
        batch=heads,
    )
    yield Elementwise(
        "rotary and cache write",
        "attention",
        count,
        m * (2.0 * heads * mixer.head_dim + mixer.kv_rank + mixer.rope_dim) * 2.0,
    )
    yield AttentionOp(
        name="latent attention",
        group="attention",
        count=count,
        heads=heads,
        kv_heads=heads,
        head_dim=float(mixer.head_dim),
        v_head_dim=float(mixer.v_dim),
        kv=formats.kv,
        window=float("inf") if mixer.window is None else float(mixer.window),
        share=1.0 / np.asarray(split.dp, dtype=np.float64),
        context_share=1.0 / np.asarray(split.cp, dtype=np.float64),
        latent=(float(mixer.kv_rank), float(mixer.rope_dim)),
    )
    if mixer.indexer:
        yield from _indexer(mixer.indexer, count, h, q_in, formats, split, m, 1.0)
    if mixer.output_gate:
        yield _proj("output gate", count, m, heads * mixer.v_dim, h, formats)
    yield _proj("attention out", count, m, h, heads * mixer.v_dim, formats)


@mixer_operators.register
def _compressed(
    mixer: CompressedAttention, count: float, h: float, formats: Formats, split: Split, m: Real
) -> Iterator[Operator]:
    heads = mixer.heads / split.tp
    d, wide = float(mixer.head_dim), float(mixer.head_dim * (2 if mixer.overlap else 1))
    yield _proj("latent down", count, m, mixer.q_rank + d + (2.0 * wide if mixer.ratio else 0.0), h, formats)
    yield _proj("query up", count, m, heads * d, float(mixer.q_rank), formats)
    share = 1.0 / np.asarray(split.dp, dtype=np.float64)
    part = 1.0 / np.asarray(split.cp, dtype=np.float64)
    one = np.asarray(split.tp, dtype=np.float64) * 0.0 + 1.0  # the single key-value head is replicated

    def attend(name: str, window: float, context_share: Real) -> AttentionOp:
        # key and value are one vector, so the cache is read once: half the elements of a separate pair
        return AttentionOp(
            name=name,
            group="attention",
            count=count,
            heads=heads,
            kv_heads=one / 2.0,
            head_dim=d,
            v_head_dim=d,
            kv=formats.kv,
            window=window,
            share=share,
            context_share=context_share,
        )

    yield attend("window attention", float(mixer.window), part)
    if mixer.ratio:
        chosen = mixer.indexer.top_k * float(mixer.ratio) if mixer.indexer else float("inf")
        yield attend("compressed attention", chosen, part / mixer.ratio)
        if mixer.indexer:
            yield from _indexer(mixer.indexer, count, h, float(mixer.q_rank), formats, split, m, float(mixer.ratio))
    groups = mixer.o_groups / split.tp
    yield _proj("output down", count, m, mixer.o_rank * groups, heads * d / np.maximum(groups, 1.0), formats)
    yield _proj("attention out", count, m, h, mixer.o_rank * groups, formats)


@mixer_operators.register
def _linear(
    mixer: LinearAttention, count: float, h: float, formats: Formats, split: Split, m: Real
) -> Iterator[Operator]:
    value = mixer.v_heads * mixer.v_dim / split.tp
    yield _proj("linear in", count, m, mixer.in_width / split.tp, h, formats)
    k_dim, v_dim, v_heads = float(mixer.k_dim), float(mixer.v_dim), mixer.v_heads / split.tp
    yield RecurrentOp(
        name="delta rule",
        group="attention",
        count=count,
        kind="gdn",
        state_elements=v_heads * k_dim * v_dim,
        # the convolution reads and writes q, k, v; the rule reads them and writes its output
        token_bytes=(3.0 * mixer.conv_width / split.tp + value) * 2.0,
        # three products with the state and four inside a chunk, half of them masked
        flops_per_token=v_heads * (6.0 * k_dim * v_dim + _SCAN_CHUNK * 2.0 * (k_dim + v_dim)),
        share=1.0 / np.asarray(split.dp, dtype=np.float64),
    )
    # decay and write strength of each head, and the gated norm of the output
    yield Elementwise("gates and gated norm", "attention", count, m * 3.0 * value * 2.0, 2.0, launches=2.0)
    yield _proj("linear out", count, m, h, value, formats)


@mixer_operators.register
def _state_space(
    mixer: StateSpace, count: float, h: float, formats: Formats, split: Split, m: Real
) -> Iterator[Operator]:
    inner = mixer.inner / split.tp
    yield _proj("state-space in", count, m, mixer.in_width / split.tp, h, formats)
    yield Elementwise("short convolution", "attention", count, m * mixer.conv_width / split.tp * 4.0)
    state = mixer.inner * mixer.state / split.tp
    heads = mixer.heads / split.tp
    yield RecurrentOp(
        name="state-space scan",
        group="attention",
        count=count,
        kind="mamba2",
        state_elements=state,
        token_bytes=(mixer.conv_width / split.tp + inner) * 2.0,
        # two products with the state and two inside a chunk, half of them masked
        flops_per_token=4.0 * state + heads * _SCAN_CHUNK * (mixer.head_dim + mixer.state),
        share=1.0 / np.asarray(split.dp, dtype=np.float64),
    )
    yield _proj("state-space out", count, m, h, inner, formats)
