"""Kernel tables as arguments of the cost functions: what is left out, and what each column becomes.

Every function yields (engine, key, Rows): the keys are those of the calibration files, the rows carry arguments by
name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rooflab.costs.calibration import GEMM_COMPUTE
from rooflab.costs.collective import exchange_bytes
from rooflab.evidence.fit.kernel_tables import FRAMEWORKS, Columns, MeasuredDevice, concatenate, newest_by, select

__all__ = ["Rows", "all_rows", "gemm_bytes"]

Array = NDArray[np.float64]
Named = tuple[str, str, "Rows"]

# names in the tables, and ours
_FORMATS: Final = {
    "bfloat16": "bf16", "fp8": "fp8", "fp8_block": "fp8_block", "int8_wo": "int8", "sq": "int8_w8a8", "int4_wo": "int4",
    "w4a16_mxfp4": "mxfp4", "w4a8_mxfp4_mxfp8": "mxfp4_fp8", "nvfp4": "nvfp4",
}  # fmt: skip
# stored bytes of weights and activations as the kernel reads them
_BYTES: Final = {
    "bf16": (2.0, 2.0), "fp8": (1.0, 1.0), "fp8_block": (1.0, 1.0), "int8": (1.0, 2.0), "int8_w8a8": (1.0, 1.0),
    "int4": (0.5 + 2.5 / 128, 2.0), "mxfp4": (0.5 + 1 / 32, 2.0), "mxfp4_fp8": (0.5 + 1 / 32, 1.0),
    "nvfp4": (0.5 + 1 / 16, 0.5 + 1 / 16),
}  # fmt: skip
_HEAD_DIMS: Final = (64, 128, 256)  # those of language models; wider ones take other kernels


@dataclass(frozen=True, slots=True)
class Rows:
    """Measurements of one kernel: arguments of its cost function by name (arrays of one length) and seconds."""

    arguments: dict[str, Array]
    seconds: Array

    def __len__(self) -> int:
        return len(self.seconds)

    def take(self, which: NDArray[Any]) -> Rows:
        """The rows `which` (indices or a mask)."""
        return Rows({name: values[which] for name, values in self.arguments.items()}, self.seconds[which])


def gemm_bytes(fmt: str) -> tuple[float, float]:
    """Bytes of a weight and of an activation element in the fits of a format."""
    return _BYTES[fmt]


def all_rows(root: Path, device: MeasuredDevice) -> Iterator[Named]:
    """The rows of every priced kernel of a device."""
    yield from _gemm(root, device)
    yield from _attention(root, device)
    yield from _mla(root, device)
    yield from _mla_module(root, device)
    yield from _moe(root, device)
    yield from _collectives(root, device)
    yield from _exchange(root, device)
    yield from _recurrent(root, device)


def _rows(table: Columns, keep: NDArray[np.bool_], seconds: Array, **arguments: Any) -> Rows:
    keep = keep & (seconds > 0)
    full = {
        name: np.broadcast_to(np.asarray(value, dtype=np.float64), seconds.shape)[keep]
        for name, value in arguments.items()
    }
    return Rows(full, seconds[keep].astype(np.float64))


def _f(table: Columns, name: str) -> Array:
    return table[name].astype(np.float64)


def _gemm(root: Path, device: MeasuredDevice) -> Iterator[Named]:
    for framework in FRAMEWORKS:
        table = concatenate(list(newest_by(root, device, "gemm", framework, "gemm", ("gemm_dtype",))))
        for name in np.unique(table["gemm_dtype"]) if table else ():
            fmt = _FORMATS.get(str(name))
            if fmt is None:
                continue
            part = select(table, table["gemm_dtype"] == name)
            m, n, k = _f(part, "m"), _f(part, "n"), _f(part, "k")
            wb, ab = _BYTES[fmt]
            peak = device.peak(GEMM_COMPUTE[fmt])
            memory_s = (n * k * wb + m * k * ab + m * n * 2) / device.memory_bytes_per_s
            cached = (n * k * wb < device.l2_bytes / 4) & (memory_s > 3e-6) & (memory_s > 2 * m * n * k / peak)
            keep = (n >= 128) & (k >= 128) & ~cached
            args = {"m": m, "n": n, "k": k, "weight_bytes": wb, "act_bytes": ab}
            yield framework, f"gemm/{fmt}", _rows(part, keep, _f(part, "latency") * 1e-3, **args)


def _attention(root: Path, device: MeasuredDevice) -> Iterator[Named]:
    for framework in FRAMEWORKS:
        for phase, kernel in (("decode", "generation_attention"), ("prefill", "context_attention")):
            for table in newest_by(root, device, "attention", framework, kernel):
                for name, cache in (("bf16", "bfloat16"), ("fp8", "fp8")):
                    part = select(table, table["kv_cache_dtype"] == cache)
                    if name == "fp8" and phase == "prefill" and (part["attn_dtype"] == "fp8").any():
                        part = select(part, part["attn_dtype"] == "fp8")  # what the framework runs with an fp8 cache
                    if len(part["latency"]):
                        rows = _decode_rows(device, part, name) if phase == "decode" else _prefill_rows(part, name)
                        yield framework, f"{phase}/{name}", rows


def _heads(table: Columns) -> tuple[Array, Array]:
    heads, kv = _f(table, "num_heads"), _f(table, "num_key_value_heads")
    return heads, np.where(kv > 0, kv, heads)


def _windowless(table: Columns) -> NDArray[np.bool_]:
    return table["window_size"] <= 0 if "window_size" in table else np.ones(len(table["latency"]), dtype=bool)


def _on_chip(device: MeasuredDevice, moved_bytes: Array) -> NDArray[np.bool_]:
    """Rows whose data stays in the last-level cache between repetitions and is worth seconds: no measure of DRAM."""
    return (moved_bytes < device.l2_bytes / 2) & (moved_bytes / device.memory_bytes_per_s > 3e-6)


def _decode_rows(device: MeasuredDevice, table: Columns, cache: str) -> Rows:
    heads, kv = _heads(table)
    batch, context = _f(table, "batch_size"), _f(table, "isl") + _f(table, "step")
    cached_bytes = 2 * batch * context * kv * _f(table, "head_dim") * (2.0 if cache == "bf16" else 1.0)
    keep = (
        _windowless(table)
        & (context >= 128)
        & (context <= 32768)
        & (batch <= 512)
        & (heads / kv <= 16)
        & np.isin(table["head_dim"], _HEAD_DIMS)
        & ~_on_chip(device, cached_bytes)
    )
    return _rows(
        table, keep, _f(table, "latency") * 1e-3,
        sequences=batch, context_tokens=batch * context, heads=heads, kv_heads=kv, head_dim=_f(table, "head_dim"),
        kv_bytes=2.0 if cache == "bf16" else 1.0,
    )  # fmt: skip


def _prefill_rows(table: Columns, cache: str) -> Rows:
    heads, kv = _heads(table)
    batch, new, prior = _f(table, "batch_size"), _f(table, "isl"), _f(table, "step")
    keep = _windowless(table) & (new >= 64) & (batch * new <= 131072) & np.isin(table["head_dim"], _HEAD_DIMS)
    return _rows(
        table, keep, _f(table, "latency") * 1e-3,
        pairs=batch * new * (prior + new / 2), query_tokens=batch * new, context_tokens=batch * (prior + new),
        heads=heads, kv_heads=kv, head_dim=_f(table, "head_dim"), kv_bytes=2.0 if cache == "bf16" else 1.0,
    )  # fmt: skip


def _mla(root: Path, device: MeasuredDevice) -> Iterator[Named]:
    for framework in FRAMEWORKS:
        for phase, kernel in (("mla_decode", "generation_mla"), ("mla_prefill", "context_mla")):
            for table in newest_by(root, device, "mla", framework, kernel):
                batch, tokens = _f(table, "batch_size"), _f(table, "isl") + _f(table, "step")
                seconds, heads = _f(table, "latency") * 1e-3, _f(table, "num_heads")
                for name, cache in (("bf16", "bfloat16"), ("fp8", "fp8")):
                    here = table["kv_cache_dtype"] == cache
                    if not here.any():
                        continue
                    if phase == "mla_decode":
                        keep = here & (tokens >= 128) & (tokens <= 65536) & (batch <= 512)
                        keep &= ~_on_chip(device, batch * tokens * 576 * (2.0 if name == "bf16" else 1.0))
                        rows = _rows(
                            table, keep, seconds, sequences=batch, context_tokens=batch * tokens, heads=heads,
                            kv_rank=512.0, rope_dim=64.0, kv_bytes=2.0 if name == "bf16" else 1.0,
                        )  # fmt: skip
                    else:
                        keep = here & (tokens >= 64) & (batch * tokens <= 131072)
                        rows = _rows(
                            table, keep, seconds, pairs=batch * tokens**2 / 2, query_tokens=batch * tokens,
                            context_tokens=batch * tokens,
                            heads=heads, nope_dim=128.0, rope_dim=64.0, v_dim=128.0,
                        )  # fmt: skip
                    yield framework, f"{phase}/{name}", rows


def _mla_module(root: Path, device: MeasuredDevice) -> Iterator[Named]:
    """A whole decode attention block of DeepSeek-V3 (hidden 7168): projections, absorbed products and attention, all in
    bf16."""
    for framework in FRAMEWORKS:
        for table in newest_by(root, device, "mla", framework, "mla_generation_module"):
            batch, context = _f(table, "batch_size"), _f(table, "isl") + _f(table, "step")
            keep = (
                (table["kv_cache_dtype"] == "bfloat16")
                & (table["gemm_type"] == "bfloat16")
                & (context >= 128)
                & (context <= 32768)
            )
            keep &= (batch <= 512) & ~_on_chip(device, batch * context * 1152)
            seconds = _f(table, "latency") * 1e-3
            rows = _rows(
                table, keep, seconds, sequences=batch, context_tokens=batch * context, heads=_f(table, "num_heads")
            )
            yield framework, "mla_layer", rows


def _moe(root: Path, device: MeasuredDevice) -> Iterator[Named]:
    for framework in FRAMEWORKS:
        table = concatenate(list(newest_by(root, device, "moe", framework, "moe", ("moe_dtype", "kernel_source"))))
        for name in np.unique(table["moe_dtype"]) if table else ():
            fmt = _FORMATS.get(str(name))
            if fmt is None:
                continue
            part = select(table, table["moe_dtype"] == name)
            ep, width = _f(part, "moe_ep_size"), _f(part, "inter_size")
            # Nemotron experts have no gate; other frameworks than TensorRT-LLM do not say so in the kernel's name
            plain = np.char.find(part["kernel_source"], "nongated") >= 0
            plain |= np.isin(width, (1856, 2688)) | (part["topk"] == 22)
            balanced = part["distribution"] == "balanced"
            known = balanced | (part["distribution"] == "power_law_1.2")
            rows = _rows(
                part, known & (ep <= 64), _f(part, "latency") * 1e-3,
                tokens=_f(part, "num_tokens"), hidden=_f(part, "hidden_size"), width=width / _f(part, "moe_tp_size"),
                experts=_f(part, "num_experts"), top_k=_f(part, "topk"), ep=ep, matrices=np.where(plain, 2.0, 3.0),
                weight_bytes=_BYTES[fmt][0], balanced=balanced.astype(np.float64),
            )  # fmt: skip
            yield framework, f"moe/{fmt}", _fastest(rows)


def _fastest(rows: Rows) -> Rows:
    """One row a shape, the fastest: a framework with several kernels for a shape picks by measuring."""
    shapes = np.stack(list(rows.arguments.values()), axis=1)
    _, which = np.unique(shapes, axis=0, return_inverse=True)
    order = np.lexsort((rows.seconds, which.ravel()))
    first = np.r_[True, np.diff(which.ravel()[order]) > 0]
    return rows.take(order[first])


def _collectives(root: Path, device: MeasuredDevice) -> Iterator[Named]:
    for framework in FRAMEWORKS:
        for table in newest_by(root, device, "comm", framework, "custom_allreduce"):
            keep = np.ones(len(table["latency"]), dtype=bool)
            if "backend" in table and (np.char.find(table["backend"], "graph") >= 0).any():
                keep = np.char.find(table["backend"], "graph") >= 0
            if device.key.startswith("gb") and framework != "trtllm":
                keep &= table["num_gpus"] <= 4  # beyond a tray these fall back to NCCL
            yield framework, "all_reduce", _collective_rows(table, keep)
    for library, kernel in (("nccl", "nccl"), ("oneccl", "oneccl")):
        for table in newest_by(root, device, "comm", library, kernel):
            half = np.isin(table["nccl_dtype"], ("half", "bfloat16"))
            yield "nccl", "all_reduce", _collective_rows(table, half & (table["op_name"] == "all_reduce"))
            for theirs, ours in (
                ("all_gather", "all_gather"),
                ("reduce_scatter", "reduce_scatter"),
                ("alltoall", "all_to_all"),
            ):
                rows = _collective_rows(table, half & (table["op_name"] == theirs))
                if len(rows):
                    yield "nccl", ours, rows


def _collective_rows(table: Columns, keep: NDArray[np.bool_]) -> Rows:
    message_bytes = 2.0 * _f(table, "message_size")
    keep = keep & (message_bytes >= 256)
    return _rows(table, keep, _f(table, "latency") * 1e-3, message_bytes=message_bytes, ranks=_f(table, "num_gpus"))


_ELEMENT_BYTES: Final = {"bfloat16": 2.0, "fp8": 1.0, "nvfp4": 0.5625}
_RACK: Final = {"gb300": "gb200"}
"""A rack's own exchange kernels were timed on one of two machines with the same links."""


def _exchange(root: Path, device: MeasuredDevice) -> Iterator[Named]:
    """Expert-parallel dispatch and combine: at each size the fastest of the kernels that a machine can run.

    Over a rack's own links these are TensorRT-LLM's, which other engines ship too (FlashInfer); inside a host,
    DeepEP's.
    """
    timed = replace(device, folder=_RACK.get(device.folder, device.folder))
    for table in newest_by(root, timed, "comm", "trtllm", "trtllm_alltoall"):
        yield "trtllm", "moe_all_to_all", _rack_exchange(table)
        return
    for table in newest_by(root, device, "comm", "vllm", "moe_a2a"):
        use = np.isin(table["comm_backend"], ("deepep_ht", "deepep_ll")) & (table["node_num"] == 1)
        part = select(table, use)
        best: dict[tuple[Any, ...], float] = {}
        names = ("phase", "hidden_size", "topk", "num_tokens", "ep_size")
        for *case, micros in zip(*(part[n] for n in names), part["latency"], strict=True):
            key = tuple(case)
            best[key] = min(best.get(key, np.inf), float(micros))
        cases = np.array([[float(x) for x in case[1:]] for case in best], dtype=np.float64)
        if len(cases):
            hidden, top_k, tokens, ranks = cases.T
            sent = np.asarray(exchange_bytes(tokens, hidden=hidden, element_bytes=2.0, top_k=top_k, ranks=ranks))
            yield (
                "vllm",
                "moe_all_to_all",
                Rows({"sent_bytes": sent, "ranks": ranks}, np.array(list(best.values())) * 1e-6),
            )


def _rack_exchange(table: Columns) -> Rows:
    """Dispatch (with its preparation, where a kernel has one) and combine, `num_tokens` a rank, the faster kernel of
    each case."""
    case_names = ("moe_dtype", "hidden_size", "topk", "moe_ep_size", "num_tokens")
    prepared: dict[tuple[Any, ...], float] = {}
    timed: list[tuple[str, str, tuple[Any, ...], float]] = []
    columns = (table[n] for n in ("op_name", "kernel_source", *case_names, "latency"))
    for name, source, *shape, ms in zip(*columns, strict=True):
        if name == "alltoall_prepare":
            prepared[(source, *shape)] = float(ms)
        elif name in ("alltoall_dispatch", "alltoall_combine"):
            timed.append((str(name), str(source), tuple(shape), float(ms)))
    best: dict[tuple[Any, ...], float] = {}
    for name, source, case, took in timed:
        whole = took + (prepared.get((source, *case), 0.0) if name == "alltoall_dispatch" else 0.0)
        best[(name, *case)] = min(best.get((name, *case), np.inf), whole)
    width = np.array([_ELEMENT_BYTES[str(k[1])] if k[0] == "alltoall_dispatch" else 2.0 for k in best])
    hidden, top_k, ranks, tokens = np.array([[float(x) for x in k[2:]] for k in best]).T
    sent = np.asarray(exchange_bytes(tokens, hidden=hidden, element_bytes=width, top_k=top_k, ranks=ranks))
    return Rows({"sent_bytes": sent, "ranks": ranks}, np.array(list(best.values())) * 1e-3)


def _recurrent(root: Path, device: MeasuredDevice) -> Iterator[Named]:
    """Gated delta rule (Qwen3-Next, Qwen3.5): convolution and rule of one layer added up."""
    names = ("phase", "batch_size", "seq_len", "num_k_heads", "num_v_heads", "head_k_dim", "head_v_dim")
    for framework in FRAMEWORKS:
        for table in newest_by(root, device, "linear_attention", framework, "gdn"):
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
                    yield framework, key, _recurrent_rows(device, key, shapes, np.array([s for _, s in whole]))


def _recurrent_rows(device: MeasuredDevice, key: str, shapes: Array, seconds: Array) -> Rows:
    from rooflab.costs.recurrent import gated_delta_flops_per_token, gated_delta_token_bytes

    batch, tokens, k_heads, v_heads, k_dim, v_dim = shapes
    moved = np.asarray(gated_delta_token_bytes(k_heads, v_heads, k_dim, v_dim))
    state = v_heads * k_dim * v_dim
    if key == "gdn_decode":
        rows = Rows({"sequences": batch, "state_elements": state, "token_bytes": moved}, seconds)
        return rows.take(~_on_chip(device, batch * state * 4.0))
    flops = np.asarray(gated_delta_flops_per_token(v_heads, k_dim, v_dim))
    args = {
        "tokens": batch * tokens,
        "flops_per_token": flops,
        "token_bytes": moved,
        "sequences": batch,
        "state_elements": state,
    }
    return Rows(args, seconds).take((batch * tokens <= 131072) & (tokens >= 16))
