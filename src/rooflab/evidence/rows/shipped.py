"""The measurements that ship: one line a configuration, sources and licences in a table beside.

`data/serving_rows.csv` and its like hold the columns of the truth tables with these differences: `source` is a key of
`data/sources.csv`, `path` continues the source's own address, and `figures` lists what was measured as
``metric=value#number`` (``metric/gpu`` where the value is per device), the row's id being the source's prefix and the
number. A cell ``~`` repeats the one above it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

from rooflab.evidence.rows.tables import COLUMNS, KINDS, Kind, Row, Table, table_of

__all__ = ["DITTO", "FACTORED", "Source", "expand", "shipped_rows", "sources"]

FACTORED: Final = (
    "id", "source", "source_url_or_path", "metric", "value", "unit", "per_gpu", "ship", "file", "samples_per_sec",
    "step_time_ms",
)  # fmt: skip
"""Columns of the truth tables that are not columns of the shipped ones: they are in `source`, `path` and `figures`."""
DITTO: Final = "~"
"""A cell that is as the one above it."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where rows come from: name as the truth tables have it, prefix of the rows' ids, address, licence of what was
    restated."""

    key: str
    name: str
    prefix: str
    address: str
    licence: str


@cache
def sources() -> Mapping[str, Source]:
    """Sources of the shipped rows by key."""
    return {row["key"]: Source(**row) for row in _read("sources.csv")}


def _read(name: str) -> Iterator[dict[str, str]]:
    text = resources.files("rooflab.evidence").joinpath(f"data/{name}").read_text(encoding="utf-8")
    yield from csv.DictReader(text.splitlines())


def expand(lines: Iterable[Mapping[str, str]], known: Mapping[str, Source], kind: Kind) -> Iterator[Row]:
    """Lines of a shipped table as rows of a truth table."""
    line: dict[str, str] = {}
    for cells in lines:
        line = {column: line[column] if cell == DITTO else cell for column, cell in cells.items()}
        source = known[line["source"]]
        shared = {c: line.get(c, "") for c in COLUMNS[kind]}
        shared |= {"source": source.name, "source_url_or_path": source.address + line["path"], "ship": "1"}
        for figure in line["figures"].split():
            name, _, rest = figure.partition("=")
            value, _, number = rest.partition("#")
            metric, per, _ = name.partition("/gpu")
            row = shared | {
                "id": f"{source.prefix}{number}",
                "metric": metric,
                "value": value,
                "per_gpu": "1" if per else "0",
            }
            yield row | {metric: value} if kind == "vision" else row


@cache
def shipped_rows() -> tuple[Table, ...]:
    """The shipped tables, one a kind that there are rows of."""
    folder = resources.files("rooflab.evidence").joinpath("data")
    out = []
    for kind in KINDS:
        name = f"{kind}_rows.csv"
        if folder.joinpath(name).is_file():
            rows = expand(_read(name), sources(), kind)
            out.append(table_of(rows, COLUMNS[kind], f"shipped {kind} rows"))
    return tuple(out)
