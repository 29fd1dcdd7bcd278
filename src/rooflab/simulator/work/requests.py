"""What goes into the simulator and what comes out of it: flat arrays, one row a request.

`Requests` is the work, made by traces and generators; `Records` is what became of each request in the
same order; `Timeline` is what the system looked like over time; `Steps` is an optional log of engine
steps.  Nothing here computes: statistics are made from these by others.

Three ways of arriving share one field.  `after[i]` is the request whose end releases request i, or

    OPEN   (-1)   request i arrives at arrival_s[i], whatever else happens (open loop, traces, first turns)
    SHARED (-2)   the next end of any request releases the lowest such i (a load generator that keeps N in flight)

A released request arrives `think_s[i]` after the end (think time of a user, time of a tool).  A closed
loop of U users who ask R times each is U chains; so is a session of many turns.

Prefix caching sees prompts as blocks of `prefix_block_tokens` tokens.  Request i's sequence, prompt first
and answer after it, has the blocks prefix_block[prefix_start[i]:prefix_start[i + 1]]; equal numbers mean
equal content *including everything before* (chained hashes, as in vLLM and in the Mooncake trace).
Trailing blocks may be left out, and a request without blocks shares nothing.  The next turn of a session
starts with the blocks of the turn before, its answer among them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.errors import InputError

__all__ = [
    "ITL_EDGES_S", "OPEN", "SHARED", "STEP_FIELDS", "TIMELINE_FIELDS", "TOTAL_FIELDS",
    "Records", "Requests", "Result", "Status", "Steps", "Timeline", "Totals", "make_requests",
]  # fmt: skip

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
I8 = npt.NDArray[np.int8]

OPEN: Final = -1
SHARED: Final = -2

ITL_EDGES_S: Final[F64] = 10.0 ** (np.arange(-5 * 200, 3 * 200 + 1) / 200.0)
"""Edges of the inter-token latency histogram: 200 a decade (1.2 % wide) from 10 us to 1000 s."""


class Status(IntEnum):
    """What became of a request."""

    PENDING = 0
    """Not released, or not done when the run stopped."""
    FINISHED = 1
    REJECTED = 2
    """Turned away by admission control (queue full)."""
    IMPOSSIBLE = 3
    """Longer than every replica's KV cache or model length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """N requests as columns; build with `make_requests`, which checks and fills what is not given.

    `arrival_s` is used for OPEN requests and must not decrease among them.  `deadline_s` counts from arrival
    (inf: none); `priority` is vLLM's, lower goes first; `predicted_tokens` is a guess of the output length for
    predicted shortest-first.  `client`, `klass`, `session` and `adapter` are small whole numbers (adapter −1: base
    model).
    """

    arrival_s: F64
    input_tokens: I64
    output_tokens: I64
    client: I32
    klass: I32
    priority: I32
    deadline_s: F64
    predicted_tokens: I64
    session: I32
    adapter: I32
    after: I64
    think_s: F64
    prefix_start: I64
    prefix_block: I64
    prefix_block_tokens: int = 16

    def __len__(self) -> int:
        return len(self.arrival_s)


_DTYPES: Final[dict[str, tuple[Any, Any]]] = {
    "client": (np.int32, 0),
    "klass": (np.int32, 0),
    "priority": (np.int32, 0),
    "deadline_s": (np.float64, np.inf),
    "session": (np.int32, -1),
    "adapter": (np.int32, -1),
    "after": (np.int64, OPEN),
    "think_s": (np.float64, 0.0),
}


def make_requests(
    arrival_s: npt.ArrayLike,
    input_tokens: npt.ArrayLike,
    output_tokens: npt.ArrayLike,
    *,
    predicted_tokens: npt.ArrayLike | None = None,
    prefix_start: npt.ArrayLike | None = None,
    prefix_block: npt.ArrayLike | None = None,
    prefix_block_tokens: int = 16,
    **columns: npt.ArrayLike,
) -> Requests:
    """Requests from columns; scalars spread over all rows, columns not given take their neutral value.

    Raises InputError for negative lengths, arrivals that run backwards, or a chain that points forward.
    """
    arrival = np.ascontiguousarray(arrival_s, dtype=np.float64)
    n = len(arrival)

    def column(value: npt.ArrayLike, dtype: Any) -> Any:
        return np.ascontiguousarray(np.broadcast_to(np.asarray(value, dtype=dtype), (n,)))

    values = {name: column(columns.pop(name, neutral), dtype) for name, (dtype, neutral) in _DTYPES.items()}
    assert not columns, f"no such column: {', '.join(columns)}"
    out = column(output_tokens, np.int64)
    requests = Requests(
        arrival_s=arrival,
        input_tokens=column(input_tokens, np.int64),
        output_tokens=out,
        predicted_tokens=out.copy() if predicted_tokens is None else column(predicted_tokens, np.int64),
        prefix_start=np.zeros(n + 1, np.int64)
        if prefix_start is None
        else np.ascontiguousarray(prefix_start, dtype=np.int64),
        prefix_block=np.zeros(0, np.int64)
        if prefix_block is None
        else np.ascontiguousarray(prefix_block, dtype=np.int64),
        prefix_block_tokens=prefix_block_tokens,
        **values,
    )
    _check(requests)
    return requests


def _check(requests: Requests) -> None:
    n = len(requests)
    is_open = requests.after == OPEN
    at = requests.arrival_s[is_open]
    rows = np.arange(n)
    checks = (
        ("input_tokens", requests.input_tokens >= 1, "a prompt has at least one token"),
        ("output_tokens", requests.output_tokens >= 1, "a request generates at least one token"),
        ("think_s", requests.think_s >= 0, "think time is not negative"),
        ("after", (requests.after < rows) & (requests.after >= SHARED), "a request can only wait for an earlier one"),
    )
    for name, fine, problem in checks:
        if not fine.all():
            raise InputError(problem, f"requests.{name}[{int(np.argmin(fine))}]")
    if not np.isfinite(at).all() or (at[1:] < at[:-1]).any():
        raise InputError("arrivals must be finite and must not run backwards", "requests.arrival_s")
    if len(requests.prefix_start) != n + 1 or requests.prefix_start[-1] != len(requests.prefix_block):
        raise InputError("prefix_start needs one entry a request and the total at its end", "requests.prefix_start")


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """What became of each request, in the order of `Requests`; times are NaN where the event did not happen.

    `first_token_s` and `last_token_s` are ends of engine steps. `replica` made the first token, `decode_replica`
    the last (they differ under disaggregation); −1: none. `cached_tokens` of the prompt were found in the prefix
    cache when it was first scheduled. `preemptions` counts evictions by KV pressure, `requeues` by replica failure.
    """

    arrival_s: F64
    first_scheduled_s: F64
    first_token_s: F64
    last_token_s: F64
    replica: I32
    decode_replica: I32
    preemptions: I32
    requeues: I32
    cached_tokens: I64
    tokens_out: I64
    status: I8

    def __len__(self) -> int:
        return len(self.arrival_s)


TIMELINE_FIELDS: Final = (
    "time_s", "running", "waiting", "kv_blocks", "prefill_tokens_per_s", "decode_tokens_per_s", "step_tokens",
    "power_w", "replicas_up",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The system over time, in intervals of `interval_s` that start at `time_s`; all replicas together.

    `running`, `waiting` (requests), `kv_blocks`, `power_w` and `replicas_up` are averages over the interval;
    token rates count tokens computed in it; `step_tokens` is the mean tokens of a step.
    """

    interval_s: float
    time_s: F64
    running: F64
    waiting: F64
    kv_blocks: F64
    prefill_tokens_per_s: F64
    decode_tokens_per_s: F64
    step_tokens: F64
    power_w: F64
    replicas_up: F64


STEP_FIELDS: Final = (
    "replica",
    "start_s",
    "end_s",
    "steps",
    "n_decode",
    "context",
    "n_prefill",
    "prefill_tokens",
    "kv_blocks",
    "waiting",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """A log of engine steps, one row a step or a run of `steps` equal decode steps; empty unless asked for.

    `context` is the sum over decoding sequences at the row's first step; `kv_blocks` are those held,
    and `waiting` the requests in line, when it ends.
    """

    replica: I32
    start_s: F64
    end_s: F64
    steps: I64
    n_decode: I64
    context: I64
    n_prefill: I64
    prefill_tokens: I64
    kv_blocks: I64
    waiting: I64

    def __len__(self) -> int:
        return len(self.start_s)


TOTAL_FIELDS: Final = (
    "steps", "busy_s", "up_s", "energy_j", "prefill_tokens", "decode_tokens", "cached_tokens", "looked_up_tokens",
    "host_tokens", "ssd_tokens", "preemptions", "swapped_tokens", "recomputed_tokens", "transferred_tokens",
    "moved_tokens", "evicted_blocks",
    "request_s", "waiting_s", "kv_block_s", "finished",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums over the run, one entry a replica.

    `energy_j` includes idle power while up; `prefill_tokens` counts computed prompt tokens (recomputed ones too);
    `cached_tokens` of the `looked_up_tokens` came from any tier, `host_tokens` and `ssd_tokens` of them from below
    the GPU; caches of `moved_tokens` were copied on the device; `request_s`, `waiting_s` and `kv_block_s` are time
    integrals of requests present, requests waiting and KV blocks held (Little's law: request_s summed is the summed
    time that requests spent in the system).
    """

    steps: I64
    busy_s: F64
    up_s: F64
    energy_j: F64
    prefill_tokens: I64
    decode_tokens: I64
    cached_tokens: I64
    looked_up_tokens: I64
    host_tokens: I64
    ssd_tokens: I64
    preemptions: I64
    swapped_tokens: I64
    recomputed_tokens: I64
    transferred_tokens: I64
    moved_tokens: I64
    evicted_blocks: I64
    request_s: F64
    waiting_s: F64
    kv_block_s: F64
    finished: I64

    def total(self, name: str) -> float:
        """Sum of the column `name` over replicas."""
        assert name in {f.name for f in fields(self)}
        return float(getattr(self, name).sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A run: records, totals, timeline, the inter-token latency histogram (counts between ITL_EDGES_S) and steps.

    `end_s` is when the run stopped; `complete` is False when requests are still PENDING: the run was interrupted, or
    they are `stranded` (no engine that could take them comes up again, or turns are so short that nobody gets on).
    """

    records: Records
    totals: Totals
    timeline: Timeline
    itl_counts: F64
    steps: Steps
    end_s: float
    complete: bool
    stranded: int = 0
