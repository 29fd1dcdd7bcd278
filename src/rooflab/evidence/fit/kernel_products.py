"""Tables of matrix products and of experts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rooflab.costs.calibration import GEMM_COMPUTE
from rooflab.evidence.fit.kernel_rows import FORMAT_BYTES, FORMATS, Named, Rows, column, rows_of
from rooflab.evidence.fit.kernel_tables import FRAMEWORKS, Tables, concatenate, select

__all__ = ["experts", "products"]


def products(tables: Tables) -> Iterator[Named]:
    """Matrix products by number format; those whose weights stay on the chip between repetitions are left out."""
    for framework in FRAMEWORKS:
        table = concatenate(list(tables.newest("gemm", framework, "gemm", ("gemm_dtype",))))
        for name in np.unique(table["gemm_dtype"]) if table else ():
            fmt = FORMATS.get(str(name))
            if fmt is None:
                continue
            part = select(table, table["gemm_dtype"] == name)
            m, n, k = column(part, "m"), column(part, "n"), column(part, "k")
            wb, ab = FORMAT_BYTES[fmt]
            peak = tables.device.peak(GEMM_COMPUTE[fmt])
            memory_s = (n * k * wb + m * k * ab + m * n * 2) / tables.device.memory_bytes_per_s
            cached = (n * k * wb < tables.device.l2_bytes / 4) & (memory_s > 3e-6) & (memory_s > 2 * m * n * k / peak)
            keep = (n >= 128) & (k >= 128) & ~cached
            args = {"m": m, "n": n, "k": k, "weight_bytes": wb, "act_bytes": ab}
            yield framework, f"gemm/{fmt}", rows_of(keep, column(part, "latency") * 1e-3, **args)


def experts(tables: Tables) -> Iterator[Named]:
    """Routed experts by number format, at each shape the fastest kernel of a framework."""
    for framework in FRAMEWORKS:
        table = concatenate(list(tables.newest("moe", framework, "moe", ("moe_dtype", "kernel_source"))))
        for name in np.unique(table["moe_dtype"]) if table else ():
            fmt = FORMATS.get(str(name))
            if fmt is None:
                continue
            part = select(table, table["moe_dtype"] == name)
            ep, width = column(part, "moe_ep_size"), column(part, "inter_size")
            # Nemotron experts have no gate; other frameworks than TensorRT-LLM do not say so in the kernel's name
            plain = np.char.find(part["kernel_source"], "nongated") >= 0
            plain |= np.isin(width, (1856, 2688)) | (part["topk"] == 22)
            balanced = part["distribution"] == "balanced"
            known = balanced | (part["distribution"] == "power_law_1.2")
            rows = rows_of(
                known & (ep <= 64), column(part, "latency") * 1e-3,
                tokens=column(part, "num_tokens"), hidden=column(part, "hidden_size"),
                width=width / column(part, "moe_tp_size"),
                experts=column(part, "num_experts"), top_k=column(part, "topk"), ep=ep,
                matrices=np.where(plain, 2.0, 3.0),
                weight_bytes=FORMAT_BYTES[fmt][0], balanced=balanced.astype(np.float64),
            )  # fmt: skip
            yield framework, f"moe/{fmt}", _fastest(rows)


def _fastest(rows: Rows) -> Rows:
    """One row a shape, the fastest: a framework with several kernels for a shape picks by measuring."""
    shapes = np.stack(list(rows.arguments.values()), axis=1)
    _, which = np.unique(shapes, axis=0, return_inverse=True)
    order = np.lexsort((rows.seconds, which.ravel()))
    first = np.r_[True, np.diff(which.ravel()[order]) > 0]
    return rows.take(order[first])
