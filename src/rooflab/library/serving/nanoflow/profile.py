"""What NanoFlow's search reads: the operations of a layer, what each is bound by, what it takes at several sizes, and
how fast it runs beside products on a share of the device's units.

A reader's table has a row a timing, operations in the order in which they depend on each other:

    operation    resource    tokens   time_s    share   after
    qkv          compute     1024     0.00011
    attention    memory      1024     0.00021   1       qkv
    attention    memory      1024     0.00026   0.4     qkv
    all-reduce   network     1024     0.00016   1       attention

`share` (1 without) is the part of the units that the kernel had beside a product; `after` names operations, separated
by semicolons (the one above without). Times are in `time_s`, `time_ms` or `time_us`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast, get_args

import numpy as np
import numpy.typing as npt

from rooflab.errors import InputError, unknown
from rooflab.inputs.table import Table

__all__ = [
    "ATTENTION_MAP",
    "COMPUTE",
    "NETWORK_MAP",
    "Map",
    "Operation",
    "Profile",
    "Resource",
    "profile_of",
    "table_of",
]

F64 = npt.NDArray[np.float64]
Resource = Literal["compute", "memory", "network"]
Map = tuple[tuple[float, float], ...]

COMPUTE: Final = "compute"
RESOURCES: Final[tuple[str, ...]] = get_args(Resource)
ATTENTION_MAP: Final[Map] = ((0.1, 0.2), (0.2, 0.3), (0.4, 0.8), (0.8, 0.85), (0.9, 0.95), (1.0, 1.0))
"""Share of units → share of its own rate that decode attention reaches beside products (table 3; 0.4 → 0.8 from section
4.1.4)."""
NETWORK_MAP: Final[Map] = ((0.1, 0.3), (0.2, 0.5), (0.8, 0.9), (0.9, 1.0), (1.0, 1.0))
"""The same for collectives (table 3)."""
MAPS: Final[Mapping[str, Map]] = {"memory": ATTENTION_MAP, "network": NETWORK_MAP, "compute": ((1.0, 1.0),)}
_TIMES: Final = {"time_s": 1.0, "time_ms": 1e-3, "time_us": 1e-6}


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation of a layer: seconds at rising sizes (tokens) by itself, rates by share of the units (rising) and
    whether those were timed, and the places of operations that it waits for."""

    name: str
    resource: Resource
    sizes: tuple[float, ...]
    seconds: tuple[float, ...]
    rates: Map
    after: tuple[int, ...]
    timed_beside: bool = True

    def at(self, tokens: float) -> float:
        """Seconds for so many tokens: linear between sizes, no less than at the smallest."""
        return float(np.interp(tokens, self.sizes, self.seconds))


@dataclass(frozen=True, slots=True)
class Profile:
    """A layer: operations, each after those that it waits for, and the tokens of a dense batch."""

    operations: tuple[Operation, ...]
    batch: float

    def seconds(self, parts: Sequence[float]) -> F64:
        """What each operation takes for each of `parts` (shares of the batch), operations × parts."""
        return np.array([[op.at(self.batch * p) for p in parts] for op in self.operations])

    @property
    def first(self) -> tuple[int, ...]:
        """Operations that wait for the layer before."""
        return tuple(i for i, op in enumerate(self.operations) if not op.after)

    @property
    def last(self) -> tuple[int, ...]:
        """Operations that nothing in the layer waits for."""
        waited = {i for op in self.operations for i in op.after}
        return tuple(i for i in range(len(self.operations)) if i not in waited)

    def of(self, resource: str) -> tuple[int, ...]:
        """Operations bound by `resource`."""
        return tuple(i for i, op in enumerate(self.operations) if op.resource == resource)


def profile_of(table: Table, batch: float = 0.0) -> Profile:
    """The profile in a reader's table; `batch` tokens (0: the largest size that all operations were timed at).

    Raises InputError that names column and row.
    """
    for name in ("operation", "resource", "tokens"):
        table[name]
    unit = next((u for u in _TIMES if u in table.columns), None)
    if unit is None:
        raise InputError(f"times stand in {', '.join(_TIMES)}", "columns")
    rows = list(_rows(table, unit))
    names = list(dict.fromkeys(r.operation for r in rows))
    operations = tuple(_operation(name, [r for r in rows if r.operation == name], names) for name in names)
    if not any(op.resource == COMPUTE for op in operations):
        raise InputError("no operation is bound by compute: there is nothing to run beside", "resource")
    most = min(op.sizes[-1] for op in operations)
    if batch > most:
        short = next(op for op in operations if op.sizes[-1] == most)
        raise InputError(f"{batch:g} tokens; {short.name} was timed up to {most:g}", "batch")
    return Profile(operations, batch or most)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    operation: str
    resource: str
    tokens: float
    seconds: float
    share: float
    after: str


def _rows(table: Table, unit: str) -> Iterator[_Row]:
    def column(name: str, default: Any) -> Sequence[Any]:
        if name not in table.columns:
            return [default] * len(table)
        return table.texts(name) if isinstance(default, str) else cast(Sequence[Any], table.numbers(name))

    columns = (
        table.texts("operation"), table.texts("resource"), table.numbers("tokens"), table.numbers(unit),
        column("share", 1.0), column("after", ""),
    )  # fmt: skip
    for i, (name, resource, tokens, time, share, after) in enumerate(zip(*columns, strict=True)):
        where = f"row {i + 1}"
        if resource not in RESOURCES:
            raise unknown("resource", resource, RESOURCES, f"{where}, column resource")
        part = 1.0 if np.isnan(share) else float(share)
        if not (tokens > 0 and time > 0 and 0 < part <= 1):
            raise InputError(f"{tokens:g} tokens, {time:g} of {unit}, share {part:g}: above 0, a share up to 1", where)
        yield _Row(
            operation=name, resource=resource, tokens=float(tokens), seconds=float(time) * _TIMES[unit], share=part,
            after=after,
        )  # fmt: skip


def _operation(name: str, rows: Sequence[_Row], names: Sequence[str]) -> Operation:
    resources = {r.resource for r in rows}
    if len(resources) > 1:
        raise InputError(f"{name} is bound by {' and '.join(sorted(resources))}", "column resource")
    alone = {r.tokens: r.seconds for r in rows if r.share == 1.0}
    if not alone:
        raise InputError(f"{name} was never timed with all units (share 1)", "column share")
    sizes = sorted(alone)
    seconds = np.maximum.accumulate([alone[s] for s in sizes])
    resource = cast(Resource, rows[0].resource)
    place = names.index(name)
    said = next((r.after for r in rows if r.after.strip()), "")
    after = tuple(_place(a.strip(), names[:place], name) for a in said.split(";") if a.strip())
    rates = _rates(rows, alone)
    return Operation(
        name=name, resource=resource, sizes=tuple(sizes), seconds=tuple(seconds.tolist()),
        rates=MAPS[resource] if rates is None or resource == COMPUTE else rates,
        after=after or ((place - 1,) if place else ()), timed_beside=rates is not None or resource == COMPUTE,
    )  # fmt: skip


def _rates(rows: Sequence[_Row], alone: Mapping[float, float]) -> Map | None:
    """Rate by share, means over the sizes that were timed with both; None where nothing was."""
    beside: dict[float, list[float]] = {}
    for r in rows:
        if r.share < 1.0 and r.tokens in alone:
            beside.setdefault(r.share, []).append(alone[r.tokens] / r.seconds)
    if not beside:
        return None
    return (*sorted((s, min(float(np.mean(x)), 1.0)) for s, x in beside.items()), (1.0, 1.0))


def _place(name: str, before: Sequence[str], operation: str) -> int:
    if name not in before:
        raise unknown("operation above it", name, before, f"{operation}, column after")
    return before.index(name)


def table_of(profile: Profile) -> Table:
    """A profile as a reader's table: times by itself, and at its largest size the times on a share of the units."""
    rows: list[tuple[Any, ...]] = []
    for op in profile.operations:
        after = ";".join(profile.operations[i].name for i in op.after)
        rows += [(op.name, op.resource, s, t, 1.0, after) for s, t in zip(op.sizes, op.seconds, strict=True)]
        rows += [(op.name, op.resource, op.sizes[-1], op.seconds[-1] / p, r, after) for r, p in op.rates if r < 1.0]
    names = ("operation", "resource", "tokens", "time_s", "share", "after")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    return Table({n: tuple(v) if isinstance(v[0], str) else np.array(v) for n, v in columns.items()})
