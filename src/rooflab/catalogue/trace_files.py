"""Request traces as files: CSV and JSONL in, columns out.

Column names are compared without case and punctuation, so that the files of Azure (TIMESTAMP, ContextTokens,
GeneratedTokens), Vidur, BurstGPT, Mooncake (JSONL with hash_ids) and of load generators (prompt_tokens,
output_tokens, input_len, ...) read alike.  Times are seconds or dates; in the JSONL form of Mooncake, which has
``input_length`` next to ``timestamp``, and in columns whose name ends in ``ms``, they are milliseconds.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.catalogue._data import squash
from rooflab.errors import InputError
from rooflab.files import is_file

__all__ = ["MOONCAKE_BLOCK_TOKENS", "Trace", "read_trace"]

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

MOONCAKE_BLOCK_TOKENS: Final = 512
"""Tokens of a block in the Mooncake traces (FAST25-release/README.md)."""

_TIME: Final = (
    "timestamp", "time", "times", "arrivals", "arrivedat", "arrivaltime", "arrivaltimes", "starttime", "timestampms",
    "arrivalms",
    "arrivaltimems",
)  # fmt: skip
_INPUT: Final = (
    "inputtokens", "contexttokens", "numprefilltokens", "prompttokens", "requesttokens", "inputlength", "inputlen",
    "promptlen",
    "promptlength", "inputsequencelength", "isl",
)  # fmt: skip
_OUTPUT: Final = (
    "outputtokens", "generatedtokens", "numdecodetokens", "completiontokens", "responsetokens", "outputlength",
    "outputlen",
    "generatedlength", "outputsequencelength", "osl",
)  # fmt: skip
_CACHED: Final = ("cachedprefixtokensinfinitecache", "cachedprefixtokens")
_SESSION: Final = ("sessionid", "session", "conversationid")
_HASHES: Final = ("hashids",)
_ROLES: Final[Mapping[str, Sequence[str]]] = {
    "time": _TIME, "input": _INPUT, "output": _OUTPUT, "cached": _CACHED, "session": _SESSION, "hashes": _HASHES,
}  # fmt: skip
_NO_TIME: Final = ("", "xxx", "none", "null", "nan")
_ZONE: Final = re.compile(r"(Z|[+-]\d\d:?\d\d)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """The rows of a trace in order of time: seconds from the first (None: lengths only) and token counts.

    `cached_tokens`: leading tokens of each prompt that earlier prompts had already (an unlimited prefix cache).
    `block` holds the hashes of row i's prompt blocks at block_start[i]:block_start[i + 1].  `session` numbers
    conversations (−1: none).  `skipped` rows with an empty prompt or answer (failed requests) were left out.  `extra`:
    columns asked for.
    """

    path: str
    time_s: F64 | None
    input_tokens: I64
    output_tokens: I64
    cached_tokens: I64 | None = None
    block_start: I64 | None = None
    block: I64 | None = None
    block_tokens: int = MOONCAKE_BLOCK_TOKENS
    session: I64 | None = None
    skipped: int = 0
    extra: Mapping[str, F64] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.input_tokens)

    @property
    def rate_per_s(self) -> float | None:
        """Mean arrivals a second: gaps over the span; None for lengths only or a single instant."""
        if self.time_s is None or len(self) < 2 or self.time_s[-1] <= 0:
            return None
        return (len(self) - 1) / float(self.time_s[-1])


def read_trace(path: str | Path, extra: Sequence[str] = ()) -> Trace:
    """The trace in `path`, CSV or JSONL; `extra` names further numeric columns to keep.

    Raises InputError that names the file, the line and the column of the first value that cannot be used.
    """
    path = Path(path)
    if not is_file(path):
        raise InputError("no such file", str(path))
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.read(1)
            file.seek(0)
            rows = _json_rows(file, path) if first == "{" else _csv_rows(file, path)
            header: list[str] = next(rows)
            used = [i for i, name in enumerate(header) if name in extra or squash(name) in _KNOWN]
            lines, values = [], []
            for line, row in rows:
                lines.append(line)
                values.append([row[i] for i in used])
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read ({error})", str(path)) from None
    if not values:
        raise InputError("has no rows", str(path))
    table = _Table(path, header, [header[i] for i in used], lines, list(zip(*values, strict=True)))
    return _assemble(table, extra)


@dataclass(frozen=True, slots=True)
class _Table:
    """Raw columns that are used, with what is needed to say where a value stood; `names` are those of all columns."""

    path: Path
    names: list[str]
    header: list[str]
    lines: list[int]
    columns: list[tuple[Any, ...]]

    def find(self, role: str) -> int | None:
        names = [squash(name) for name in self.header]
        return next((names.index(alias) for alias in _ROLES[role] if alias in names), None)

    def numbers(self, i: int, what: str) -> F64:
        try:
            values = np.array(self.columns[i], dtype=np.float64)
        except (ValueError, TypeError):
            values = np.array([_number(v) for v in self.columns[i]])
        bad = ~np.isfinite(values)
        if bad.any():
            self.fail(i, int(np.argmax(bad)), what)
        return values

    def counts(self, i: int) -> I64:
        values = self.numbers(i, "a token count")
        bad = (values < 0) | (values != np.floor(values))
        if bad.any():
            self.fail(i, int(np.argmax(bad)), "a token count")
        return values.astype(np.int64)

    def fail(self, i: int, row: int, what: str) -> None:
        raise InputError(f"{self.header[i]} {self.columns[i][row]!r} is not {what}", f"{self.path}:{self.lines[row]}")


def _assemble(table: _Table, extra: Sequence[str]) -> Trace:
    at = {role: table.find(role) for role in _ROLES}
    for role, example in (("input", "input_tokens"), ("output", "output_tokens")):
        if at[role] is None:
            raise InputError(
                f"no column of {role} tokens (such as {example}) among {', '.join(table.names)}", f"{table.path}:1"
            )
    assert at["input"] is not None
    assert at["output"] is not None
    input_tokens, output_tokens = table.counts(at["input"]), table.counts(at["output"])
    time_s = None if at["time"] is None else _times(table, at["time"], mooncake=at["hashes"] is not None)
    keep = np.flatnonzero((input_tokens > 0) & (output_tokens > 0))
    if len(keep) == 0:
        raise InputError("every request has an empty prompt or answer", str(table.path))
    if time_s is not None:
        keep = keep[np.argsort(time_s[keep], kind="stable")]
        time_s = time_s[keep] - time_s[keep[0]]
    start, block = (None, None) if at["hashes"] is None else _blocks(table, at["hashes"], keep)
    return Trace(
        path=str(table.path),
        time_s=time_s,
        input_tokens=input_tokens[keep],
        output_tokens=output_tokens[keep],
        cached_tokens=None if at["cached"] is None else table.counts(at["cached"])[keep],
        block_start=start,
        block=block,
        session=None if at["session"] is None else _sessions(table.columns[at["session"]])[keep],
        skipped=len(table.lines) - len(keep),
        extra={name: _extra(table, name)[keep] for name in extra},
    )


def _extra(table: _Table, name: str) -> F64:
    if name not in table.header:
        raise InputError(f"no column {name} among {', '.join(table.names)}", f"{table.path}:1")
    return table.numbers(table.header.index(name), "a number")


def _times(table: _Table, i: int, *, mooncake: bool) -> F64 | None:
    column = table.columns[i]
    absent = [str(v).strip().lower() in _NO_TIME for v in (column[0], column[-1])]
    if all(absent):
        return None
    if isinstance(column[0], str) and _number(column[0]) != _number(column[0]):
        try:
            stamps = np.array([_ZONE.sub("", v.strip()) for v in column], dtype="datetime64[ns]")
        except ValueError:
            bad = next(k for k, v in enumerate(column) if not _is_date(v))
            table.fail(i, bad, "a time")
        return np.asarray((stamps - stamps.min()) / np.timedelta64(1, "ns") * 1e-9, dtype=np.float64)
    name = squash(table.header[i])
    schema = {squash(h) for h in table.names}
    milliseconds = name.endswith("ms") or mooncake or (name == "timestamp" and "inputlength" in schema)
    seconds = table.numbers(i, "a time")
    return seconds / 1000.0 if milliseconds else seconds


def _is_date(value: str) -> bool:
    try:
        np.datetime64(_ZONE.sub("", value.strip()), "ns")
    except ValueError:
        return False
    return True


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def _sessions(column: Sequence[Any]) -> I64:
    numbers: dict[Any, int] = {}
    return np.array([-1 if v in ("", None) else numbers.setdefault(v, len(numbers)) for v in column], dtype=np.int64)


def _blocks(table: _Table, i: int, keep: I64 | npt.NDArray[np.intp]) -> tuple[I64, I64]:
    column = table.columns[i]
    for row, value in enumerate(column):
        if not isinstance(value, list) or any(type(x) is not int for x in value):
            table.fail(i, row, "a list of whole numbers")
    lengths = np.array([len(column[k]) for k in keep], dtype=np.int64)
    start = np.concatenate(([0], np.cumsum(lengths)))
    return start, np.fromiter(chain.from_iterable(column[k] for k in keep), dtype=np.int64, count=int(start[-1]))


def _csv_rows(file: Any, path: Path) -> Iterator[Any]:
    """The header, then (line, row) for each row."""
    reader = csv.reader(file)
    header = next(reader, None)
    if header is None:
        raise InputError("is empty", str(path))
    yield [name.strip() for name in header]
    for row in reader:
        if len(row) != len(header):
            if not row:
                continue
            raise InputError(f"{len(row)} values in a row of {len(header)} columns", f"{path}:{reader.line_num}")
        yield reader.line_num, row


def _json_rows(file: Any, path: Path) -> Iterator[Any]:
    """The keys of the first line, then (line, values) for each line."""
    keys: list[str] = []
    for number, text in enumerate(file, start=1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"not valid JSON ({error.msg})", f"{path}:{number}") from None
        if not isinstance(row, dict):
            raise InputError("expected one object a line", f"{path}:{number}")
        if not keys:
            keys = list(row)
            yield keys
        missing = [k for k in keys if k not in row and squash(k) in _REQUIRED]
        if missing:
            raise InputError(f"no {missing[0]}", f"{path}:{number}")
        yield number, [row.get(k) for k in keys]


_REQUIRED: Final = frozenset(_TIME + _INPUT + _OUTPUT + _HASHES)
_KNOWN: Final = _REQUIRED | set(_CACHED + _SESSION)
