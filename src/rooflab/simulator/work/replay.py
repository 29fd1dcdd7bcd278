"""Requests from traces: replayed on their own clock, stretched to a rate, as lengths of a closed loop, repeated to any
number."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rooflab.catalogue.trace_files import Trace, read_trace
from rooflab.catalogue.trace_prefixes import prompt_blocks
from rooflab.errors import InputError
from rooflab.scenario.slo import SLO
from rooflab.scenario.workload import Workload
from rooflab.simulator.work.arrivals import arrival_times
from rooflab.simulator.work.lengths import pick, stream
from rooflab.simulator.work.owed import deadlines, predicted, priorities
from rooflab.simulator.work.requests import OPEN, SHARED, Requests, make_requests

__all__ = ["repeat", "trace_requests", "trace_work"]

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


def trace_requests(trace: Trace) -> Requests:
    """The trace as it is: its arrivals (all at 0 where it has lengths only), lengths, sessions and whole prompt
    blocks."""
    blocks = prompt_blocks(trace)
    start, block = (None, None) if blocks is None else _whole_blocks(trace, *blocks)
    return make_requests(
        np.zeros(len(trace)) if trace.time_s is None else trace.time_s,
        trace.input_tokens,
        trace.output_tokens,
        session=-1 if trace.session is None else trace.session,
        prefix_start=start,
        prefix_block=block,
        prefix_block_tokens=trace.block_tokens,
    )


def _whole_blocks(trace: Trace, start: I64, block: I64) -> tuple[I64, I64]:
    """Without the last, partly filled block of each prompt: engines keep whole blocks only."""
    have = np.diff(start)
    keep = np.minimum(have, trace.input_tokens // trace.block_tokens)
    position = np.arange(len(block)) - np.repeat(start[:-1], have)
    return np.concatenate(([0], np.cumsum(keep))), block[position < np.repeat(keep, have)]


def trace_work(workload: Workload, *, slo: SLO) -> Requests:
    """The requests of a workload with a trace, cut or repeated to `requests`.

    They come on the trace's clock stretched to `rate`; by the workload's arrival process where the trace has lengths
    only; `concurrency` at a time; or all at once for a batch, a burst or a max-throughput run.  Classes, clients and
    adapters are drawn for each request. Raises InputError for lengths only without any of these.
    """
    assert workload.trace is not None
    path = Path(workload.trace)
    trace = _cached(path, path.stat().st_mtime_ns if path.exists() else 0)
    requests = trace_requests(trace)
    wanted = workload.burst or workload.requests
    if wanted is not None:
        requests = repeat(requests, wanted)
    n = len(requests)
    arrival, after = _arrivals(workload, trace, requests)
    seed, classes, clients, adapters = workload.seed, workload.classes, workload.clients, workload.adapters
    klass = pick(stream(seed, "classes"), n, max(len(classes), 1), shares=tuple(c.share for c in classes))
    adapter = np.full(n, -1, dtype=np.int32)
    if adapters is not None:
        adapter = pick(stream(seed, "adapters"), n, adapters.count, adapters.skew)
        adapter[stream(seed, "adapter use").random(n) >= adapters.share] = -1
    return replace(
        requests,
        arrival_s=arrival,
        after=after,
        klass=klass,
        client=pick(stream(seed, "clients"), n, clients.count, clients.skew, clients.shares),
        adapter=adapter,
        priority=priorities(workload, klass),
        deadline_s=deadlines(workload, klass, slo),
        predicted_tokens=predicted(workload, requests.output_tokens),
    )


def _arrivals(workload: Workload, trace: Trace, requests: Requests) -> tuple[F64, I64]:
    n = len(requests)
    after = np.full(n, OPEN, dtype=np.int64)
    if workload.concurrency is not None:
        after[workload.concurrency :] = SHARED
        return np.zeros(n), after
    if workload.mode == "burst" or workload.batch is not None or workload.scenario is not None:
        return np.zeros(n), after
    if trace.rate_per_s is not None:
        return requests.arrival_s * (trace.rate_per_s / (workload.rate or trace.rate_per_s)), after
    if workload.rate is not None:
        return arrival_times(workload, n, workload.rate, stream(workload.seed, "arrivals")), after
    raise InputError("has lengths only; give a rate or a concurrency", str(workload.trace))


def repeat(requests: Requests, n: int, *, fresh_prefixes: bool = True) -> Requests:
    """The first `n` of `requests` played over and over, one mean gap between two rounds; all must be open loop.

    `fresh_prefixes`: each round has prompts of its own that share among themselves as the first round's do.
    """
    if (requests.after != OPEN).any():
        raise InputError("only open-loop requests can be repeated", "requests.after")
    size = len(requests)
    row, round_ = np.arange(n) % size, np.arange(n) // size
    span = float(requests.arrival_s[-1])
    period_s = span * size / (size - 1) if size > 1 else span
    counts = np.diff(requests.prefix_start)[row]
    start = np.concatenate(([0], np.cumsum(counts)))
    position = np.arange(int(start[-1])) - np.repeat(start[:-1] - requests.prefix_start[row], counts)
    block = requests.prefix_block[position]
    if fresh_prefixes and len(block):
        block = block + np.repeat(round_ * (int(requests.prefix_block.max()) + 1), counts)
    columns = {
        name: getattr(requests, name)[row]
        for name in ("client", "klass", "priority", "deadline_s", "adapter", "predicted_tokens", "think_s", "after")
    }
    sessions = int(requests.session.max()) + 1
    session = np.where(requests.session[row] >= 0, requests.session[row] + round_ * sessions, -1)
    return make_requests(
        requests.arrival_s[row] + round_ * period_s,
        requests.input_tokens[row],
        requests.output_tokens[row],
        session=session,
        prefix_start=start,
        prefix_block=block,
        prefix_block_tokens=requests.prefix_block_tokens,
        **columns,
    )


@lru_cache(maxsize=4)
def _cached(path: Path, changed_ns: int) -> Trace:
    """The trace in a file as of its last change: a search over rates reads it once."""
    return read_trace(path)
