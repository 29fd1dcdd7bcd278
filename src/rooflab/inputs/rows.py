"""Rows of .csv, .jsonl and .parquet files by column, each with its line, so that a wrong value is named by both.

Cells are texts in a CSV file, JSON values elsewhere; nothing and an empty text both mean that a value is missing.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab import extras
from rooflab.errors import InputError, unknown
from rooflab.inputs.content import frozen
from rooflab.source.text import content, parse_json, text

__all__ = [
    "LARGEST",
    "Rows",
    "csv_bytes",
    "jsonl_bytes",
    "listed",
    "read_csv",
    "read_jsonl",
    "read_parquet",
    "records",
    "squash",
    "typed",
]

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Values = npt.NDArray[Any] | tuple[str, ...]

LARGEST: Final = 1e150
"""A number beyond this is refused: its square would be infinite."""
MOST_COLUMNS: Final = 10_000
_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_WHOLE: Final = re.compile(r"-?(?:0|[1-9]\d{0,17})", re.ASCII)
_PADDED: Final = re.compile(r"\s*[+-]?0\d", re.ASCII)
"""Digits with a zero in front name something; they are no number."""
_TRUTH: Final = {"true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}


def squash(name: str) -> str:
    """Lower case, letters and digits only: how column names are compared."""
    return "".join(c for c in name.lower() if c.isalnum())


@dataclass(frozen=True, slots=True)
class Rows:
    """Columns of cells by name, and the line of each row in the file `path` (its number where there are no lines)."""

    path: str
    columns: Mapping[str, Sequence[Any]]
    lines: Sequence[int]

    def __len__(self) -> int:
        return len(self.lines)

    def find(self, *aliases: str) -> str | None:
        """The column with the first of these names that there is, letters and digits compared."""
        names = {squash(name): name for name in reversed(list(self.columns))}
        return next((names[squash(alias)] for alias in aliases if squash(alias) in names), None)

    def need(self, what: str, *aliases: str) -> str:
        """The same, or InputError that names the columns there are."""
        found = self.find(*aliases)
        if found is None:
            raise InputError(
                f"no column of {what} (such as {aliases[0]}) among {listed(self.columns)}{self._commas()}", self.path
            )
        return found

    def column(self, name: str) -> Sequence[Any]:
        """The cells of a column. Raises InputError with the nearest names."""
        if name not in self.columns:
            raise unknown("column", name, self.columns, self.path)
        return self.columns[name]

    def numbers(self, name: str, *, low: float = -LARGEST, missing: bool = False) -> F64:
        """A column of numbers from `low` up, the missing ones NaN where `missing` is allowed."""
        at_least = f" of at least {low:g}" if low > -LARGEST else ""

        def number(cell: Any) -> float | None:
            value = as_number(cell)
            return value if value is not None and (low <= value <= LARGEST) else None

        return frozen(np.array(self._read(name, number, f"a number{at_least}", float("nan") if missing else None)))

    def whole(self, name: str, *, low: int = -(10**18), missing: int | None = None) -> I64:
        """A column of whole numbers from `low` up; `missing` stands for those that are not there."""
        at_least = f" of at least {low}" if low > -(10**18) else ""

        def number(cell: Any) -> int | None:
            value = as_whole(cell)
            return value if value is not None and low <= value <= 10**18 else None

        found = self._read(name, number, f"a whole number{at_least}", missing)
        return frozen(np.array(found, dtype=np.int64))

    def truths(self, name: str, *, missing: int | None = None) -> npt.NDArray[np.int8]:
        """A column of yes (1) and no (0); `missing` stands for those that are not there."""
        found = self._read(name, as_truth, "true or false", missing)
        return frozen(np.array(found, dtype=np.int8))

    def texts(self, name: str) -> tuple[str, ...]:
        """A column of texts, the missing ones empty."""
        return tuple(self._read(name, as_text, "a text", ""))

    def fail(self, name: str, row: int, what: str) -> InputError:
        """The error that the cell of a column in a row is not `what`."""
        cell = self.columns[name][row]
        held = "missing" if is_missing(cell) else f"{str(cell)[:40]!a}"
        return InputError(f"{name} is {held}, not {what}", f"{self.path}:{self.lines[row]}")

    def _read(self, name: str, reader: Callable[[Any], Any], what: str, missing: Any) -> list[Any]:
        values = []
        for row, cell in enumerate(self.column(name)):
            value = reader(cell)
            if value is None and missing is not None and is_missing(cell):
                value = missing
            if value is None:
                raise self.fail(name, row, what)
            values.append(value)
        return values

    def _commas(self) -> str:
        only = next(iter(self.columns)) if len(self.columns) == 1 else ""
        other = next((c for c in (";", "\t", "|") if c in only), None)
        return f"; values are separated by commas, not by {other!r}" if other else ""


def is_nan(cell: Any) -> bool:
    """Whether a cell is the float that is no number."""
    return isinstance(cell, float) and isnan(cell)


def is_missing(cell: Any) -> bool:
    """Whether there is nothing in a cell."""
    return cell is None or (cell.strip() == "" if isinstance(cell, str) else is_nan(cell))


def as_number(cell: Any) -> float | None:
    """The number in a cell, None if there is none."""
    if isinstance(cell, bool):
        return None
    if isinstance(cell, (int, float)):
        return float(cell) if abs(cell) <= LARGEST else None
    if isinstance(cell, str) and len(cell) < 400 and _NUMBER.fullmatch(cell.strip()):
        value = float(cell.strip())
        return value if abs(value) <= LARGEST else None
    return None


def as_whole(cell: Any) -> int | None:
    """The whole number in a cell (3 or 3.0), None if there is none."""
    if isinstance(cell, str) and _WHOLE.fullmatch(cell.strip()):
        return int(cell.strip())
    value = as_number(cell)
    if value is None or abs(value) > 2**53 or value != int(value):
        return cell if isinstance(cell, int) and not isinstance(cell, bool) and abs(cell) <= 10**18 else None
    return int(value)


def as_truth(cell: Any) -> bool | None:
    """The yes or no in a cell, None if there is none."""
    if isinstance(cell, bool):
        return cell
    return _TRUTH.get(str(cell).strip().lower()) if isinstance(cell, (str, int, float)) else None


def as_text(cell: Any) -> str | None:
    """The text of a cell: numbers and truth values are written out, lists and mappings are none."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return str(cell) if isinstance(cell, (int, float)) else None


def typed(rows: Rows, name: str) -> Values:
    """A column with its type found: whole numbers, numbers (NaN where missing), true/false, else texts."""
    cells = rows.column(name)
    present = [cell for cell in cells if not is_missing(cell)]
    full = bool(present) and len(present) == len(cells)
    if full and all(isinstance(c, bool) or str(c).strip().lower() in ("true", "false") for c in present):
        return frozen(np.array([as_truth(c) for c in present], dtype=bool))
    if present and not any(isinstance(c, str) and _PADDED.match(c) for c in present):
        if full and all(_is_whole(c) for c in present):
            return rows.whole(name)
        if all(as_number(c) is not None for c in present):
            return rows.numbers(name, missing=True)
    return rows.texts(name)


def _is_whole(cell: Any) -> bool:
    if isinstance(cell, str):
        return _WHOLE.fullmatch(cell.strip()) is not None
    return isinstance(cell, int) and not isinstance(cell, bool) and abs(cell) <= 10**18


def listed(names: Any, most: int = 12) -> str:
    """Names in a line, the rest counted."""
    shown = [str(name) for name in names]
    return ", ".join(shown[:most]) + (f" and {len(shown) - most} more" if len(shown) > most else "")


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
            if shape[0] * shape[1] > 100_000_000:
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
