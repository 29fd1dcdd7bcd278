"""Attention kernels, priced from sums over the batch so that a step needs only (sequences, context tokens, pairs).

Decode (one new token a sequence; S context tokens summed over B sequences):

    t = t0 + max( (c·e·(S + B·s0) + 2·B·w) / (BW·em),  2·f·(S + B·s0) / (P·ec) )

with c cached elements a token, e bytes an element, w query and output elements a sequence, f multiply-adds a cached
token.  Query heads that share a KV head are rows of one 16-row tensor-core tile, hence f = g·16⌈h/(16g)⌉·(d + dv).
A sequence costs at least a block of about s0 tokens.  Multi-head latent attention is the same with one shared
"head" of kv_rank + rope elements that does not shrink with tensor parallelism.

Prefill (pairs: query-key pairs that are computed, half of s² when causal):

    t = t0 + 2·h·(d + dv)·pairs / (P·e) + bytes / (BW·io)

A sliding window needs no formula of its own: hand in the context or the pairs that the window leaves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rooflab.costs.quantity import Real, only_if

__all__ = [
    "DecodeCurve",
    "DecodeTerms",
    "PrefillCurve",
    "causal_pairs",
    "decode_attention_s",
    "decode_terms",
    "mla_decode_s",
    "mla_decode_terms",
    "mla_prefill_s",
    "prefill_attention_s",
]

_TILE_ROWS = 16  # rows of the tensor-core instruction that decode kernels fill with the query heads of one group
_FULL_HEAD = 128.0  # head size from which prefill kernels fill the tensor cores


@dataclass(frozen=True, slots=True)
class DecodeCurve:
    """`t0_s` launch (split-k reduction included); `em` share of bandwidth; `ec` share of bf16 peak; `s0_tokens` least
    context."""

    t0_s: float
    em: float
    ec: float
    s0_tokens: float


@dataclass(frozen=True, slots=True)
class PrefillCurve:
    """`t0_s` launch; `e` share of the bf16 peak, also with an fp8 cache; `io` share of bandwidth.

    Heads narrower than 128 do not fill the tensor cores and reach e·(d/128)^narrow.
    """

    t0_s: float
    e: float
    narrow: float = 0.0
    io: float = 0.4

    def reached(self, head_dim: Real) -> Real:
        """Share of the bf16 peak for heads of this size."""
        return self.e * np.minimum(head_dim / _FULL_HEAD, 1.0) ** self.narrow


@dataclass(frozen=True, slots=True)
class DecodeTerms:
    """Decode attention reduced to five numbers: t = fixed + max(B·a + S·b, B·c + S·d), in seconds."""

    fixed_s: Real
    memory_per_sequence_s: Real
    memory_per_token_s: Real
    compute_per_sequence_s: Real
    compute_per_token_s: Real

    def straight(self) -> tuple[Real, Real]:
        """(seconds a sequence, seconds a context token) without the maximum.

        The same side of it wins for both, but for the query's own bytes, so t ≈ fixed + B·first + S·second, never less.
        """
        return (
            np.maximum(self.memory_per_sequence_s, self.compute_per_sequence_s),
            np.maximum(self.memory_per_token_s, self.compute_per_token_s),
        )

    def seconds(self, sequences: Real, context_tokens: Real) -> Real:
        """Seconds for B `sequences` whose contexts sum to `context_tokens`; 0 without sequences."""
        memory_s = sequences * self.memory_per_sequence_s + context_tokens * self.memory_per_token_s
        compute_s = sequences * self.compute_per_sequence_s + context_tokens * self.compute_per_token_s
        return only_if(sequences, self.fixed_s + np.maximum(memory_s, compute_s))


def decode_terms(
    *,
    heads: Real,
    kv_heads: Real,
    head_dim: Real,
    v_head_dim: Real | None = None,
    kv_bytes: Real,
    peak_flops: Real,
    bytes_per_s: Real,
    curve: DecodeCurve,
) -> DecodeTerms:
    """The coefficients of grouped-query decode attention on one rank (`heads`, `kv_heads` after tensor parallelism).

    `kv_bytes`: bytes of a cached element (2 bf16, 1 fp8); `peak_flops`: bf16 peak, for any cache format.
    """
    dims = head_dim + (head_dim if v_head_dim is None else v_head_dim)
    rows = _TILE_ROWS * np.ceil(heads / (_TILE_ROWS * kv_heads))
    return _terms(
        cached_bytes=kv_heads * dims * kv_bytes,
        query_bytes=2.0 * heads * dims,
        flops_per_token=2.0 * kv_heads * rows * dims,
        peak_flops=peak_flops,
        bytes_per_s=bytes_per_s,
        curve=curve,
    )


def mla_decode_terms(
    *,
    heads: Real,
    kv_rank: Real,
    rope_dim: Real,
    kv_bytes: Real,
    peak_flops: Real,
    bytes_per_s: Real,
    curve: DecodeCurve,
) -> DecodeTerms:
    """The coefficients of absorbed MLA decode: `heads` of this rank over one cache of kv_rank + rope elements a
    token."""
    rows = _TILE_ROWS * np.ceil(heads / _TILE_ROWS)
    return _terms(
        cached_bytes=(kv_rank + rope_dim) * kv_bytes,
        query_bytes=2.0 * heads * (2.0 * kv_rank + rope_dim),
        flops_per_token=2.0 * rows * (2.0 * kv_rank + rope_dim),
        peak_flops=peak_flops,
        bytes_per_s=bytes_per_s,
        curve=curve,
    )


def _terms(
    *,
    cached_bytes: Real,
    query_bytes: Real,
    flops_per_token: Real,
    peak_flops: Real,
    bytes_per_s: Real,
    curve: DecodeCurve,
) -> DecodeTerms:
    memory_token_s = cached_bytes / (bytes_per_s * curve.em)
    compute_token_s = flops_per_token / (peak_flops * curve.ec)
    return DecodeTerms(
        fixed_s=curve.t0_s,
        memory_per_sequence_s=memory_token_s * curve.s0_tokens + query_bytes / (bytes_per_s * curve.em),
        memory_per_token_s=memory_token_s,
        compute_per_sequence_s=compute_token_s * curve.s0_tokens,
        compute_per_token_s=compute_token_s,
    )


def decode_attention_s(
    sequences: Real,
    context_tokens: Real,
    *,
    heads: Real,
    kv_heads: Real,
    head_dim: Real,
    v_head_dim: Real | None = None,
    kv_bytes: Real,
    peak_flops: Real,
    bytes_per_s: Real,
    curve: DecodeCurve,
) -> Real:
    """Seconds of decode attention of one layer; `context_tokens` is the sum over the `sequences`."""
    terms = decode_terms(
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        v_head_dim=v_head_dim,
        kv_bytes=kv_bytes,
        peak_flops=peak_flops,
        bytes_per_s=bytes_per_s,
        curve=curve,
    )
    return terms.seconds(sequences, context_tokens)


def mla_decode_s(
    sequences: Real,
    context_tokens: Real,
    *,
    heads: Real,
    kv_rank: Real,
    rope_dim: Real,
    kv_bytes: Real,
    peak_flops: Real,
    bytes_per_s: Real,
    curve: DecodeCurve,
) -> Real:
    """Seconds of absorbed MLA decode of one layer, without the projections and the absorbed products."""
    terms = mla_decode_terms(
        heads=heads,
        kv_rank=kv_rank,
        rope_dim=rope_dim,
        kv_bytes=kv_bytes,
        peak_flops=peak_flops,
        bytes_per_s=bytes_per_s,
        curve=curve,
    )
    return terms.seconds(sequences, context_tokens)


def causal_pairs(new_tokens: Real, prior_tokens: Real = 0.0, window: Real = np.inf) -> Real:
    """Query-key pairs of `new_tokens` appended after `prior_tokens`, each seeing at most `window` tokens, itself
    included.

    n·p + n²/2 without a window (the half-token of the diagonal is left out, as kernels' FLOP counts do).
    """
    full = new_tokens * (prior_tokens + new_tokens / 2.0)
    growing = np.clip(window - prior_tokens, 0.0, new_tokens)  # queries that still see everything before them
    windowed = growing * (prior_tokens + growing / 2.0) + (new_tokens - growing) * np.minimum(
        window, prior_tokens + new_tokens
    )
    return np.minimum(full, windowed)


def prefill_attention_s(
    pairs: Real,
    query_tokens: Real,
    context_tokens: Real,
    *,
    heads: Real,
    kv_heads: Real,
    head_dim: Real,
    v_head_dim: Real | None = None,
    kv_bytes: Real = 2.0,
    peak_flops: Real,
    bytes_per_s: Real,
    curve: PrefillCurve,
) -> Real:
    """Seconds of prefill attention of one layer over all prompts of a step.

    `pairs` from `causal_pairs` (s² for an encoder), `query_tokens` computed now and `context_tokens` read (prior and
    new), all summed over prompts; `peak_flops` is the bf16 peak.
    """
    v_dim = head_dim if v_head_dim is None else v_head_dim
    flops = 2.0 * heads * (head_dim + v_dim) * pairs
    io = 2.0 * query_tokens * heads * (head_dim + v_dim) + context_tokens * kv_heads * (head_dim + v_dim) * kv_bytes
    compute_s = flops / (peak_flops * curve.reached(head_dim))
    return only_if(query_tokens, curve.t0_s + compute_s + io / (bytes_per_s * curve.io))


def mla_prefill_s(
    pairs: Real,
    query_tokens: Real,
    context_tokens: Real,
    *,
    heads: Real,
    nope_dim: Real,
    rope_dim: Real,
    v_dim: Real,
    peak_flops: Real,
    bytes_per_s: Real,
    curve: PrefillCurve,
) -> Real:
    """Seconds of MLA prefill of one layer: keys and values expanded per head, so plain attention with d = nope +
    rope."""
    return prefill_attention_s(
        pairs,
        query_tokens,
        context_tokens,
        heads=heads,
        kv_heads=heads,
        head_dim=nope_dim + rope_dim,
        v_head_dim=v_dim,
        kv_bytes=2.0,
        peak_flops=peak_flops,
        bytes_per_s=bytes_per_s,
        curve=curve,
    )
