"""Linear programs with whole variables, solved by HiGHS.

    most Σ gain·x     low ≤ rows·x ≤ high,  least ≤ x ≤ most,  some x whole

Rows are given as mappings from columns to coefficients. What HiGHS itself writes to the terminal is thrown away.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from rooflab import extras
from rooflab.errors import Infeasible

__all__ = ["Program"]

F64 = npt.NDArray[np.float64]


class Program:
    """A program that grows variable by variable and row by row; `where` names whom errors are about."""

    def __init__(self, where: str) -> None:
        self.where = where
        self._gain: list[float] = []
        self._least: list[float] = []
        self._most: list[float] = []
        self._whole: list[float] = []
        self._rows: list[Mapping[int, float]] = []
        self._low: list[float] = []
        self._high: list[float] = []

    def variable(self, *, gain: float = 0.0, least: float = 0.0, most: float = np.inf, whole: bool = False) -> int:
        """The column of a new variable."""
        self._gain.append(gain)
        self._least.append(least)
        self._most.append(most)
        self._whole.append(float(whole))
        return len(self._gain) - 1

    def row(self, terms: Mapping[int, float], *, low: float = -np.inf, high: float = np.inf) -> None:
        """low ≤ Σ coefficient · variable ≤ high."""
        self._rows.append(terms)
        self._low.append(low)
        self._high.append(high)

    def solved(self, *, gap: float = 1e-4, nodes: int = 100_000, presolve: bool = True) -> F64:
        """The best values that are found within `gap` of the bound, or after so many `nodes` (a count, not a clock).

        Raises MissingExtra without SciPy, Infeasible where nothing fulfils the rows.
        """
        with extras.needed("scipy", "an integer program", self.where):
            from scipy import optimize, sparse
        at = [(i, column, value) for i, terms in enumerate(self._rows) for column, value in terms.items()]
        rows, columns, values = (list(x) for x in zip(*at, strict=True))
        matrix = sparse.coo_matrix((values, (rows, columns)), (len(self._rows), len(self._gain))).tocsc()
        with _quiet():
            found: Any = optimize.milp(
                -np.array(self._gain), integrality=np.array(self._whole),
                bounds=optimize.Bounds(np.array(self._least), np.array(self._most)),
                constraints=optimize.LinearConstraint(matrix, self._low, self._high),
                options={"mip_rel_gap": gap, "node_limit": nodes, "presolve": presolve},
            )  # fmt: skip
        if found.x is None:
            raise Infeasible(f"HiGHS found nothing that fits {len(self._rows):,} rows: {found.message}")
        return np.asarray(found.x, dtype=np.float64)


@contextmanager
def _quiet() -> Iterator[None]:
    """Throw away what compiled code writes to the standard output (HiGHS notes a repaired solution there)."""
    kept = -1
    with suppress(OSError):
        kept = os.dup(1)
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.close(nothing)
    try:
        yield
    finally:
        if kept >= 0:
            os.dup2(kept, 1)
            os.close(kept)
