"""Runs: logs of agents and of requests, one record a step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.catalogue.traces import locate
from rooflab.errors import InputError
from rooflab.inputs.checks import names, numbers, put, texts, whole
from rooflab.inputs.content import taken
from rooflab.inputs.disturb import exchanging, halving, scaled, scaling, shuffled, shuffling
from rooflab.inputs.kind import Disturbance, Format, Kind
from rooflab.inputs.row_files import csv_bytes, jsonl_bytes, read_csv, read_jsonl, records
from rooflab.inputs.rows import Rows, typed
from rooflab.inputs.summary import Summary, summary
from rooflab.inputs.table import Table

__all__ = ["KIND", "Runs"]

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Values = npt.NDArray[Any] | tuple[str, ...]

_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "session": ("session", "session_id", "conversation_id", "task_id", "task", "question_id", "question"),
    "time_s": ("time_s", "time", "timestamp", "start_s", "arrival_s", "arrival_time", "arrived_at"),
    "duration_s": ("duration_s", "duration", "latency_s", "latency", "elapsed_s"),
    "model": ("model", "model_name"),
    "tool": ("tool", "tool_name", "action"),
    "input_tokens": ("input_tokens", "prompt_tokens", "input_length", "context_tokens", "isl"),
    "output_tokens": ("output_tokens", "completion_tokens", "generated_tokens", "output_length", "osl"),
    "cached_tokens": ("cached_tokens", "cached_prefix_tokens"),
    "success": ("success", "correct", "passed", "solved"),
    "cost_usd": ("cost_usd", "cost", "price_usd"),
}
"""Columns as others name them, ours first."""
_TOKENS: Final = ("input_tokens", "output_tokens", "cached_tokens")
_REALS: Final = ("time_s", "duration_s", "cost_usd")
_WORDS: Final = ("model", "tool")
UNKNOWN: Final = -1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Runs:
    """Steps in the order of the log; all but `session` may be absent (None).

    session: N texts: the conversation, task or question that a step belongs to.
    time_s: N float64, seconds from the first step to the start of each.
    duration_s: N float64, seconds that a step took; NaN where unknown.
    model: N texts, the model that was asked; empty where none was.
    tool: N texts, the tool that was called; empty where none was.
    input_tokens, output_tokens, cached_tokens: N int64; −1 where unknown.
    success: N int8: 1 right or done, 0 not, −1 unknown.
    cost_usd: N float64; NaN where unknown.
    extra: name → N values, every other column.
    """

    session: tuple[str, ...]
    time_s: F64 | None = None
    duration_s: F64 | None = None
    model: tuple[str, ...] | None = None
    tool: tuple[str, ...] | None = None
    input_tokens: I64 | None = None
    output_tokens: I64 | None = None
    cached_tokens: I64 | None = None
    success: npt.NDArray[np.int8] | None = None
    cost_usd: F64 | None = None
    extra: Mapping[str, Values] = field(default_factory=dict)

    def __post_init__(self) -> None:
        session = texts(self.session, "session")
        count = len(session)
        if not count:
            raise InputError("holds no step", "session")
        put(self, session=session)
        for name in _REALS:
            if getattr(self, name) is not None:
                low = None if name == "time_s" else 0.0
                held = numbers(getattr(self, name), name, f"{count}", missing=name != "time_s", low=low)
                put(self, **{name: held})
        for name in (*_TOKENS, "success"):
            if getattr(self, name) is not None:
                dtype = np.int8 if name == "success" else np.int64
                put(self, **{name: whole(getattr(self, name), name, f"{count}", dtype, low=UNKNOWN)})
        for name in _WORDS:
            if getattr(self, name) is not None:
                put(self, **{name: texts(getattr(self, name), name, count)})
        if self.success is not None and self.success.max() > 1:
            raise InputError(f"holds {self.success.max()}; 1, 0 and −1 are known", "success")
        names((*_NAMES, *self.extra), "extra")
        if self.extra:
            put(self, extra=Table({"session": session, **self.extra}).columns)
            put(self, extra={name: values for name, values in self.extra.items() if name != "session"})

    def __len__(self) -> int:
        return len(self.session)

    @property
    def sessions(self) -> tuple[str, ...]:
        """Names of the sessions, in the order in which they begin."""
        return tuple(dict.fromkeys(self.session))

    @property
    def columns(self) -> dict[str, Values]:
        """Every column that there is, by name."""
        own = {name: getattr(self, name) for name in _NAMES}
        return {name: values for name, values in own.items() if values is not None} | dict(self.extra)

    def take(self, rows: I64) -> Runs:
        """These steps, in this order."""
        held: dict[str, Any] = {name: taken(getattr(self, name), rows) for name in _NAMES}
        return Runs(**held, extra={name: taken(values, rows) for name, values in self.extra.items()})

    def with_column(self, name: str, values: Any) -> Runs:
        """The runs with a column replaced."""
        if name in _NAMES:
            changed: dict[str, Any] = {name: values}
            return replace(self, **changed)
        return replace(self, extra={**self.extra, name: values})


def _of_rows(rows: Rows) -> Runs:
    used = {name: rows.find(*aliases) for name, aliases in _NAMES.items()}
    held: dict[str, Any] = {}
    for name in (n for n in _TOKENS if used[n]):
        held[name] = rows.whole(used[name] or "", low=UNKNOWN, missing=UNKNOWN)
    for name in (n for n in _REALS if used[n]):
        low = -1e150 if name == "time_s" else 0.0
        held[name] = rows.numbers(used[name] or "", low=low, missing=name != "time_s")
    for name in (n for n in _WORDS if used[n]):
        held[name] = rows.texts(used[name] or "")
    if used["success"]:
        held["success"] = rows.truths(used["success"], missing=UNKNOWN)
    if not held:
        raise InputError(
            f"has none of the columns {', '.join(name for name in _NAMES if name != 'session')}", f"{rows.path}:1"
        )
    session = rows.texts(used["session"]) if used["session"] else tuple(str(i) for i in range(len(rows)))
    if "time_s" in held:
        held["time_s"] = held["time_s"] - held["time_s"].min()
    others = [name for name in rows.columns if name not in used.values()]
    return Runs(session=session, **held, extra={name: typed(rows, name) for name in others})


def _written(r: Runs) -> dict[str, Values]:
    """Columns as a file has them: nothing where it is unknown."""
    columns = dict(r.columns)
    for name in (*_TOKENS, "success"):
        held = getattr(r, name)
        if held is not None:
            columns[name] = tuple("" if v == UNKNOWN else str(v) for v in held.tolist())
    return columns


def _to_jsonl(r: Runs) -> bytes:
    whole_ones = (*_TOKENS, "success")
    rows = records(r.columns)
    return jsonl_bytes([
        {name: None if name in whole_ones and value == UNKNOWN else value for name, value in row.items()}
        for row in rows
    ])  # fmt: skip


def _describe(r: Runs) -> Summary:
    odd = []
    for name in (*_TOKENS, "success"):
        values = getattr(r, name)
        if values is not None and (values == UNKNOWN).any():
            odd.append(f"{name}: {int((values == UNKNOWN).sum()):,} of {len(r):,} are unknown")
    if r.time_s is not None and (np.diff(r.time_s) < 0).any():
        odd.append("steps are not in the order of their times")
    sizes = Counter(r.session)
    counts = {"steps": len(r), "sessions": len(sizes), "longest session": max(sizes.values())}
    return summary(counts, r.columns, odd)


def _disturbances(r: Runs) -> tuple[Disturbance[Runs], ...]:
    amounts = [name for name in (*_REALS, *_TOKENS) if getattr(r, name) is not None]
    learned = [name for name in ("success", "model", "tool", *_TOKENS) if getattr(r, name) is not None]
    found = [
        *(scaling(name, f"{name} times a factor", partial(_scale, name=name)) for name in amounts),
        halving(lambda r: len(r.sessions), _take_sessions, "half of the sessions, whole"),
        *(shuffling(name, f"{name} given to other steps", partial(_shuffle, name=name)) for name in learned),
    ]
    if r.input_tokens is not None and r.output_tokens is not None:
        found.append(exchanging("input and output", "tokens in and out", _exchange_tokens))
    pair = tuple(name for name, _ in Counter(m for m in r.model or () if m).most_common(2))
    if len(pair) == 2:
        found.append(exchanging(f"{pair[0]} and {pair[1]}", "the names of two models",
                                partial(_exchange_models, pair=pair)))  # fmt: skip
    return tuple(found)


def _scale(r: Runs, factor: float, name: str) -> Runs:
    values = getattr(r, name)
    if name not in _TOKENS:
        return r.with_column(name, scaled(values, factor))
    return r.with_column(name, np.where(values == UNKNOWN, values, scaled(values, factor)))


def _take_sessions(r: Runs, rows: I64) -> Runs:
    known = r.sessions
    kept = {known[i] for i in rows}
    return r.take(np.array([i for i, name in enumerate(r.session) if name in kept]))


def _shuffle(r: Runs, rng: np.random.Generator, name: str) -> Runs:
    return r.with_column(name, shuffled(getattr(r, name), rng))


def _exchange_tokens(r: Runs) -> Runs:
    return replace(r, input_tokens=r.output_tokens, output_tokens=r.input_tokens)


def _exchange_models(r: Runs, pair: tuple[str, ...]) -> Runs:
    other = {pair[0]: pair[1], pair[1]: pair[0]}
    return replace(r, model=tuple(other.get(name, name) for name in r.model or ()))


def _by_name(name: str) -> Runs:
    """A public trace that was downloaded (``rooflab traces get``), or the error that says how."""
    return KIND.read(locate(name, "runs"))


KIND: Final[Kind[Runs]] = Kind(
    name="runs",
    does="Logs of agents and of requests, one record a step.",
    data=Runs,
    formats=(
        Format(suffix=".csv", what="one step a row; columns as the fields, or as other logs name them", text=True,
               load=lambda path: _of_rows(read_csv(path)), dump=lambda r: csv_bytes(_written(r))),
        Format(suffix=".jsonl", what="one object a step", text=True,
               load=lambda path: _of_rows(read_jsonl(path)), dump=_to_jsonl),
    ),
    describe=_describe,
    disturbances=_disturbances,
    example=lambda: KIND.sample().take(np.arange(4)),
    named=_by_name,
    signs=(
        frozenset({"inputtokens", "outputtokens"}), frozenset({"session", "success"}), frozenset({"session", "tool"}),
        frozenset({"session", "model"}), frozenset({"session", "inputtokens", "outputtokens"}),
        frozenset({"session", "times"}),
    ),
)  # fmt: skip
