"""Rows by column, each with its line in a file, so that a wrong value is named by both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rooflab.errors import InputError, no_column
from rooflab.inputs.cells import (
    LARGEST,
    as_number,
    as_text,
    as_truth,
    as_whole,
    is_missing,
    is_name,
    is_whole,
)
from rooflab.inputs.content import frozen

__all__ = ["Rows", "listed", "squash", "typed"]

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Values = npt.NDArray[Any] | tuple[str, ...]


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
        """The cells of a column. Raises InputError with those that there are."""
        if name not in self.columns:
            raise no_column(name, self.columns, self.path)
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


def typed(rows: Rows, name: str) -> Values:
    """A column with its type found: whole numbers, numbers (NaN where missing), true/false, else texts."""
    cells = rows.column(name)
    present = [cell for cell in cells if not is_missing(cell)]
    full = bool(present) and len(present) == len(cells)
    if full and all(isinstance(c, bool) or str(c).strip().lower() in ("true", "false") for c in present):
        return frozen(np.array([as_truth(c) for c in present], dtype=bool))
    if present and not any(is_name(c) for c in present):
        if full and all(is_whole(c) for c in present):
            return rows.whole(name)
        if all(as_number(c) is not None for c in present):
            return rows.numbers(name, missing=True)
    return rows.texts(name)


def listed(names: Any, most: int = 12) -> str:
    """Names in a line, the rest counted."""
    shown = [str(name) for name in names]
    return ", ".join(shown[:most]) + (f" and {len(shown) - most} more" if len(shown) > most else "")
