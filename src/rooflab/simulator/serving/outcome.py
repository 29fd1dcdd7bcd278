"""What a run leaves, as flat arrays: records, totals, the timeline, the step log."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rooflab.simulator.serving import state
from rooflab.simulator.work.requests import STEP_FIELDS, TOTAL_FIELDS, Records, Result, Steps, Timeline, Totals

__all__ = ["outcome"]


def outcome(sim: state.Sim, replica_of: npt.NDArray[np.int64]) -> Result:
    """The result of a run whose accounts are settled; `replica_of` says which replica a lane is a part of."""
    g = sim.g[0]
    log: Any = sim.steps
    log = log[: g.n_steps]
    steps = Steps(
        **{f: log[f].copy() for f in STEP_FIELDS if f != "replica"}, replica=replica_of[log.replica].astype(np.int32)
    )
    return Result(
        records=_records(sim, replica_of),
        totals=_totals(sim, replica_of),
        timeline=_timeline(sim),
        itl_counts=np.array(sim.itl),
        steps=steps,
        end_s=float(g.now_s),
        complete=bool(g.ended == g.n_jobs),
        stranded=int(g.stranded),
    )


def _records(sim: state.Sim, replica_of: npt.NDArray[np.int64]) -> Records:
    jobs: Any = sim.jobs
    reps: Any = sim.reps
    decoding = np.flatnonzero(jobs.state == state.DECODING)
    made = jobs.made.copy()
    if len(decoding):
        reached = reps.tokens[jobs.decode_replica[decoding]] - (jobs.done[decoding] - jobs.anchor[decoding])
        made[decoding] = np.minimum(made[decoding] + reached, jobs.output[decoding])

    def named(lane: Any) -> Any:
        return np.where(lane >= 0, replica_of[np.maximum(lane, 0)], -1).astype(np.int32)

    return Records(
        arrival_s=jobs.arrival_s.copy(),
        first_scheduled_s=jobs.first_scheduled_s.copy(),
        first_token_s=jobs.first_token_s.copy(),
        last_token_s=jobs.last_token_s.copy(),
        replica=named(jobs.replica),
        decode_replica=named(jobs.decode_replica),
        preemptions=jobs.preemptions.copy(),
        requeues=jobs.requeues.copy(),
        cached_tokens=jobs.cached.copy(),
        tokens_out=made,
        status=jobs.status.astype(np.int8),
    )


def _totals(sim: state.Sim, replica_of: npt.NDArray[np.int64]) -> Totals:
    """Sums of each replica's lanes, counts as whole numbers."""
    lanes: Any = sim.totals
    columns: dict[str, Any] = {}
    for name in TOTAL_FIELDS:
        sums = np.zeros(int(replica_of.max()) + 1)
        np.add.at(sums, replica_of, lanes[name])
        columns[name] = sums if name.endswith(("_s", "_j")) else sums.astype(np.int64)
    return Totals(**columns)


def _timeline(sim: state.Sim) -> Timeline:
    """Sums over intervals as averages; the last interval may be partly used."""
    g = sim.g[0]
    rows = int(g.now_s / g.interval_s) + 1
    start = np.arange(rows, dtype=np.float64) * float(g.interval_s)
    length = np.minimum(start + g.interval_s, max(g.now_s, 1e-300)) - start
    length = np.where(length > 0, length, g.interval_s)
    sums: Any = sim.timeline
    rate = sums[:rows] / length[:, None]
    tokens, steps = rate[:, state.PREFILLED] + rate[:, state.DECODED], rate[:, state.STEPS]
    with np.errstate(divide="ignore", invalid="ignore"):
        per_step = np.where(steps > 0, tokens / steps, 0.0)
    return Timeline(
        interval_s=float(g.interval_s),
        time_s=start,
        running=rate[:, state.RUNNING].copy(),
        waiting=rate[:, state.IN_LINE].copy(),
        kv_blocks=rate[:, state.KV].copy(),
        prefill_tokens_per_s=rate[:, state.PREFILLED].copy(),
        decode_tokens_per_s=rate[:, state.DECODED].copy(),
        step_tokens=per_step,
        power_w=rate[:, state.JOULES].copy(),
        replicas_up=rate[:, state.REPLICAS_UP].copy(),
    )
