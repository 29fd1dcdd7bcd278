"""Operators on a device's roofline (section 2): OPs, bytes, intensity = OPs / bytes, attainable = min(peak, bandwidth ·
intensity), seconds = OPs / attainable.

Arithmetic runs at the peak of 8 bits only where weights, activations and cache all have 8 bits or fewer, as in the
released analyser; where an operator computes nothing, its bytes take their time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from rooflab.inputs.row_files import csv_bytes
from rooflab.scenario.dtype import DType
from rooflab.scenario.hardware import Device

__all__ = ["COLUMNS", "UNITS", "Column", "Count", "Formats", "Point", "Roof", "table"]

Column = Literal["intensity", "ops", "bytes", "attainable", "seconds", "share"]
COLUMNS: Final[tuple[Column, ...]] = get_args(Column)
UNITS: Final[dict[Column, str]] = {
    "intensity": "FLOP/B", "ops": "FLOP", "bytes": "B", "attainable": "FLOP/s", "seconds": "s", "share": "percent",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Formats:
    """Formats of weights, activations, cache, and of the weights of the output projection."""

    weights: DType
    activations: DType
    kv: DType
    head: DType

    @property
    def compute(self) -> str:
        """The arithmetic that they ask for."""
        if max(self.weights.element_bits, self.activations.element_bits, self.kv.element_bits) > 8:
            return "fp16"
        return "fp8" if self.activations.compute.startswith("fp") else "int8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What one operator computes (OPs) and moves (bytes, by what they are); `times` it occurs."""

    name: str
    ops: float
    weights: float = 0.0
    read: float = 0.0
    written: float = 0.0
    cache_read: float = 0.0
    cache_written: float = 0.0
    times: int = 1

    @property
    def bytes(self) -> float:
        """Bytes of one occurrence."""
        return self.weights + self.read + self.written + self.cache_read + self.cache_written


@dataclass(frozen=True, slots=True)
class Roof:
    """Peak arithmetic and memory bandwidth."""

    peak_flops: float
    bytes_per_s: float

    @classmethod
    def of(cls, device: Device, formats: Formats) -> Roof:
        """The roof of a device for operands of these formats."""
        return cls(device.peak(formats.compute), device.memory_bytes_per_s)

    @property
    def ridge(self) -> float:
        """The intensity from which on arithmetic bounds (FLOP a byte)."""
        return self.peak_flops / self.bytes_per_s

    def point(self, count: Count) -> Point:
        """An operator under this roof."""
        memory_s, compute_s = count.bytes / self.bytes_per_s, count.ops / self.peak_flops
        return Point(count, max(memory_s, compute_s), "memory" if memory_s > compute_s else "compute")


@dataclass(frozen=True, slots=True)
class Point:
    """An operator under a roof: `seconds` of one occurrence, and what bounds it."""

    count: Count
    seconds: float
    bound_by: Literal["memory", "compute"]

    @property
    def total_s(self) -> float:
        """Seconds of all occurrences."""
        return self.seconds * self.count.times

    def column(self, name: Column, whole_s: float) -> float:
        """A column of the table; `whole_s` is what the whole network takes."""
        c = self.count
        return {
            "intensity": c.ops / c.bytes if c.bytes else 0.0, "ops": c.ops, "bytes": c.bytes,
            "attainable": c.ops / self.seconds if self.seconds else 0.0, "seconds": self.seconds,
            "share": 100 * self.total_s / whole_s if whole_s else 0.0,
        }[name]  # fmt: skip


def table(phases: dict[str, Sequence[Point]]) -> bytes:
    """All columns of all operators as CSV."""
    rows: dict[str, list[object]] = {name: [] for name in ("phase", "operator", "times", "bound by")}
    parts = ("weights", "read", "written", "cache_read", "cache_written")
    rows |= {f"{name}_bytes": [] for name in parts} | {name: [] for name in COLUMNS}
    for phase, points in phases.items():
        whole_s = sum(p.total_s for p in points)
        for p in points:
            cells = (
                phase, p.count.name, p.count.times, p.bound_by, *(getattr(p.count, name) for name in parts),
                *(p.column(name, whole_s) for name in COLUMNS),
            )  # fmt: skip
            for name, cell in zip(rows, cells, strict=True):
                rows[name].append(cell)
    return csv_bytes(rows)
