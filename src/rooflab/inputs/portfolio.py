"""Portfolios: applications on devices in regions, with their loads over years."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.errors import InputError, unknown
from rooflab.inputs.cells import as_number
from rooflab.inputs.checks import numbers, put, texts, whole
from rooflab.inputs.content import taken
from rooflab.inputs.disturb import exchanging, halving, scaled, scaling, shuffled, shuffling
from rooflab.inputs.kind import Disturbance, Format, Kind
from rooflab.inputs.row_files import csv_bytes, read_csv, records
from rooflab.inputs.summary import Summary, summary
from rooflab.source.yaml_file import in_line, yaml_value

__all__ = ["KIND", "Portfolio"]

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

_WORDS: Final = ("application", "model", "device", "region")
_AMOUNTS: Final = ("input_tokens", "output_tokens", "energy_j")
_COLUMNS: Final = (*_WORDS, "year", "requests", *_AMOUNTS)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Portfolio:
    """One row an application, a place and a year. Words may be empty and amounts NaN where they are unknown.

    application: N texts.
    model: N texts, the model that it asks.
    device: N texts, the accelerator or phone that it runs on.
    region: N texts, where the electricity comes from.
    year: N int64.
    requests: N float64, requests in that year.
    input_tokens, output_tokens: N float64, means of a request.
    energy_j: N float64, joules of a request where they are known.
    """

    application: tuple[str, ...]
    year: I64
    requests: F64
    model: tuple[str, ...] = ()
    device: tuple[str, ...] = ()
    region: tuple[str, ...] = ()
    input_tokens: F64 | None = None
    output_tokens: F64 | None = None
    energy_j: F64 | None = None

    def __post_init__(self) -> None:
        application = texts(self.application, "application")
        count = len(application)
        if not count or not all(application):
            raise InputError("holds no application, or one without a name", "application")
        put(self, application=application, year=whole(self.year, "year", f"{count}", low=1900))
        if self.year.max() > 2200:
            raise InputError(f"holds {self.year.max()}; years to 2200 are read", "year")
        put(self, requests=numbers(self.requests, "requests", f"{count}", low=0.0))
        for name in _WORDS[1:]:
            put(self, **{name: texts(getattr(self, name) or ("",) * count, name, count)})
        for name in _AMOUNTS:
            held = getattr(self, name)
            values = np.full(count, np.nan) if held is None else held
            put(self, **{name: numbers(values, name, f"{count}", missing=True, low=0.0)})
        keys = list(zip(application, self.model, self.device, self.region, self.year.tolist(), strict=True))
        if len(set(keys)) != count:
            again = next(key for key in keys if keys.count(key) > 1)
            raise InputError(f"{again[0]!a} stands twice with one model, device and region in {again[-1]}",
                             "application")  # fmt: skip

    def __len__(self) -> int:
        return len(self.application)

    @property
    def applications(self) -> tuple[str, ...]:
        """Names of the applications, in the order of the rows."""
        return tuple(dict.fromkeys(self.application))

    @property
    def columns(self) -> dict[str, Any]:
        """Every column by name."""
        return {name: getattr(self, name) for name in _COLUMNS}

    def take(self, rows: I64) -> Portfolio:
        """These rows, in this order."""
        return Portfolio(**{name: taken(values, rows) for name, values in self.columns.items()})


def _from_csv(path: Path) -> Portfolio:
    rows = read_csv(path)
    for name in rows.columns:
        if name not in _COLUMNS:
            raise unknown("column", name, _COLUMNS, f"{path}:1")
    for name in ("application", "year", "requests"):
        rows.need(name, name)
    words = {name: rows.texts(name) for name in _WORDS if name in rows.columns}
    amounts = {name: rows.numbers(name, low=0.0, missing=True) for name in _AMOUNTS if name in rows.columns}
    held: dict[str, Any] = {**words, **amounts}
    return Portfolio(year=rows.whole("year", low=1900), requests=rows.numbers("requests", low=0.0), **held)


def _from_yaml(path: Path) -> Portfolio:
    """``applications:`` a list of mappings: the words and amounts of one, and ``requests: {2025: 1.0e+9}``."""
    held = yaml_value(path)
    listed = held.get("applications") if isinstance(held, dict) else None
    if not isinstance(listed, list) or not listed or list(held) != ["applications"]:
        raise InputError("expected applications: a list of {application, requests: {2025: 1000}, ...}", str(path))
    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    for i, entry in enumerate(listed):
        for row in _entry(entry, f"applications[{i}]"):
            for name in _COLUMNS:
                columns[name].append(row[name])
    made: dict[str, Any] = {name: tuple(columns[name]) for name in _WORDS}
    made |= {name: np.array(columns[name]) for name in ("year", "requests", *_AMOUNTS)}
    return Portfolio(**made)


def _entry(entry: Any, where: str) -> list[dict[str, Any]]:
    """Rows of one application, a year each."""
    if not isinstance(entry, Mapping):
        raise InputError("is not a mapping of application, requests and more", where)
    for key in entry:
        if key not in _COLUMNS or key == "year":
            raise unknown("field", str(key), [name for name in _COLUMNS if name != "year"], where)
    requests = entry.get("requests")
    if not isinstance(requests, Mapping) or not requests:
        raise InputError("expected requests by year, such as {2025: 1000}", f"{where}.requests")
    row: dict[str, Any] = {}
    for name in _WORDS:
        value = entry.get(name)
        if isinstance(value, (Mapping, list)) or (name == "application" and not value):
            raise InputError("expected a name", f"{where}.{name}")
        row[name] = "" if value is None else str(value)
    for name in _AMOUNTS:
        row[name] = np.nan if entry.get(name) is None else _amount(entry[name], f"{where}.{name}")
    found = []
    for year, count in requests.items():
        if type(year) is not int or not 1900 <= year <= 2200:
            raise InputError(f"{str(year)[:40]!a} is no year", f"{where}.requests")
        found.append({**row, "year": year, "requests": _amount(count, f"{where}.requests.{year}")})
    return found


def _amount(value: Any, where: str) -> float:
    found = as_number(value)
    if found is None or found < 0:
        raise InputError(f"{str(value)[:40]!a} is not a number of at least 0", where)
    return found


def _to_yaml(p: Portfolio) -> bytes:
    by_place: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in records(p.columns):
        same = (*(row[name] for name in _WORDS), *(row[name] for name in _AMOUNTS))
        entry = by_place.setdefault(same, {**row, "requests": {}})
        entry["requests"][row["year"]] = row["requests"]
    lines = ["applications:"]
    for entry in by_place.values():
        kept = [f"{name}: {in_line(entry[name])}" for name in (*_WORDS, *_AMOUNTS) if entry[name] not in ("", None)]
        lines += [f"  {' ' if i else '-'} {line}" for i, line in enumerate(kept)]
        loads = ", ".join(f"{year}: {in_line(value)}" for year, value in entry["requests"].items())
        lines.append(f"    requests: {{{loads}}}")
    return ("\n".join(lines) + "\n").encode()


def _describe(p: Portfolio) -> Summary:
    counts = {
        "rows": len(p), "applications": len(p.applications), "years": len(set(p.year.tolist())),
        "devices": len(set(p.device) - {""}), "regions": len(set(p.region) - {""}),
    }  # fmt: skip
    known = {n: v for n, v in p.columns.items() if isinstance(v, tuple) or not np.isnan(v.astype(np.float64)).all()}
    odd = [f"{name} is unknown everywhere" for name in _COLUMNS if name not in known]
    return summary(counts, known, odd)


def _disturbances(p: Portfolio) -> tuple[Disturbance[Portfolio], ...]:
    known = [name for name in ("requests", *_AMOUNTS) if not np.isnan(getattr(p, name)).all()]
    words = [name for name in ("model", "device", "region") if len(set(getattr(p, name))) > 1]
    return (
        *(scaling(name, f"{name} times a factor", partial(_scale, name=name)) for name in known),
        halving(lambda p: len(p.applications), _take_applications, "half of the applications, all their years"),
        *(shuffling(n, f"{n} given to other rows", partial(_shuffle, name=n)) for n in known),
        *(exchanging(f"two {name}s", f"the first two {name}s", partial(_exchange, name=name)) for name in
          ("application", *words) if len(set(getattr(p, name))) > 1),
    )  # fmt: skip


def _with(p: Portfolio, name: str, values: Any) -> Portfolio:
    changed: dict[str, Any] = {name: values}
    return replace(p, **changed)


def _scale(p: Portfolio, factor: float, name: str) -> Portfolio:
    return _with(p, name, scaled(getattr(p, name), factor))


def _take_applications(p: Portfolio, rows: I64) -> Portfolio:
    kept = {p.applications[i] for i in rows}
    return p.take(np.array([i for i, name in enumerate(p.application) if name in kept]))


def _shuffle(p: Portfolio, rng: np.random.Generator, name: str) -> Portfolio:
    return _with(p, name, shuffled(getattr(p, name), rng))


def _exchange(p: Portfolio, name: str) -> Portfolio:
    a, b = sorted(set(getattr(p, name)))[:2]
    return _with(p, name, tuple({a: b, b: a}.get(word, word) for word in getattr(p, name)))


KIND: Final[Kind[Portfolio]] = Kind(
    name="portfolio",
    does="Applications on devices in regions, with their loads over years.",
    data=Portfolio,
    formats=(
        Format(suffix=".csv", what="one application, place and year a row", text=True, load=_from_csv,
               dump=lambda p: csv_bytes(p.columns)),
        Format(suffix=".yaml", what="a list of applications, requests by year", text=True, load=_from_yaml,
               dump=_to_yaml),
    ),
    describe=_describe,
    disturbances=_disturbances,
    example=lambda: KIND.sample().take(np.arange(2)),
    signs=(frozenset({"application", "year", "requests"}), frozenset({"applications"})),
)  # fmt: skip
