"""Measured kernel tables (parquet: `<device>/<operation>/<framework>/<version>/<kernel>_perf.parquet`) as columns of
numpy arrays.

What the columns mean, beyond their names: latency is in ms (all-to-all: µs columns); `message_size` counts elements,
not bytes; a decode context is `isl + step`; `num_key_value_heads` 0 means as many as heads; `inter_size` of experts is
before tensor parallelism and `num_tokens` before expert parallelism.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rooflab import extras

__all__ = ["FRAMEWORKS", "MEASURED", "Columns", "MeasuredDevice", "concatenate", "newest_by", "select", "versions"]

Columns = dict[str, NDArray[Any]]
FRAMEWORKS: Final = ("vllm", "sglang", "trtllm")


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredDevice:
    """A device with tables, and the datasheet figures that its shares are fitted against (those of the catalogue).

    `peak_flops` by arithmetic; `link_bytes_per_s` one way; `l2_bytes` on-chip cache: weights far below it are served
    above DRAM speed and are left out of bandwidth fits.
    """

    key: str
    folder: str
    peak_flops: Mapping[str, float]
    memory_bytes_per_s: float
    link_bytes_per_s: float
    link_topology: str
    l2_bytes: float

    def peak(self, compute: str) -> float:
        """Peak of an arithmetic, or of bf16 where the device lacks it."""
        return self.peak_flops.get(compute, self.peak_flops["bf16"])


def _device(
    key: str,
    folder: str,
    bf16: float,
    fp8: float,
    fp4: float,
    int8: float,
    bw_gbs: float,
    link_gbs: float,
    topology: str,
    l2_mb: float,
) -> MeasuredDevice:
    peaks = {"bf16": bf16 * 1e12, "fp8": fp8 * 1e12, "fp4": fp4 * 1e12, "int8": int8 * 1e12}
    return MeasuredDevice(
        key=key,
        folder=folder,
        peak_flops={k: v for k, v in peaks.items() if v},
        memory_bytes_per_s=bw_gbs * 1e9,
        link_bytes_per_s=link_gbs * 1e9,
        link_topology=topology,
        l2_bytes=l2_mb * 1e6,
    )


MEASURED: Final = tuple(
    _device(*row)
    for row in (
        # key, folder, dense peaks bf16, fp8, fp4, int8 (T/s), memory and one-way link GB/s, topology, L2 MB
        ("a100-sxm-80gb", "a100_sxm", 312, 0, 0, 624, 2039, 300, "switch", 40),
        ("h100-sxm", "h100_sxm", 989, 1979, 0, 1979, 3350, 450, "switch", 50),
        ("h200-sxm", "h200_sxm", 989, 1979, 0, 1979, 4800, 450, "switch", 50),
        ("b200-sxm", "b200_sxm", 2250, 4500, 9000, 4500, 8000, 900, "switch", 126),
        ("b300-sxm", "b300_sxm", 2250, 4500, 12600, 0, 8000, 900, "switch", 126),
        ("gb200", "gb200", 2500, 5000, 10000, 5000, 8000, 900, "switch", 126),
        ("gb300", "gb300", 2500, 5000, 15000, 0, 8000, 900, "switch", 126),
        ("l40s", "l40s", 362, 733, 0, 733, 864, 32, "bus", 96),
        ("rtx-pro-6000-server", "rtx_pro_6000_server", 467.8, 935.6, 1871, 935.6, 1792, 64, "bus", 128),
        ("arc-pro-b60", "b60", 98.3, 0, 0, 197, 456, 28.4, "bus", 18),
    )
)


def versions(root: Path, device: MeasuredDevice, operation: str, framework: str, kernel: str) -> list[Path]:
    """Files of one kernel under one framework, newest version first."""
    found = (root / device.folder / operation / framework).glob(f"*/{kernel}_perf.parquet")
    return sorted(found, key=lambda path: _order(path.parent.name), reverse=True)


def newest_by(
    root: Path, device: MeasuredDevice, operation: str, framework: str, kernel: str, columns: tuple[str, ...] = ()
) -> Iterator[Columns]:
    """The newest rows: without `columns` one table; with them, each combination from the newest version that has it.

    Versions of one release (its candidates) complete each other by all of `columns`; older releases only add values of
    the first column (a number format) that are missing altogether.
    """
    seen: set[str] = set()
    found = versions(root, device, operation, framework, kernel)
    for path in found:
        table = _read(path)
        if not columns:
            yield table
            return
        same_release = _order(path.parent.name)[:3] == _order(found[0].parent.name)[:3]
        first, whole = table[columns[0]], _joined(table, columns)
        old = (
            np.isin(whole, sorted(seen))
            if same_release
            else np.isin(first, sorted({name.split("|")[0] for name in seen}))
        )
        if not old.all():
            yield select(table, ~old)
        seen |= set(np.unique(whole).tolist())


def _joined(table: Columns, columns: tuple[str, ...]) -> NDArray[Any]:
    names = table[columns[0]]
    for column in columns[1:]:
        names = np.char.add(np.char.add(names, "|"), table[column])
    return names


def concatenate(tables: list[Columns]) -> Columns:
    """Rows of several tables on top of each other, on the columns that all have; empty when there is none."""
    if not tables:
        return {}
    shared = set.intersection(*(set(t) for t in tables))
    return {name: np.concatenate([t[name] for t in tables]) for name in shared}


def select(table: Columns, keep: NDArray[np.bool_]) -> Columns:
    """The rows where `keep` is true."""
    return {name: column[keep] for name, column in table.items()}


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _read(path: Path) -> Columns:
    with extras.needed("pyarrow", "reading it", str(path)):
        from pyarrow import parquet
    table = parquet.read_table(path)
    columns: Columns = {}
    for name in table.column_names:
        column = table[name].to_numpy(zero_copy_only=False)
        columns[name] = column.astype(str) if column.dtype == object else column
    return columns
