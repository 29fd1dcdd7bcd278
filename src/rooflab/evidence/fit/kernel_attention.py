"""Tables of attention, latent attention and recurrent mixers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rooflab.costs.recurrent import gated_delta_flops_per_token, gated_delta_token_bytes
from rooflab.evidence.fit.kernel_rows import Array, Named, Rows, column, rows_of
from rooflab.evidence.fit.kernel_tables import FRAMEWORKS, Columns, Tables, select

__all__ = ["attention", "latent_attention", "latent_block", "recurrent"]

_HEAD_DIMS: Final = (64, 128, 256)
"""Those of language models; wider ones take other kernels."""


def attention(tables: Tables) -> Iterator[Named]:
    """Decode and prefill of heads with keys and values."""
    for framework in FRAMEWORKS:
        for phase, kernel in (("decode", "generation_attention"), ("prefill", "context_attention")):
            for table in tables.newest("attention", framework, kernel):
                for name, cache in (("bf16", "bfloat16"), ("fp8", "fp8")):
                    part = select(table, table["kv_cache_dtype"] == cache)
                    if name == "fp8" and phase == "prefill" and (part["attn_dtype"] == "fp8").any():
                        part = select(part, part["attn_dtype"] == "fp8")  # what the framework runs with an fp8 cache
                    if len(part["latency"]):
                        rows = _decode_rows(tables, part, name) if phase == "decode" else _prefill_rows(part, name)
                        yield framework, f"{phase}/{name}", rows


def _heads(table: Columns) -> tuple[Array, Array]:
    heads, kv = column(table, "num_heads"), column(table, "num_key_value_heads")
    return heads, np.where(kv > 0, kv, heads)


def _windowless(table: Columns) -> NDArray[np.bool_]:
    return table["window_size"] <= 0 if "window_size" in table else np.ones(len(table["latency"]), dtype=bool)


def _decode_rows(tables: Tables, table: Columns, cache: str) -> Rows:
    heads, kv = _heads(table)
    batch, context = column(table, "batch_size"), column(table, "isl") + column(table, "step")
    cached_bytes = 2 * batch * context * kv * column(table, "head_dim") * (2.0 if cache == "bf16" else 1.0)
    keep = (
        _windowless(table)
        & (context >= 128)
        & (context <= 32768)
        & (batch <= 512)
        & (heads / kv <= 16)
        & np.isin(table["head_dim"], _HEAD_DIMS)
        & ~tables.on_chip(cached_bytes)
    )
    return rows_of(
        keep, column(table, "latency") * 1e-3,
        sequences=batch, context_tokens=batch * context, heads=heads, kv_heads=kv, head_dim=column(table, "head_dim"),
        kv_bytes=2.0 if cache == "bf16" else 1.0,
    )  # fmt: skip


def _prefill_rows(table: Columns, cache: str) -> Rows:
    heads, kv = _heads(table)
    batch, new, prior = column(table, "batch_size"), column(table, "isl"), column(table, "step")
    keep = _windowless(table) & (new >= 64) & (batch * new <= 131072) & np.isin(table["head_dim"], _HEAD_DIMS)
    return rows_of(
        keep, column(table, "latency") * 1e-3,
        pairs=batch * new * (prior + new / 2), query_tokens=batch * new, context_tokens=batch * (prior + new),
        heads=heads, kv_heads=kv, head_dim=column(table, "head_dim"), kv_bytes=2.0 if cache == "bf16" else 1.0,
    )  # fmt: skip


def latent_attention(tables: Tables) -> Iterator[Named]:
    """Decode and prefill over a compressed cache (DeepSeek's sizes)."""
    for framework in FRAMEWORKS:
        for phase, kernel in (("mla_decode", "generation_mla"), ("mla_prefill", "context_mla")):
            for table in tables.newest("mla", framework, kernel):
                batch, tokens = column(table, "batch_size"), column(table, "isl") + column(table, "step")
                seconds, heads = column(table, "latency") * 1e-3, column(table, "num_heads")
                for name, cache in (("bf16", "bfloat16"), ("fp8", "fp8")):
                    here = table["kv_cache_dtype"] == cache
                    if not here.any():
                        continue
                    if phase == "mla_decode":
                        keep = here & (tokens >= 128) & (tokens <= 65536) & (batch <= 512)
                        keep &= ~tables.on_chip(batch * tokens * 576 * (2.0 if name == "bf16" else 1.0))
                        rows = rows_of(
                            keep, seconds, sequences=batch, context_tokens=batch * tokens, heads=heads,
                            kv_rank=512.0, rope_dim=64.0, kv_bytes=2.0 if name == "bf16" else 1.0,
                        )  # fmt: skip
                    else:
                        keep = here & (tokens >= 64) & (batch * tokens <= 131072)
                        rows = rows_of(
                            keep, seconds, pairs=batch * tokens**2 / 2, query_tokens=batch * tokens,
                            context_tokens=batch * tokens,
                            heads=heads, nope_dim=128.0, rope_dim=64.0, v_dim=128.0,
                        )  # fmt: skip
                    yield framework, f"{phase}/{name}", rows


def latent_block(tables: Tables) -> Iterator[Named]:
    """A whole decode attention block of DeepSeek-V3 (hidden 7168): projections, absorbed products and attention, all in
    bf16."""
    for framework in FRAMEWORKS:
        for table in tables.newest("mla", framework, "mla_generation_module"):
            batch, context = column(table, "batch_size"), column(table, "isl") + column(table, "step")
            keep = (
                (table["kv_cache_dtype"] == "bfloat16")
                & (table["gemm_type"] == "bfloat16")
                & (context >= 128)
                & (context <= 32768)
            )
            keep &= (batch <= 512) & ~tables.on_chip(batch * context * 1152)
            seconds = column(table, "latency") * 1e-3
            rows = rows_of(
                keep, seconds, sequences=batch, context_tokens=batch * context, heads=column(table, "num_heads")
            )
            yield framework, "mla_layer", rows


def recurrent(tables: Tables) -> Iterator[Named]:
    """Gated delta rule (Qwen3-Next, Qwen3.5): convolution and rule of one layer added up."""
    names = ("phase", "batch_size", "seq_len", "num_k_heads", "num_v_heads", "head_k_dim", "head_v_dim")
    for framework in FRAMEWORKS:
        for table in tables.newest("linear_attention", framework, "gdn"):
            parts: dict[tuple[Any, ...], dict[str, float]] = {}
            for *case, source, ms in zip(
                *(table[n] for n in names), table["kernel_source"], table["latency"], strict=True
            ):
                kind = "conv" if "conv" in source else "rule"
                parts.setdefault(tuple(case), {})[kind] = float(ms) * 1e-3
            for phase, key in (("generation", "gdn_decode"), ("context", "gdn_prefill")):
                whole = [(case[1:], sum(v.values())) for case, v in parts.items() if case[0] == phase and len(v) == 2]
                if whole:
                    shapes = np.array([case for case, _ in whole], dtype=np.float64).T
                    yield framework, key, _recurrent_rows(tables, key, shapes, np.array([s for _, s in whole]))


def _recurrent_rows(tables: Tables, key: str, shapes: Array, seconds: Array) -> Rows:
    batch, tokens, k_heads, v_heads, k_dim, v_dim = shapes
    moved = np.asarray(gated_delta_token_bytes(k_heads, v_heads, k_dim, v_dim))
    state = v_heads * k_dim * v_dim
    if key == "gdn_decode":
        rows = Rows({"sequences": batch, "state_elements": state, "token_bytes": moved}, seconds)
        return rows.take(~tables.on_chip(batch * state * 4.0))
    flops = np.asarray(gated_delta_flops_per_token(v_heads, k_dim, v_dim))
    args = {
        "tokens": batch * tokens,
        "flops_per_token": flops,
        "token_bytes": moved,
        "sequences": batch,
        "state_elements": state,
    }
    return Rows(args, seconds).take((batch * tokens <= 131072) & (tokens >= 16))
