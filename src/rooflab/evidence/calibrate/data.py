"""The files that a calibration rests on: tables of measurements, kernel timings, reports of load generators; with
checksums."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rooflab.errors import InputError
from rooflab.evidence.calibrate.kernel_csv import KernelRows, is_kernel_table, read_kernel_table
from rooflab.evidence.calibrate.reports import Given, is_report, read_report, rows_of
from rooflab.evidence.rows.energy import serving_row
from rooflab.evidence.rows.serving import Unsupported
from rooflab.evidence.rows.tables import Row, read_table

__all__ = ["CalibrationData", "Source", "read_data", "write_rows"]

_ENERGY: Final = {
    "output_throughput": "output_tok_s",
    "avg_power_all_gpus": "power_w",
    "energy_per_output_token": "j_per_token",
}
"""Metrics of energy tables that a calibration uses, in the names of serving tables."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file: its name, what it holds, SHA-256 of its bytes, rows read from it."""

    name: str
    holds: str
    sha256: str
    rows: int


@dataclass(frozen=True, slots=True)
class CalibrationData:
    """Serving rows, kernel timings, the files that they came from, and the reason by id of energy rows that are no
    serving rows."""

    rows: tuple[Row, ...]
    kernels: tuple[KernelRows, ...]
    sources: tuple[Source, ...]
    left_out: Mapping[str, str]


def read_data(files: Sequence[str], given: Given) -> CalibrationData:
    """Read `files` of any kind; `given` says what reports do not. Raises InputError."""
    rows: list[Row] = []
    kernels: list[KernelRows] = []
    sources: list[Source] = []
    left_out: dict[str, str] = {}
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
            if table.kind == "energy":
                served, reasons = _of_energy(table.rows)
                rows += served
                left_out |= reasons
            elif table.kind == "serving":
                rows += table.rows
            else:
                raise InputError(
                    f"{table.kind} rows tell no constants; calibrate takes serving and energy rows and kernel timings",
                    name,
                )
            holds, n = "measurements", len(table.rows)
        sources.append(Source(name, holds, hashlib.sha256(path.read_bytes()).hexdigest(), n))
    return CalibrationData(_named_apart(rows), tuple(kernels), tuple(sources), left_out)


def _of_energy(rows: Sequence[Row]) -> tuple[list[Row], dict[str, str]]:
    """The serving rows among those of an energy table (columns of ML.ENERGY), and the reason by id of each other
    one."""
    served: list[Row] = []
    reasons: dict[str, str] = {}
    for row in rows:
        if row["metric"] not in _ENERGY:
            reasons[row["id"]] = f"metric {row['metric']} of an energy table tells no constant"
        elif not row["max_num_seqs"]:
            reasons[row["id"]] = "not a serving run: max_num_seqs is not stated"
        else:
            try:
                served.append({**serving_row(row), "metric": _ENERGY[row["metric"]], "value": row["value"]})
            except (Unsupported, ValueError) as error:
                reasons[row["id"]] = str(error)
    return served, reasons


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
