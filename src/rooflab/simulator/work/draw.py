"""From a workload to requests: who asks what, when, and what it shares with others.

Rows are made conversation by conversation (a request alone is a conversation of one turn): every draw that
belongs to a conversation (class, client, adapter, prefix) is made once and repeated over its turns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from rooflab.errors import InputError
from rooflab.scenario.lengths import Lengths
from rooflab.scenario.slo import SLO
from rooflab.scenario.traffic import Prefixes, Sessions
from rooflab.scenario.workload import Workload
from rooflab.simulator.work.arrivals import arrival_times
from rooflab.simulator.work.lengths import correlated, pick, stream, to_counts, to_values
from rooflab.simulator.work.owed import deadlines, predicted, priorities
from rooflab.simulator.work.prefixes import block_size_for, chain_blocks
from rooflab.simulator.work.requests import OPEN, SHARED, Requests, make_requests

__all__ = ["drawn_work", "request_count"]

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]

OPEN_REQUESTS: Final = 10_000
"""Requests of an open-loop or offline run that does not say how many."""

_LEFT: Final = 0.25
"""Share that is left at least of an answer that is cut and counts: a token or two would tell of the opening alone."""


def request_count(workload: Workload) -> int:
    """How many requests the workload makes: the burst, or `requests`, else rounds x concurrency (and two rounds that do
    not count of users that have been at it for long), the batch, or OPEN_REQUESTS."""
    if workload.burst is not None:
        return workload.burst
    if workload.requests is not None:
        return workload.requests
    if workload.mode == "closed":
        assert workload.concurrency is not None
        # users that have been at it for long have a request before those that count, and one after them
        return (workload.rounds + 2 * (workload.start == "staggered")) * workload.concurrency
    if workload.mode == "static":
        return workload.batch or 1
    return OPEN_REQUESTS


def drawn_work(workload: Workload, *, slo: SLO, block_tokens: int) -> Requests:
    """The requests of a workload without a trace (resolved: no `like` left open), as `make_work` has them."""
    n = request_count(workload)
    rows = _rows(workload, n)
    _check_rate(workload)
    arrival, after, think, order = _times(workload, rows)
    rows = rows.take(order)
    if workload.mode == "closed" and workload.start != "lockstep":
        rows = replace(rows, output_tokens=_out_of_step(workload, rows.output_tokens, after == OPEN))
    start, block, size = _blocks(workload, rows, block_tokens)
    return make_requests(
        arrival,
        rows.input_tokens,
        rows.output_tokens,
        client=rows.client,
        klass=rows.klass,
        priority=priorities(workload, rows.klass),
        deadline_s=deadlines(workload, rows.klass, slo),
        predicted_tokens=predicted(workload, rows.output_tokens),
        session=rows.session if workload.sessions is not None else -1,
        adapter=rows.adapter,
        after=after,
        think_s=think,
        prefix_start=start,
        prefix_block=block,
        prefix_block_tokens=size,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """Requests before they have times: conversation, turn within it, lengths and who asks."""

    session: I64
    turn: I64
    input_tokens: I64
    output_tokens: I64
    klass: I32
    client: I32
    adapter: I32
    prefix: I64

    def take(self, order: npt.NDArray[np.intp] | slice) -> _Rows:
        return _Rows(**{name: getattr(self, name)[order] for name in self.__slots__})


def _rows(workload: Workload, n: int) -> _Rows:
    sessions = workload.sessions
    if sessions is None:
        return _drawn(workload, np.arange(n), np.zeros(n, dtype=np.int64))
    wanted = n
    for _ in range(12):
        rows = _drawn(workload, *_turns(workload, sessions, wanted))
        if sessions.context is None:
            return rows.take(slice(n))
        too_long = (rows.input_tokens + rows.output_tokens > sessions.context).astype(np.int64)
        fits = np.flatnonzero(_history(too_long, rows.turn) + too_long == 0)
        if len(fits) >= n:
            return rows.take(fits[:n])
        wanted *= 2
    raise InputError(f"hardly any turn fits into {sessions.context} tokens", "workload.sessions.context")


def _turns(workload: Workload, sessions: Sessions, n: int) -> tuple[I64, I64]:
    """Conversation and turn of `n` rows, conversation by conversation; the last one is cut."""
    drawn = to_counts(sessions.turns, stream(workload.seed, "turns").standard_normal(n))
    ends = np.cumsum(drawn)
    count = int(np.searchsorted(ends, n)) + 1
    session = np.repeat(np.arange(count), drawn[:count])[:n]
    return session, np.arange(n) - (ends - drawn)[session]


def _drawn(workload: Workload, session: I64, turn: I64) -> _Rows:
    seed, n, count = workload.seed, len(session), int(session[-1]) + 1
    klass = pick(
        stream(seed, "classes"), count, max(len(workload.classes), 1), shares=tuple(c.share for c in workload.classes)
    )[session]
    z = stream(seed, "isl").standard_normal(n)
    sessions = workload.sessions
    if sessions is not None and sessions.alike > 0:
        z = _alike(
            sessions,
            z,
            stream(seed, "sessions").standard_normal(count),
            stream(seed, "turns").standard_normal(count),
            session,
        )
    z_out = correlated(z, stream(seed, "osl").standard_normal(n), workload.correlation)
    isl = _by_class(workload, "isl", klass, z)
    osl = _by_class(workload, "osl", klass, z_out)
    if workload.length_jitter:
        isl = _jittered(isl, workload, "isl jitter")
        osl = _jittered(osl, workload, "osl jitter")
    prefix = _prefix_of(workload, count)[session]
    if sessions is not None and sessions.prompt == "whole":
        order = np.lexsort((isl, session))
        isl, osl = isl[order], osl[order]
    elif sessions is not None:
        isl = isl + _history(isl + osl, turn) + np.where(prefix >= 0, _prefixes(workload).tokens, 0)
    adapters = workload.adapters
    adapter = np.full(count, -1, dtype=np.int32)
    if adapters is not None:
        adapter = pick(stream(seed, "adapters"), count, adapters.count, adapters.skew)
        adapter[stream(seed, "adapter use").random(count) >= adapters.share] = -1
    clients = workload.clients
    client = pick(stream(seed, "clients"), count, clients.count, clients.skew, clients.shares)
    return _Rows(
        session=session,
        turn=turn,
        input_tokens=isl,
        output_tokens=osl,
        klass=klass,
        client=client[session],
        adapter=adapter[session],
        prefix=prefix,
    )


def _alike(sessions: Sessions, z: F64, shared: F64, turns: F64, session: I64) -> F64:
    """Normals of which a part is the session's own; with `longer`, that part goes with the normal that drew the number
    of turns.

    Long sessions weigh more, which would shift all lengths: ranks are then mapped back to normals.
    """
    r = sessions.longer
    own = r * turns + (1 - r * r) ** 0.5 * shared if r else shared
    mixed = (1 - sessions.alike) ** 0.5 * z + (sessions.alike**0.5 * own)[session]
    if r == 0:
        return np.asarray(mixed)
    out = np.empty_like(z)
    out[np.argsort(mixed)] = np.sort(z)
    return out


def _by_class(workload: Workload, name: str, klass: I32, z: F64) -> I64:
    nominal: Lengths = getattr(workload, name)
    if all(getattr(c, name) is None for c in workload.classes):
        return to_counts(nominal, z)
    out = np.empty(len(z), dtype=np.int64)
    for k, c in enumerate(workload.classes):
        rows = klass == k
        out[rows] = to_counts(getattr(c, name) or nominal, z[rows])
    return out


def _jittered(tokens: I64, workload: Workload, purpose: str) -> I64:
    down = workload.length_jitter * stream(workload.seed, purpose).random(len(tokens))
    return np.maximum((tokens * (1 - down) + 0.5).astype(np.int64), 1)


def _history(added: I64, turn: I64) -> I64:
    """Tokens of the conversation before each turn: the sum of what earlier turns of it added."""
    before = np.cumsum(added) - added
    out: I64 = before - before[np.arange(len(turn)) - turn]
    return out


def _prefixes(workload: Workload) -> Prefixes:
    return workload.prefixes if workload.prefixes is not None else Prefixes(workload.shared_prefix)


def _prefix_of(workload: Workload, count: int) -> I64:
    """Number of the prefix of each conversation, −1: none."""
    prefixes = _prefixes(workload)
    if prefixes.tokens == 0:
        return np.full(count, -1, dtype=np.int64)
    number = pick(stream(workload.seed, "prefixes"), count, prefixes.count, prefixes.skew).astype(np.int64)
    if prefixes.share < 1:
        number[stream(workload.seed, "prefix use").random(count) >= prefixes.share] = -1
    return number


def _check_rate(workload: Workload) -> None:
    if workload.mode == "open" and workload.arrivals == "gamma" and workload.arrivals_cv > 1000:
        raise InputError(f"{workload.arrivals_cv:g} is too bursty to draw; at most 1000", "workload.arrivals_cv")


def _times(workload: Workload, rows: _Rows) -> tuple[F64, I64, F64, npt.NDArray[np.intp] | slice]:
    """Arrival, predecessor and pause of each row, and the order that the rows must be put into first."""
    n, first = len(rows.turn), np.flatnonzero(rows.turn == 0)
    starts = np.zeros(len(first))
    if workload.mode == "open":
        assert workload.rate is not None
        starts = arrival_times(workload, len(first), workload.rate * len(first) / n, stream(workload.seed, "arrivals"))
    conversation = np.cumsum(rows.turn == 0) - 1
    arrival = starts[conversation]
    if workload.sessions is None:
        after = np.full(n, OPEN, dtype=np.int64)
        if workload.mode in ("closed", "burst") and workload.concurrency is not None:
            after[workload.concurrency :] = SHARED
        return arrival, after, np.zeros(n), slice(None)
    pause = _pauses(workload, workload.sessions, n)
    pause[first] = 0.0
    if workload.mode == "open" and workload.sessions.clock == "arrival":
        return _by_arrival_clock(workload, rows, arrival, pause)
    after = np.arange(n, dtype=np.int64) - 1
    after[first] = OPEN
    if workload.mode == "closed":
        users = workload.concurrency
        last = np.append(first[1:], n) - 1
        after[first[users:]] = last[: max(len(first) - (users or 0), 0)]
    return arrival, after, pause, slice(None)


def _by_arrival_clock(
    workload: Workload, rows: _Rows, arrival: F64, pause: F64
) -> tuple[F64, I64, F64, npt.NDArray[np.intp]]:
    """Every turn at its own time, whatever the answers take; what runs past the end comes in at the beginning.

    So the load is stationary from the first second; turns that come in so are a conversation of their own (see
    `_blocks`).
    """
    assert workload.rate is not None
    n = len(arrival)
    since_start = np.cumsum(pause)
    since_start -= since_start[np.arange(n) - rows.turn]
    at = np.mod(arrival + since_start, n / workload.rate)
    order = np.argsort(at, kind="stable")
    return at[order], np.full(n, OPEN, dtype=np.int64), np.zeros(n), order


def _pauses(workload: Workload, sessions: Sessions, n: int) -> F64:
    pause = to_values(sessions.think, stream(workload.seed, "think").standard_normal(n))
    if sessions.tool_share > 0:
        tool = to_values(sessions.tool, stream(workload.seed, "tool").standard_normal(n))
        pause = np.where(stream(workload.seed, "tool use").random(n) < sessions.tool_share, tool, pause)
    return pause


def _blocks(workload: Workload, rows: _Rows, block_tokens: int) -> tuple[I64, I64, int]:
    """Start, blocks and block size; whole sequences are listed, because those that never recur push others out of the
    cache."""
    prefixes, n = _prefixes(workload), len(rows.turn)
    if workload.sessions is None and prefixes.tokens == 0:
        return np.zeros(n + 1, dtype=np.int64), np.zeros(0, dtype=np.int64), block_tokens
    if workload.sessions is None and prefixes.count == 1:
        return _one_prefix(rows, prefixes.tokens, block_tokens)
    reach = rows.input_tokens + rows.output_tokens
    size = block_size_for(float(reach.sum()), n, block_tokens)
    shared = np.where(rows.prefix >= 0, np.minimum(prefixes.tokens, reach) // size, 0)
    return *chain_blocks(_chains(rows), reach // size, np.maximum(rows.prefix, 0), shared), size


def _one_prefix(rows: _Rows, tokens: int, block_tokens: int) -> tuple[I64, I64, int]:
    """Requests that share one text and nothing else: a single large block where every prompt holds all of it."""
    whole = tokens // block_tokens * block_tokens
    size = whole if 0 < whole <= int(rows.input_tokens.min()) else block_tokens
    listed = np.where(rows.prefix >= 0, np.minimum(tokens, rows.input_tokens) // size, 0)
    start = np.concatenate(([0], np.cumsum(listed)))
    return start, np.arange(int(start[-1])) - np.repeat(start[:-1], listed), size


def _chains(rows: _Rows) -> I64:
    """A number for each run of turns in which every turn comes after the one before it; a turn out of order begins
    another run."""
    order = np.lexsort((np.arange(len(rows.turn)), rows.session))
    session, turn = rows.session[order], rows.turn[order]
    begins = np.ones(len(turn), dtype=bool)
    begins[1:] = (session[1:] != session[:-1]) | (turn[1:] < turn[:-1])
    chain = np.empty(len(turn), dtype=np.int64)
    chain[order] = np.cumsum(begins) - 1
    return chain


def _out_of_step(workload: Workload, output: I64, first: npt.NDArray[np.bool_]) -> I64:
    """The `first` answer of each user cut at a uniformly random point, as if the load had been running for long; where
    it counts, at least a part of it is left."""
    out = output.copy()
    most = 1.0 if workload.start == "staggered" else 1.0 - _LEFT
    left = output[first] * (1 - most * stream(workload.seed, "stagger").random(int(first.sum())))
    out[first] = np.maximum(np.ceil(left).astype(np.int64), 1)
    return out
