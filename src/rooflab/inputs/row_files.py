"""Files of rows: .csv, .jsonl and .parquet, read with the line of each row, and written."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab import extras
from rooflab.errors import InputError
from rooflab.inputs.cells import is_nan
from rooflab.inputs.rows import Rows
from rooflab.source.text import content, parse_json, text

__all__ = ["csv_bytes", "jsonl_bytes", "read_csv", "read_jsonl", "read_parquet", "records"]

Values = npt.NDArray[Any] | tuple[str, ...]

MOST_COLUMNS: Final = 10_000
MOST_VALUES: Final = 100_000_000
"""Cells of a Parquet file, which says how many it has before they are read."""


def read_csv(path: Path) -> Rows:
    """The rows of a CSV file with a header: commas, UTF-8, quotes as RFC 4180 has them."""
    reader = csv.reader(io.StringIO(text(path), newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(header, f"{path}:1")
        lines, values = [], []
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise InputError(
                    f"{len(row)} values in a row of {len(header)} columns{_first_odd(row, header)}",
                    f"{path}:{reader.line_num}",
                )
            lines.append(reader.line_num)
            values.append(row)
    except csv.Error as error:
        raise InputError(f"not valid CSV ({error})", f"{path}:{reader.line_num}") from None
    if not values:
        raise InputError("has no rows", str(path))
    return Rows(str(path), dict(zip(header, zip(*values, strict=True), strict=True)), lines)


def _first_odd(row: list[str], header: list[str]) -> str:
    if len(row) < len(header):
        return f", {header[len(row)]} is the first without one"
    return f", {row[len(header)][:40]!a} is the first too many"


def _check_header(header: Sequence[str], where: str) -> None:
    if not header:
        raise InputError("has no header", where)
    if len(header) > MOST_COLUMNS:
        raise InputError(f"has {len(header):,} columns; at most {MOST_COLUMNS:,} are read", where)
    seen = set()
    for i, name in enumerate(header):
        if not name or not name.isprintable() or len(name) > 200:
            raise InputError(f"column {i + 1} has no name that can be printed ({name[:40]!a})", where)
        if name in seen:
            raise InputError(f"column {name} stands twice", where)
        seen.add(name)


def read_jsonl(path: Path) -> Rows:
    """The rows of a file with one JSON object a line; a key that a line lacks is missing there."""
    columns: dict[str, list[Any]] = {}
    lines: list[int] = []
    for number, held in enumerate(text(path).split("\n"), start=1):
        if not held.strip():
            continue
        row = parse_json(held, str(path), number)
        if not isinstance(row, dict):
            raise InputError("expected one object a line", f"{path}:{number}")
        new = [key for key in row if key not in columns]
        if new:
            _check_header([*columns, *new], f"{path}:{number}")
            columns |= {key: [None] * len(lines) for key in new}
        for key, cells in columns.items():
            cells.append(row.get(key))
        lines.append(number)
    if not lines or not columns:
        raise InputError("has no rows", str(path))
    return Rows(str(path), columns, lines)


def read_parquet(path: Path) -> Rows:
    """The rows of a Parquet file of numbers, texts and truth values (extra ``data``)."""
    with extras.needed("pyarrow", "reading Parquet", str(path)):
        import pyarrow
        import pyarrow.parquet

    held = content(path)
    try:
        with pyarrow.parquet.ParquetFile(pyarrow.BufferReader(held)) as file:
            shape = (file.metadata.num_rows, file.metadata.num_columns)
            if shape[0] * shape[1] > MOST_VALUES:
                raise InputError(f"holds {shape[0]:,} rows of {shape[1]:,} columns, too many to read", str(path))
            table = file.read()
        _check_header(table.column_names, str(path))
        columns = {name: table.column(name).to_pylist() for name in table.column_names}
    except (pyarrow.ArrowException, OSError, ValueError, TypeError, KeyError, OverflowError, MemoryError) as error:
        words = " ".join(str(error).split())[:120]
        raise InputError(f"is not a Parquet file that can be read ({words})", str(path)) from None
    if not table.num_rows:
        raise InputError("has no rows", str(path))
    return Rows(str(path), columns, range(1, table.num_rows + 1))


def csv_bytes(columns: Mapping[str, Values | Sequence[Any]]) -> bytes:
    """A CSV file of columns of equal length; None and NaN are empty cells."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(_cells(values) for values in columns.values()), strict=True))
    return out.getvalue().encode()


def _cells(values: Values | Sequence[Any]) -> Iterator[Any]:
    for value in values.tolist() if isinstance(values, np.ndarray) else values:
        if value is None or is_nan(value):
            yield ""
        else:
            yield ("true" if value else "false") if isinstance(value, bool) else value


def jsonl_bytes(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """A file with one JSON object a line."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def records(columns: Mapping[str, Values | Sequence[Any]]) -> list[dict[str, Any]]:
    """Columns of equal length as one mapping a row; None for NaN."""
    lists = [values.tolist() if isinstance(values, np.ndarray) else list(values) for values in columns.values()]
    return [
        {name: None if is_nan(value) else value for name, value in zip(columns, row, strict=True)}
        for row in zip(*lists, strict=True)
    ]
