"""Kernel tables as arguments of the cost functions: what a row is, and what all readers of tables share.

A reader yields (engine, key, Rows): the keys are those of the calibration files, the rows carry arguments by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rooflab.evidence.fit.kernel_tables import Columns

__all__ = ["FORMATS", "FORMAT_BYTES", "Array", "Named", "Rows", "column", "rows_of"]

Array = NDArray[np.float64]
Named = tuple[str, str, "Rows"]
"""Engine, key of the calibration files, rows."""

FORMATS: Final = {
    "bfloat16": "bf16", "fp8": "fp8", "fp8_block": "fp8_block", "int8_wo": "int8", "sq": "int8_w8a8", "int4_wo": "int4",
    "w4a16_mxfp4": "mxfp4", "w4a8_mxfp4_mxfp8": "mxfp4_fp8", "nvfp4": "nvfp4",
}  # fmt: skip
FORMAT_BYTES: Final = {
    "bf16": (2.0, 2.0), "fp8": (1.0, 1.0), "fp8_block": (1.0, 1.0), "int8": (1.0, 2.0), "int8_w8a8": (1.0, 1.0),
    "int4": (0.5 + 2.5 / 128, 2.0), "mxfp4": (0.5 + 1 / 32, 2.0), "mxfp4_fp8": (0.5 + 1 / 32, 1.0),
    "nvfp4": (0.5 + 1 / 16, 0.5 + 1 / 16),
}  # fmt: skip


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


def rows_of(keep: NDArray[np.bool_], seconds: Array, **arguments: Any) -> Rows:
    """The rows to `keep` that took any time, with `arguments` of the cost function."""
    keep = keep & (seconds > 0)
    full = {
        name: np.broadcast_to(np.asarray(value, dtype=np.float64), seconds.shape)[keep]
        for name, value in arguments.items()
    }
    return Rows(full, seconds[keep].astype(np.float64))


def column(table: Columns, name: str) -> Array:
    """A column as numbers."""
    return table[name].astype(np.float64)
