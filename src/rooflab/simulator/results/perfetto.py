"""The timeline of a run as a Chrome trace: open it at ui.perfetto.dev or chrome://tracing.

Each replica is a process whose engine steps are slices; the system's load is a process of counters; the first
requests are spans with their queue, prefill and decode times inside.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from rooflab.files import replaced
from rooflab.simulator.results.serving import ServingResult
from rooflab.simulator.work.requests import TIMELINE_FIELDS

__all__ = ["trace_events", "write_perfetto"]

_SYSTEM: Final = 1
_REQUESTS: Final = 2
_REPLICA_0: Final = 10
_US: Final = 1e6


def write_perfetto(result: ServingResult, path: str | Path, *, requests: int = 2000) -> None:
    """Write the trace to `path`, whole or not at all; spans for the first `requests` requests only."""
    with replaced(path) as file:
        file.write('{"displayTimeUnit": "ms", "traceEvents": [\n')
        for i, event in enumerate(trace_events(result, requests=requests)):
            file.write((",\n" if i else "") + json.dumps(event, separators=(",", ":")))
        file.write("\n]}\n")


def trace_events(result: ServingResult, *, requests: int = 2000) -> Iterator[dict[str, Any]]:
    """The events one by one, in the Trace Event Format (times in microseconds)."""
    yield _name(_SYSTEM, "system")
    yield _name(_REQUESTS, "requests")
    yield from _counters(result)
    yield from _steps(result)
    yield from _spans(result, requests)


def _name(pid: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "pid": pid, "tid": 0, "name": "process_name", "args": {"name": name}}


def _counters(result: ServingResult) -> Iterator[dict[str, Any]]:
    timeline = result.run.timeline
    for field in TIMELINE_FIELDS[1:]:
        for at, value in zip(timeline.time_s.tolist(), getattr(timeline, field).tolist(), strict=True):
            if np.isfinite(value):
                yield {
                    "ph": "C",
                    "pid": _SYSTEM,
                    "name": field,
                    "ts": round(at * _US, 3),
                    "args": {"value": round(value, 3)},
                }


def _steps(result: ServingResult) -> Iterator[dict[str, Any]]:
    steps = result.run.steps
    for replica in np.unique(steps.replica).tolist():
        yield _name(_REPLICA_0 + replica, f"replica {replica}")
    for i in range(len(steps)):
        decodes, prompts, count = int(steps.n_decode[i]), int(steps.n_prefill[i]), int(steps.steps[i])
        kind = "mixed" if decodes and prompts else "prefill" if prompts else "decode"
        start_s, end_s = float(steps.start_s[i]), float(steps.end_s[i])
        yield {
            "ph": "X",
            "pid": _REPLICA_0 + int(steps.replica[i]),
            "tid": 0,
            "name": kind if count == 1 else f"{kind} × {count}",
            "ts": round(start_s * _US, 3),
            "dur": round((end_s - start_s) * _US, 3),
            "args": {
                name: int(getattr(steps, name)[i])
                for name in ("steps", "n_decode", "context", "n_prefill", "prefill_tokens", "kv_blocks", "waiting")
            },
        }


def _spans(result: ServingResult, most: int) -> Iterator[dict[str, Any]]:
    records, requests = result.run.records, result.requests
    for i in np.flatnonzero(np.isfinite(records.last_token_s))[:most].tolist():
        times = [
            float(x[i])
            for x in (records.arrival_s, records.first_scheduled_s, records.first_token_s, records.last_token_s)
        ]
        about = {
            "input_tokens": int(requests.input_tokens[i]),
            "output_tokens": int(requests.output_tokens[i]),
            "cached_tokens": int(records.cached_tokens[i]),
            "preemptions": int(records.preemptions[i]),
            "replica": int(records.replica[i]),
        }
        phases = zip(("queue", "prefill", "decode"), times[:-1], times[1:], strict=True)
        for name, start_s, end_s in ((f"request {i}", times[0], times[-1]), *phases):
            begin = {
                "ph": "b",
                "cat": "request",
                "id": i,
                "pid": _REQUESTS,
                "tid": 0,
                "name": name,
                "ts": round(start_s * _US, 3),
            }
            yield begin | {"args": about} if name.startswith("request") else begin
            if not name.startswith("request"):
                yield {
                    "ph": "e",
                    "cat": "request",
                    "id": i,
                    "pid": _REQUESTS,
                    "tid": 0,
                    "name": name,
                    "ts": round(end_s * _US, 3),
                }
        yield {
            "ph": "e",
            "cat": "request",
            "id": i,
            "pid": _REQUESTS,
            "tid": 0,
            "name": f"request {i}",
            "ts": round(times[-1] * _US, 3),
        }
