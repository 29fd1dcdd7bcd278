"""Graphs written node by node: rows that name their parents, and JSON of nodes and edges."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.errors import InputError, unknown
from rooflab.inputs.cells import as_text, is_missing, is_whole
from rooflab.inputs.row_files import records
from rooflab.inputs.rows import Rows, typed
from rooflab.source.text import json_value

__all__ = ["from_json", "nodes_of_rows", "to_json"]

_ID: Final = ("id", "node", "node_id", "name")
_PARENT: Final = ("parent", "parent_id")
_FEATURES: Final = ("features", "embedding", "vector")
_LABEL: Final = ("label", "labels", "cluster", "class")
_EDGES: Final = ("source", "target", "weight", "time_s", "kind")
MOST_NUMBERS: Final = 1_000_000
"""Of all nodes together that are written as JSON; more are for .npz."""


def nodes_of_rows(rows: Rows) -> dict[str, Any]:
    """Fields of a graph of rows that are nodes; each edge leads from a node's parent to it.

    Columns id (the row's number without), parent (empty for a root), features (a list of numbers), label; every other
    one is kept by its name. Raises InputError for a parent that no row has, an id that stands twice, and a circle.
    """
    column = rows.find(*_PARENT)
    if column is None:
        raise InputError("no node says its parent, and there are no edges", rows.path)
    held, place = _nodes(rows)
    parents = [None if is_missing(cell) else as_text(cell) for cell in rows.columns[column]]
    source, target = [], []
    for row, parent in enumerate(parents):
        if parent is None:
            continue
        if parent not in place:
            raise rows.fail(column, row, "the id of a node")
        source.append(place[parent])
        target.append(row)
    if not source:
        raise InputError("no node has a parent, so there is no edge", rows.path)
    _check_circles(source, target, len(rows), rows, column)
    return {**held, "source": np.array(source), "target": np.array(target)}


def _nodes(rows: Rows) -> tuple[dict[str, Any], dict[str, int]]:
    """Fields of the nodes, and the place of each id."""
    named = rows.find(*_ID)
    cells = list(rows.columns[named]) if named else list(range(len(rows)))
    ids = [as_text(cell) or "" for cell in cells]
    place = {text: i for i, text in reversed(list(enumerate(ids)))}
    for row, text in enumerate(ids):
        if not text or (named and place[text] != row):
            assert named is not None
            raise rows.fail(named, row, "an id of its own")
    numbered = all(is_whole(cell) and int(cell) == i for i, cell in enumerate(cells))
    used = {named, rows.find(*_PARENT)}
    held: dict[str, Any] = {"nodes": len(rows), "names": None if numbered else tuple(ids)}
    features, label = rows.find(*_FEATURES), rows.find(*_LABEL)
    if features is not None:
        held["features"] = _features(rows, features)
    labels = None if label is None else typed(rows, label)
    if label is not None and labels is not None:
        if isinstance(labels, tuple):
            known = sorted(set(labels) - {""})
            held["labels"] = np.array([known.index(text) if text else -1 for text in labels])
        else:
            held["labels"] = rows.whole(label, low=-1, missing=-1)
    if rows.find("split"):
        held["split"] = rows.whole("split", low=0)
    others = [name for name in rows.columns if name not in (*used, features, label, "split")]
    held["extra"] = {name: typed(rows, name) for name in others}
    return held, place


def _features(rows: Rows, column: str) -> npt.NDArray[Any]:
    """Lists of numbers, as long as each other; bytes where all are whole ones of a byte."""
    found: list[list[float]] = []
    for row, cell in enumerate(rows.columns[column]):
        plain = isinstance(cell, list) and cell and all(type(x) in (int, float) and abs(x) < 1e15 for x in cell)
        if not plain or (found and len(cell) != len(found[0])):
            size = f"{len(found[0])} " if found else ""
            raise rows.fail(column, row, f"a list of {size}numbers")
        found.append(cell)
    whole = all(type(x) is int and 0 <= x <= 255 for row_ in found for x in row_)
    return np.array(found, dtype=np.uint8 if whole else np.float32)


def _check_circles(source: Sequence[int], target: Sequence[int], nodes: int, rows: Rows, column: str) -> None:
    """InputError where going from parent to parent never ends."""
    parent = np.full(nodes, -1)
    parent[np.array(target)] = source
    up = parent.copy()
    for _ in range(int(np.ceil(np.log2(nodes + 1))) + 1):
        up = np.where(up >= 0, up[up], -1)
    if (up >= 0).any():
        raise rows.fail(column, int(np.flatnonzero(up >= 0)[0]), "above its node: parents go round in a circle")


def from_json(path: Path) -> dict[str, Any]:
    """Fields of a graph in a JSON file: an object of nodes and edges, or of nodes that name their parents, or a list of
    these."""
    held = json_value(path)
    if isinstance(held, list):
        held = {"nodes": held}
    if not isinstance(held, dict):
        raise InputError("expected an object with nodes and edges, or a list of nodes", str(path))
    for key in held:
        if key not in ("nodes", "edges", "links"):
            raise unknown("field", key, ("nodes", "edges"), str(path))
    nodes = _rows(held.get("nodes"), f"{path}: nodes", empty="")
    links = held.get("edges", held.get("links"))
    if links is None:
        return nodes_of_rows(nodes)
    edges = _rows(links, f"{path}: edges", empty="there is no edge")
    for name in edges.columns:
        if name not in _EDGES:
            raise unknown("field", name, _EDGES, edges.path)
    found, place = _nodes(nodes)
    for end in _EDGES[:2]:
        column = edges.need("ends", end)
        texts = [as_text(cell) for cell in edges.columns[column]]
        for row, text in enumerate(texts):
            if text not in place:
                raise edges.fail(column, row, "the id of a node")
        found[end] = np.array([place[text or ""] for text in texts])
    for name in ("weight", "time_s"):
        if name in edges.columns:
            found[name] = edges.numbers(name)
    if "kind" in edges.columns:
        found["kind"] = edges.texts("kind")
    return found


def _rows(held: Any, where: str, *, empty: str) -> Rows:
    """A list of objects as rows, numbered from 0 as JSON counts; a key that one lacks is missing there."""
    if not isinstance(held, list) or not all(isinstance(item, dict) for item in held):
        raise InputError("expected a list of objects", where)
    if not held:
        raise InputError(empty or "there is no node", where)
    columns: dict[str, list[Any]] = {}
    for item in held:
        for key in item:
            if not key or not key.isprintable() or len(key) > 200:
                raise InputError(f"{key[:40]!a} is no name that can be printed", where)
            columns.setdefault(key, [])
    for name, cells in columns.items():
        cells += [item.get(name) for item in held]
    return Rows(where, columns, range(len(held)))


def to_json(held: Mapping[str, Any]) -> bytes:
    """The fields of a graph by name as JSON, one node or edge a line. Raises InputError for features that are for
    .npz."""
    features = held["features"]
    if features is not None and features.size > MOST_NUMBERS:
        raise InputError(f"{features.size:,} numbers of nodes are too many for .json; write .npz", "features")
    ids: list[Any] = list(range(held["nodes"])) if held["names"] is None else list(held["names"])
    columns = {
        "id": ids, "label": held["labels"], "features": None if features is None else features.tolist(),
        "split": held["split"], **held["extra"],
    }  # fmt: skip
    nodes = [_present(row) for row in records(_present(columns))]
    ends = {name: [ids[i] for i in held[name]] for name in _EDGES[:2]}
    edges = records({**ends, **_present({name: held[name] for name in _EDGES[2:]})})
    parts = [f'"{name}": [\n  {_lines(rows)}\n]' for name, rows in (("nodes", nodes), ("edges", edges))]
    return ("{" + ", ".join(parts) + "}\n").encode()


def _present(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def _lines(rows: Sequence[Mapping[str, Any]]) -> str:
    return ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in rows)
