"""Vectors: what is searched, what it is searched with, and what ought to be found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.errors import InputError
from rooflab.inputs.arrays import npz_bytes, read_npz
from rooflab.inputs.checks import numbers, put, texts, whole
from rooflab.inputs.content import taken
from rooflab.inputs.disturb import exchanging, halving, scaled, scaling, shuffled, shuffling
from rooflab.inputs.kind import Disturbance, Format, Kind
from rooflab.inputs.row_files import csv_bytes, read_csv
from rooflab.inputs.summary import Summary, summary
from rooflab.source.text import content

__all__ = ["KIND", "Vectors"]

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]
NO_NEIGHBOUR: Final = -1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Vectors:
    """Vectors of D dimensions; `queries`, `neighbours`, `labels` and `ids` may be absent (None).

    base: N × D float32, the vectors that are searched or coded.
    queries: Q × D float32, the vectors to search with.
    neighbours: Q × k int64, for each query the rows of `base` that ought to be found, best first; −1 fills up.
    labels: N int64, the class of each vector of `base`; −1 where unknown.
    ids: N texts, names of the vectors of `base`.
    """

    base: F32
    queries: F32 | None = None
    neighbours: I64 | None = None
    labels: I64 | None = None
    ids: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        base = numbers(self.base, "base", "N D", np.float32)
        count, width = base.shape
        put(self, base=base)
        if self.queries is not None:
            put(self, queries=numbers(self.queries, "queries", f"Q {width}", np.float32))
        if self.neighbours is not None:
            asked = 0 if self.queries is None else len(self.queries)
            put(self, neighbours=_neighbours(self.neighbours, asked, count))
        if self.labels is not None:
            put(self, labels=whole(self.labels, "labels", f"{count}", low=-1))
        if self.ids is not None:
            put(self, ids=texts(self.ids, "ids", count))

    def __len__(self) -> int:
        return len(self.base)

    @property
    def dimensions(self) -> int:
        """Numbers of a vector."""
        return int(self.base.shape[1])

    def take(self, rows: I64) -> Vectors:
        """These rows of `base`; neighbours that are not among them become −1."""
        neighbours = None
        if self.neighbours is not None:
            place = np.full(len(self) + 1, NO_NEIGHBOUR, dtype=np.int64)
            place[rows] = np.arange(len(rows))
            neighbours = place[self.neighbours]
        return replace(
            self, base=self.base[rows], neighbours=neighbours, labels=taken(self.labels, rows),
            ids=taken(self.ids, rows),
        )  # fmt: skip


def _neighbours(values: Any, queries: int, count: int) -> I64:
    found = whole(values, "neighbours", f"{queries} k", low=NO_NEIGHBOUR)
    if (found >= count).any():
        q, k = np.argwhere(found >= count)[0]
        raise InputError(f"[{q}, {k}] is {found[q, k]}, not a row of base (0 to {count - 1}, or −1)", "neighbours")
    return found


def _from_npz(path: Path) -> Vectors:
    arrays = read_npz(path)
    if len(arrays) == 1 and "base" not in arrays:
        return Vectors(base=next(iter(arrays.values())))
    arrays.check(("base", "queries", "neighbours", "labels", "ids"), ("base",))
    held: dict[str, Any] = {**arrays, "ids": arrays.texts("ids")}
    return Vectors(**held)


def _to_npz(v: Vectors) -> bytes:
    return npz_bytes({name: getattr(v, name) for name in ("base", "queries", "neighbours", "labels", "ids")})


def _from_csv(path: Path) -> Vectors:
    rows = read_csv(path)
    ids, labels = rows.find("id"), rows.find("label")
    numbers = [name for name in rows.columns if name not in (ids, labels)]
    if not numbers:
        raise InputError("has no columns of numbers beside id and label", f"{path}:1")
    with np.errstate(over="ignore"):
        base = np.column_stack([rows.numbers(name) for name in numbers]).astype(np.float32)
    for row, column in np.argwhere(~(np.abs(base) <= 1e15))[:1]:
        raise rows.fail(numbers[column], row, "a number up to 1e15")
    return Vectors(
        base=base, ids=None if ids is None else rows.texts(ids),
        labels=None if labels is None else rows.whole(labels, low=-1, missing=-1),
    )  # fmt: skip


def _to_csv(v: Vectors) -> bytes:
    columns: dict[str, Any] = {} if v.ids is None else {"id": v.ids}
    if v.labels is not None:
        columns["label"] = v.labels
    # the shortest digits that give the same float32 again
    return csv_bytes(columns | {f"x{i}": [str(x) for x in v.base[:, i]] for i in range(v.dimensions)})


def _from_fvecs(path: Path) -> Vectors:
    held = content(path)
    width = int.from_bytes(held[:4], "little", signed=True) if len(held) >= 4 else 0
    size = 4 * (width + 1)
    if width < 1 or len(held) % size:
        raise InputError(f"says vectors of {width} numbers, which {len(held):,} bytes are not", str(path))
    table = np.frombuffer(held, dtype="<i4").reshape(-1, width + 1)
    other = np.flatnonzero(table[:, 0] != width)
    if len(other):
        raise InputError(f"vector {other[0]} says {table[other[0], 0]} numbers; the first has {width}", str(path))
    return Vectors(base=table[:, 1:].copy().view("<f4"))


def _to_fvecs(v: Vectors) -> bytes:
    lead = np.full((len(v), 1), v.dimensions, dtype="<i4")
    return np.hstack([lead, np.ascontiguousarray(v.base, dtype="<f4").view("<i4")]).tobytes()


def _describe(v: Vectors) -> Summary:
    norms = np.linalg.norm(v.base.astype(np.float64), axis=1)
    counts = {"vectors": len(v), "dimensions": v.dimensions, "queries": 0 if v.queries is None else len(v.queries)}
    odd = []
    zero, again = int((norms == 0).sum()), len(v) - len(np.unique(v.base, axis=0))
    if zero:
        odd.append(f"{zero:,} vectors are zero")
    if again:
        odd.append(f"{again:,} vectors stand more than once")
    if v.neighbours is not None and (v.neighbours == NO_NEIGHBOUR).all(axis=1).any():
        odd.append(f"{int((v.neighbours == NO_NEIGHBOUR).all(axis=1).sum()):,} queries have no neighbour")
    arrays = {"base": v.base, "queries": v.queries, "neighbours": v.neighbours, "labels": v.labels, "ids": v.ids}
    return summary(counts, {**arrays, "norm of base": norms}, odd)


def _disturbances(v: Vectors) -> tuple[Disturbance[Vectors], ...]:
    found = [
        scaling("base", "vectors that are searched times a factor", lambda v, f: replace(v, base=scaled(v.base, f))),
        halving(len, Vectors.take, "half of the vectors that are searched"),
        shuffling("dimensions", "each dimension of base over its vectors, alone", _shuffle_dimensions),
    ]
    if v.queries is not None:
        found.append(exchanging("queries and base", "what is searched and what with", _exchange))
    if v.neighbours is not None:
        found.append(shuffling("neighbours", "answers given to other queries", _shuffle_neighbours))
    if v.labels is not None:
        found.append(shuffling("labels", "labels given to other vectors", _shuffle_labels))
    return tuple(found)


def _shuffle_dimensions(v: Vectors, rng: np.random.Generator) -> Vectors:
    return replace(v, base=rng.permuted(v.base, axis=0))


def _shuffle_neighbours(v: Vectors, rng: np.random.Generator) -> Vectors:
    return replace(v, neighbours=None if v.neighbours is None else shuffled(v.neighbours, rng))


def _shuffle_labels(v: Vectors, rng: np.random.Generator) -> Vectors:
    return replace(v, labels=None if v.labels is None else shuffled(v.labels, rng))


def _exchange(v: Vectors) -> Vectors:
    """Neighbours, labels and ids belong to one side and are dropped."""
    assert v.queries is not None
    return Vectors(base=v.queries, queries=v.base)


KIND: Final[Kind[Vectors]] = Kind(
    name="vectors",
    does="Vectors to search or to code, with queries and what they ought to find.",
    data=Vectors,
    formats=(
        Format(
            suffix=".npz", what="arrays base, queries, neighbours, labels, ids; or one array alone",
            load=_from_npz, dump=_to_npz,
        ),
        Format(
            suffix=".csv", what="one vector a row: id, label and a column a dimension (base alone)", text=True,
            load=_from_csv, dump=_to_csv,
        ),
        Format(
            suffix=".fvecs", what="for each vector its length (int32) and its numbers (float32)",
            load=_from_fvecs, dump=_to_fvecs,
        ),
    ),
    describe=_describe,
    disturbances=_disturbances,
    example=lambda: KIND.sample().take(np.arange(3)),
    signs=(frozenset({"base"}),),
)  # fmt: skip
