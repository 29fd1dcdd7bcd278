"""Graphs: nodes and directed edges, with times, kinds, weights, labels, features and columns of nodes where they have
them. A tree is a graph whose edges lead from a parent to its children."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.errors import InputError
from rooflab.inputs.arrays import npz_bytes, read_npz
from rooflab.inputs.checks import names, numbers, put, texts, whole
from rooflab.inputs.content import frozen, taken
from rooflab.inputs.disturb import exchanging, halving, scaled, scaling, shuffled, shuffling
from rooflab.inputs.graph_nodes import from_json, nodes_of_rows, to_json
from rooflab.inputs.kind import Disturbance, Format, Kind
from rooflab.inputs.row_files import csv_bytes, read_csv, read_jsonl
from rooflab.inputs.rows import Rows
from rooflab.inputs.summary import Summary, summary
from rooflab.inputs.table import Table

__all__ = ["KIND", "Graph"]

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Values = npt.NDArray[Any] | tuple[str, ...]

_EDGE: Final = ("source", "target", "weight", "time_s", "kind")
_NODE: Final = ("labels", "features", "split", "names")
_NODE_COLUMN: Final = "node_"
"""Before the name of a column of nodes, where it is an array of a file."""
MOST_NODES: Final = 50_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Graph:
    """A directed graph; of one without direction each edge stands once. All but the edges may be absent (None).

    nodes: number of nodes, numbered from 0.
    source, target: E int64, the ends of each edge.
    weight: E float64.
    time_s: E float64, when each edge (an event, a call, a message) happened.
    kind: E texts, the type of each edge.
    labels: N int64, the class of each node; −1 where unknown.
    features: N × F float32, or uint8 for bits and counts.
    split: N int8: 1 to learn from, 2 to choose by, 3 to test on, 0 none of these.
    names: N texts.
    extra: name → N values, whatever else is known of each node (tokens, score, text).
    """

    nodes: int
    source: I64
    target: I64
    weight: F64 | None = None
    time_s: F64 | None = None
    kind: tuple[str, ...] | None = None
    labels: I64 | None = None
    features: npt.NDArray[Any] | None = None
    split: npt.NDArray[np.int8] | None = None
    names: tuple[str, ...] | None = None
    extra: Mapping[str, Values] = field(default_factory=dict)

    def __post_init__(self) -> None:
        source = whole(self.source, "source", "E", low=0)
        edges = len(source)
        put(self, source=source, target=whole(self.target, "target", f"{edges}", low=0))
        last = int(max(self.source.max(), self.target.max()))
        nodes = int(self.nodes)
        if not last < nodes <= MOST_NODES:
            raise InputError(f"is {nodes:,}; edges name node {last:,} (at most {MOST_NODES:,} nodes)", "nodes")
        put(self, nodes=nodes)
        for name in ("weight", "time_s"):
            if getattr(self, name) is not None:
                put(self, **{name: numbers(getattr(self, name), name, f"{edges}")})
        if self.kind is not None:
            put(self, kind=texts(self.kind, "kind", edges))
        if self.labels is not None:
            put(self, labels=whole(self.labels, "labels", f"{nodes}", low=-1))
        if self.split is not None:
            put(self, split=whole(self.split, "split", f"{nodes}", np.int8, low=0))
        if self.names is not None:
            put(self, names=texts(self.names, "names", nodes))
        if self.features is not None:
            bits = np.asarray(self.features).dtype.kind in "bu"
            check = partial(whole, dtype=np.uint8) if bits else partial(numbers, dtype=np.float32)
            put(self, features=check(self.features, "features", f"{nodes} F"))
        self._check_extra()

    def _check_extra(self) -> None:
        names((*(f.name for f in fields(self) if f.name != "extra"), *self.extra), "extra")
        if self.extra:
            columns = dict(Table({"nodes": np.arange(self.nodes), **self.extra}).columns)
            del columns["nodes"]
            put(self, extra=columns)

    def __len__(self) -> int:
        return self.nodes

    @property
    def edges(self) -> int:
        """Edges."""
        return len(self.source)

    def degrees(self) -> I64:
        """N int64: edges in and out of each node."""
        both = np.concatenate([self.source, self.target])
        return np.bincount(both, minlength=self.nodes).astype(np.int64)

    def of_edges(self, rows: I64) -> Graph:
        """The same nodes with these edges."""
        return replace(self, **{name: taken(getattr(self, name), rows) for name in _EDGE})

    def take(self, rows: I64) -> Graph:
        """These nodes and the edges among them, numbered anew. Raises InputError when no edge is left."""
        place = np.full(self.nodes, -1, dtype=np.int64)
        place[rows] = np.arange(len(rows))
        kept = np.flatnonzero((place[self.source] >= 0) & (place[self.target] >= 0))
        if not len(kept):
            raise InputError("no edge is left among these nodes", "source")
        held: dict[str, Any] = {name: taken(getattr(self, name), kept) for name in _EDGE[2:]}
        held |= {name: taken(getattr(self, name), rows) for name in _NODE}
        held["extra"] = {name: taken(values, rows) for name, values in self.extra.items()}
        return Graph(nodes=len(rows), source=place[self.source[kept]], target=place[self.target[kept]], **held)


def _from_npz(path: Path) -> Graph:
    arrays = read_npz(path)
    own = [name for name in arrays if name.startswith(_NODE_COLUMN)]
    known = (*(f.name for f in fields(Graph) if f.name != "extra"), *own)
    arrays.check(known, ("source", "target"))
    for name in ("source", "target"):
        if arrays[name].dtype.kind not in "iu" or arrays[name].size == 0:
            raise InputError("expected whole numbers, the nodes of the edges", arrays.where(name))
    nodes = arrays.pop("nodes", np.array(int(max(arrays["source"].max(), arrays["target"].max())) + 1))
    if nodes.ndim or nodes.dtype.kind not in "iu":
        raise InputError("is not one whole number", arrays.where("nodes"))
    extra = {name.removeprefix(_NODE_COLUMN): arrays.pop(name) for name in own}
    held: dict[str, Any] = {**arrays, "kind": arrays.texts("kind"), "names": arrays.texts("names")}
    held["extra"] = {n: tuple(map(str, v.tolist())) if v.dtype.kind == "U" else v for n, v in extra.items()}
    return Graph(nodes=int(nodes), **held)


def _to_npz(g: Graph) -> bytes:
    held = {name: getattr(g, name) for name in (*_EDGE, *_NODE)}
    return npz_bytes({"nodes": np.array(g.nodes), **held, **{f"{_NODE_COLUMN}{n}": v for n, v in g.extra.items()}})


def _fields(g: Graph) -> dict[str, Any]:
    return {f.name: getattr(g, f.name) for f in fields(g)}


def _of_nodes(rows: Rows) -> Graph:
    """A tree (or several) of rows that are nodes and name their parents."""
    return Graph(**nodes_of_rows(rows))


def _from_csv(path: Path) -> Graph:
    rows = read_csv(path)
    if rows.find("parent", "parent_id") and not rows.find("source", "from", "src"):
        return _of_nodes(rows)
    ends = [rows.texts(rows.need(what, *aliases)) for what, aliases in (
        ("sources", ("source", "from", "src")), ("targets", ("target", "to", "dst", "destination")),
    )]  # fmt: skip
    known = dict.fromkeys(name for pair in zip(*ends, strict=True) for name in pair)
    place = {name: i for i, name in enumerate(known)}
    weight, time, kind = rows.find("weight"), rows.find("time_s", "time", "timestamp"), rows.find("kind", "type")
    return Graph(
        nodes=len(place), source=np.array([place[n] for n in ends[0]]), target=np.array([place[n] for n in ends[1]]),
        weight=None if weight is None else rows.numbers(weight), time_s=None if time is None else rows.numbers(time),
        kind=None if kind is None else rows.texts(kind), names=tuple(place),
    )  # fmt: skip


def _to_csv(g: Graph) -> bytes:
    known: Sequence[str] = g.names or [str(i) for i in range(g.nodes)]
    columns: dict[str, Any] = {
        name: tuple(known[i] for i in ends) for name, ends in (("source", g.source), ("target", g.target))
    }
    columns |= {name: getattr(g, name) for name in _EDGE[2:] if getattr(g, name) is not None}
    return csv_bytes(columns)


def _describe(g: Graph) -> Summary:
    degrees = g.degrees()
    alone, loops = int((degrees == 0).sum()), int((g.source == g.target).sum())
    again = g.edges - len(np.unique(np.column_stack([g.source, g.target]), axis=0))
    odd = [f"{alone:,} nodes have no edge"] if alone else []
    odd += [f"{loops:,} edges lead back to their own node"] if loops else []
    odd += [f"{again:,} edges stand more than once"] if again and g.time_s is None else []
    arrays: dict[str, Any] = {**{name: getattr(g, name) for name in (*_EDGE, *_NODE)}, **g.extra}
    counts = {"nodes": g.nodes, "edges": g.edges, "features": 0 if g.features is None else g.features.shape[1]}
    return summary(counts, {**arrays, "edges of a node": degrees}, odd)


def _disturbances(g: Graph) -> tuple[Disturbance[Graph], ...]:
    amounts = [name for name in ("weight", "time_s", "features") if getattr(g, name) is not None]
    found = [
        *(scaling(name, f"{name} times a factor", partial(_scale, name=name)) for name in amounts),
        halving(len, Graph.take, "half of the nodes, with the edges among them"),
        shuffling("targets", "ends of edges given to other edges; degrees stay", partial(_shuffle, name="target")),
        exchanging("source and target", "the direction of every edge",
                   lambda g: replace(g, source=g.target, target=g.source)),
    ]  # fmt: skip
    learned = [name for name in ("labels", "time_s", "features", "kind") if getattr(g, name) is not None]
    found += [shuffling(n, f"{n} given to other nodes or edges", partial(_shuffle, name=n)) for n in learned]
    for name, values in g.extra.items():
        if not isinstance(values, tuple) and values.dtype.kind != "b":
            found.append(scaling(name, f"{name} of nodes times a factor", partial(_scale, name=name)))
        found.append(shuffling(name, f"{name} given to other nodes", partial(_shuffle, name=name)))
    return tuple(found)


def _with(g: Graph, name: str, values: Any) -> Graph:
    """The graph with a field, or a column of nodes, replaced."""
    changed: dict[str, Any] = {"extra": {**g.extra, name: values}} if name in g.extra else {name: values}
    return replace(g, **changed)


def _scale(g: Graph, factor: float, name: str) -> Graph:
    values: Any = g.extra[name] if name in g.extra else getattr(g, name)
    if values.dtype.kind == "u":
        return replace(g, features=frozen(np.clip(np.round(values * factor), 0, 255).astype(np.uint8)))
    return _with(g, name, scaled(values, factor))


def _shuffle(g: Graph, rng: np.random.Generator, name: str) -> Graph:
    return _with(g, name, shuffled(g.extra[name] if name in g.extra else getattr(g, name), rng))


KIND: Final[Kind[Graph]] = Kind(
    name="graph",
    does="Nodes and edges, with times, kinds, labels and features where they have them.",
    data=Graph,
    formats=(
        Format(suffix=".npz", what="arrays nodes, source, target, and the other fields", load=_from_npz, dump=_to_npz),
        Format(suffix=".csv", what="one edge a row: source, target (any names), weight, time_s, kind; or one node of "
               "a tree a row: id, parent, whatever else", text=True, load=_from_csv, dump=_to_csv),
        Format(suffix=".json", what="nodes (id, label, features, whatever else) and edges (source, target, weight, "
               "time_s, kind); nodes of a tree say parent instead of edges", text=True,
               load=lambda path: Graph(**from_json(path)), dump=lambda g: to_json(_fields(g))),
        Format(suffix=".jsonl", what="one node of a tree a line: id, parent, whatever else", text=True,
               load=lambda path: _of_nodes(read_jsonl(path))),
    ),
    describe=_describe,
    disturbances=_disturbances,
    example=lambda: _first_edges(KIND.sample(), 6),
    signs=(
        frozenset({"source", "target"}), frozenset({"from", "to"}), frozenset({"src", "dst"}),
        frozenset({"nodes", "edges"}), frozenset({"nodes"}), frozenset({"id", "parent"}), frozenset({"id", "parentid"}),
    ),
)  # fmt: skip


def _first_edges(g: Graph, count: int) -> Graph:
    """A graph of the first edges and their nodes, without what nodes carry: what a .csv file of edges holds."""
    rows = np.arange(count)
    nodes = np.unique(np.concatenate([g.source[rows], g.target[rows]]))
    return replace(g.of_edges(rows).take(nodes), features=None, labels=None, split=None)
