"""A user's own kernel timings: a CSV with one timing a row, as arguments of the cost functions.

    kernel             dtype          shape columns                                         priced by
    gemm               bf16 fp8 ...   m, n, k                                               costs.gemm
    prefill_attention  bf16 fp8       batch, tokens, prior, heads, kv_heads, head_dim       costs.attention
    decode_attention   bf16 fp8       batch, context, heads, kv_heads, head_dim             costs.attention
    moe                bf16 fp8 ...   tokens, hidden, width, experts, top_k, ep, matrices   costs.moe
    all_reduce         -              bytes, ranks                                          costs.collective
    all_to_all         -              bytes, ranks                                          costs.collective

and for every row `device` and `ms`; `engine` where a timing is of one engine's kernel, `id`.  dtype is that of the
product or of the cache.  `tokens` are new ones a sequence, `prior` those cached before (0), `context` cached tokens a
sequence, `width` an expert's on this rank, `ep` ranks of experts (1), `matrices` an expert (3), `bytes` what a rank
holds.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from rooflab.catalogue.hardware import hardware
from rooflab.costs.calibration import GEMM_COMPUTE, engine_key
from rooflab.errors import InputError, unknown
from rooflab.evidence.fit.kernel_rows import FORMAT_BYTES, Rows
from rooflab.evidence.fit.kernel_tables import MeasuredDevice
from rooflab.scenario.hardware import Hardware

__all__ = ["KERNELS", "KernelRows", "is_kernel_table", "measured_device", "read_kernel_table"]

Row = Mapping[str, str]

KERNELS: Final[Mapping[str, tuple[str, ...]]] = {
    "gemm": ("m", "n", "k"),
    "prefill_attention": ("batch", "tokens", "prior", "heads", "kv_heads", "head_dim"),
    "decode_attention": ("batch", "context", "heads", "kv_heads", "head_dim"),
    "moe": ("tokens", "hidden", "width", "experts", "top_k", "ep", "matrices"),
    "all_reduce": ("bytes", "ranks"),
    "all_to_all": ("bytes", "ranks"),
}
"""Shape columns of each kernel."""
_DEFAULTS: Final = {"prior": 0.0, "ep": 1.0, "matrices": 3.0}
_ZERO: Final = frozenset({"prior"})
_CACHES: Final = {"bf16": 2.0, "fp8": 1.0}
_FEW_BYTES_S: Final = 3e-6
"""Seconds of memory traffic below which it does not matter whether data stays on the chip: launches dominate."""


@dataclass(frozen=True, slots=True)
class KernelRows:
    """Timings of one kernel (key of the calibration files) on one device under one engine ("" for all), with their ids.

    `unused`: the reason by id of timings of this kernel that measure something else.
    """

    hardware: Hardware
    engine: str
    key: str
    ids: tuple[str, ...]
    rows: Rows
    unused: Mapping[str, str]


def is_kernel_table(path: Path) -> bool:
    """Whether a CSV file holds kernel timings: it has the columns kernel and ms."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return {"kernel", "ms"} <= {c.strip() for c in next(csv.reader(file), [])}
    except (OSError, UnicodeDecodeError, csv.Error):
        return False


def measured_device(machine: Hardware) -> MeasuredDevice:
    """A device of the catalogue in the terms of kernel fits."""
    d = machine.device
    peaks = {compute: d.peak(compute) for compute in ("bf16", "fp8", "fp4", "int8")}
    return MeasuredDevice(
        key=d.key,
        folder="",
        peak_flops=peaks,
        memory_bytes_per_s=d.memory_bytes_per_s,
        link_bytes_per_s=max(d.scale_up.bytes_per_s, 1.0),
        link_topology=d.scale_up.topology,
        l2_bytes=d.l2_bytes,
    )


def read_kernel_table(path: Path) -> list[KernelRows]:
    """The timings in a file, by device, engine and kernel. Raises InputError with the row and column at fault."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        rows = [
            {(k or "").strip(): (v or "").strip() for k, v in row.items() if k and not isinstance(v, list)}
            for row in reader
        ]
    groups: dict[tuple[str, str, str], list[tuple[str, dict[str, float], float]]] = {}
    machines: dict[str, Hardware] = {}
    seen: set[str] = set()
    for i, row in enumerate(rows, start=1):
        where = f"{path}: row {i}"
        machine = _machine(row, where)
        machines[machine.device.key] = machine
        key, arguments = _arguments(row, where)
        name = row.get("id") or f"{path.name}#{i}"
        name = name if name not in seen else f"{name} (row {i})"
        seen.add(name)
        place = (machine.device.key, engine_key(row.get("engine", "")), key)
        groups.setdefault(place, []).append((name, arguments, _number(row, "ms", where) * 1e-3))
    if not groups:
        raise InputError("no timings in it", str(path))
    return [_group(machines[device], engine, key, found) for (device, engine, key), found in sorted(groups.items())]


def _machine(row: Row, where: str) -> Hardware:
    if not row.get("device"):
        raise InputError("no device: name the accelerator that was timed", f"{where}: device")
    try:
        return hardware({"device": row["device"]})
    except InputError as error:
        raise InputError(error.message, f"{where}: device") from None


def _number(row: Row, column: str, where: str) -> float:
    text = row.get(column, "")
    if not text and column in _DEFAULTS:
        return _DEFAULTS[column]
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (0 < value < math.inf or (value == 0 and column in _ZERO)):
        raise InputError(f"expected a positive number, got {text!r}", f"{where}: {column}")
    return value


def _arguments(row: Row, where: str) -> tuple[str, dict[str, float]]:
    """The key of the calibration files that a row belongs to, and the arguments of its cost function."""
    kernel = row.get("kernel", "")
    if kernel not in KERNELS:
        raise unknown("kernel", kernel, KERNELS, f"{where}: kernel")
    shape = {name: _number(row, name, where) for name in KERNELS[kernel]}
    dtype = row.get("dtype", "").lower().replace("-", "_")
    dtype = {"bfloat16": "bf16", "fp16": "bf16", "float16": "bf16"}.get(dtype, dtype)
    if kernel in ("all_reduce", "all_to_all"):
        return kernel, shape
    formats: Mapping[str, Any] = _CACHES if kernel.endswith("attention") else GEMM_COMPUTE
    if dtype not in formats:
        raise unknown("dtype", dtype, formats, f"{where}: dtype")
    return _READ[kernel](dtype, shape)


def _gemm(dtype: str, s: Mapping[str, float]) -> tuple[str, dict[str, float]]:
    weight, act = FORMAT_BYTES[dtype]
    return f"gemm/{dtype}", {**s, "weight_bytes": weight, "act_bytes": act}


def _heads(s: Mapping[str, float]) -> dict[str, float]:
    return {name: s[name] for name in ("heads", "kv_heads", "head_dim")}


def _prefill(dtype: str, s: Mapping[str, float]) -> tuple[str, dict[str, float]]:
    batch, new, prior = s["batch"], s["tokens"], s["prior"]
    counts = {
        "pairs": batch * new * (prior + new / 2),
        "query_tokens": batch * new,
        "context_tokens": batch * (prior + new),
    }
    return f"prefill/{dtype}", {**counts, **_heads(s), "kv_bytes": _CACHES[dtype]}


def _decode(dtype: str, s: Mapping[str, float]) -> tuple[str, dict[str, float]]:
    counts = {"sequences": s["batch"], "context_tokens": s["batch"] * s["context"]}
    return f"decode/{dtype}", {**counts, **_heads(s), "kv_bytes": _CACHES[dtype]}


def _moe(dtype: str, s: Mapping[str, float]) -> tuple[str, dict[str, float]]:
    return f"moe/{dtype}", {**s, "weight_bytes": FORMAT_BYTES[dtype][0], "balanced": 0.0}


_READ: Final[Mapping[str, Callable[[str, Mapping[str, float]], tuple[str, dict[str, float]]]]] = {
    "gemm": _gemm, "prefill_attention": _prefill, "decode_attention": _decode, "moe": _moe,
}  # fmt: skip


def _group(machine: Hardware, engine: str, key: str, found: list[tuple[str, dict[str, float], float]]) -> KernelRows:
    unused = {name: reason for name, arguments, _ in found if (reason := _measures_else(machine, key, arguments))}
    kept = [(name, arguments, seconds) for name, arguments, seconds in found if name not in unused]
    columns = {name: np.array([a[name] for _, a, _ in kept]) for name in found[0][1]}
    if key == "all_reduce":
        columns = {"message_bytes": columns["bytes"], "ranks": columns["ranks"]}
    elif key == "all_to_all":
        # of what it holds a rank keeps its own part
        key = "moe_all_to_all"
        columns = {"sent_bytes": columns["bytes"] * (1.0 - 1.0 / columns["ranks"]), "ranks": columns["ranks"]}
    return KernelRows(
        machine, engine, key, tuple(n for n, _, _ in kept), Rows(columns, np.array([s for _, _, s in kept])), unused
    )


def _measures_else(machine: Hardware, key: str, a: Mapping[str, float]) -> str:
    """Why a timing tells nothing of the kernel's constants; "" when it does."""
    device = machine.device
    if "ranks" in a:
        if a["ranks"] < 2:
            return "one rank exchanges nothing"
        if a["ranks"] > machine.devices_per_host:
            return f"more ranks than the {machine.devices_per_host} of a host: networks are priced by their datasheet"
    if key.startswith("gemm/"):
        moved = a["n"] * a["k"] * a["weight_bytes"]
        arithmetic_s = 2 * a["m"] * a["n"] * a["k"] / device.peak(GEMM_COMPUTE[key.partition("/")[2]])
        small, bound = moved < device.l2_bytes / 4, moved / device.memory_bytes_per_s
        if small and bound > _FEW_BYTES_S and bound > 2 * arithmetic_s:
            return "the weights stay in the on-chip cache between repetitions: no measure of memory"
    if key.startswith("decode/"):
        moved = 2 * a["context_tokens"] * a["kv_heads"] * a["head_dim"] * a["kv_bytes"]
        if moved < device.l2_bytes / 2 and moved / device.memory_bytes_per_s > _FEW_BYTES_S:
            return "the cache stays on the chip between repetitions: no measure of memory"
    return ""
