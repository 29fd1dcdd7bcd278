"""Tables of collectives and of the exchange between expert-parallel ranks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rooflab.costs.collective import exchange_bytes
from rooflab.evidence.fit.kernel_rows import Named, Rows, column, rows_of
from rooflab.evidence.fit.kernel_tables import FRAMEWORKS, Columns, Tables, select

__all__ = ["collectives", "exchange"]


def collectives(tables: Tables) -> Iterator[Named]:
    """Collectives of the frameworks' own kernels, and of NCCL and oneCCL."""
    for framework in FRAMEWORKS:
        for table in tables.newest("comm", framework, "custom_allreduce"):
            keep = np.ones(len(table["latency"]), dtype=bool)
            if "backend" in table and (np.char.find(table["backend"], "graph") >= 0).any():
                keep = np.char.find(table["backend"], "graph") >= 0
            if tables.device.key.startswith("gb") and framework != "trtllm":
                keep &= table["num_gpus"] <= 4  # beyond a tray these fall back to NCCL
            yield framework, "all_reduce", _collective_rows(table, keep)
    for library, kernel in (("nccl", "nccl"), ("oneccl", "oneccl")):
        for table in tables.newest("comm", library, kernel):
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
    message_bytes = 2.0 * column(table, "message_size")
    keep = keep & (message_bytes >= 256)
    return rows_of(keep, column(table, "latency") * 1e-3, message_bytes=message_bytes, ranks=column(table, "num_gpus"))


_ELEMENT_BYTES: Final = {"bfloat16": 2.0, "fp8": 1.0, "nvfp4": 0.5625}
_RACK: Final = {"gb300": "gb200"}
"""A rack's own exchange kernels were timed on one of two machines with the same links."""


def exchange(tables: Tables) -> Iterator[Named]:
    """Expert-parallel dispatch and combine: at each size the fastest of the kernels that a machine can run.

    Over a rack's own links these are TensorRT-LLM's, which other engines ship too (FlashInfer); inside a host,
    DeepEP's.
    """
    folder = tables.device.folder
    timed = replace(tables, device=replace(tables.device, folder=_RACK.get(folder, folder)))
    for table in timed.newest("comm", "trtllm", "trtllm_alltoall"):
        yield "trtllm", "moe_all_to_all", _rack_exchange(table)
        return
    for table in tables.newest("comm", "vllm", "moe_a2a"):
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
