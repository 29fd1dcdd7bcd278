"""Requests that begin together and go on together, in closed form over arrays of engines.

static         B sequences start together: prefill of the batch, then decode at the mean context; more than fit run
               in waves.
in step        C users whose answers end together, so that they ask together: N = min(C, what fits) sequences, the rest
               queue; for first tokens see `first_token`.
max-throughput as many users as fit, without an end.

Loads whose requests come out of step are those of `loops`.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from rooflab.costs.step import StepCosts, StepResult
from rooflab.estimator.serving.first_token import Admission, Client, first_tokens, in_phase
from rooflab.estimator.serving.gaps import gaps
from rooflab.estimator.serving.load import (
    Case,
    Steady,
    all_lanes,
    decode_step,
    lanes_in_use,
    prefill_seconds,
    steady_state,
)
from rooflab.estimator.serving.outcome import STATS, Outcome

__all__ = ["in_step", "static_batch"]

Array = npt.NDArray[np.float64]

_NORMAL: Final = {"p50": 0.0, "p90": 1.2816, "p99": 2.3263}
"""Standard normal quantiles."""


def static_batch(costs: StepCosts, case: Case, batch: Array, capacity: Array) -> Outcome:
    """`batch` sequences that start together; `capacity` is how many fit at once (the rest run in further waves)."""
    waves = np.maximum(np.ceil(batch / np.maximum(capacity, 1.0)), 1.0)
    n = batch / waves
    lanes = lanes_in_use(case, n)
    lane = n / lanes
    ttft_s, prefill = prefill_seconds(costs, case, lane)
    fill_steps = np.maximum(np.ceil(lane * case.isl / case.chunk), 1.0)
    ttft_s = ttft_s * (
        1 + (lanes - 1) / (case.lanes * case.stage_balance)
    )  # lanes fill the pipeline one behind the other
    decode = decode_step(costs, case, lane)
    steps = np.maximum(case.osl - 1, 0.0) / case.yields
    tpot_s = decode.seconds / case.yields / case.stage_balance
    wave_s = ttft_s + steps * case.yields * tpot_s
    total_s = waves * wave_s
    busy_s = fill_steps * prefill.seconds + steps * decode.seconds
    summed = StepResult(*((fill_steps * a + steps * b) for a, b in zip(prefill, decode, strict=True)))
    parts = all_lanes(summed, lanes, costs.scalar("idle_w", case.which), costs.scalar("dynamic_limit_w", case.which))
    bound_s = (fill_steps * costs.bound_s(case.which, prefill) + steps * costs.bound_s(case.which, decode)) * lanes
    same = dict.fromkeys(STATS, ttft_s)
    tpot = dict.fromkeys(STATS, np.where(case.osl > 1, tpot_s, np.nan))
    return Outcome(
        running=n,
        requests_per_s=batch / total_s,
        ttft_s=same,
        tpot_s=tpot,
        e2e_s=dict.fromkeys(STATS, wave_s * (waves + 1) / 2),
        itl_s=tpot,
        power_w=parts.joules / busy_s,
        parts=parts,
        step_s=busy_s,
        bound_s=bound_s,
        utilisation=np.ones_like(batch),
        saturated=np.zeros(len(batch), dtype=bool),
        waves=waves,
    )


def in_step(
    costs: StepCosts,
    case: Case,
    users: Array,
    capacity: Array,
    *,
    client: Client,
    frontend_s: Array,
    convoy: Array,
    admission: Admission,
    endless: npt.NDArray[np.bool_],
) -> Outcome:
    """`users` with one request in flight each; `capacity` sequences fit. `endless`: there is always another request
    waiting."""
    running = np.minimum(users, np.maximum(capacity, 1.0))
    steady = steady_state(costs, case, running)
    stay_s = case.osl * steady.tpot_s
    # users beyond those that decode wait, so that each of them is served at the engine's pace (Little's law)
    queue_s = np.maximum(users - steady.decoding, 0.0) * stay_s / steady.decoding
    ttft, rest_s = first_tokens(costs, case, steady, running, client=client, convoy=convoy, admission=admission)
    ttft = {stat: frontend_s + queue_s + s for stat, s in ttft.items()}
    seen = _of_others(case, steady, (1 - 1 / np.maximum(users, 1.0)) * (1 - in_phase(case, client)))
    tpot = _spread(case, seen._replace(tpot_s=seen.tpot_s + rest_s / np.maximum(case.osl - 1, 1.0)))
    # users wait for first tokens too, but an engine that is kept full never does better than N sequences at this pace
    full_pace = steady.decoding / np.maximum(stay_s, 1e-12)
    requests_per_s = np.where(
        endless, full_pace, np.minimum(users / (ttft["mean"] + np.maximum(case.osl - 1, 0.0) * tpot["mean"]), full_pace)
    )
    return Outcome(
        running=running,
        requests_per_s=requests_per_s,
        ttft_s=ttft,
        tpot_s=tpot,
        e2e_s={s: ttft[s] + np.maximum(case.osl - 1, 0.0) * tpot[s] for s in STATS},
        itl_s=gaps(costs, case, seen),
        power_w=steady.parts.joules / steady.step_s,
        parts=steady.parts,
        step_s=steady.step_s,
        bound_s=steady.bound_s,
        utilisation=np.ones_like(users),
        saturated=np.zeros(len(users), dtype=bool),
        waves=np.maximum(users / steady.decoding, 1.0),
    )


def _of_others(case: Case, steady: Steady, share: Array) -> Steady:
    """What a request sees of the prompts of a closed loop: a `share` of them stands in the way of its answer, and its
    own does not."""
    plain_s = steady.plain_s / case.yields / case.stage_balance
    return steady._replace(
        tpot_s=plain_s + share * (steady.tpot_s - plain_s),
        mixed_share=share * steady.mixed_share,
        beginning=share * steady.beginning,
    )


def _spread(case: Case, steady: Steady) -> dict[str, Array]:
    """Time per output token by statistic: a request that meets k prompt chunks in its O steps takes
    T(N)·O + k·(T(N+q) − T(N)), and k is Poisson."""
    steps = np.maximum(case.osl / case.yields, 1.0)
    extra_s = np.maximum(steady.mixed_s - steady.plain_s, 0.0)
    out = {"mean": steady.tpot_s}
    for name, z in _NORMAL.items():
        met = z * np.sqrt(np.maximum(steady.mixed_share, 0.0) / steps)
        out[name] = steady.tpot_s + met * extra_s / case.yields / case.stage_balance
    return out
