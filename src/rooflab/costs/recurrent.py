"""Recurrent mixers: state-space (Mamba-2), gated delta rule and short convolutions.

Decode reads and writes a fixed state a sequence:          t = t0 + B·2·state·e / (BW·em)
Prefill runs in chunks, linear in tokens, and moves a prompt's state once in and out:
                                                           t = t0 + flops / (P·ec) + (bytes + B·2·state·e) / (BW·em)
"""

from __future__ import annotations

from dataclasses import dataclass

from rooflab.costs.quantity import Real, only_if

__all__ = [
    "RecurrentCurve",
    "gated_delta_flops_per_token",
    "gated_delta_token_bytes",
    "recurrent_decode_s",
    "recurrent_prefill_s",
    "state_space_flops_per_token",
]

_CHUNK = 64  # tokens that chunked kernels treat as one block


@dataclass(frozen=True, slots=True)
class RecurrentCurve:
    """`t0_s` launches of a layer's mixer (convolution and scan), `em` share of bandwidth, `ec` share of bf16 peak
    (prefill)."""

    t0_s: float
    em: float
    ec: float = 0.1


def recurrent_decode_s(
    sequences: Real,
    *,
    state_elements: Real,
    token_bytes: Real,
    state_bytes: Real = 4.0,
    bytes_per_s: Real,
    curve: RecurrentCurve,
) -> Real:
    """Seconds for one token of each of `sequences`; `token_bytes`: inputs and outputs a token; state is read and
    written once."""
    moved = sequences * (2.0 * state_elements * state_bytes + token_bytes)
    return only_if(sequences, curve.t0_s + moved / (bytes_per_s * curve.em))


def recurrent_prefill_s(
    tokens: Real,
    *,
    flops_per_token: Real,
    token_bytes: Real,
    sequences: Real = 0.0,
    state_elements: Real = 0.0,
    state_bytes: Real = 4.0,
    peak_flops: Real,
    bytes_per_s: Real,
    curve: RecurrentCurve,
) -> Real:
    """Seconds for `tokens` prompt tokens of `sequences` prompts; `flops_per_token` of the chunked form, `token_bytes`
    moved a token."""
    compute_s = tokens * flops_per_token / (peak_flops * curve.ec)
    moved = tokens * token_bytes + sequences * 2.0 * state_elements * state_bytes
    return only_if(tokens, curve.t0_s + compute_s + moved / (bytes_per_s * curve.em))


def gated_delta_flops_per_token(v_heads: Real, key_dim: Real, value_dim: Real) -> Real:
    """FLOPs a prompt token of the chunked gated delta rule: three products with the state, four inside the chunk (half
    masked)."""
    return v_heads * (6.0 * key_dim * value_dim + _CHUNK * 2.0 * (key_dim + value_dim))


def gated_delta_token_bytes(k_heads: Real, v_heads: Real, key_dim: Real, value_dim: Real) -> Real:
    """bf16 bytes a token: convolution reads and writes q, k, v; the rule reads them and writes its output."""
    mixed = 2.0 * k_heads * key_dim + v_heads * value_dim
    return 2.0 * (3.0 * mixed + v_heads * value_dim)


def state_space_flops_per_token(heads: Real, head_dim: Real, state: Real) -> Real:
    """FLOPs a prompt token of the chunked state-space form (Mamba-2, section 6): two products with the state, two
    inside the chunk."""
    return heads * (4.0 * head_dim * state + _CHUNK * (head_dim + state))
