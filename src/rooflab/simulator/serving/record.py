"""Records with names: a class of annotations is the record dtype of a table, and the type of its rows.

`sim.jobs[i].done` is the same to Python, to numba and to mypy: a column is known by its name alone, everywhere.
`float` is 64 bits, `int` is 64 bits, `Int32` is 32.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, Protocol, TypeVar, get_args, get_type_hints, overload

import numpy as np

__all__ = ["Cells", "Grid", "Int32", "Rows", "dtype_of"]

Int32 = Annotated[int, np.int32]
Row_co = TypeVar("Row_co", covariant=True)
Cell = TypeVar("Cell")


class Rows(Protocol[Row_co]):
    """A table: row by number."""

    def __len__(self) -> int: ...
    def __getitem__(self, at: int, /) -> Row_co: ...


class Cells(Protocol[Cell]):
    """A column of numbers."""

    def __len__(self) -> int: ...
    def __getitem__(self, at: int, /) -> Cell: ...
    def __setitem__(self, at: int, value: Cell, /) -> None: ...


class Grid(Protocol[Cell]):
    """Numbers, or rows, by two numbers."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""

    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, at: int, /) -> Cells[Cell]: ...
    @overload
    def __getitem__(self, at: tuple[int, int], /) -> Cell: ...
    def __setitem__(self, at: tuple[int, int], value: Cell, /) -> None: ...


@cache
def dtype_of(row: type) -> np.dtype[Any]:
    """The record dtype of a class of rows: its annotated columns, wide ones first, aligned."""
    kinds = {float: np.float64, int: np.int64}
    columns = [
        (name, get_args(hint)[1] if get_args(hint) else kinds[hint])
        for name, hint in get_type_hints(row, include_extras=True).items()
    ]
    return np.dtype(sorted(columns, key=lambda column: -np.dtype(column[1]).itemsize), align=True)
