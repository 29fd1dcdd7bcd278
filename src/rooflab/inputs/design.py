"""Designs: parameters with ranges and choices, constraints between them, and points that were evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.errors import InputError, unknown
from rooflab.inputs.cells import as_number
from rooflab.inputs.checks import names, one_of, put, texts
from rooflab.inputs.disturb import exchanging, halving, scaled, scaling, shuffled, shuffling
from rooflab.inputs.expression import check, holds
from rooflab.inputs.kind import Disturbance, Format, Kind
from rooflab.inputs.row_files import csv_bytes, read_csv, records
from rooflab.inputs.rows import typed
from rooflab.inputs.summary import Summary, summary
from rooflab.inputs.table import Table
from rooflab.source.yaml_file import in_line, yaml_value

__all__ = ["KIND", "Design", "Objective", "Parameter"]

_BETTER: Final = ("less", "more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One thing to choose: a number from `low` to `high` (`whole`: a whole one), or one of `choices` (texts)."""

    name: str
    low: float = 0.0
    high: float = 0.0
    whole: bool = False
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names((self.name,), "parameters")
        put(self, choices=names(self.choices, self.name))
        low, high = as_number(self.low), as_number(self.high)
        if low is None or high is None or high < low:
            raise InputError(f"ranges from {self.low} to {self.high}", self.name)
        put(self, low=low, high=high)

    @property
    def numeric(self) -> bool:
        """Whether it is a number."""
        return not self.choices


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What a point is judged by: a name that ends in its unit, and whether `less` or `more` is better."""

    name: str
    better: str

    def __post_init__(self) -> None:
        names((self.name,), "objectives")
        one_of(self.better, _BETTER, self.name)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Design:
    """A space to search, and what is known of it.

    parameters: P parameters: name, low, high and whole for numbers, choices for texts.
    objectives: O objectives: name, better (less or more).
    constraints: comparisons over the parameters, such as ``tile * banks <= 1024``.
    points: columns of all parameters and objectives, one row a point that was evaluated; None where there is none.
    """

    parameters: tuple[Parameter, ...]
    objectives: tuple[Objective, ...] = ()
    constraints: tuple[str, ...] = ()
    points: Table | None = None

    def __post_init__(self) -> None:
        put(self, parameters=tuple(self.parameters), objectives=tuple(self.objectives))
        if not self.parameters:
            raise InputError("holds no parameter", "parameters")
        parts: tuple[Parameter | Objective, ...] = (*self.parameters, *self.objectives)
        known = names([x.name for x in parts], "parameters")
        put(self, constraints=texts(self.constraints, "constraints"))
        for i, constraint in enumerate(self.constraints):
            check(constraint, {p.name: p.numeric for p in self.parameters}, f"constraints[{i}]")
        if self.points is not None:
            for name in known:
                if name not in self.points.columns:
                    raise InputError(f"has no column {name}", "points")
            for name in self.points.columns:
                if name not in known:
                    raise unknown("parameter or objective", name, known, "points")
            for x in parts:
                _check_point(self.points, x)

    def __len__(self) -> int:
        return 0 if self.points is None else len(self.points)

    def __getitem__(self, name: str) -> Parameter:
        found = next((p for p in self.parameters if p.name == name), None)
        if found is None:
            raise unknown("parameter", name, [p.name for p in self.parameters])
        return found

    def allowed(self, columns: Mapping[str, Any]) -> Any:
        """Whether points (one, or columns of many) satisfy every constraint."""
        return np.logical_and.reduce([np.bool_(True), *(holds(c, columns) for c in self.constraints)])

    def take(self, rows: npt.NDArray[np.int64]) -> Design:
        """The same space with these points."""
        return replace(self, points=None if self.points is None else self.points.take(rows))


def _check_point(points: Table, x: Parameter | Objective) -> None:
    values = points.columns[x.name]
    if isinstance(x, Parameter) and x.choices:
        wrong = next((i for i, v in enumerate(points.texts(x.name)) if v not in x.choices), None)
        if wrong is not None:
            raise unknown("choice", points.texts(x.name)[wrong], x.choices, f"points[{wrong}].{x.name}")
        return
    if isinstance(values, tuple) or np.isnan(values.astype(np.float64)).any():
        raise InputError("holds other than numbers", f"points.{x.name}")
    if isinstance(x, Parameter):
        out = np.flatnonzero((values < x.low) | (values > x.high))
        if len(out):
            raise InputError(f"is {values[out[0]]}, not {x.low:g} to {x.high:g}", f"points[{out[0]}].{x.name}")


def _from_yaml(path: Path) -> Design:
    held = yaml_value(path)
    known = ("parameters", "objectives", "constraints", "points")
    if not isinstance(held, dict) or not isinstance(held.get("parameters"), dict):
        raise InputError("expected parameters (name: [choices], or name: {low, high, whole})", str(path))
    for key in held:
        if key not in known:
            raise unknown("field", str(key), known, str(path))
    objectives, constraints, points = (held.get(key) for key in known[1:])
    if not isinstance(objectives or {}, dict) or not isinstance(constraints or [], list):
        raise InputError("objectives is a mapping (latency_s: less), constraints a list", str(path))
    return Design(
        parameters=tuple(_parameter(str(name), spec) for name, spec in held["parameters"].items()),
        objectives=tuple(Objective(name=str(n), better=str(b)) for n, b in (objectives or {}).items()),
        constraints=tuple(constraints or []),
        points=None if points is None else _points(points),
    )


def _parameter(name: str, spec: Any) -> Parameter:
    if isinstance(spec, list) and spec:
        if not all(isinstance(choice, (str, int, float)) for choice in spec):
            raise InputError("choices are texts or numbers", f"parameters.{name}")
        return Parameter(name=name, choices=tuple(_word(choice) for choice in spec))
    if not isinstance(spec, dict) or not {"low", "high"} <= set(spec) <= {"low", "high", "whole"}:
        raise InputError("expected a list of choices, or {low, high} and whole: true", f"parameters.{name}")
    if not isinstance(spec.get("whole", False), bool):
        raise InputError("is not true or false", f"parameters.{name}.whole")
    return Parameter(name=name, low=spec["low"], high=spec["high"], whole=spec.get("whole", False))


def _word(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _points(rows: Any) -> Table:
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) and row for row in rows):
        raise InputError("is not a list of points (name: value)", "points")
    first = list(rows[0])
    for i, row in enumerate(rows):
        if set(row) != set(first):
            raise InputError(f"does not name the same as the first: {', '.join(map(str, first))}"[:200], f"points[{i}]")
        if not all(isinstance(value, (str, int, float)) for value in row.values()):
            raise InputError("holds other than numbers and texts", f"points[{i}]")
    return Table({str(name): _column([row[name] for row in rows]) for name in first})


def _column(values: list[Any]) -> Any:
    if any(isinstance(v, (str, bool)) for v in values):
        return tuple(_word(v) for v in values)
    if any(abs(v) > 1e18 for v in values):
        return np.array([float(v) if abs(v) <= 1e300 else float("inf") for v in values])
    return np.array(values)


def _to_yaml(d: Design) -> bytes:
    """Written line by line, a value in JSON, which YAML reads."""
    lines = ["parameters:"]
    for p in d.parameters:
        spec: Any = {"low": p.low, "high": p.high} | ({"whole": True} if p.whole else {})
        lines.append(f"  {in_line(p.name)}: {in_line(list(p.choices) if p.choices else spec)}")
    lines += ["objectives:"] if d.objectives else []
    lines += [f"  {in_line(o.name)}: {o.better}" for o in d.objectives]
    lines += ["constraints:"] if d.constraints else []
    lines += [f"  - {in_line(c)}" for c in d.constraints]
    lines += ["points:"] if d.points is not None else []
    lines += [f"  - {in_line(row)}" for row in (records(d.points.columns) if d.points is not None else ())]
    return ("\n".join(lines) + "\n").encode()


def _from_csv(path: Path) -> Design:
    """Points alone: a column each, ``NAME:less`` or ``NAME:more`` for objectives; ranges are those of the points."""
    rows = read_csv(path)
    parameters, objectives = [], []
    columns: dict[str, Any] = {}
    for column in rows.columns:
        name, _, better = column.rpartition(":")
        values = typed(rows, column)
        if better in _BETTER and name:
            columns[name] = rows.numbers(column)
            objectives.append(Objective(name=name, better=better))
        elif isinstance(values, tuple) or values.dtype.kind == "b":
            columns[column] = rows.texts(column)
            parameters.append(Parameter(name=column, choices=tuple(dict.fromkeys(rows.texts(column)))))
        else:
            columns[column] = numbers = rows.numbers(column)
            whole = values.dtype.kind == "i"
            parameters.append(Parameter(name=column, low=float(numbers.min()), high=float(numbers.max()), whole=whole))
            columns[column] = values
    if not objectives:
        raise InputError("has no objective: a column such as latency_s:less or throughput:more", f"{path}:1")
    return Design(parameters=tuple(parameters), objectives=tuple(objectives), points=Table(columns))


def _to_csv(d: Design) -> bytes:
    if d.points is None:
        raise InputError("a .csv file holds points, and there are none; write .yaml")
    better = {o.name: f"{o.name}:{o.better}" for o in d.objectives}
    return csv_bytes({better.get(name, name): values for name, values in d.points.columns.items()})


def _describe(d: Design) -> Summary:
    odd = []
    if d.points is not None and d.constraints:
        broken = int((~np.broadcast_to(d.allowed(d.points.columns), len(d))).sum())
        odd += [f"{broken:,} points break a constraint"] if broken else []
    odd += [f"{p.name} can have one value only" for p in d.parameters if p.low == p.high and len(p.choices) < 2]
    counts = {
        "points": len(d), "parameters": len(d.parameters), "objectives": len(d.objectives),
        "constraints": len(d.constraints),
    }  # fmt: skip
    return summary(counts, {} if d.points is None else d.points.columns, odd)


def _disturbances(d: Design) -> tuple[Disturbance[Design], ...]:
    if d.points is None:
        return (*(scaling(p.name, f"the range of {p.name} times a factor", partial(_scale_range, name=p.name))
                  for p in d.parameters if p.numeric),)  # fmt: skip
    goals = [o.name for o in d.objectives]
    return (
        *(scaling(name, f"objective {name} times a factor", partial(_scale, name=name)) for name in goals),
        halving(len, Design.take, "half of the points"),
        *(shuffling(name, f"objective {name} given to other points", partial(_shuffle, name=name)) for name in goals),
        exchanging("better and worse", "less is better becomes more is better", _exchange_better),
        *(exchanging(f"{a} and {b}", "two objectives", partial(_exchange, a=a, b=b)) for a, b in pairwise(goals)),
    )


def _with(d: Design, **columns: Any) -> Design:
    assert d.points is not None
    return replace(d, points=replace(d.points, columns={**d.points.columns, **columns}))


def _scale_range(d: Design, factor: float, name: str) -> Design:
    def change(p: Parameter) -> Parameter:
        ends = sorted((p.low * factor, p.high * factor))
        low, high = (round(end) for end in ends) if p.whole else ends
        return replace(p, low=float(low), high=float(high)) if p.name == name else p

    return replace(d, parameters=tuple(change(p) for p in d.parameters))


def _scale(d: Design, factor: float, name: str) -> Design:
    assert d.points is not None
    return _with(d, **{name: scaled(d.points.numbers(name), factor)})


def _shuffle(d: Design, rng: np.random.Generator, name: str) -> Design:
    assert d.points is not None
    return _with(d, **{name: shuffled(d.points[name], rng)})


def _exchange(d: Design, a: str, b: str) -> Design:
    assert d.points is not None
    return _with(d, **{a: d.points[b], b: d.points[a]})


def _exchange_better(d: Design) -> Design:
    other = dict(zip(_BETTER, reversed(_BETTER), strict=True))
    return replace(d, objectives=tuple(replace(o, better=other[o.better]) for o in d.objectives))


KIND: Final[Kind[Design]] = Kind(
    name="design",
    does="Parameters to choose, constraints between them, and points that were evaluated.",
    data=Design,
    formats=(
        Format(suffix=".yaml", what="parameters, objectives, constraints, points", text=True,
               load=_from_yaml, dump=_to_yaml),
        Format(suffix=".csv", what="one point a row; objectives are columns NAME:less or NAME:more", text=True,
               load=_from_csv, dump=_to_csv),
    ),
    describe=_describe,
    disturbances=_disturbances,
    example=lambda: KIND.sample().take(np.arange(3)),
    signs=(frozenset({"parameters"}), frozenset({":", ":less"}), frozenset({":", ":more"})),
)  # fmt: skip
