"""Loads of requests that come out of step with each other, solved in closed form over arrays of engines.

open    requests at a rate, whatever becomes of them
closed  users that ask again when they are answered; at the start all at once ("burst"), or already under way
        ("staggered")

Where a load settles and how long prompts wait says `pace`, how latencies spread `tails`.  A place in the batch is
waited for as in M/M/c (Sakasegawa's approximation) in an open loop, and in a closed one for as long as keeps everybody
busy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from rooflab.costs.step import StepCosts
from rooflab.estimator.serving.arrivals import Arrivals, Company
from rooflab.estimator.serving.first_token import Admission, held_steps
from rooflab.estimator.serving.gaps import gaps
from rooflab.estimator.serving.lengths import WEIGHTS
from rooflab.estimator.serving.load import (
    NO_BUDGET,
    Case,
    Steady,
    lanes_in_use,
    mixed_step,
    prefill_seconds,
    steady_state,
)
from rooflab.estimator.serving.outcome import Outcome
from rooflab.estimator.serving.pace import Pace, Settled
from rooflab.estimator.serving.room import computed_anew, most_rates
from rooflab.estimator.serving.runs import Loop
from rooflab.estimator.serving.tails import FirstTokens, Tokens, answered, weights

__all__ = ["Users", "closed_loop", "open_loop"]

Array = npt.NDArray[np.float64]

_WAITS: Final = 0.9999
"""Load up to which the wait for a place is that of M/M/c."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """Per engine: users, requests of each, whether they start at once, how much their answers differ, and how many
    engines take their requests in turns."""

    count: Array
    rounds: Array
    burst: npt.NDArray[np.bool_]
    answers_cv: Array
    engines: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What is left to put together: first tokens by statistic, tokens, and how busy engines are."""

    ttft_s: dict[str, Array]
    tokens: Tokens
    saturated: npt.NDArray[np.bool_]
    load: Array


def open_loop(
    costs: StepCosts,
    case: Case,
    arrivals: Arrivals,
    places: Array,
    *,
    growing: npt.NDArray[np.bool_],
    frontend_s: Array,
    admission: Admission,
) -> Outcome:
    """Requests that come at a rate; `places` sequences fit, `growing` ones as long as memory lasts. Beyond saturation
    the queue grows and latencies are infinite."""
    alone_s, _ = prefill_seconds(costs, case, np.ones_like(places))
    pace = Pace.of(costs, case, places, np.ones_like(places))
    stay_s = alone_s + np.maximum(case.osl - 1, 0.0) * pace.tpot_s[:, 0]
    company, beside_s = _company(costs, pace, arrivals, alone_s, stay_s)
    pace = pace.coming(arrivals.gaps, company, beside_s)
    most, filled = (
        np.where(case.osl <= 1, 1.0 / alone_s, rate)
        for rate in most_rates(costs, pace, places, arrivals.variation, growing)
    )
    load = arrivals.rate / most
    saturated = load >= 1.0
    settled = pace.open_loop(np.minimum(arrivals.rate, most))
    steady = _steady(costs, case, settled, places, pace)
    waiting_s, waiting = _place(pace, settled, arrivals.rate / filled, places, arrivals)
    first = _first_tokens(costs, case, pace, settled, frontend_s + _held_s(case, steady, settled, admission))
    first = _no_sooner(_also(first, waiting_s, waiting), _own_s(costs, case, np.zeros_like(places)))
    first = replace(first, first=np.zeros_like(places), opening_s=(np.zeros_like(places), np.zeros_like(places)))
    ttft = {name: np.where(saturated, np.inf, values) for name, values in first.statistics().items()}
    tokens = _tokens(costs, pace, settled, steady, None)
    answer = _Answer(ttft_s=ttft, tokens=tokens, saturated=saturated, load=np.minimum(load, 1.0))
    return _outcome(costs, pace, settled, steady, answer, open=True)


def _company(
    costs: StepCosts, pace: Pace, arrivals: Arrivals, alone_s: Array, stay_s: Array
) -> tuple[Company, Array]:  # fmt: skip
    """Requests that come right before and behind one that takes `alone_s` and stays for `stay_s` when it is alone, and
    what each of them adds: the more they are the less, as far as a step has room for them."""
    case, company, beside_s = pace.case, pace.company, alone_s
    one = np.ones_like(alone_s)
    plain_s = pace.plain(one)
    for _ in range(2):
        share = np.clip(case.chunk / case.isl, 1.0, 1 + company.ahead)
        each_s = beside_s + np.where(case.mixed, plain_s / share, 0.0)
        company = arrivals.company(each_s, alone_s, stay_s + company.ahead * each_s)
        share = np.clip(case.chunk / case.isl, 1.0, 1 + company.ahead)
        joined_s = mixed_step(costs, case, one, np.minimum(share * case.isl, case.chunk)).seconds - plain_s
        steps = np.maximum(case.isl / case.chunk, 1.0)
        beside_s = np.where(case.mixed, steps * joined_s, prefill_seconds(costs, case, share)[0]) / share
    return company, beside_s


def closed_loop(
    costs: StepCosts,
    case: Case,
    users: Users,
    places: Array,
    *,
    growing: npt.NDArray[np.bool_],
    frontend_s: Array,
    admission: Admission,
) -> Outcome:
    """Users with one request in flight each; `places` sequences fit and the rest wait."""
    others = 1 - 1 / np.maximum(users.count, 1.0)
    computed = computed_anew(costs, case, users.count, places, growing)
    loop = Loop(
        engines=users.engines, users=users.count, places=places, frontend_s=frontend_s, answers_cv=users.answers_cv,
        rounds=users.rounds,
    )  # fmt: skip
    pace = replace(Pace.of(costs, computed, np.minimum(places, users.count), others, loop), case=case)
    even = np.minimum(users.answers_cv, 1.0)
    settled = pace.closed_loop(users.count, frontend_s, places, even)
    steady = _steady(costs, computed, settled, places, pace)
    held_s = _held_s(case, steady, settled, admission) * (users.count > 1)
    first = _first_tokens(costs, case, pace, settled, frontend_s + held_s)
    first = _no_sooner(first, _own_s(costs, case, np.zeros_like(places)))
    # who finds no place waits as long as keeps all users busy (Little's law)
    tail = np.maximum(case.osl - 1, 0.0)
    missing_s = users.count / settled.rate - tail * steady.tpot_s - first.later_s
    queue_s = np.where(settled.full, np.maximum(missing_s, 0.0), 0.0)
    first = _queued(first, queue_s, users.count - settled.decoding, settled.rate)
    # users that begin together come one step of prompts after the other, the last of them when there is a place;
    # who finds none begins alone later
    together = np.minimum(users.count, np.maximum(places, 1.0))
    wave_s, _ = prefill_seconds(costs, case, together)
    steps = np.maximum(np.ceil(together * case.isl / case.chunk), 1.0)
    last_s = np.maximum(wave_s, (users.count - places) / settled.rate)
    first = replace(first, first=np.where(users.burst, 1 / users.rounds, 0.0), opening_s=(wave_s / steps, last_s))
    # answers that begin while the prompts of others run take longer: by whole steps, or by what those have more of
    rest_s = others * (wave_s - np.where(case.mixed, steps * steady.step_s, wave_s / steps))
    tokens = replace(
        _tokens(costs, pace, settled, steady, even),
        first=first.first,
        first_s=np.maximum(rest_s, 0.0) / np.maximum(tail, 1.0),
    )
    ttft = first.statistics()
    # over a run that all users open together, too, each of them has one request in flight
    tpot_s = tokens.mean_s + tokens.first * tokens.first_s / 2
    settled = settled._replace(rate=users.count / (ttft["mean"] + tail * tpot_s))
    never = np.zeros(len(places), dtype=bool)
    answer = _Answer(ttft_s=ttft, tokens=tokens, saturated=never, load=np.ones_like(places))
    return _outcome(costs, pace, settled, steady, answer, open=False)


def _steady(costs: StepCosts, case: Case, settled: Settled, places: Array, pace: Pace) -> Steady:
    """The mean step of the sequences that decode where a load settles, as one of them sees it."""
    seen = settled.decoding * pace.others
    turning = seen * case.osl / np.maximum(case.osl - 1, 0.01)
    running = np.minimum(1.0 + seen, np.maximum(places, 1.0))
    runs = pace.seen(settled.decoding)
    if runs is None:
        return steady_state(costs, case, running, turning)
    steady = steady_state(costs, case, running, turning * (1 - runs.mates * (1 - pace.others)), runs.together)
    return steady._replace(tpot_s=steady.tpot_s + runs.rest_s / np.maximum(case.osl - 1, 0.01))


def _held_s(case: Case, steady: Steady, settled: Settled, admission: Admission) -> Array:
    """Seconds for which the scheduler does not look at the line, or lets prompts wait for company."""
    steps = held_steps(admission, settled.decoding / np.maximum(case.osl, 1.0))
    return np.minimum(settled.decoding, 1.0) * steps * steady.tpot_s


def _first_tokens(costs: StepCosts, case: Case, pace: Pace, settled: Settled, base_s: Array) -> FirstTokens:
    """First tokens without the wait for a place and without an opening."""
    wait = settled.wait
    decoding = -np.expm1(-settled.decoding * pace.others)
    zero = np.zeros_like(base_s)
    return FirstTokens(
        base_s=base_s, own_s=_own_s(costs, case, settled.decoding * pace.others), plain=(1 - wait.met) * decoding,
        plain_s=wait.plain_s / np.maximum(decoding, 1e-12), met=wait.met, met_s=wait.met_s, met_cv=wait.met_cv,
        first=zero, opening_s=(zero, zero),
    )  # fmt: skip


def _no_sooner(first: FirstTokens, idle_s: Array) -> FirstTokens:
    """First tokens that take no less than those of a prompt that finds nobody, `idle_s` (R, bins): launches hide behind
    the step that a prompt waits for, and for no longer than it waits."""
    waits_s = first.plain * first.plain_s / 2 + first.met * first.met_s
    return replace(first, own_s=np.maximum(first.own_s, idle_s - waits_s[:, None]))


def _own_s(costs: StepCosts, case: Case, n: Array) -> Array:
    """What the steps of a prompt take beside `n` decodes, (R, bins of lengths); one bin where all prompts are alike."""
    differ = case.isl_shape[:, -1] > case.isl_shape[:, 0]
    bins = len(WEIGHTS) if differ.any() else 1
    each = np.where(differ, bins, 1)
    rows = np.repeat(np.arange(len(n)), each)
    place = np.arange(len(rows)) - np.repeat(np.cumsum(each) - each, each)
    c = case.take(rows)
    isl = np.maximum(c.isl * c.isl_shape[np.arange(len(rows)), place], 1.0)
    own = replace(c, isl=isl, prompt=np.maximum(c.prompt * isl / c.isl, 1.0), isl_shape=np.ones_like(c.isl_shape))
    beside = (n / lanes_in_use(case, n))[rows]
    alone_s, _ = prefill_seconds(costs, own, np.ones(len(rows)), np.exp(-beside))
    steps = np.maximum(np.ceil(isl / np.maximum(c.chunk - beside, 1.0)), 1.0)
    # the decodes beside it are at their own contexts
    joined = mixed_step(costs, replace(own, prompt=c.prompt), beside, isl / steps)
    taken = np.where(c.mixed & (beside > 0), steps * joined.seconds, alone_s)
    out = np.empty((len(n), bins))
    out[rows, place] = taken
    out[~differ] = out[~differ, :1]
    return out


def _place(pace: Pace, settled: Settled, load: Array, places: Array, arrivals: Arrivals) -> tuple[Array, Array]:
    """Mean wait for a place, and the share of requests that wait for one.

    It is that of M/M/c (Sakasegawa) unless so many places are free that the number of sequences, which differs by
    √(n v/ε), hardly gets there: exp(−(c − n)² ε / 2 n v). Engines that are full let go as unevenly as they took in for
    as long as one answer lasts, and later as their answers differ.
    """
    rho = np.minimum(load, _WAITS)
    n = np.maximum(settled.decoding, 1e-9)
    stay_s = np.maximum(n / np.maximum(settled.rate, 1e-12), 1e-9)
    slots = np.maximum(places, 1.0)
    free = np.maximum(slots - n, 0.0) ** 2 * pace.give(n) / np.maximum(2 * n * arrivals.variation, 1e-12)
    share = np.minimum(rho ** np.sqrt(2 * (slots + 1)), np.exp(-free))
    differ = arrivals.answers_cv**2
    spare = np.maximum(1 - rho, 1 / np.sqrt(slots))
    lasting = (arrivals.variation + differ) / (1 - rho)
    passing = np.maximum(1 - differ, 0.0) / (spare + 1 / (slots * spare))
    wait_s = share * stay_s * (lasting + passing) / (2 * slots)
    return wait_s, share


def _also(first: FirstTokens, wait_s: Array, share: Array) -> FirstTokens:
    """First tokens of which a `share` waits for a place, too: `wait_s` on average of all."""
    met = 1 - (1 - first.met) * (1 - share)
    met_s = (first.met * first.met_s + wait_s) / np.maximum(met, 1e-12)
    cv = np.where(wait_s > first.met * first.met_s, 1.0, first.met_cv)
    return replace(first, met=met, met_s=met_s, met_cv=cv, plain=first.plain * (1 - share))


def _queued(first: FirstTokens, queue_s: Array, waiting: Array, rate: Array) -> FirstTokens:
    """First tokens behind a queue of `waiting` users, who are served at `rate`."""
    queued = queue_s > 0
    met_s = first.met * first.met_s + first.plain * first.plain_s / 2 + queue_s
    cv = np.sqrt(np.maximum(waiting, 1.0)) / rate / np.maximum(met_s, 1e-12)
    return replace(
        first, met=np.where(queued, 1.0, first.met), met_s=np.where(queued, met_s, first.met_s),
        met_cv=np.where(queued, np.minimum(cv, 1.0), first.met_cv), plain=np.where(queued, 0.0, first.plain),
    )  # fmt: skip


def _tokens(costs: StepCosts, pace: Pace, settled: Settled, steady: Steady, even: Array | None) -> Tokens:
    """Times per token where a load settles; `even`: variance of the prompts met over that of Poisson's in a closed
    loop, None in an open one."""
    case = pace.case
    a_token = 1 / case.yields / case.stage_balance
    added_s = np.maximum(pace.added(settled.decoding) / case.stage_balance, 1e-12)
    plain_s = np.minimum(steady.plain_s * a_token, steady.tpot_s)
    answers = np.maximum(case.osl[:, None] * _binned(case.osl_shape) - 1, 1.0)
    share = weights(answers)
    brought_s, near = np.zeros_like(answers), np.zeros_like(answers)
    clumped = np.ones_like(added_s) if even is None else even
    if even is None:
        brought_s = pace.brought_s(settled.decoding, settled.rate, answers)
        spread = np.sqrt(settled.decoding)
        slope_s = pace.plain(settled.decoding + spread) - pace.plain(settled.decoding)
        over = 1 / (1 + answers / np.maximum(2 * (case.osl - 1), 1.0)[:, None])
        near = (slope_s * a_token)[:, None] * np.sqrt(over)
    met = ((steady.tpot_s - plain_s)[:, None] * answers + brought_s) / added_s[:, None]
    if even is None:
        load = np.minimum(settled.rate / lanes_in_use(case, np.maximum(settled.decoding, 1.0)) * added_s, 0.9)
        behind = np.minimum(pace.company.behind, met.min(axis=1))
        clumped = 1 / (1 - load) ** 2 + behind * (1 + behind) / np.maximum(met @ share, 1e-12)
    mean_s = steady.tpot_s + (brought_s / answers) @ share
    return Tokens(
        mean_s=mean_s, plain_s=plain_s, answers=answers, met=met, added_s=added_s,
        added_cv=np.sqrt(np.maximum(case.isl_shape**2 @ WEIGHTS - 1, 0.0)), clumped=clumped, near_s=near,
        most_s=np.maximum(_fullest_s(costs, case, steady) * a_token, mean_s), first=np.zeros_like(mean_s),
        first_s=np.zeros_like(mean_s),
    )  # fmt: skip


def _binned(shape: Array) -> Array:
    """Lengths by bin; one bin where all are alike."""
    return shape if (shape[:, -1] > shape[:, 0]).any() else shape[:, :1]


def _fullest_s(costs: StepCosts, case: Case, steady: Steady) -> Array:
    """The longest step there is: one whose token budget is full; without end where prompts stop the decodes."""
    n = steady.decoding / lanes_in_use(case, steady.decoding)
    room = np.maximum(case.chunk - n, 1.0)
    bounded = case.mixed & (case.chunk < NO_BUDGET)
    full_s = mixed_step(costs, case, n, np.where(bounded, room, case.isl)).seconds
    return np.where(bounded, full_s, np.inf)


def _outcome(
    costs: StepCosts, pace: Pace, settled: Settled, steady: Steady, answer: _Answer, *, open: bool
) -> Outcome:  # fmt: skip
    """What an engine does under a load that has settled."""
    case, ttft, tpot = pace.case, answer.ttft_s, answer.tokens.statistics()
    tail = np.maximum(case.osl - 1, 0.0)
    shape = np.maximum(case.osl[:, None] * _binned(case.osl_shape) - 1, 0.0) / np.maximum(tail, 1e-12)[:, None]
    return Outcome(
        running=settled.decoding + settled.rate * steady.mixed_s if open else steady.decoding,
        requests_per_s=settled.rate,
        ttft_s=ttft,
        tpot_s=tpot,
        e2e_s=answered(ttft, tpot, tail, shape),
        itl_s=gaps(costs, case, steady),
        power_w=_drawn_w(costs, case, steady, settled, answer.saturated, open=open),
        parts=steady.parts,
        step_s=steady.step_s,
        bound_s=steady.bound_s,
        utilisation=answer.load,
        saturated=answer.saturated,
        waves=np.ones_like(tail),
    )


def _drawn_w(
    costs: StepCosts, case: Case, steady: Steady, settled: Settled, saturated: npt.NDArray[np.bool_], *, open: bool
) -> Array:
    """Mean power: an engine idles between steps."""
    # sequences that a step decodes: those of the time average while there are any, as many as Poisson arrivals bring
    # together
    at_once = np.maximum(settled.decoding / lanes_in_use(case, settled.decoding), 1e-9)
    at_once = at_once / -np.expm1(-at_once) if open else np.maximum(at_once, 1.0)
    steps_per_s = np.where(saturated, 1.0 / steady.step_s, settled.rate * case.osl / case.yields / at_once)
    busy_share = np.minimum(steps_per_s * steady.step_s, 1.0)
    idle_w = costs.scalar("idle_w", case.which)
    working_w = steady.parts.joules / steady.step_s
    out: Array = idle_w + busy_share * np.maximum(working_w - idle_w, 0.0)
    return out
