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

__all__ = ["FRAMEWORKS", "MEASURED", "Columns", "MeasuredDevice", "Tables", "concatenate", "select"]

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
    key: str, peaks: tuple[float, ...], bw_gbs: float, link_gbs: float, l2_mb: float, *, topology: str = "switch",
    folder: str = "",
) -> MeasuredDevice:  # fmt: skip
    named = zip(("bf16", "fp8", "fp4", "int8"), peaks, strict=True)
    return MeasuredDevice(
        key=key,
        folder=folder or key.replace("-", "_"),
        peak_flops={name: peak * 1e12 for name, peak in named if peak},
        memory_bytes_per_s=bw_gbs * 1e9,
        link_bytes_per_s=link_gbs * 1e9,
        link_topology=topology,
        l2_bytes=l2_mb * 1e6,
    )


MEASURED: Final = (
    # dense peaks of bf16, fp8, fp4, int8 (T/s), memory and one-way link GB/s, L2 MB
    _device("a100-sxm-80gb", (312, 0, 0, 624), 2039, 300, 40, folder="a100_sxm"),
    _device("h100-sxm", (989, 1979, 0, 1979), 3350, 450, 50),
    _device("h200-sxm", (989, 1979, 0, 1979), 4800, 450, 50),
    _device("b200-sxm", (2250, 4500, 9000, 4500), 8000, 900, 126),
    _device("b300-sxm", (2250, 4500, 12600, 0), 8000, 900, 126),
    _device("gb200", (2500, 5000, 10000, 5000), 8000, 900, 126),
    _device("gb300", (2500, 5000, 15000, 0), 8000, 900, 126),
    _device("l40s", (362, 733, 0, 733), 864, 32, 96, topology="bus"),
    _device("rtx-pro-6000-server", (467.8, 935.6, 1871, 935.6), 1792, 64, 128, topology="bus"),
    _device("arc-pro-b60", (98.3, 0, 0, 197), 456, 28.4, 18, topology="bus", folder="b60"),
)


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of one device under `root`."""

    root: Path
    device: MeasuredDevice

    def versions(self, operation: str, framework: str, kernel: str) -> list[Path]:
        """Files of one kernel under one framework, newest version first."""
        found = (self.root / self.device.folder / operation / framework).glob(f"*/{kernel}_perf.parquet")
        return sorted(found, key=lambda path: _order(path.parent.name), reverse=True)

    def newest(self, operation: str, framework: str, kernel: str, columns: tuple[str, ...] = ()) -> Iterator[Columns]:
        """The newest rows: without `columns` one table; with them, each combination from the newest version that has
        it.

        Versions of one release (its candidates) complete each other by all of `columns`; older releases only add values
        of the first column (a number format) that are missing altogether.
        """
        seen: set[str] = set()
        found = self.versions(operation, framework, kernel)
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

    def on_chip(self, moved_bytes: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Rows whose data stays in the last-level cache between repetitions and is worth seconds: no measure of
        DRAM."""
        device = self.device
        return (moved_bytes < device.l2_bytes / 2) & (moved_bytes / device.memory_bytes_per_s > 3e-6)


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
