"""What the loop writes down: time integrals, the timeline, gaps between tokens, the step log."""

from __future__ import annotations

import math

from rooflab.simulator.serving.compiled import compiled
from rooflab.simulator.serving.state import (
    DECODED,
    IN_LINE,
    JOULES,
    KV,
    PREFILLED,
    REPLICAS_UP,
    RUNNING,
    STEPS,
    TIMELINE_COLUMNS,
    Sim,
)

__all__ = ["cover", "gap", "log_step", "see_step", "see_waiting", "spread", "up_until"]


@compiled
def _coarsen(sim: Sim) -> None:
    """Intervals twice as long: pairs of rows are added up."""
    g = sim.g[0]
    rows = len(sim.timeline)
    for b in range(rows // 2):
        for f in range(TIMELINE_COLUMNS):
            sim.timeline[b, f] = sim.timeline[2 * b, f] + sim.timeline[2 * b + 1, f]
    for b in range(rows // 2, rows):
        for f in range(TIMELINE_COLUMNS):
            sim.timeline[b, f] = 0.0
    g.interval_s *= 2.0


@compiled
def cover(sim: Sim, now: float) -> None:
    """Make the timeline reach `now`."""
    while now >= sim.g[0].interval_s * len(sim.timeline):
        _coarsen(sim)


@compiled
def spread(sim: Sim, field: int, start_s: float, end_s: float, rate: float) -> None:
    """Add `rate` a second to the timeline from start to end."""
    g = sim.g[0]
    cover(sim, end_s)
    first = int(start_s / g.interval_s)
    last = int(end_s / g.interval_s)
    if first == last:
        sim.timeline[first, field] += rate * (end_s - start_s)
        return
    sim.timeline[first, field] += rate * ((first + 1) * g.interval_s - start_s)
    for b in range(first + 1, last):
        sim.timeline[b, field] += rate * g.interval_s
    sim.timeline[last, field] += rate * (end_s - last * g.interval_s)


@compiled
def see_waiting(sim: Sim, r: int, now: float) -> None:
    """Account for the requests waiting at and present on replica r until now; call before either changes."""
    rep = sim.reps[r]
    if now > rep.waiting_since_s:
        if rep.waiting > 0:
            sim.totals[r].waiting_s += rep.waiting * (now - rep.waiting_since_s)
            spread(sim, IN_LINE, rep.waiting_since_s, now, float(rep.waiting))
        sim.totals[r].request_s += rep.present * (now - rep.waiting_since_s)
        rep.waiting_since_s = now


@compiled
def up_until(sim: Sim, r: int, now: float) -> None:
    """Account for the time that replica r has been up."""
    rep = sim.reps[r]
    if now > rep.up_since_s:
        sim.totals[r].up_s += now - rep.up_since_s
        sim.totals[r].energy_j += rep.idle_w * (now - rep.up_since_s)
        spread(sim, REPLICAS_UP, rep.up_since_s, now, 1.0)
        spread(sim, JOULES, rep.up_since_s, now, rep.idle_w)
    rep.up_since_s = now


@compiled
def see_step(sim: Sim, r: int, now: float, k: int, kv_end: int) -> None:
    """Account for k steps of replica r that end now with `kv_end` blocks held."""
    rep = sim.reps[r]
    took = now - rep.start_s
    joules = rep.step_j * k + rep.slope_j * (0.5 * k * (k - 1))
    held = 0.5 * (rep.kv_blocks - rep.free_blocks - rep.idle_units * rep.unit_blocks + kv_end)
    totals = sim.totals[r]
    totals.steps += k
    totals.busy_s += took
    totals.energy_j += joules
    totals.prefill_tokens += rep.chunk_tokens
    totals.decode_tokens += rep.n_step * k
    totals.kv_block_s += held * took
    g = sim.g[0]
    cover(sim, now)
    at = int(rep.start_s / g.interval_s)
    if at == int(now / g.interval_s):
        row = sim.timeline[at]
        row[RUNNING] += rep.running * took
        row[KV] += held * took
        row[PREFILLED] += rep.chunk_tokens
        row[DECODED] += rep.n_step * k
        row[STEPS] += k
        row[JOULES] += joules
    else:
        spread(sim, RUNNING, rep.start_s, now, float(rep.running))
        spread(sim, KV, rep.start_s, now, held)
        spread(sim, PREFILLED, rep.start_s, now, rep.chunk_tokens / took)
        spread(sim, DECODED, rep.start_s, now, rep.n_step * k / took)
        spread(sim, STEPS, rep.start_s, now, k / took)
        spread(sim, JOULES, rep.start_s, now, joules / took)


@compiled
def _count(sim: Sim, gap_s: float, n: float) -> None:
    b = int((math.log10(gap_s) + 5.0) * 200.0) if gap_s > 1e-5 else 0
    sim.itl[min(b, len(sim.itl) - 1)] += n


@compiled
def gap(sim: Sim, gap_s: float) -> None:
    """One gap between two tokens of a request."""
    _count(sim, gap_s, 1.0)


@compiled
def gaps(sim: Sim, r: int, k: int) -> None:
    """Gaps that the decode batch of replica r saw in the k steps that it has just done."""
    rep = sim.reps[r]
    n = rep.n_step
    first_end = rep.start_s + rep.step_s
    newcomers = min(rep.newcomers, n)
    if n > newcomers:
        _count(sim, first_end - rep.emitted_s, float(n - newcomers))
    if newcomers > 0:
        _count(sim, first_end - rep.newcomer_sum_s / rep.newcomers, float(newcomers))
    rep.newcomers = 0
    rep.newcomer_sum_s = 0.0
    done = 1
    while done < k:
        # all later steps whose duration lies in the same bin at once
        step_s = rep.step_s + rep.slope_s * done
        last = k
        if rep.slope_s > 0.0 and step_s > 1e-5:
            edge = 10.0 ** ((int((math.log10(step_s) + 5.0) * 200.0) + 1) / 200.0 - 5.0)
            last = min(k, max(done + 1, int((edge - rep.step_s) / rep.slope_s) + 1))
        _count(sim, step_s, float(n * (last - done)))
        done = last


@compiled
def log_step(sim: Sim, r: int, now: float, k: int) -> None:
    """Add a row to the step log while it has room."""
    g = sim.g[0]
    if g.n_steps < len(sim.steps):
        rep = sim.reps[r]
        row = sim.steps[g.n_steps]
        row.start_s = rep.start_s
        row.end_s = now
        row.replica = r
        row.steps = k
        row.n_decode = rep.n_step
        row.context = int(rep.context)
        row.n_prefill = rep.n_chunks
        row.prefill_tokens = rep.chunk_tokens
        row.kv_blocks = rep.kv_blocks - rep.free_blocks - rep.idle_units * rep.unit_blocks
        row.waiting = rep.waiting
        g.n_steps += 1
