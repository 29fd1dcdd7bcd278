"""A small continuous-batching engine in plain Python: results to test statistics and reports on, not a reference for
anything."""

from __future__ import annotations

import numpy as np

from rooflab.simulator.work.requests import (
    ITL_EDGES_S,
    OPEN,
    STEP_FIELDS,
    Records,
    Requests,
    Result,
    Status,
    Steps,
    Timeline,
    Totals,
)

KV_BLOCK = 16
STEP = np.dtype(
    [(f, np.float64 if f.endswith("_s") else np.int32 if f == "replica" else np.int64) for f in STEP_FIELDS]
)


def toy_run(requests: Requests, *, max_num_seqs: int = 64, fixed_s: float = 0.01, per_seq_s: float = 2e-4,
per_token_s: float = 5e-5,
            intervals: int = 200) -> Result:  # fmt: skip
    """Whole prompts join the batch first come, first served; a step takes fixed_s + sequences · per_seq_s + prompt
    tokens · per_token_s."""
    n = len(requests)
    assert (requests.after == OPEN).all()
    scheduled, first, last = np.full(n, np.nan), np.full(n, np.nan), np.full(n, np.nan)
    left = requests.output_tokens.copy()
    running: list[int] = []
    waiting = 0
    now, steps = 0.0, []
    itl = np.zeros(len(ITL_EDGES_S))
    while waiting < n or running:
        if not running:
            now = max(now, float(requests.arrival_s[waiting]))
        joining = []
        while waiting < n and requests.arrival_s[waiting] <= now and len(running) + len(joining) < max_num_seqs:
            joining.append(waiting)
            waiting += 1
        prompt = int(requests.input_tokens[joining].sum())
        took = fixed_s + (len(running) + len(joining)) * per_seq_s + prompt * per_token_s
        scheduled[joining] = now
        itl[np.searchsorted(ITL_EDGES_S, took) - 1] += len(running)
        context = int((requests.input_tokens[running] + requests.output_tokens[running] - left[running]).sum())
        queue = int(np.searchsorted(requests.arrival_s, now, side="right")) - waiting
        steps.append(
            (0, now, now + took, 1, len(running), context, len(joining), prompt, (context + prompt) // KV_BLOCK, queue)
        )
        now += took
        first[joining] = now
        running += joining
        left[running] -= 1
        for i in running:
            if left[i] == 0:
                last[i] = now
        running = [i for i in running if left[i] > 0]
    return _result(requests, (scheduled, first, last), steps, itl, end_s=now, intervals=intervals)


def _result(requests, times, steps, itl, *, end_s, intervals) -> Result:
    scheduled, first, last = times
    n = len(requests)
    zeros = np.zeros(n, dtype=np.int64)
    small = np.zeros(n, dtype=np.int32)
    records = Records(
        arrival_s=requests.arrival_s, first_scheduled_s=scheduled, first_token_s=first, last_token_s=last,
        replica=small, decode_replica=small, preemptions=small, requeues=small, cached_tokens=zeros,
        tokens_out=requests.output_tokens.copy(),
        status=np.full(n, Status.FINISHED, dtype=np.int8),
    )  # fmt: skip
    s = np.array(steps, dtype=STEP)
    tokens = s["prefill_tokens"] + s["n_decode"]
    width = end_s / intervals
    cell = np.minimum((s["start_s"] / width).astype(int), intervals - 1)
    took = s["end_s"] - s["start_s"]

    def mean(values):
        return np.bincount(cell, values * took, intervals) / width

    timeline = Timeline(
        interval_s=width, time_s=np.arange(intervals) * width, running=mean(s["n_decode"] + s["n_prefill"]),
        waiting=mean(s["waiting"]), kv_blocks=mean(s["kv_blocks"]),
        prefill_tokens_per_s=np.bincount(cell, s["prefill_tokens"], intervals) / width,
        decode_tokens_per_s=np.bincount(cell, s["n_decode"] + s["n_prefill"], intervals) / width,
        step_tokens=np.bincount(cell, tokens, intervals) / np.maximum(np.bincount(cell, minlength=intervals), 1),
        power_w=100 + mean(np.full(len(s), 300.0)), replicas_up=np.ones(intervals),
    )  # fmt: skip
    one = {name: np.zeros(1, dtype=np.int64 if name in _COUNTS else np.float64) for name in Totals.__slots__}
    one["steps"][0], one["busy_s"][0], one["up_s"][0] = len(s), took.sum(), end_s
    one["energy_j"][0] = 100 * end_s + 300 * took.sum()
    one["prefill_tokens"][0], one["decode_tokens"][0], one["finished"][0] = (
        requests.input_tokens.sum(),
        requests.output_tokens.sum(),
        n,
    )
    one["request_s"][0] = (last - requests.arrival_s).sum()
    return Result(
        records=records,
        totals=Totals(**one),
        timeline=timeline,
        itl_counts=itl,
        steps=Steps(**{name: np.ascontiguousarray(s[name]) for name in STEP_FIELDS}),
        end_s=float(end_s),
        complete=True,
    )


_COUNTS = {
    "steps", "prefill_tokens", "decode_tokens", "cached_tokens", "looked_up_tokens", "host_tokens", "ssd_tokens",
    "preemptions",
    "swapped_tokens", "recomputed_tokens", "transferred_tokens", "evicted_blocks", "finished",
}  # fmt: skip
