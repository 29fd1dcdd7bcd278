"""The files that a calibration rests on: tables of measurements, kernel timings, reports of load generators; with checksums."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rooflab.errors import InputError
from rooflab.evidence.kernel_csv import KernelRows, is_kernel_table, read_kernel_table
from rooflab.evidence.reports import Given, is_report, read_report, rows_of
from rooflab.evidence.tables import Row, read_table

__all__ = ["CalibrationData", "Source", "read_data", "write_rows"]


@dataclass(frozen=True, slots=True)
class Source:
    """A file: its name, what it holds, SHA-256 of its bytes, rows read from it."""

    name: str
    holds: str
    sha256: str
    rows: int


@dataclass(frozen=True, slots=True)
class CalibrationData:
    """Serving rows, kernel timings, and the files that they came from."""

    rows: tuple[Row, ...]
    kernels: tuple[KernelRows, ...]
    sources: tuple[Source, ...]


def read_data(files: Sequence[str], given: Given) -> CalibrationData:
    """Read `files` of any kind; `given` says what reports do not. Raises InputError."""
    rows: list[Row] = []
    kernels: list[KernelRows] = []
    sources: list[Source] = []
    for name in files:
        path = Path(name)
        if is_report(path):
            mine = rows_of(read_report(path), given, name)
            rows += mine
            holds, n = "report", len(mine)
        elif is_kernel_table(path):
            timings = read_kernel_table(path)
            kernels += timings
            holds, n = "kernel timings", sum(len(k.ids) + len(k.unused) for k in timings)
        else:
            table = read_table(name)
            if table.kind != "serving":
                raise InputError(f"{table.kind} rows tell no constants; calibrate takes serving rows and kernel timings", name)
            rows += table.rows
            holds, n = "measurements", len(table.rows)
        sources.append(Source(name, holds, hashlib.sha256(path.read_bytes()).hexdigest(), n))
    return CalibrationData(_named_apart(rows), tuple(kernels), tuple(sources))


def _named_apart(rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows with an id each; two files may both have a row-1."""
    seen: dict[str, int] = {}
    out: list[Row] = []
    for row in rows:
        n = seen[row["id"]] = seen.get(row["id"], 0) + 1
        out.append(row if n == 1 else {**row, "id": f"{row['id']} ({n})"})
    return tuple(out)


def write_rows(path: str, rows: Sequence[Row]) -> None:
    """Write serving rows as a table. Raises InputError."""
    if not rows:
        raise InputError("no serving rows to write", path)
    try:
        with Path(path).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", path) from None
