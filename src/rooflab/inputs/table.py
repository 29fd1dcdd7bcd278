"""Tables: columns of numbers, truth values and texts, one row an observation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab import extras
from rooflab.errors import InputError, no_column
from rooflab.inputs.cells import as_number
from rooflab.inputs.checks import finite
from rooflab.inputs.content import frozen, taken
from rooflab.inputs.disturb import exchanging, halving, scaled, scaling, shuffled, shuffling
from rooflab.inputs.kind import Disturbance, Format, Kind
from rooflab.inputs.row_files import csv_bytes, jsonl_bytes, read_csv, read_jsonl, read_parquet, records
from rooflab.inputs.rows import Rows, typed
from rooflab.inputs.summary import Summary, summary

__all__ = ["KIND", "Table", "table_of"]

Values = npt.NDArray[Any] | tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Columns of equal length.

    columns: name → N values: int64, float64 (NaN where missing), bool, or texts (empty where missing). A name that ends
        in a unit (`energy_j`, `time_s`, `size_bytes`) is in that unit.
    """

    columns: Mapping[str, Values]

    def __post_init__(self) -> None:
        columns = {name: _column(name, values) for name, values in self.columns.items()}
        lengths = {len(values) for values in columns.values()}
        if len(lengths) != 1 or 0 in lengths:
            raise InputError(f"columns are of {sorted(lengths)} rows; all need the same, at least one", "columns")
        object.__setattr__(self, "columns", columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, name: str) -> Values:
        if name not in self.columns:
            raise no_column(name, self.columns)
        return self.columns[name]

    def numbers(self, name: str) -> npt.NDArray[np.float64]:
        """A column as floats. Raises InputError for texts."""
        values = self[name]
        if isinstance(values, tuple):
            others = ((i, v) for i, v in enumerate(values, start=1) if v and as_number(v) is None)
            row, cell = next(others, (1, values[0]))
            raise InputError(f"holds texts, not numbers ({cell!r} in row {row:,})", name)
        return values.astype(np.float64)

    def texts(self, name: str) -> tuple[str, ...]:
        """A column as texts, numbers written out."""
        values = self[name]
        return values if isinstance(values, tuple) else tuple(str(v) for v in values.tolist())

    @property
    def quantities(self) -> tuple[str, ...]:
        """Columns of numbers that are amounts: not truth values, nor numbers that name something (ids, years)."""
        return tuple(
            name
            for name, values in self.columns.items()
            if not isinstance(values, tuple) and values.dtype.kind in "if" and not name.lower().endswith(_NAMES)
        )

    def take(self, rows: npt.NDArray[np.int64]) -> Table:
        """The table of these rows, in this order."""
        return Table({name: taken(values, rows) for name, values in self.columns.items()})

    def with_column(self, name: str, values: Values) -> Table:
        """The table with a column replaced or added."""
        return replace(self, columns={**self.columns, name: values})


_NAMES: Final = ("id", "index", "row", "seed", "year", "label", "class")


def _column(name: str, values: Any) -> Values:
    if isinstance(values, tuple) or (isinstance(values, list) and values and isinstance(values[0], str)):
        if not all(isinstance(v, str) for v in values):
            raise InputError("mixes texts and other values", f"columns.{name}")
        return tuple(values)
    array = np.asarray(values)
    kind = {"b": np.bool_, "i": np.int64, "u": np.int64, "f": np.float64}.get(array.dtype.kind)
    if kind is None or array.ndim != 1:
        found = f"{array.dtype} of shape {array.shape}"
        raise InputError(f"expected one axis of numbers, truth values or texts, got {found}", f"columns.{name}")
    array = array.astype(kind)
    if array.dtype.kind == "f":
        finite(array, f"columns.{name}", missing=True)
    return frozen(array)


def table_of(rows: Rows) -> Table:
    """Rows with the type of each column found: whole, number, true/false, else text."""
    return Table({name: typed(rows, name) for name in rows.columns})


def _describe(table: Table) -> Summary:
    texts = ["\x1f".join(row) for row in zip(*(table.texts(name) for name in table.columns), strict=True)]
    again = len(texts) - len(set(texts))
    odd = [f"{again:,} rows stand more than once"] if again else []
    return summary({"rows": len(table), "columns": len(table.columns)}, table.columns, odd)


def _disturbances(table: Table) -> tuple[Disturbance[Table], ...]:
    alike = [(a, b) for a, b in pairwise(table.columns) if _sort(table[a]) == _sort(table[b])]
    return (
        *(_scale(name) for name in table.quantities),
        halving(len, Table.take),
        *(_shuffle(name) for name in table.columns),
        *(_exchange(a, b) for a, b in alike),
    )


def _sort(values: Values) -> str:
    return "text" if isinstance(values, tuple) else values.dtype.kind


def _scale(name: str) -> Disturbance[Table]:
    return scaling(name, f"column {name} times a factor", lambda t, f: t.with_column(name, scaled(t.columns[name], f)))


def _shuffle(name: str) -> Disturbance[Table]:
    return shuffling(
        name, f"column {name} in another order", lambda t, rng: t.with_column(name, shuffled(t.columns[name], rng))
    )


def _exchange(a: str, b: str) -> Disturbance[Table]:
    def change(table: Table) -> Table:
        return replace(table, columns={**table.columns, a: table.columns[b], b: table.columns[a]})

    return exchanging(f"{a} and {b}", "two neighbouring columns of one type", change)


def _parquet(table: Table) -> bytes:
    with extras.needed("pyarrow", "writing Parquet"):
        import pyarrow
        import pyarrow.parquet

    out = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table(dict(table.columns)), out)
    held: bytes = out.getvalue().to_pybytes()
    return held


KIND: Final[Kind[Table]] = Kind(
    name="table",
    does="Typed columns, one row an observation.",
    data=Table,
    formats=(
        Format(
            suffix=".csv", what="a header, then one row a line", text=True,
            load=lambda path: table_of(read_csv(path)), dump=lambda t: csv_bytes(t.columns),
        ),
        Format(
            suffix=".jsonl", what="one object a line", text=True,
            load=lambda path: table_of(read_jsonl(path)), dump=lambda t: jsonl_bytes(records(t.columns)),
        ),
        Format(
            suffix=".parquet", what="columns of numbers, texts, truth values", needs="data",
            load=lambda path: table_of(read_parquet(path)), dump=_parquet,
        ),
    ),
    describe=_describe,
    disturbances=_disturbances,
    example=lambda: KIND.sample().take(np.arange(4)),
    signs=(frozenset(),),
)  # fmt: skip
