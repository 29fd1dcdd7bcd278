"""The ways a workload can load an engine, solved in closed form over arrays of cases.

static         B sequences start together: prefill of the batch, then decode at the mean context; more than fit run
               in waves.
closed         C users, each with one request in flight: N = min(C, what fits) sequences; the rest queue.
max-throughput as closed, with as many users as fit.
open           requests at rate λ: N solves Little's law N = λ·(O·TPOT(N)); prompts queue for the step's token budget
               (M/G/1) and, near capacity, requests queue for a place (M/M/c, Sakasegawa's approximation).

Latencies come as mean, p50, p90 and p99.  Closed loop: all users start at once, so a share 1/n of the requests (n
rounds) queues behind the others' prompts; for the rest see `first_tokens`.  Open loop: waits are exponential beyond the
mean step, time per token spreads with the Poisson counts of neighbours and of prompts met.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from rooflab.costs.step import StepCosts, StepResult
from rooflab.estimator.serving.first_token import Admission, Client, first_tokens, held_steps
from rooflab.estimator.serving.load import (
    Case,
    Steady,
    all_lanes,
    decode_step,
    lanes_in_use,
    mixed_step,
    prefill_seconds,
    steady_state,
)

__all__ = ["STATS", "Outcome", "closed_loop", "open_loop", "static_batch"]

Array = npt.NDArray[np.float64]

STATS: Final = ("mean", "p50", "p90", "p99")
_TAIL: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
_NORMAL: Final = {"p50": 0.0, "p90": 1.2816, "p99": 2.3263}  # standard normal quantiles
_ROUNDS: Final = 12  # fixed-point rounds of the open loop; the error shrinks by the load at each


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Per engine: sequences running and in flight, requests/s, latencies by statistic, mean step's work, energy and
    bound.

    `tpot_s` is per request (its mean gap), `itl_s` per token: the distribution of single gaps.
    """

    running: Array
    requests_per_s: Array
    ttft_s: dict[str, Array]
    tpot_s: dict[str, Array]
    e2e_s: dict[str, Array]
    itl_s: dict[str, Array]
    power_w: Array
    parts: StepResult
    step_s: Array
    bound_s: Array
    utilisation: Array
    saturated: npt.NDArray[np.bool_]
    waves: Array


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


def closed_loop(
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
    ttft = first_tokens(costs, case, steady, running, client=client, convoy=convoy, admission=admission)
    ttft = {stat: frontend_s + queue_s + s for stat, s in ttft.items()}
    seen = _of_others(case, steady, users)
    tpot = _spread(costs, case, seen, running, fixed=True)
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
        itl_s=_gaps(costs, case, seen),
        power_w=steady.parts.joules / steady.step_s,
        parts=steady.parts,
        step_s=steady.step_s,
        bound_s=steady.bound_s,
        utilisation=np.ones_like(users),
        saturated=np.zeros(len(users), dtype=bool),
        waves=np.maximum(users / steady.decoding, 1.0),
    )


def _of_others(case: Case, steady: Steady, users: Array) -> Steady:
    """What a request sees of a closed loop of `users`: no answer waits for its own prompt, only for those of others."""
    share = 1 - 1 / np.maximum(users, 1.0)
    plain_s = steady.plain_s / case.yields / case.stage_balance
    return steady._replace(
        tpot_s=plain_s + share * (steady.tpot_s - plain_s),
        mixed_share=share * steady.mixed_share,
        beginning=share * steady.beginning,
    )


def _spread(costs: StepCosts, case: Case, steady: Steady, running: Array, *, fixed: bool) -> dict[str, Array]:
    """Time per output token by statistic: the prompts met in O steps are Poisson, and so are the neighbours of an open
    loop.

    A request that meets k prompt chunks in its O steps takes T(N)·O + k·(T(N+q) − T(N)).
    """
    steps = np.maximum(case.osl / case.yields, 1.0)
    extra_s = np.maximum(steady.mixed_s - steady.plain_s, 0.0)
    out = {"mean": steady.tpot_s}
    slope = (
        0.0
        if fixed
        else (
            steady.plain_s
            - decode_step(costs, case, np.maximum(running / lanes_in_use(case, running) / 2, 1e-9)).seconds
        )
        / np.maximum(running / 2, 1e-9)
    )
    for name, z in _NORMAL.items():
        met = z * np.sqrt(np.maximum(steady.mixed_share, 0.0) / steps)
        near = z * np.sqrt(running) * slope
        out[name] = steady.tpot_s + (met * extra_s + np.maximum(near, 0.0)) / case.yields / case.stage_balance
    return out


def _gaps(costs: StepCosts, case: Case, steady: Steady) -> dict[str, Array]:
    """Gaps between tokens: steps by the prompt tokens that they hold beside the decodes; speculation yields several
    tokens at once.

    Prompts begin in steps as a Poisson process, so a step's prompt tokens are a compound Poisson sum, cut at the token
    budget. Without chunking a prompt stops the decodes: a gap is plain or holds one whole prefill.
    """
    out = {"mean": steady.tpot_s}
    decoding = steady.decoding / lanes_in_use(case, steady.decoding)
    room = np.maximum(case.chunk - decoding, 1.0)
    for name, p in _TAIL.items():
        tokens = np.minimum(_prompt_tokens(case, steady.beginning, p), room)
        chunked_s = np.where(tokens > 0, mixed_step(costs, case, decoding, tokens).seconds, steady.plain_s)
        stopped_s = np.where(steady.mixed_share >= 1 - p, steady.mixed_s, steady.plain_s)
        out[name] = np.where(case.chunked, chunked_s, stopped_s) / case.stage_balance
    return out


def _prompt_tokens(case: Case, beginning: Array, p: float) -> Array:
    """Quantile `p` of the prompt tokens that come in a step, with `beginning` prompts a step on average (lengths
    lognormal).

    The larger of one long prompt, the quantile 1 − (1 − p)/λ of lengths, and of many together: Wilson-Hilferty's
    quantile of a gamma distribution with the sum's mean λI and variance λI²(1 + cv²).
    """
    from statistics import NormalDist

    safe = np.maximum(beginning, 1e-12)
    sigma = np.sqrt(np.log1p(case.isl_cv**2))
    beyond = (1 - p) / -np.expm1(-safe)  # share of steps with a prompt that are worse
    single = case.isl * np.exp(sigma * np.where(beyond < 0.5, _upper(beyond), -_upper(1 - beyond)) - sigma**2 / 2)
    shape = np.maximum(safe / (1 + case.isl_cv**2), 1.0 / 3.0)
    several = safe * case.isl * (1 - 1 / (9 * shape) + NormalDist().inv_cdf(p) / (3 * np.sqrt(shape))) ** 3
    return np.where(beyond < 1, np.maximum(single, several), 0.0)


def _upper(tail: Array) -> Array:
    """Standard normal quantile of upper-tail probabilities up to ½ (Abramowitz and Stegun 26.2.23, error below
    5e-4)."""
    t = np.sqrt(-2 * np.log(np.clip(tail, 1e-12, 0.5)))
    out: Array = t - (2.515517 + 0.802853 * t + 0.010328 * t**2) / (
        1 + 1.432788 * t + 0.189269 * t**2 + 0.001308 * t**3
    )
    return np.maximum(out, 0.0)


def open_loop(
    costs: StepCosts,
    case: Case,
    rate: Array,
    capacity: Array,
    *,
    frontend_s: Array,
    arrivals_cv: Array,
    isl_cv: Array,
    osl_cv: Array,
    admission: Admission,
) -> Outcome:
    """Requests at `rate` a second an engine; `capacity` sequences fit. Beyond saturation the queue grows and latencies
    are infinite."""
    prefill = prefill_seconds(costs, case, np.ones_like(rate))
    alone_s, _ = prefill
    full = steady_state(costs, case, capacity, prefill=prefill)
    most = np.where(case.osl <= 1, 1.0 / alone_s, full.decoding / np.maximum(case.osl * full.tpot_s, 1e-9))
    load = rate / most
    saturated = load >= 1.0
    running = np.minimum(rate * case.osl * decode_step(costs, case, np.ones_like(rate)).seconds, capacity)
    for _ in range(_ROUNDS):
        # arrivals see time averages, so a running request has N others beside it
        steady = steady_state(costs, case, np.minimum(running + 1.0, np.maximum(capacity, 1.0)), running, prefill)
        running = np.where(saturated, capacity, np.minimum(rate * case.osl * steady.tpot_s, capacity))
    line = _Line(
        case=case, steady=steady, running=running, rate=rate, load=load, capacity=capacity, alone_s=alone_s,
        arrivals_cv=arrivals_cv, isl_cv=isl_cv, osl_cv=osl_cv,
    )  # fmt: skip
    ttft = {s: np.where(saturated, np.inf, v) for s, v in line.first_tokens(frontend_s, admission).items()}
    tpot = _spread(costs, case, steady, running, fixed=False)
    longest: dict[str, Array] = {"mean": np.ones_like(osl_cv), **{s: 1 + z * osl_cv for s, z in _NORMAL.items()}}
    served = np.minimum(rate, most)
    return Outcome(
        running=running,
        requests_per_s=served,
        ttft_s=ttft,
        tpot_s=tpot,
        e2e_s={s: ttft[s] + np.maximum(case.osl * longest[s] - 1, 0.0) * tpot[s] for s in STATS},
        itl_s=_gaps(costs, case, steady),
        power_w=_drawn_w(costs, case, steady, running, np.where(saturated, np.inf, served)),
        parts=steady.parts,
        step_s=steady.step_s,
        bound_s=steady.bound_s,
        utilisation=np.minimum(load, 1.0),
        saturated=saturated,
        waves=np.ones_like(rate),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """Requests of an open loop in line before an engine: for their prompt's turn in a step, and for a place in the
    batch."""

    case: Case
    steady: Steady
    running: Array
    rate: Array
    load: Array
    capacity: Array
    alone_s: Array
    arrivals_cv: Array
    isl_cv: Array
    osl_cv: Array

    def first_tokens(self, frontend_s: Array, admission: Admission) -> dict[str, Array]:
        """Seconds to the first token by statistic."""
        case, steady = self.case, self.steady
        busy = np.minimum(self.running, 1.0)  # share of time with anything to decode, as long as little runs
        # a prompt waits for the step in flight, then for prompts before it, then runs in a step with the decodes
        residual_s = busy * (steady.plain_s * (1 - steady.mixed_share) + steady.mixed_s * steady.mixed_share) / 2
        service_s = np.where(case.chunked, steady.mixed_s, self.alone_s) * np.maximum(
            np.ceil(case.isl / case.chunk), 1.0
        )
        several = np.maximum(case.chunk / np.maximum(case.isl, 1.0), 1.0)  # prompts that share a chunk
        prompt_load = np.minimum(self.rate * service_s / several, 0.999)
        burstiness = (self.arrivals_cv**2 + self.isl_cv**2) / 2
        prompt_wait_s = prompt_load * service_s * burstiness / (1 - prompt_load)
        place_wait_s, place_share = self._place()
        held_s = busy * held_steps(admission, self.running / np.maximum(case.osl, 1.0)) * steady.tpot_s
        base_s = frontend_s + residual_s + service_s + held_s
        wait_s = prompt_wait_s + place_wait_s
        waiting_share = np.clip(np.maximum(prompt_load, place_share), 1e-9, 1.0)
        ttft = {"mean": base_s + wait_s}
        for name, p in _TAIL.items():
            beyond = np.maximum(np.log(waiting_share / (1 - p)), 0.0)
            ttft[name] = base_s + (2 * p - 1) * residual_s + wait_s / waiting_share * beyond
        return ttft

    def _place(self) -> tuple[Array, Array]:
        """Mean wait for a place, and the share of requests that wait for one (M/M/c, Sakasegawa)."""
        rho = np.minimum(self.load, 0.9999)
        stay_s = np.maximum(self.case.osl * self.steady.tpot_s, 1e-9)
        slots = np.maximum(self.capacity, 1.0)
        wait_s = (
            rho ** (np.sqrt(2 * (slots + 1)) - 1)
            / (slots * (1 - rho))
            * stay_s
            * (self.arrivals_cv**2 + self.osl_cv**2)
            / 2
        )
        return wait_s, rho ** np.sqrt(2 * (slots + 1))


def _drawn_w(costs: StepCosts, case: Case, steady: Steady, running: Array, served: Array) -> Array:
    """Mean power at `served` requests a second (inf: without a rest): an engine idles between steps."""
    # sequences that a step decodes: those of the time average while there are any, as many as Poisson arrivals bring
    # together
    at_once = np.maximum(running / lanes_in_use(case, running), 1e-9)
    at_once = at_once / -np.expm1(-at_once)
    steps_per_s = np.where(np.isinf(served), 1.0 / steady.step_s, served * case.osl / case.yields / at_once)
    busy_share = np.minimum(steps_per_s * steady.step_s, 1.0)
    idle_w = costs.scalar("idle_w", case.which)
    working_w = steady.parts.joules / steady.step_s
    out: Array = idle_w + busy_share * np.maximum(working_w - idle_w, 0.0)
    return out
