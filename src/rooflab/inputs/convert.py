"""Data of one kind as another, where that is natural; where it is not, one line says what can be made of them.

table = convert(runs, Table)
tree = opened("programs.jsonl", Graph)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from rooflab.errors import InputError
from rooflab.inputs.design import Design
from rooflab.inputs.graph import Graph
from rooflab.inputs.images import Images
from rooflab.inputs.kind import Kind
from rooflab.inputs.kinds import KINDS, guess, kind_of
from rooflab.inputs.layers import network_of
from rooflab.inputs.portfolio import Portfolio
from rooflab.inputs.predictions import Predictions
from rooflab.inputs.programs import Programs
from rooflab.inputs.runs import Runs
from rooflab.inputs.series import Series
from rooflab.inputs.table import Table
from rooflab.inputs.text import Text
from rooflab.inputs.trees import tree_of_programs, tree_of_runs
from rooflab.inputs.vectors import Vectors
from rooflab.operators.networks import Network
from rooflab.scenario.scenario import Scenario

__all__ = ["CONVERSIONS", "Conversion", "convert", "opened", "reached"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Conversion:
    """`change` makes a `target` of a `source`; `what` says what becomes of it."""

    source: type[Any]
    target: type[Any]
    what: str
    change: Callable[[Any], Any]


def _edges(g: Graph) -> Table:
    columns: dict[str, Any] = {"source": g.source, "target": g.target}
    if g.names is not None:
        columns = {name: tuple(g.names[i] for i in ends) for name, ends in columns.items()}
    more = {name: getattr(g, name) for name in ("weight", "time_s", "kind")}
    return Table(columns | {name: values for name, values in more.items() if values is not None})


def _items(p: Predictions) -> Table:
    columns: dict[str, Any] = {} if p.ids is None else {"id": p.ids}
    if p.labels is not None:
        columns["label"] = tuple(p.classes[i] if i >= 0 else "" for i in p.labels)
    for m, model in enumerate(p.models):
        columns |= {f"{model} says": tuple(p.classes[i] for i in p.scores[m].argmax(axis=1))}
        columns |= {f"{model} score": p.scores[m].max(axis=1)}
        columns |= {} if p.costs is None else {f"{model} cost": p.costs[m]}
    return Table(columns)


def _instants(s: Series) -> Table:
    channels = {name: s.values[:, i] for i, name in enumerate(s.channels)}
    return Table({"time_s": s.time_s, **channels} | ({} if s.labels is None else {"label": s.labels}))


def _points(d: Design) -> Table:
    if d.points is None:
        raise InputError("holds no point, so there is no table to make of it", "points")
    return d.points


def _documents(t: Text) -> Table:
    columns = {"id": t.ids, "label": t.labels, "text": t.texts}
    return Table({name: values for name, values in columns.items() if values is not None})


def _rows(v: Vectors) -> Table:
    columns: dict[str, Any] = {"id": v.ids, "label": v.labels}
    numbers = {f"x{i}": v.base[:, i] for i in range(v.dimensions)}
    return Table({name: values for name, values in columns.items() if values is not None} | numbers)


def _vectors_of_table(t: Table) -> Vectors:
    """Columns of numbers that are amounts; a column id names the rows and a column label or class says their class."""
    wanted = [name for name in t.quantities if not np.isnan(t.numbers(name)).any()]
    if not wanted:
        raise InputError("holds no whole column of amounts", "columns")
    labels = next((t[name] for name in t.columns if name.lower() in ("label", "class")), None)
    if isinstance(labels, tuple):
        known = sorted(set(labels) - {""})
        labels = np.array([known.index(label) if label else -1 for label in labels])
    return Vectors(
        base=np.column_stack([t.numbers(name) for name in wanted]),
        labels=None if labels is None else labels.astype(np.int64), ids=t.texts("id") if "id" in t.columns else None,
    )  # fmt: skip


def _vectors_of_images(images: Images) -> Vectors:
    return Vectors(base=images.pixels.reshape(len(images), -1).astype(np.float32), labels=images.labels)


def _sources(given: Programs) -> Text:
    parts = [(f"{p.name}/{name}", name, source) for p in given.programs for name, source in p.variants.items()]
    return Text(
        texts=tuple(source for *_, source in parts), ids=tuple(name for name, *_ in parts),
        labels=tuple(variant for _, variant, _ in parts),
    )  # fmt: skip


def _layers(network: Network) -> Table:
    rows = [(layer.name, layer.kind, layer.macs, layer.params, layer.in_elements, layer.out_elements)
            for layer in network.layers]  # fmt: skip
    names = ("name", "kind", "macs", "params", "in_elements", "out_elements")
    columns: dict[str, Any] = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    return Table({name: tuple(v) if isinstance(v[0], str) else np.array(v, dtype=float) for name, v in columns.items()})


CONVERSIONS: Final[tuple[Conversion, ...]] = (
    Conversion(Scenario, Network, "the layers of its model for one prompt of the mean length", network_of),
    Conversion(Network, Table, "one row a layer: kind, products, parameters, elements", _layers),
    Conversion(Runs, Table, "one row a step", lambda r: Table(r.columns)),
    Conversion(Graph, Table, "one row an edge", _edges),
    Conversion(Predictions, Table, "one row an item: what each model says, how surely, at what cost", _items),
    Conversion(Series, Table, "one row an instant", _instants),
    Conversion(Design, Table, "one row an evaluated point", _points),
    Conversion(Portfolio, Table, "one row an application, place and year", lambda p: Table(p.columns)),
    Conversion(Text, Table, "one row a document", _documents),
    Conversion(Vectors, Table, "one row a vector: id, label, a column a dimension", _rows),
    Conversion(Table, Vectors, "its columns of amounts", _vectors_of_table),
    Conversion(Images, Vectors, "the values of each image in a row", _vectors_of_images),
    Conversion(Programs, Text, "the source of each variant", _sources),
    Conversion(
        Programs, Graph, "one tree a program: lines that variants begin with alike are one node", tree_of_programs
    ),
    Conversion(
        Runs, Graph, "one tree a session: each step below the one before, or below its column parent", tree_of_runs
    ),
)
"""Every conversion; one that takes two steps is not listed."""


def convert(data: Any, target: type[T]) -> T:
    """`data` as `target`, itself where it is one already.

    Raises InputError that names what can become a `target` and what `data` can become.
    """
    if isinstance(data, target):
        return data
    for way in CONVERSIONS:
        if isinstance(data, way.source) and way.target is target:
            made: T = way.change(data)
            return made
    have, want = kind_of(type(data)).name, kind_of(target).name
    others = [kind_of(way.source).name for way in CONVERSIONS if way.target is target]
    raise InputError(
        f"{have} cannot be made into {want}; it takes {want}" + (f" or what becomes one: {', '.join(others)}"
                                                                  if others else "")
    )  # fmt: skip


def reached(source: str | Path, targets: Iterable[type[Any]]) -> tuple[type[Any], ...]:
    """Those of `targets` that a file, or the sample of that name, can be made into, by what it most likely is."""
    held = _likely(source)
    made = [way.target for way in CONVERSIONS if held is not None and way.source is held.data]
    return tuple(target for target in targets if target in made)


def opened(source: str | Path, target: type[T]) -> T:
    """A file, or the name of a sample, as data of a class: read as such, or as what it most likely is and converted.

    Raises InputError of the kind that it was read as.
    """
    kind = kind_of(target)
    try:
        return kind.open(source)
    except InputError as error:
        likely = _likely(source)
        if likely is not None and reached(source, [target]):
            return convert(likely.open(source), target)
        for way in CONVERSIONS if likely is None and Path(source).exists() else ():
            with suppress(InputError):  # as likely one kind as another: the first that can be read
                if way.target is target:
                    return convert(kind_of(way.source).read(source), target)
        raise error from None


def _likely(source: str | Path) -> Kind[Any] | None:
    """The kind that a file most likely is, or whose sample has that name."""
    with suppress(InputError, OSError, ValueError):
        if Path(source).exists():
            return guess(source)
    return next((kind for kind in KINDS.values() for s in kind.samples if s.name == str(source)), None)
