"""The workload: how long requests are, how they come, and who sends them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Literal

from rooflab.errors import InputError
from rooflab.scenario import fields
from rooflab.scenario.exact import given_as
from rooflab.scenario.lengths import Lengths, quantiles, read_lengths, value_at
from rooflab.scenario.traffic import (
    Adapters,
    Clients,
    Diurnal,
    Prefixes,
    RequestClass,
    Sessions,
    read_adapters,
    read_classes,
    read_clients,
    read_diurnal,
    read_prefixes,
    read_sessions,
)

__all__ = ["Lengths", "Mode", "Workload", "quantiles", "read_lengths", "read_workload"]

_PROBES: Final = 64
Mode = Literal["open", "closed", "static", "burst", "max-throughput", "trace"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Requests of `isl` prompt and `osl` generated tokens, arriving in one of six ways.

    `rate` (requests/s, open loop), `concurrency` (closed loop: a finished request is replaced at once),
    `batch` (all start together, none joins), `burst` (so many requests, all sent at once or `concurrency` at a time;
    the run is over when the last is answered), `scenario` "max-throughput" (as many as fit) or "batch1",
    `trace` (a file; with `rate` its clock is stretched to that mean rate, with `concurrency` only its lengths count).
    `like` names a shipped workload whose lengths, correlation, burstiness and sessions are used where none are given.
    `rounds`, `length_jitter` and `start` describe a closed-loop client: requests per user, spread of lengths below the
    nominal, and how users begin. "burst": all at once, and out of step from then on (the first answer of each is cut at
    a random point); "lockstep": all at once, and answers of equal length go on ending together; "staggered":
    as if they had been at it for long (what comes before is left out of all figures).

    Open-loop `arrivals`: "poisson"; "gamma", gaps with coefficient of variation `arrivals_cv`; "uniform", equal gaps;
    "burst", groups of `burst_size` at once, the groups Poisson; "diurnal", Poisson with the rate that `diurnal`
    describes. `correlation` is the rank correlation of isl and osl; `shared_prefix` tokens at the start of every prompt
    are the same (`prefixes`: several such); `predict_cv` is the error of length predictions (a factor, lognormal).
    `beams`: width of a beam search; all beams of a request decode together and share its prompt's cache.
    With `sessions` of `prompt: new`, isl counts new tokens and prefixes come on top; a `rate` counts requests, not
    sessions. `given`: the workload before `like` or `trace` was looked up, until it is changed.
    """

    isl: Lengths = Lengths("fixed", 1024.0, 0.0, 1024.0, 1024.0)
    osl: Lengths = Lengths("fixed", 512.0, 0.0, 512.0, 512.0)
    rate: float | None = None
    concurrency: int | None = None
    batch: int | None = None
    burst: int | None = None
    scenario: Literal["max-throughput", "batch1"] | None = None
    trace: str | None = None
    like: str | None = None
    arrivals: Literal["poisson", "gamma", "uniform", "burst", "diurnal"] = "poisson"
    arrivals_cv: float = 1.0
    requests: int | None = None
    rounds: int = 10
    length_jitter: float = 0.0
    start: Literal["burst", "lockstep", "staggered"] = "burst"
    shared_prefix: int = 0
    seed: int = 0
    correlation: float = 0.0
    burst_size: int = 16
    diurnal: Diurnal = Diurnal()
    sessions: Sessions | None = None
    classes: tuple[RequestClass, ...] = ()
    prefixes: Prefixes | None = None
    clients: Clients = Clients()
    adapters: Adapters | None = None
    predict_cv: float = 0.0
    beams: int = 1
    given: Workload | None = field(default=None, init=False, compare=False, repr=False)

    def read_from(self, given: Workload) -> Workload:
        """The same workload with the one that it was before its `like` or `trace` was looked up."""
        return given_as(replace(self), given)

    @property
    def mode(self) -> Mode:
        """How requests arrive."""
        if self.burst is not None:
            return "burst"
        if self.trace is not None:
            return "trace"
        if self.rate is not None:
            return "open"
        if self.concurrency is not None:
            return "closed"
        if self.batch is not None or self.scenario == "batch1":
            return "static"
        return "max-throughput"

    @property
    def each_user(self) -> float:
        """Requests of a user of a closed loop, at least one: `requests` shared out, else `rounds`."""
        if self.requests is None or self.concurrency is None:
            return float(self.rounds)
        return max(self.requests / self.concurrency, 1.0)

    @property
    def mean_prompt_tokens(self) -> float:
        """Mean tokens of a whole prompt: isl and, in sessions of `prompt: new`, prefix and the conversation so far.

        A session of T turns repeats (isl + osl) · T (T − 1) / 2 tokens; sessions are weighted by their turns, which
        stop where a mean conversation fills the `context`.
        """
        if self.sessions is None:
            return self._class_mean("isl")
        return self._class_mean("isl") + self._on_top + self._repeated

    @property
    def mean_reused_tokens(self) -> float:
        """Mean tokens of a prompt that an unlimited, always warm prefix cache would hold.

        In sessions of `prompt: whole` a later turn is taken to repeat all of its prompt, which is a little too much.
        """
        if self.sessions is None and self.prefixes is None and not self.shared_prefix:
            return 0.0
        if self.sessions is not None and self.sessions.prompt == "new":
            return self._on_top + self._repeated
        prefix = self.prefixes
        shared = min(
            prefix.share * prefix.tokens if prefix is not None else float(self.shared_prefix), self._class_mean("isl")
        )
        first = 1.0 if self.sessions is None else 1 / self.sessions.turns.mean
        return first * shared + (1 - first) * self._class_mean("isl")

    @property
    def shared(self) -> Prefixes | None:
        """Beginnings that prompts of different requests have in common, None where there are none."""
        if self.prefixes is None:
            return Prefixes(self.shared_prefix) if self.shared_prefix else None
        return self.prefixes

    @property
    def mean_output_tokens(self) -> float:
        """Mean tokens of an answer, over the classes."""
        return self._class_mean("osl")

    @property
    def _on_top(self) -> float:
        if self.sessions is None or self.sessions.prompt == "whole":
            return 0.0
        return float(self.shared_prefix) if self.prefixes is None else self.prefixes.share * self.prefixes.tokens

    @property
    def _repeated(self) -> float:
        if self.sessions is None or self.sessions.prompt == "whole":
            return 0.0
        added = self._class_mean("isl") + self._class_mean("osl")
        room = math.inf if self.sessions.context is None else max((self.sessions.context - self._on_top) // added, 1)
        turns = [min(max(round(value_at(self.sessions.turns, (k + 0.5) / _PROBES)), 1), room) for k in range(_PROBES)]
        return added * sum(t * (t - 1) / 2 for t in turns) / sum(turns)

    def _class_mean(self, name: Literal["isl", "osl"]) -> float:
        mean = (self.isl if name == "isl" else self.osl).mean
        kept = 1.0 - self.length_jitter / 2
        if not self.classes:
            return mean * kept
        total = sum(c.share for c in self.classes)
        return (
            sum(c.share * (own.mean if (own := getattr(c, name)) is not None else mean) for c in self.classes)
            / total
            * kept
        )

    def spread(self, name: Literal["isl", "osl"]) -> float:
        """Coefficient of variation of a length over all classes, the jitter (uniform, independent) included."""
        jitter = self.length_jitter / 12**0.5 / (1.0 - self.length_jitter / 2)
        parts = [(share, x if name == "isl" else y) for share, x, y in self.kinds]
        mean = sum(share * lengths.mean for share, lengths in parts)
        square = sum(share * lengths.mean**2 * (1.0 + lengths.cv**2) for share, lengths in parts)
        over = square / mean**2 if mean else 1.0
        return math.sqrt(max(over * (1.0 + jitter**2) - 1.0, 0.0))

    @property
    def kinds(self) -> tuple[tuple[float, Lengths, Lengths], ...]:
        """Share of the requests, prompts and answers of each class; of all of them where there are no classes."""
        if not self.classes:
            return ((1.0, self.isl, self.osl),)
        total = sum(c.share for c in self.classes)
        return tuple((c.share / total, c.isl or self.isl, c.osl or self.osl) for c in self.classes)


def _signed_fraction(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -1 <= value <= 1:
        raise InputError(f"{value!r} is not a correlation from -1 to 1", where)
    return float(value)


WORKLOAD_READERS: Final[dict[str, fields.Reader]] = {
    "isl": read_lengths,
    "osl": read_lengths,
    "rate": fields.quantity("rate"),
    "concurrency": fields.at_least(1),
    "batch": fields.at_least(1),
    "burst": fields.at_least(1, 10**7),
    "scenario": fields.choice("max-throughput", "batch1"),
    "trace": fields.text,
    "like": fields.text,
    "arrivals": fields.choice("poisson", "gamma", "uniform", "burst", "diurnal"),
    "arrivals_cv": fields.number(0, exclusive=True),
    "requests": fields.at_least(1, 10**9),
    "rounds": fields.at_least(1),
    "length_jitter": fields.number(0, 0.99),
    "start": fields.choice("burst", "lockstep", "staggered"),
    "shared_prefix": fields.integer,
    "seed": partial(fields.integer, high=2**64),
    "correlation": _signed_fraction,
    "burst_size": fields.at_least(1, 10**7),
    "diurnal": read_diurnal,
    "sessions": read_sessions,
    "classes": read_classes,
    "prefixes": read_prefixes,
    "clients": read_clients,
    "adapters": read_adapters,
    "predict_cv": fields.number(0, 1000),
    "beams": fields.at_least(1),
}


def read_workload(value: Any, where: str = "workload") -> Workload:
    """A workload from its mapping; exactly one way of arriving may be given (none: max-throughput), but a burst may be
    sent `concurrency` at a time."""
    if isinstance(value, Workload):
        return value
    workload = fields.read(Workload, value, where, WORKLOAD_READERS)
    ways = ("rate", "concurrency", "batch", "burst", "scenario")
    given = [k for k in ways if getattr(workload, k) is not None]
    if given == ["concurrency", "burst"]:
        given = ["burst"]
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)} exclude each other; keep one", where)
    if workload.burst is not None and workload.requests is not None:
        raise InputError("burst says how many requests there are; leave requests out", f"{where}.requests")
    if workload.burst is not None and workload.sessions is not None:
        raise InputError("a burst has no sessions: its requests are all there at once", f"{where}.sessions")
    if workload.isl.mean <= 0:
        raise InputError("a prompt has at least one token", f"{where}.isl")
    if workload.prefixes is not None and workload.shared_prefix:
        raise InputError("shared_prefix and prefixes exclude each other; keep one", where)
    if workload.trace is not None and workload.like is not None:
        raise InputError("trace and like exclude each other; keep one", where)
    return workload
