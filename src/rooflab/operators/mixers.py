"""Mixers → operators: grouped-query, latent, compressed and linear attention, and state-space layers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import singledispatch

import numpy as np

from rooflab.operators.ops import AttentionOp, Elementwise, Operator, Real, RecurrentOp
from rooflab.operators.place import Place
from rooflab.scenario.dtype import DType, dtype
from rooflab.scenario.model import (
    Attention,
    CompressedAttention,
    Indexer,
    LatentAttention,
    LinearAttention,
    Mixer,
    ShortConvolution,
    StateSpace,
)

__all__ = ["mixer_operators"]

_SCAN_CHUNK = 64.0
"""Tokens of a chunk in the chunked form of linear attention and state-space duality (Mamba-2, section 6; Gated
DeltaNet, 3.3)."""


@singledispatch
def mixer_operators(mixer: Mixer, place: Place) -> Iterator[Operator]:
    """Operators of the mixers of this kind at `place`."""
    raise AssertionError(f"no operators for {type(mixer).__name__}")


@mixer_operators.register
def _attention(mixer: Attention, place: Place) -> Iterator[Operator]:
    heads, kv_heads = place.split.heads_here(mixer.heads), place.split.kv_heads_here(mixer.kv_heads)
    kv_width = kv_heads * (mixer.kv_width / mixer.kv_heads)
    q_width = heads * (mixer.q_width / mixer.heads)
    yield place.product("attention", "qkv", n=q_width if mixer.cross else q_width + kv_width, k=place.hidden)
    made = 0.0 if mixer.shared else kv_heads
    cached = made * (mixer.head_dim + mixer.v_head_dim)
    yield Elementwise(
        "rotary and cache write",
        "attention",
        place.count,
        place.here * (2.0 * heads * mixer.head_dim + 2.0 * cached) * 2.0,
    )
    if mixer.qk_norm:
        # queries and keys are normed by two kernels of their own, each a pass in and out
        normed = 2.0 * (heads + made) * mixer.head_dim * 2.0
        kernels = 1.0 if mixer.shared else 2.0
        yield Elementwise(
            "query and key norms", "attention", place.count, place.here * normed, kernels, launches=kernels
        )
    window = float("inf") if mixer.window is None else float(mixer.window)
    yield AttentionOp(
        name=("chunked " if mixer.chunked else "sliding " if mixer.window else "cross " if mixer.cross else "")
        + "attention",
        group="attention",
        count=place.count,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=float(mixer.head_dim),
        v_head_dim=float(mixer.v_head_dim),
        kv=place.formats.kv,
        # a token of a fixed chunk sees half of it on average
        window=(window + 1.0) / 2.0 if mixer.chunked else window,
        share=place.sequence_share,
        context_share=place.context_share,
        causal=mixer.causal,
    )
    if mixer.indexer:
        yield from _indexer(mixer.indexer, place, place.hidden)
    yield place.product("attention", "attention out", n=place.hidden, k=heads * mixer.v_head_dim)


def _indexer(
    indexer: Indexer, place: Place, q_in: float, ratio: float = 1.0, keys: DType | None = None
) -> Iterator[Operator]:
    """Every rank scores all cached tokens: the indexer is replicated, its keys (in `keys`, or the cache's format) are
    one small vector a token."""
    if indexer.own:
        yield place.product("attention", "indexer query", n=float(indexer.heads * indexer.head_dim), k=q_in)
        yield place.product("attention", "indexer key", n=float(indexer.head_dim + indexer.heads), k=place.hidden)
        # norm and rotation of the key, quantisation of queries and keys, choice of the best tokens
        moved = 2.0 * (indexer.heads + 1.0) * indexer.head_dim * 2.0
        yield Elementwise("indexer passes", "attention", place.count, place.here * moved, 4.0, launches=4.0)
    yield AttentionOp(
        name="indexer",
        group="attention",
        count=place.count,
        heads=float(indexer.heads),
        kv_heads=1.0,
        head_dim=float(indexer.head_dim),
        v_head_dim=0.0,
        kv=keys or place.formats.kv,
        share=place.sequence_share,
        context_share=1.0 / (np.asarray(place.split.cp, dtype=np.float64) * ratio),
        indexer=True,
    )


@mixer_operators.register
def _latent(mixer: LatentAttention, place: Place) -> Iterator[Operator]:
    heads = mixer.heads / place.split.tp
    q_in = float(mixer.q_rank or place.hidden)
    down = float(mixer.kv_rank + mixer.rope_dim + (mixer.q_rank or 0))
    yield place.product("attention", "latent down", n=down, k=place.hidden)
    yield place.product("attention", "query up", n=heads * mixer.head_dim, k=q_in)
    # the same FLOPs whether keys and values are expanded (prefill) or absorbed into query and output (decode)
    up, plain = float(mixer.nope_dim + mixer.v_dim), place.formats.plain
    yield place.product("attention", "key-value up", n=up, k=float(mixer.kv_rank), weight=plain, act=plain, batch=heads)
    yield Elementwise(
        "rotary and cache write",
        "attention",
        place.count,
        place.here * (2.0 * heads * mixer.head_dim + mixer.kv_rank + mixer.rope_dim) * 2.0,
    )
    yield AttentionOp(
        name="latent attention",
        group="attention",
        count=place.count,
        heads=heads,
        kv_heads=heads,
        head_dim=float(mixer.head_dim),
        v_head_dim=float(mixer.v_dim),
        kv=place.formats.kv,
        window=float("inf") if mixer.window is None else float(mixer.window),
        share=place.sequence_share,
        context_share=place.context_share,
        latent=(float(mixer.kv_rank), float(mixer.rope_dim)),
    )
    if mixer.indexer:
        yield from _indexer(mixer.indexer, place, q_in, keys=dtype("fp8"))
    if mixer.output_gate:
        yield place.product("attention", "output gate", n=heads * mixer.v_dim, k=place.hidden)
    yield place.product("attention", "attention out", n=place.hidden, k=heads * mixer.v_dim)


@mixer_operators.register
def _compressed(mixer: CompressedAttention, place: Place) -> Iterator[Operator]:
    heads = mixer.heads / place.split.tp
    d, wide = float(mixer.head_dim), float(mixer.head_dim * (2 if mixer.overlap else 1))
    yield place.product(
        "attention", "latent down", n=mixer.q_rank + d + (2.0 * wide if mixer.ratio else 0.0), k=place.hidden
    )
    yield place.product("attention", "query up", n=heads * d, k=float(mixer.q_rank))
    one = np.asarray(place.split.tp, dtype=np.float64) * 0.0 + 1.0  # the single key-value head is replicated

    def attend(name: str, window: float, context_share: Real) -> AttentionOp:
        # key and value are one vector, so the cache is read once: half the elements of a separate pair
        return AttentionOp(
            name=name,
            group="attention",
            count=place.count,
            heads=heads,
            kv_heads=one / 2.0,
            head_dim=d,
            v_head_dim=d,
            kv=place.formats.kv,
            window=window,
            share=place.sequence_share,
            context_share=context_share,
        )

    yield attend("window attention", float(mixer.window), place.context_share)
    if mixer.ratio:
        chosen = mixer.indexer.top_k * float(mixer.ratio) if mixer.indexer else float("inf")
        yield attend("compressed attention", chosen, place.context_share / mixer.ratio)
        if mixer.indexer:
            yield from _indexer(mixer.indexer, place, float(mixer.q_rank), float(mixer.ratio))
    groups = mixer.o_groups / place.split.tp
    yield place.product("attention", "output down", n=mixer.o_rank * groups, k=heads * d / np.maximum(groups, 1.0))
    yield place.product("attention", "attention out", n=place.hidden, k=mixer.o_rank * groups)


@mixer_operators.register
def _linear(mixer: LinearAttention, place: Place) -> Iterator[Operator]:
    value = mixer.v_heads * mixer.v_dim / place.split.tp
    yield place.product("attention", "linear in", n=mixer.in_width / place.split.tp, k=place.hidden)
    k_dim, v_dim, v_heads = float(mixer.k_dim), float(mixer.v_dim), mixer.v_heads / place.split.tp
    yield RecurrentOp(
        name="delta rule",
        group="attention",
        count=place.count,
        kind="gdn",
        state_elements=v_heads * k_dim * v_dim,
        # the convolution reads and writes q, k, v; the rule reads them and writes its output
        token_bytes=(3.0 * mixer.conv_width / place.split.tp + value) * 2.0,
        # three products with the state and four inside a chunk, half of them masked
        flops_per_token=v_heads * (6.0 * k_dim * v_dim + _SCAN_CHUNK * 2.0 * (k_dim + v_dim)),
        share=place.sequence_share,
    )
    # decay and write strength of each head, and the gated norm of the output
    yield Elementwise(
        "gates and gated norm", "attention", place.count, place.here * 3.0 * value * 2.0, 2.0, launches=2.0
    )
    yield place.product("attention", "linear out", n=place.hidden, k=value)


@mixer_operators.register
def _state_space(mixer: StateSpace, place: Place) -> Iterator[Operator]:
    inner = mixer.inner / place.split.tp
    yield place.product("attention", "state-space in", n=mixer.in_width / place.split.tp, k=place.hidden)
    yield Elementwise(
        "short convolution", "attention", place.count, place.here * mixer.conv_width / place.split.tp * 4.0
    )
    state = mixer.inner * mixer.state / place.split.tp
    heads = mixer.heads / place.split.tp
    yield RecurrentOp(
        name="state-space scan",
        group="attention",
        count=place.count,
        kind="mamba2",
        state_elements=state,
        token_bytes=(mixer.conv_width / place.split.tp + inner) * 2.0,
        # two products with the state and two inside a chunk, half of them masked
        flops_per_token=4.0 * state + heads * _SCAN_CHUNK * (mixer.head_dim + mixer.state),
        share=place.sequence_share,
    )
    yield place.product("attention", "state-space out", n=place.hidden, k=inner)


@mixer_operators.register
def _short_convolution(mixer: ShortConvolution, place: Place) -> Iterator[Operator]:
    width = mixer.width / place.split.tp
    yield place.product("attention", "convolution in", n=3.0 * width, k=place.hidden)
    # reads three projections, writes one
    yield Elementwise("gated convolution", "attention", place.count, place.here * 4.0 * width * 2.0)
    yield place.product("attention", "convolution out", n=place.hidden, k=width)
