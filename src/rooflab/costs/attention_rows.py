"""Attention kinds and recurrent mixers → the coefficients of `costs.step` (seconds, joules and work per sequence,
cached token, pair)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from rooflab.costs.attention import DecodeTerms, decode_terms, mla_decode_terms
from rooflab.costs.power import CLOCKS, allowed, throttle
from rooflab.costs.price import Bench
from rooflab.costs.step import ATTENTION_FIELDS
from rooflab.operators.formats import StepFormats
from rooflab.operators.ops import AttentionOp, Real, RecurrentOp
from rooflab.scenario.paid import paid

__all__ = ["attention_row"]

_STATE_BYTES = 4.0
"""Recurrent states are kept in fp32 by the engines' kernels."""


HOST_READS: Final = 0.73
"""Share of a host's memory rate that decode attention on the CPU reads at: 150 of 204.8 GB/s on one socket of Xeon
Platinum 8380 (MoE-Lens, evaluation setup)."""

_TIMED = ("dec_seq", "dec_ctx", "pre_token", "pre_area")
"""Coefficients that have both seconds and joules."""


def attention_row(
    op: AttentionOp | RecurrentOp, bench: Bench, formats: StepFormats, cross_tokens: float = 0.0
) -> dict[str, Real]:
    """Coefficients of one mixer on one rank, all its layers together, at the clock that the power limit allows; keys
    are ATTENTION_FIELDS.

    A cross-attention reads the `cross_tokens` of the encoder whatever the context, so its tokens move to the sequence's
    coefficient.
    """
    if not bench.slowed:
        return _at_clock(op, bench, formats, cross_tokens)
    full = _at_clock(op, bench.at_clock(1.0 / bench.clock), formats, cross_tokens)
    rows = [
        _at_clock(op, bench.at_clock(float(c)), formats, cross_tokens) for c in (CLOCKS if bench.capped else CLOCKS[:1])
    ]
    row = dict(rows[0])
    for unit in _TIMED:
        seconds, joules = f"{unit}_s", f"{unit}_j"
        share = allowed(np.asarray(full[seconds]), np.asarray(full[joules]), bench.full_room_w)
        pairs = [
            np.broadcast_arrays(np.asarray(r[seconds], dtype=np.float64), np.asarray(r[joules]) * share) for r in rows
        ]
        row[seconds], row[joules] = throttle(
            np.stack([s for s, _ in pairs]), np.stack([j for _, j in pairs]), bench.room_w
        )
    return row


def _at_clock(
    op: AttentionOp | RecurrentOp, bench: Bench, formats: StepFormats, cross_tokens: float
) -> dict[str, Real]:
    row: dict[str, Real] = dict.fromkeys(ATTENTION_FIELDS, 0.0)
    row |= _recurrent(op, bench) if isinstance(op, RecurrentOp) else _attention(op, bench, formats)
    for unit in ("dec", "pre"):
        row[f"{unit}_launch_s"] = row[f"{unit}_launch_s"] * paid().host
    for unit in _TIMED:
        row[f"{unit}_j"] = row[f"{unit}_j"] + bench.active_w * row[f"{unit}_s"]
    if op.name.startswith("cross"):
        for unit in ("s", "j", "bytes", "flops"):
            row[f"dec_seq_{unit}"] = row[f"dec_seq_{unit}"] + row[f"dec_ctx_{unit}"] * cross_tokens
            row[f"dec_ctx_{unit}"] = row[f"dec_ctx_{unit}"] * 0.0
    if isinstance(op, AttentionOp) and op.phases != "both":
        absent = "pre_" if op.phases == "decode" else "dec_"
        row |= {name: 0.0 for name in ATTENTION_FIELDS if name.startswith(absent)}
    return row


def _attention(op: AttentionOp, bench: Bench, formats: StepFormats) -> dict[str, Real]:
    if op.on_host:
        return _on_host(op, bench, formats)
    device, kernels = bench.device, bench.kernels
    cache = "bf16" if op.kv.element_bits >= 16 else "fp8"
    compute = "fp32" if formats.plain.name == "fp32" else "bf16"
    share = paid()
    peak, bandwidth = (
        share.rate("attention", bench.peak(compute)), share.rate("kv_reads", device.memory_bytes_per_s)
    )  # fmt: skip
    terms: DecodeTerms
    if op.latent:
        rank, rope = op.latent
        terms = mla_decode_terms(
            heads=op.heads, kv_rank=rank, rope_dim=rope, kv_bytes=op.kv.bytes, peak_flops=peak, bytes_per_s=bandwidth,
            curve=kernels.mla_decode[cache],
        )  # fmt: skip
    else:
        terms = decode_terms(
            heads=op.heads,
            kv_heads=op.kv_heads,
            head_dim=op.head_dim,
            v_head_dim=op.v_head_dim,
            kv_bytes=op.kv.bytes,
            peak_flops=peak,
            bytes_per_s=bandwidth,
            curve=kernels.decode[cache],
        )
    prefill = (kernels.mla_prefill if op.latent else kernels.prefill)[cache]
    # without grouped kernels every query head reads its group's cache again, but for what the others left in the L2
    group = np.asarray(op.heads / op.kv_heads)
    apart = bench.overhead.regroup * (group != bench.overhead.shared_group)
    repeats = 1.0 if op.latent else 1.0 + apart * (group - 1.0)
    sequence_s, token_s = terms.memory_per_sequence_s * repeats, terms.memory_per_token_s * repeats
    seq_share, ctx_share = op.count * op.share, op.count * op.share * op.context_share
    ctx_bytes = ctx_share * op.cache_elements * op.kv.bytes * share.kv_reads
    ctx_flops = ctx_share * op.decode_flops_per_pair * share.attention
    area_flops = ctx_share * op.prefill_flops_per_pair
    # queries read and outputs written, and this token's own keys and values
    token_bytes = seq_share * (op.q_elements * 2.0 + op.cache_elements * op.kv.bytes)
    joule_flop, joule_byte = bench.j_per_flop(compute), bench.j_per_byte
    return {
        "window": op.window,
        "dec_launch_s": op.count * (terms.fixed_s + (kernels.mla_layer_s if op.latent else 0.0)),
        # both terms of the maximum grow with sequences and context in one ratio (s0): coefficients are compared alone
        "dec_seq_s": seq_share * np.maximum(sequence_s, terms.compute_per_sequence_s),
        "dec_ctx_s": ctx_share
        * np.maximum(token_s, _vector_s(op, bench) if op.vector_ops else terms.compute_per_token_s),
        "pre_launch_s": op.count * prefill.t0_s,
        "pre_token_s": token_bytes / (bandwidth * prefill.io),
        "pre_area_s": area_flops / (peak * prefill.reached(op.head_dim)),
        "dec_seq_j": 0.0,
        "dec_ctx_j": ctx_flops * joule_flop + ctx_bytes * joule_byte,
        "pre_token_j": token_bytes * share.kv_reads * joule_byte,
        "pre_area_j": area_flops * share.attention * joule_flop,
        "dec_ctx_bytes": ctx_bytes,
        "dec_ctx_flops": ctx_flops,
        "pre_area_flops": area_flops * share.attention,
    }


def _on_host(op: AttentionOp, bench: Bench, formats: StepFormats) -> dict[str, Real]:
    """Decoding attends on the CPU, at the rate at which it reads its memory; queries, outputs and new cache cross the
    host link.

    Prompts are attended on the device from what it has just computed, and send their cache behind.
    """
    hardware = bench.hardware
    row = _attention(replace(op, on_host=False), bench, formats)
    share, dram = op.count * op.share, next(t for t in hardware.tiers if t.name == "dram")
    link = paid().rate("kv_reads", dram.bytes_per_s)
    reads = paid().rate("kv_reads", HOST_READS * hardware.host_memory_bytes_per_s / hardware.devices_per_host)
    cached = op.cache_elements * op.kv.bytes
    return row | {
        "dec_launch_s": 0.0,
        "dec_seq_s": share * (op.q_elements * 2.0 + cached) / link,
        "dec_ctx_s": share * op.context_share * cached / reads,
        "pre_token_s": row["pre_token_s"] + share * cached / link,
        "dec_ctx_bytes": 0.0,
        "dec_ctx_flops": 0.0,
        "dec_ctx_j": share * op.context_share * cached * paid().kv_reads * bench.j_per_byte,
    }


def _vector_s(op: AttentionOp, bench: Bench) -> Real:
    """Seconds a cached token of a layer takes outside the matrix units; it runs beside the reads."""
    return op.vector_ops * op.heads * (op.head_dim + op.v_head_dim) / paid().rate("attention", bench.peak("fp32"))


def _recurrent(op: RecurrentOp, bench: Bench) -> dict[str, Real]:
    kernels, bandwidth = bench.kernels, bench.device.memory_bytes_per_s
    decode, prefill = (
        (kernels.gdn_decode, kernels.gdn_prefill)
        if op.kind == "gdn"
        else (kernels.mamba2_decode, kernels.mamba2_prefill)
    )
    share, reads = op.count * op.share, paid().kv_reads
    state_bytes = 2.0 * op.state_elements * _STATE_BYTES * reads
    token_bytes, flops = op.token_bytes * reads, op.flops_per_token * paid().attention
    decode_flops = share * 6.0 * op.state_elements * paid().attention
    return {
        "window": float("inf"),
        "dec_launch_s": op.count * decode.t0_s,
        "dec_seq_s": share * (state_bytes + token_bytes) / (bandwidth * decode.em),
        "pre_launch_s": op.count * prefill.t0_s,
        "pre_token_s": share * (flops / (bench.peak("bf16") * prefill.ec) + token_bytes / (bandwidth * prefill.em)),
        "dec_seq_j": decode_flops * bench.j_per_flop("bf16") + share * state_bytes * bench.j_per_byte,
        "pre_token_j": share * (flops * bench.j_per_flop("bf16") + token_bytes * bench.j_per_byte),
        "dec_seq_bytes": share * state_bytes,
        "dec_seq_flops": decode_flops,
        "pre_token_flops": share * flops,
    }
