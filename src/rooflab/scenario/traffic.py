"""Who asks and how: sessions of many turns, request classes, shared prefixes, clients and adapters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

from rooflab.errors import InputError
from rooflab.scenario import fields
from rooflab.scenario.lengths import Lengths, read_lengths, read_times
from rooflab.scenario.slo import SLO, read_slo

__all__ = [
    "Adapters", "Clients", "Diurnal", "Prefixes", "RequestClass", "Sessions", "read_adapters", "read_classes",
    "read_clients",
    "read_diurnal", "read_prefixes", "read_sessions",
]  # fmt: skip

T = TypeVar("T")

_FOUR: Final = Lengths("fixed", 4.0, 0.0, 4.0, 4.0)
_NO_TIME: Final = Lengths("fixed", 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """Requests that follow one another: chats with people who think, agents with tools that run.

    `turns` a session, fixed or drawn.  Between two turns passes a `think` time or, for the fraction `tool_share` of
    them, a `tool` time (both in seconds; `tool_share` is 1 where only `tool` is given, 0.5 where both are).
    `prompt` "new": isl counts the tokens that a turn adds, and the prompt carries the conversation so far;
    "whole": isl is the whole prompt, and the turns of a session are put in order of length.  `clock`: the pause runs
    from the "end" of the turn before, or from its "arrival" (as measured from traces, whatever the answer took).
    `alike` is the correlation (of normal scores) of lengths within a session, `longer` that of a session's lengths with
    its number of turns.  A session ends before the turn that would not fit into `context` tokens.
    """

    turns: Lengths = _FOUR
    think: Lengths = _NO_TIME
    tool: Lengths = _NO_TIME
    tool_share: float = 0.0
    prompt: Literal["new", "whole"] = "new"
    clock: Literal["end", "arrival"] = "end"
    alike: float = 0.0
    longer: float = 0.0
    context: int | None = None


@dataclass(frozen=True, slots=True)
class RequestClass:
    """A part of the requests with its own lengths (None: the workload's), service levels and priority (lower goes
    first)."""

    name: str
    share: float
    isl: Lengths | None = None
    osl: Lengths | None = None
    slo: SLO = SLO()
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Prefixes:
    """The fraction `share` of requests starts with one of `count` prefixes of `tokens` tokens; prefix k is asked for ∝
    k^−skew."""

    tokens: int
    count: int = 1
    skew: float = 1.0
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Clients:
    """Who sends: `count` clients, client k sends ∝ k^−skew, or in proportion to `shares`."""

    count: int = 1
    skew: float = 0.0
    shares: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Adapters:
    """LoRA adapters of rank `rank`: the fraction `share` of requests uses one of `count`, adapter k ∝ k^−skew."""

    count: int
    skew: float = 1.0
    share: float = 1.0
    rank: int = 16


@dataclass(frozen=True, slots=True)
class Diurnal:
    """A rate that swings: mean · (1 − swing · cos(2π t / period)), from its lowest at t = 0."""

    period_s: float = 86400.0
    swing: float = 0.8


def read_sessions(value: Any, where: str) -> Sessions:
    """Sessions from ``{turns: 4, think: 10 s, tool: 2 s}``; see `Sessions` for the fields."""
    if isinstance(value, Sessions):
        return value
    readers: dict[str, fields.Reader] = {
        "turns": read_lengths,
        "think": read_times,
        "tool": read_times,
        "tool_share": fields.number(0, 1),
        "prompt": fields.choice("new", "whole"),
        "clock": fields.choice("end", "arrival"),
        "alike": fields.number(0, 1),
        "longer": fields.number(0, 1),
        "context": fields.at_least(1),
    }
    if isinstance(value, Mapping) and "tool_share" not in value and value.get("tool") is not None:
        value = {**value, "tool_share": 0.5 if value.get("think") is not None else 1.0}
    sessions = fields.read(Sessions, value, where, readers)
    if sessions.turns.mean < 1:
        raise InputError("a session has at least one turn", f"{where}.turns")
    return sessions


def read_classes(value: Any, where: str) -> tuple[RequestClass, ...]:
    """Classes from ``[{name: chat, share: 0.8, slo: {ttft: 1 s}}, {name: batch, share: 0.2, isl: 8000, priority:
    1}]``."""
    if not isinstance(value, (list, tuple)):
        raise InputError(f"expected a list of classes, got {value!r}", where)
    readers: dict[str, fields.Reader] = {
        "name": fields.text,
        "share": fields.number(0, exclusive=True),
        "isl": read_lengths,
        "osl": read_lengths,
        "slo": read_slo,
        "priority": fields.integer,
    }
    classes = []
    for i, item in enumerate(value):
        at = f"{where}[{i}]"
        if isinstance(item, RequestClass):
            classes.append(item)
            continue
        if not isinstance(item, Mapping) or "name" not in item:
            raise InputError("a class needs a name, for example {name: chat, share: 0.8}", at)
        classes.append(fields.read(RequestClass, {"share": 1.0, **item}, at, readers))
    names = [c.name for c in classes]
    if len(set(names)) < len(names):
        raise InputError(f"two classes are called {max(names, key=names.count)!r}", where)
    return tuple(classes)


def read_prefixes(value: Any, where: str) -> Prefixes:
    """Prefixes from ``2000`` (one, shared by all) or ``{tokens: 2000, count: 20, skew: 1, share: 0.8}``."""
    readers: dict[str, fields.Reader] = {
        "tokens": fields.at_least(1),
        "count": fields.at_least(1, 10**7),
        "skew": fields.number(0),
        "share": fields.number(0, 1),
    }
    return _counted(Prefixes, "tokens", value, where, readers)


def read_clients(value: Any, where: str) -> Clients:
    """Clients from ``8`` (equal ones), ``{count: 8, skew: 1}`` or ``{shares: [4, 1, 1]}``."""
    readers: dict[str, fields.Reader] = {
        "count": fields.at_least(1, 10**7),
        "skew": fields.number(0),
        "shares": _shares,
    }
    clients = _counted(Clients, "count", value, where, readers)
    if clients.shares and clients.count not in (1, len(clients.shares)):
        raise InputError(f"{len(clients.shares)} shares for {clients.count} clients", where)
    return Clients(len(clients.shares) or clients.count, clients.skew, clients.shares)


def read_adapters(value: Any, where: str) -> Adapters:
    """Adapters from ``16`` or ``{count: 16, skew: 1, share: 0.9, rank: 32}``."""
    readers: dict[str, fields.Reader] = {
        "count": fields.at_least(1, 10**7),
        "skew": fields.number(0),
        "share": fields.number(0, 1),
        "rank": fields.at_least(1),
    }
    return _counted(Adapters, "count", value, where, readers)


def read_diurnal(value: Any, where: str) -> Diurnal:
    """The daily swing from ``{period: 1 h, swing: 0.5}``."""
    if isinstance(value, Diurnal):
        return value
    readers: dict[str, fields.Reader] = {"period_s": fields.quantity("time"), "swing": fields.number(0, 1)}
    if isinstance(value, Mapping):
        value = {"period_s" if key == "period" else key: v for key, v in value.items()}
    return fields.read(Diurnal, value, where, readers)


def _counted(cls: type[T], main: str, value: Any, where: str, readers: Mapping[str, fields.Reader]) -> T:
    """An instance from a bare number (its field `main`) or a mapping that has it."""
    if isinstance(value, cls):
        return value
    if isinstance(value, (int, str)) and not isinstance(value, bool):
        return cls(**{main: readers[main](value, where)})
    if isinstance(value, Mapping) and main not in value and "shares" not in value:
        raise InputError(f"needs {main}", where)
    return fields.read(cls, value, where, readers)


def _shares(value: Any, where: str) -> tuple[float, ...]:
    if not isinstance(value, (list, tuple)) or not value:
        raise InputError("expected a list of shares such as [4, 1, 1]", where)
    return tuple(fields.number(0, exclusive=True)(x, f"{where}[{i}]") for i, x in enumerate(value))
